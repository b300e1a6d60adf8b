// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/verify_task.h"

#include "colossal/models/family.h"
#include "colossal/models/language_model.h"
#include "colossal/tensor/random.h"

namespace colossal::train {
namespace {

using Kind = models::InputInfo::Kind;

constexpr int64_t kTaskRows = 8, kTaskTokens = 16;

// What rows that count for nothing hold.
int64_t filler(Kind kind) { return kind == Kind::labels ? models::kIgnored : kind == Kind::mask ? 1 : 0; }

at::Tensor divided(const at::Tensor& all, const comm::Group& group, int64_t fill) {
  const int64_t per_rank = (all.size(0) + group.size() - 1) / group.size();
  tensor::Shape shape = all.sizes().vec();
  shape[0] = per_rank * group.size() - all.size(0);
  return at::cat({all, at::full(shape, fill, all.options())})
      .narrow(0, per_rank * group.index(), per_rank)
      .contiguous();
}

at::Tensor ints(const std::string& name, const tensor::Shape& shape, int64_t high) {
  return tensor::random_ints(tensor::RandomKey(1).named(name), shape,
                             {.offset = tensor::Shape(shape.size(), 0), .size = shape}, 0, high);
}

at::Tensor right_padding(const tensor::Shape& shape) {
  at::Tensor mask = at::ones(shape, at::kLong);
  for (int64_t row = 1; row < shape[0]; row += 2) {
    const int64_t padding = row % (shape[1] / 2 + 1);
    mask[row].narrow(0, shape[1] - padding, padding).zero_();
  }
  return mask;
}

// The token itself, but where it is padding or left out.
at::Tensor token_labels(const at::Tensor& ids, const at::Tensor& mask) {
  return ids.masked_fill((mask == 0).logical_or(ints("verify.ignored", ids.sizes().vec(), 10) == 0),
                         models::kIgnored);
}

}  // namespace

VerifyTask task_from(const checkpoint::SafetensorsReader& file, const models::ModelConfig& config) {
  VerifyTask task{.steps = file.read("loss_after_step").numel()};
  for (const models::InputInfo& info : models::inputs_of(config))
    task.inputs[info.name] = file.read(info.name);
  return task;
}

VerifyTask synthetic_task(const models::ModelConfig& config) {
  const tensor::Shape tokens = {kTaskRows, std::min(kTaskTokens, config.max_positions)};
  const models::ImageConfig& image = config.image;
  const tensor::Shape pixels = {kTaskRows, image.channels, image.size, image.size};
  VerifyTask task;
  const at::Tensor mask = right_padding(tokens);
  for (const models::InputInfo& info : models::inputs_of(config)) {
    at::Tensor& value = task.inputs[info.name];
    switch (info.kind) {
      case Kind::tokens: value = ints("verify.tokens", tokens, info.num_values); break;
      case Kind::mask: value = mask; break;
      case Kind::token_types: value = ints("verify.types", tokens, info.num_values); break;
      case Kind::pixels:
        value = tensor::normal(tensor::RandomKey(1).named("verify.pixels"), pixels,
                               {.offset = tensor::Shape(pixels.size(), 0), .size = pixels}, 0, 1, at::kFloat);
        break;
      case Kind::labels:
        value = info.per_sequence ? ints("verify." + info.name, {kTaskRows}, info.num_values)
                                  : token_labels(task.inputs.at("input_ids"), mask);
        break;
    }
  }
  return task;
}

OwnRows own_rows(const VerifyTask& task, const models::ModelConfig& config, const comm::Mesh& mesh) {
  models::Inputs all = task.inputs;
  if (models::family(config.family).task == models::Task::causal_language)
    all.at("labels") = models::next_tokens(all.at("labels"));
  if (const at::Tensor mask = models::optional_input(all, "attention_mask");
      mask.defined() && mask.all().item<bool>())
    all.erase("attention_mask");
  OwnRows own{.counts = models::count_targets(all),
              .rows = all.begin()->second.size(0),
              .data = mesh.has("data") ? mesh.group("data") : comm::Group()};
  for (const models::InputInfo& info : models::inputs_of(config)) {
    if (const auto found = all.find(info.name); found != all.end())
      own.inputs[info.name] = divided(found->second, own.data, filler(info.kind));
  }
  own.own_rows = own.inputs.begin()->second.size(0);
  return own;
}

}  // namespace colossal::train
