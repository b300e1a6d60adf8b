// SPDX-License-Identifier: Apache-2.0
// The configuration of a run: what run.toml says, checked as a whole, with every derived value filled in.
//
//   RunConfig config = load_run_config("run.toml", {"train.steps=100"}, 4);   // throws ConfigError: all problems
//   int64_t steps = config.train.steps;
//   fmt::print("{}", run_config_toml(config));
//
// Thread-safe: plain values. Keys, help and limits: config/describe_*.cpp; rules between keys: config/rules_*.cpp.
// Documentation: docs/config.md (generated). No torch in here: a bad file is refused in milliseconds.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/config/value.h"
#include "colossal/base/json.h"
#include "colossal/parallel/tensor/tensor_section.h"

namespace colossal::train {

enum class Precision { fp32, bf16, fp16, fp64 };
enum class OnNonfinite { skip, stop };
enum class ProgressStyle { automatic, bar, lines, none };

struct RunSection {
  std::string name;    // filled: the name of the file without .toml
  std::string output;  // filled: runs/<name>
  int64_t seed = 1;
  std::string device = "auto";
  int64_t threads = 0;               // of each rank; 0: the cores of the host shared evenly
  std::optional<int64_t> log_every;  // unset: about fifty plain lines per run
  ProgressStyle progress = ProgressStyle::automatic;
  bool tensorboard = true;
};

// Stretching of rotary frequencies; names as in Hugging Face's rope_scaling.
struct RopeScaling {
  std::string type = "llama3";
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_positions = 8192;
};

// Sizes are unset only together with `load`: then the loaded model says them.
struct ModelSection {
  std::string family = "gpt2";
  std::optional<std::string> preset;
  std::optional<std::string> load;
  std::optional<int64_t> num_layers, hidden_size, num_heads, num_kv_heads, head_dim, ffn_size;
  std::optional<int64_t> vocab_size;     // unset: the size of the tokenizer
  std::optional<int64_t> max_positions;  // filled: data.sequence_length, or the preset's
  std::optional<bool> next_sentence;     // bert; filled: true, or the preset's
  std::optional<int64_t> image_size, patch_size, channels, num_classes;  // vit; unset: those of the data
  double dropout = 0.0;
  double attention_dropout = 0.0;
  std::optional<bool> tie_embeddings;
  std::optional<double> rope_theta;
  std::optional<RopeScaling> rope_scaling;
  std::optional<double> norm_eps;
  double init_std = 0.02;
};

struct DataSection {
  std::vector<std::string> train;
  std::vector<std::string> validation;
  double validation_fraction = 0.0;
  std::string tokenizer = "bytes";
  int64_t sequence_length = 256;
  std::string text_key = "text";
  double mask_probability = 0.15;
  std::vector<double> pixel_mean = {0.5}, pixel_std = {0.5};
  bool flip = false;
  int64_t shift = 0;
  bool shuffle = true;
  int64_t prefetch = 4;
  std::optional<std::string> cache;  // filled: <run.output>/tokens

  bool synthetic() const { return train == std::vector<std::string>{"synthetic"}; }
};

struct TrainSection {
  int64_t steps = 1000;
  int64_t global_batch_size = 8;
  std::optional<int64_t> microbatch_size;  // filled: global_batch_size / parallel.data
  Precision precision = Precision::fp32;
  double clip_norm = 1.0;
  OnNonfinite on_nonfinite = OnNonfinite::stop;
  double loss_scale = 65536.0;
  double loss_scale_growth = 2.0;
  double loss_scale_backoff = 0.5;
  int64_t loss_scale_interval = 2000;
  int64_t evaluate_every = 0;
  int64_t evaluate_batches = 8;
  int64_t sample_every = 0;
  std::string sample_prompt;
  int64_t sample_tokens = 64;
  double sample_temperature = 1.0;
  int64_t sample_top_k = 0;
  double sample_top_p = 1.0;
  bool profile = false;
  int64_t profile_start = 3;
  int64_t profile_steps = 3;
};

struct OptimizerSection {
  std::string name = "adamw";
  double learning_rate = 3e-4;
  std::optional<double> weight_decay;  // filled per optimizer
  std::optional<double> beta1;         // filled: 0.9, for adafactor 0
  double beta2 = 0.95;
  std::optional<double> eps;  // filled per optimizer
  bool amsgrad = false;
  std::optional<double> momentum;  // filled: 0.9 for lars, 0 for sgd
  bool nesterov = false;
  double trust_coefficient = 0.001;
  bool bias_correction = true;
  bool relative_step = false;
  bool scale_parameter = true;
  bool warmup_init = false;
  double clip_threshold = 1.0;
  double decay_rate = 0.8;
  double eps_scale = 1e-3;
};

struct ScheduleSection {
  std::string name = "cosine";
  int64_t warmup_steps = 0;
  std::optional<int64_t> total_steps;  // filled: train.steps
  double min_ratio = 0.0;
  std::optional<double> cycles;  // filled: 0.5 for cosine, 1 for cosine_restarts
  double power = 1.0;
  std::optional<int64_t> decay_steps;  // filled: a tenth of total_steps
  std::string decay = "cosine";
};

struct ParallelSection {
  std::optional<int64_t> data;  // filled: all ranks / tensor.size
  parallel::TensorSection tensor;
  double bucket_mb = 25.0;
  bool overlap = true;
};

struct CheckpointSection {
  int64_t every = 0;
  int64_t keep = 2;
  bool save_at_end = true;
};

struct CommSection {
  std::string backend = "auto";
  double timeout_seconds = 300.0;
  double connect_timeout_seconds = 8.0;  // a start that cannot succeed is told within ten seconds, all in all
};

struct RunConfig {
  RunSection run;
  ModelSection model;
  DataSection data;
  TrainSection train;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  ParallelSection parallel;
  CheckpointSection checkpoint;
  CommSection comm;

  std::map<std::string, config::Origin> origins;  // where each key that somebody set stands

  int64_t accumulation_steps() const {
    return train.global_batch_size / (train.microbatch_size.value() * parallel.data.value());
  }
  std::filesystem::path checkpoint_folder() const {
    return std::filesystem::path(run.output) / "checkpoints";
  }
};

// Reads `path`, applies the `--set` arguments `overrides` ("section.key=value", in order), fills what was
// left open, and checks all of it for `world_size` ranks. Relative paths in the file are relative to the
// working folder. Throws ConfigError with every problem found; an unreadable file is the only one that hides
// others.
RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                          int64_t world_size);

// The same for text in memory; `name` stands for the file in messages.
RunConfig parse_run_config(const std::string& text, const std::string& name,
                           const std::vector<std::string>& overrides, int64_t world_size);

// Only [parallel], from --set arguments of its keys: for commands that take no run file. Filled and checked likewise.
ParallelSection parse_parallel(const std::vector<std::string>& overrides, int64_t world_size);

// The key that somebody probably means by `word`: "lr" -> "optimizer.learning_rate".
std::optional<std::string> nearest_run_key(std::string_view word);

// What `colossal config` prints: every key with its value; `with_help` adds help, limits and where it was
// set.
enum class Detail { values, with_help };
std::string run_config_toml(const RunConfig& config, Detail detail = Detail::values);

// The whole text of docs/config.md, and the JSON schema for editors.
std::string run_config_reference();
Json run_config_json_schema();

}  // namespace colossal::train
