// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/family.h"

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/models/bert/bert.h"
#include "colossal/models/gpt/gpt.h"
#include "colossal/models/llama/llama.h"
#include "colossal/models/palm/palm.h"
#include "colossal/models/vit/vit.h"
#include "colossal/nn/common/classifier.h"
#include "colossal/nn/common/positions.h"
#include "colossal/nn/common/token_types.h"
#include "colossal/nn/dense/embedding.h"
#include "colossal/nn/dense_factory.h"

namespace colossal::models {
namespace {

// Not what looks rows up, nor what sees one token of a sequence.
bool meets_every_token(const nn::Layer& layer) {
  return dynamic_cast<const nn::DenseEmbedding*>(&layer) == nullptr &&
         dynamic_cast<const nn::Positions*>(&layer) == nullptr &&
         dynamic_cast<const nn::TokenTypes*>(&layer) == nullptr &&
         dynamic_cast<const nn::Classifier*>(&layer) == nullptr;
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> all = {gpt::family(),  llama::family(), llama::qwen2_family(),
                                          palm::family(), bert::family(),  vit::family()};
  return all;
}

const Family& family(const std::string& name) {
  std::vector<std::string> names;
  for (const Family& candidate : families()) {
    if (candidate.name == name) return candidate;
    names.push_back(candidate.name);
  }
  throw ConfigError(fmt::format("model.family = \"{}\" is unknown. {}", name, allowed_instead(name, names)));
}

const Family& foreign_family(const std::string& model_type, const std::string& where) {
  std::vector<std::string> types;
  for (const Family& candidate : families()) {
    if (candidate.name == model_type) return candidate;
    types.push_back(candidate.name);
  }
  throw ConfigError(fmt::format("{}: model_type = \"{}\" is unknown. {}", where, model_type,
                                allowed_instead(model_type, types)));
}

std::vector<Preset> presets(const std::vector<Generation>& table) {
  std::vector<Preset> all;
  for (const auto& [shared, sizes] : table) {
    for (const Generation::Size& size : sizes) {
      Preset& preset = all.emplace_back(Preset{.name = size.name, .config = shared});
      preset.config.num_layers = size.layers;
      preset.config.hidden_size = size.hidden;
      preset.config.num_heads = size.heads;
      preset.config.num_kv_heads = size.kv_heads;
      preset.config.ffn_size = size.ffn;
    }
  }
  return all;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Family& each : families()) {
    for (const Preset& preset : each.presets) names.push_back(preset.name);
  }
  return names;
}

ModelConfig preset(const std::string& name) {
  for (const Family& each : families()) {
    for (const Preset& preset : each.presets) {
      if (preset.name == name) return preset.config;
    }
  }
  throw ConfigError(
      fmt::format("model.preset = \"{}\" is unknown. {}", name, allowed_instead(name, preset_names())));
}

ModelConfig by_rules(ModelConfig config) {
  const Family& own = family(config.family);
  if (own.rules != nullptr) config = own.rules(std::move(config));
  if (config.num_kv_heads == 0) config.num_kv_heads = config.num_heads;
  if (config.ffn_size == 0) config.ffn_size = 4 * config.hidden_size;
  if (config.activation == Activation::none) config.activation = own.usual.activation;
  return config;
}

ModelConfig complete(const ModelConfig& config) {
  ModelConfig full = by_rules(config);
  std::vector<std::string> found;
  if (full.head_dim == 0 && full.num_heads > 0) {
    full.head_dim = full.hidden_size / full.num_heads;
    if (full.hidden_size % full.num_heads != 0) {
      found.push_back(fmt::format(
          "model.num_heads = {} does not divide model.hidden_size = {}. Nearest hidden sizes: {}, {}.",
          full.num_heads, full.hidden_size, full.num_heads * full.head_dim,
          full.num_heads * (full.head_dim + 1)));
    }
  }
  const Task task = family(full.family).task;
  if (found.empty())
    found = problems(full, task == Task::image_classification ? Modality::image : Modality::text);
  if (family(full.family).rotary && full.head_dim % 2 != 0) {
    found.push_back(
        fmt::format("model.head_dim = {} is odd. Allowed: even sizes (rotary embedding).", full.head_dim));
  }
  if (!found.empty()) throw ConfigError(found);
  return full;
}

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  const ModelConfig full = complete(config);
  return family(full.family).build(full, make);
}

std::shared_ptr<LanguageModel> build_language_model(const ModelConfig& config, nn::LayerFactory& make) {
  const Task task = family(config.family).task;
  if (task != Task::causal_language) {
    throw ConfigError(fmt::format("a model of family {} {}, but one that {} is needed here. Families: {}.",
                                  config.family, task_text(task), task_text(Task::causal_language),
                                  join(families_with(Task::causal_language), ", ")));
  }
  return std::dynamic_pointer_cast<LanguageModel>(build(config, make));
}

std::vector<InputInfo> inputs_of(const ModelConfig& config) {
  using Kind = InputInfo::Kind;
  const Task task = family(config.family).task;
  if (task == Task::image_classification) {
    return {{.kind = Kind::pixels, .name = "pixel_values"},
            {.kind = Kind::labels,
             .name = "labels",
             .num_values = config.image.num_classes,
             .per_sequence = true}};
  }
  std::vector<InputInfo> inputs = {
      {.kind = Kind::tokens, .name = "input_ids", .num_values = config.vocab_size},
      {.kind = Kind::mask, .name = "attention_mask", .num_values = 2},
      {.kind = Kind::labels, .name = "labels", .num_values = config.vocab_size}};
  if (task == Task::masked_language)
    inputs.push_back(
        {.kind = Kind::token_types, .name = "token_type_ids", .num_values = config.num_token_types});
  if (config.next_sentence)
    inputs.push_back(
        {.kind = Kind::labels, .name = "next_sentence_label", .num_values = 2, .per_sequence = true});
  return inputs;
}

std::map<std::string, std::string> loss_parts(const ModelConfig& config) {
  if (!config.next_sentence) return {};
  return {{"labels", "masked_lm"}, {"next_sentence_label", "next_sentence"}};
}

std::string_view task_text(Task task) {
  switch (task) {
    case Task::masked_language: return "fills in masked tokens";
    case Task::image_classification: return "classifies images";
    default: return "predicts the next token";
  }
}

std::vector<std::string> families_with(Task task) {
  std::vector<std::string> names;
  for (const Family& candidate : families()) {
    if (candidate.task == task) names.push_back(candidate.name);
  }
  return names;
}

ParameterCount count_parameters(const ModelConfig& config) {
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>(), {.device = at::kMeta});
  const auto model = build(config, make);
  ParameterCount count;
  for (const nn::Parameter& p : nn::parameters(*model, make.mesh())) count.total += p.layout().numel();
  for (const auto& module : model->modules(/*include_self=*/false)) {
    const auto* layer = dynamic_cast<const nn::Layer*>(module.get());
    if (layer == nullptr || !meets_every_token(*layer)) continue;
    const auto weight = layer->specs().find("weight");
    if (weight != layer->specs().end() && weight->second.layout.shape().size() > 1)
      count.matmul += weight->second.layout.numel();
  }
  return count;
}

double training_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  const ModelConfig full = complete(config);
  const double attention =
      12.0 * static_cast<double>(full.num_layers * full.num_heads * full.head_dim * sequence_length);
  return 6.0 * static_cast<double>(count_parameters(full).matmul) + attention;
}

}  // namespace colossal::models
