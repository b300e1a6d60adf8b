// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "colossal/base/error.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/comm/collectives.h"
#include "colossal/train/build.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
namespace fs = std::filesystem;
namespace {

template <size_t N>
bool among(std::string_view path, const std::array<std::string_view, N>& paths) {
  return std::ranges::find(paths, path) != paths.end();
}

// Keys of [model] that say where sizes come from, not what they are.
constexpr std::array<std::string_view, 2> kSources = {"model.preset", "model.load"};
constexpr std::array<std::string_view, 3> kMayChange = {"model.dropout", "model.attention_dropout",
                                                        "model.init_std"};
constexpr std::array<std::string_view, 5> kFixed = {"run.seed", "data.sequence_length", "data.shuffle",
                                                    "optimizer.name", "optimizer.amsgrad"};
constexpr std::array<std::string_view, 5> kSampleSources = {
    "data.train", "data.validation", "data.validation_fraction", "data.tokenizer", "data.text_key"};

struct KeyDifference {
  std::string path;
  std::optional<std::string> now, then;  // nullopt: not set

  std::string text(const std::string& checkpoint) const {
    const std::string trained = fmt::format("but the checkpoint {} was trained", checkpoint);
    const std::string mine = now ? fmt::format("{} = {}", path, *now) : path + " is not set";
    if (!then)
      return fmt::format("{}, {} without it. Remove it, or start anew in another run.output.", mine, trained);
    return fmt::format("{}, {} with {}. Set it to {}, or start anew in another run.output.", mine, trained,
                       *then, *then);
  }
};

// Whether `path`, which nobody wrote, has its value because of `other`.
bool follows(std::string_view path, std::string_view other) {
  if (other == "model.family" || among(other, kSources)) return path.starts_with("model.") && path != other;
  if (other == "model.hidden_size") return path == "model.ffn_size" || path == "model.head_dim";
  if (other == "model.num_heads") return path == "model.num_kv_heads" || path == "model.head_dim";
  if (other == "model.image_size") return path == "model.patch_size";
  if (other == "data.sequence_length") return path == "model.max_positions";
  if (other == "data.tokenizer") return path == "model.vocab_size";
  return other == "data.train" && among(path, std::array<std::string_view, 3>{
                                                  "model.image_size", "model.channels", "model.num_classes"});
}

// The values of both runs, with nothing left open in [model], key by key.
class KeyComparison {
 public:
  KeyComparison(const RunConfig& now, const RunConfig& then) : now_(now), then_(then) {}

  template <class Wanted>
  void compare(Wanted wanted) {
    for (const config::Field& field : run_schema().fields) {
      if (!wanted(field.path) || !run_schema().has_effect(field, &now_)) continue;
      KeyDifference d{.path = field.path, .now = text_of(field, now_), .then = text_of(field, then_)};
      if (d.now != d.then) found_.push_back(std::move(d));
    }
  }
  bool model_differs() const {
    return std::ranges::any_of(found_, [](const KeyDifference& d) { return d.path.starts_with("model."); });
  }
  // Without what only follows from another difference.
  std::vector<std::string> problems(const std::string& checkpoint) const {
    std::vector<std::string> problems;
    for (const KeyDifference& d : found_) {
      const bool follows_another =
          !now_.origins.contains(d.path) && std::ranges::any_of(found_, [&](const KeyDifference& other) {
            return follows(d.path, other.path);
          });
      if (!follows_another) problems.push_back(d.text(checkpoint));
    }
    return problems;
  }

 private:
  static std::optional<std::string> text_of(const config::Field& field, const RunConfig& config) {
    const std::optional<config::Value> value = field.read(&config);
    return value ? std::optional(config::toml_text(*value)) : std::nullopt;
  }

