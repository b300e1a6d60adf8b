// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/config/components.h"

#include "colossal/models/family.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {

namespace {

// Patches of 4 pixels for pictures of up to a hundred pixels, of 16 for larger ones.
models::ImageConfig image_config(const ModelSection& m, const data::DataSizes& open) {
  const int64_t size = m.image_size.value_or(open.image_size);
  return {.size = size,
          .patch = m.patch_size.value_or(size > 100 ? 16 : 4),
          .channels = m.channels.value_or(open.channels),
          .num_classes = m.num_classes.value_or(open.num_classes)};
}

}  // namespace

models::ModelConfig model_config(const ModelSection& m, const data::DataSizes& open) {
  models::ModelConfig c;
  c.family = models::foreign_family(m.family, "model.family").name;
  c.num_layers = m.num_layers.value_or(0);
  c.hidden_size = m.hidden_size.value_or(0);
  c.num_heads = m.num_heads.value_or(0);
  c.num_kv_heads = m.num_kv_heads.value_or(0);
  c.head_dim = m.head_dim.value_or(0);
  c.ffn_size = m.ffn_size.value_or(0);
  c.vocab_size = m.vocab_size.value_or(open.vocab_size);
  if (task_of(m.family) == models::Task::image_classification) c.image = image_config(m, open);
  c.next_sentence = m.next_sentence.value_or(false);
  c.max_positions = m.max_positions.value_or(0);
  c.norm_eps = m.norm_eps.value_or(c.norm_eps);
  c.tie_embeddings = m.tie_embeddings.value_or(c.tie_embeddings);
  c.qkv_bias = m.family == "qwen2";
  c.dropout = m.dropout;
  c.attention_dropout = m.attention_dropout;
  c.init_std = m.init_std;
  c.rope.theta = m.rope_theta.value_or(c.rope.theta);
  if (m.rope_scaling) {
    const RopeScaling& r = *m.rope_scaling;
    c.rope.scaling = r.type == "linear" ? models::Rope::Scaling::linear : models::Rope::Scaling::llama3;
    c.rope.factor = r.factor;
    c.rope.low_freq_factor = r.low_freq_factor;
    c.rope.high_freq_factor = r.high_freq_factor;
    c.rope.original_max_positions = r.original_max_positions;
  }
  return c;
}

optim::OptimizerOptions optimizer_options(const OptimizerSection& o) {
  optim::OptimizerOptions options;
  options.name = o.name;
  options.beta2 = o.beta2;
  options.weight_decay = o.weight_decay.value_or(0);
  options.nesterov = o.nesterov;
  options.amsgrad = o.amsgrad;
  options.bias_correction = o.bias_correction;
  options.trust_coefficient = o.trust_coefficient;
  options.adafactor = {.decay_rate = o.decay_rate,
                       .clip_threshold = o.clip_threshold,
                       .square_eps = o.eps.value_or(1e-30),
                       .scale_eps = o.eps_scale,
                       .scale_parameter = o.scale_parameter,
                       .relative_step = o.relative_step,
                       .warmup = o.warmup_init};
  if (o.name == "adafactor") {
    options.momentum = o.beta1.value_or(0);
  } else {
    options.beta1 = o.beta1.value_or(0.9);
    options.eps = o.eps.value_or(1e-8);
    options.momentum = o.momentum.value_or(0);
  }
  return options;
}

optim::ScheduleOptions schedule_options(const RunConfig& c) {
  return {.name = c.schedule.name,
          .learning_rate = c.optimizer.learning_rate,
          .warmup_steps = c.schedule.warmup_steps,
          .total_steps = c.schedule.total_steps.value_or(c.train.steps),
          .min_ratio = c.schedule.min_ratio,
          .power = c.schedule.power,
          .cycles = c.schedule.cycles.value_or(0.5),
          .decay_steps = c.schedule.decay_steps.value_or(0),
          .decay = c.schedule.decay};
}

optim::LossScaleOptions loss_scale_options(const TrainSection& t) {
  return {.initial = t.loss_scale,
          .growth = t.loss_scale_growth,
          .backoff = t.loss_scale_backoff,
          .interval = t.loss_scale_interval};
}

data::DataOptions data_options(const RunConfig& c) {
  data::DataOptions options;
  options.task = task_of(c.model.family);
  options.train = c.data.train;
  options.validation = c.data.validation;
  options.validation_fraction = c.data.validation_fraction;
  options.tokenizer = c.data.tokenizer;
  options.sequence_length = c.data.sequence_length;
  options.sizes = {.vocab_size = c.model.vocab_size.value_or(0),
                   .image_size = c.model.image_size.value_or(0),
                   .channels = c.model.channels.value_or(0),
                   .num_classes = c.model.num_classes.value_or(0)};
  options.mask_probability = c.data.mask_probability;
  options.next_sentence = c.model.next_sentence.value_or(false);
  options.image.mean = c.data.pixel_mean;
  options.image.std = c.data.pixel_std;
  options.image.flip = c.data.flip;
  options.image.shift = c.data.shift;
  options.seed = static_cast<uint64_t>(c.run.seed);
  options.tokenize.cache = c.data.cache.value_or("");
  options.tokenize.text_key = c.data.text_key;
  return options;
}

comm::BackendKind backend_kind(const CommSection& comm) {
  if (comm.backend == "local") return comm::BackendKind::local;
  if (comm.backend == "gloo") return comm::BackendKind::gloo;
  if (comm.backend == "nccl") return comm::BackendKind::nccl;
  return comm::BackendKind::automatic;
}

at::ScalarType scalar_type(Precision precision) {
  switch (precision) {
    case Precision::fp32: return at::kFloat;
    case Precision::bf16: return at::kBFloat16;
    case Precision::fp16: return at::kHalf;
    case Precision::fp64: return at::kDouble;
  }
  return at::kFloat;
}

}  // namespace colossal::train