  const RunConfig& now_;
  const RunConfig& then_;
  std::vector<KeyDifference> found_;
};

[[noreturn]] void refuse_damaged(const fs::path& folder, const std::vector<std::string>& lines) {
  std::string message =
      fmt::format("{}: no checkpoint to resume from, every one is damaged:", folder.string());
  for (const std::string& line : lines) message += "\n  " + checkpoint::damage_alone(line);
  throw IoError(
      message +
          "\nPut a copy of one in its place, or start anew: with --overwrite instead of --resume, or "
          "in another run.output.",
      ExitCode::checkpoint);
}

}  // namespace

std::optional<fs::path> checkpoint_to_resume(const RunConfig& config, const Context& context) {
  const fs::path folder = config.checkpoint_folder();
  const checkpoint::Chosen chosen = checkpoint::newest_good(folder, context.mesh.all());
  if (!chosen.folder && !chosen.skipped.empty()) {
    if (context.speaks()) refuse_damaged(folder, chosen.skipped);
    comm::barrier(context.mesh.all());  // rank 0 is the one to say it
  }
  if (context.speaks()) {
    for (const std::string& line : chosen.skipped) fmt::print(stderr, "resume: skipped {}\n", line);
    if (chosen.folder) {
      fmt::print(stderr, "resume: from {}\n", chosen.folder->string());
    } else {
      fmt::print(stderr, "resume: {} holds no checkpoint yet, starting from step 0\n", folder.string());
    }
  }
  return chosen.folder;
}

void check_holds_no_run(const RunConfig& config) {
  const std::vector<checkpoint::Found> found = checkpoint::list(config.checkpoint_folder());
  if (found.empty()) return;
  throw ConfigError(
      fmt::format("{}: holds the checkpoints of a run, up to step {}. Add --resume to go on from there, "
                  "--overwrite to remove them and begin anew, or set another run.output.",
                  config.run.output, found.back().step));
}

void remove_run(const RunConfig& config) {
  const fs::path folder = config.checkpoint_folder();
  const std::vector<checkpoint::Found> found = checkpoint::list(folder);
  if (found.empty()) return;
  fmt::print(stderr, "overwrite: {} held a run with checkpoints up to step {}; this run takes its place\n",
             config.run.output, found.back().step);
  checkpoint::clear(folder);
}

void check_same_run(const RunConfig& config, const models::ModelConfig& model, int64_t num_samples,
                    const checkpoint::Checkpoint& checkpoint) {
  const Json& state = checkpoint.manifest().state;
  RunConfig now = config;
  RunConfig then =
      read_resolved(state.at("config").get<std::string>(), (checkpoint.folder() / "manifest.json").string());
  const models::ModelConfig saved = model_config_from(state.at("model"));
  // Both by way of the manifest, which does not hold all that a family fills in.
  const models::ModelConfig mine = model_config_from(model_json(model));
  const bool open_sizes = mine.vocab_size != saved.vocab_size || !(mine.image == saved.image);
  fill_sizes(now.model, mine);
  fill_sizes(then.model, saved);

  KeyComparison comparison(now, then);
  comparison.compare([](std::string_view path) {
    return among(path, kFixed) ||
           (path.starts_with("model.") && !among(path, kSources) && !among(path, kMayChange));
  });
  if (comparison.model_differs()) {
    comparison.compare([&](std::string_view path) {
      return (path == kSources[0] && now.model.preset) || (path == kSources[1] && now.model.load);
    });
  }
  if (open_sizes || num_samples != state.at("loader").value("num_samples", num_samples))
    comparison.compare([](std::string_view path) { return among(path, kSampleSources); });
  if ((now.train.precision == Precision::fp64) != (then.train.precision == Precision::fp64))
    comparison.compare([](std::string_view path) { return path == "train.precision"; });
  std::vector<std::string> problems = comparison.problems(checkpoint.folder().string());
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

void warn_of_other_data(const std::string& fingerprint, const checkpoint::Checkpoint& checkpoint) {
  const std::string then = checkpoint.manifest().state.value("data", "");
  if (then.empty() || then == fingerprint) return;
  fmt::print(stderr, "warning: data.train holds another text than the one that {} was trained on\n",
             checkpoint.folder().string());
}

}  // namespace colossal::train
