// SPDX-License-Identifier: Apache-2.0
// Checks that every file and folder that a run names is there, before anything is started.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/data/images/image_source.h"
#include "colossal/data/text_source.h"
#include "colossal/data/tokenizer.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
namespace {

namespace fs = std::filesystem;

// " Did you mean "corpus.txt"?": the most similar name in the same folder.
std::string nearest_file(const fs::path& path) {
  std::error_code error;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && names.size() < 10000;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::optional<std::string> near = nearest_spelling(path.filename().string(), names);
  if (near && path.has_parent_path()) near = (folder / *near).string();
  return did_you_mean(near);
}

std::string missing_text(const std::string& where, const std::string& file, std::string_view hint) {
  const fs::path path(file);
  std::string text = fmt::format("{} = \"{}\" does not exist", where, file);
  if (path.is_relative()) text += fmt::format(" in {}", fs::current_path().string());
  const std::string near = nearest_file(path);
  return text + "." + (near.empty() ? std::string(hint) : near);
}

// Empty when `file` is readable data.
std::string data_problem(const std::string& where, const std::string& file) {
  std::error_code ignored;
  const fs::path path(file);
  const bool prefix =
      fs::exists(file + ".idx", ignored) && fs::exists(file + ".bin", ignored);  // a token file
  if (prefix) return "";
  if (!fs::exists(path, ignored)) {
    if (file.find_first_of("*?[") != std::string::npos) return "";  // a pattern, expanded below
    if (file.find(',') != std::string::npos)
      return missing_text(where, file,
                          fmt::format(" Several files are a list: {} = [\"a.txt\", \"b.txt\"].", where));
    return missing_text(where, file, " Write \"synthetic\" for random tokens.");
  }
  if (access(path.c_str(), R_OK) != 0)
    return fmt::format("{} = \"{}\" cannot be read: permission denied.", where, file);
  if (path.extension() == ".bin") {
    fs::path index = path;
    index.replace_extension(".idx");
    if (!fs::exists(index, ignored)) {
      return fmt::format("{} = \"{}\" has no \"{}\" beside it. Token files come in pairs.", where, file,
                         index.string());
    }
  }
  return "";
}

// Beyond what data_problem says. Throws IoError.
void check_text(const std::string& key, const std::vector<std::string>& files, config::Review& review) {
  std::error_code ignored;
  for (const fs::path& file :
       data::expand_sources(files)) {  // throws when a pattern or a folder has nothing to read
    review.require(!fs::is_regular_file(file, ignored) || fs::file_size(file, ignored) > 0, {key},
                   fmt::format("{}: {} is empty. Name a file with text.", key, file.string()));
  }
}
void check_images(const std::string& key, const std::vector<std::string>& files, config::Review& review) {
  if (files.size() == 1) {
    data::image_facts(files.front());
    return;
  }
  review.require(
      false, {key},
      fmt::format("{} names {} sources of images. Allowed: one folder or one IDX file.", key, files.size()));
}

void check_data(const std::string& key, const std::vector<std::string>& files, bool images,
                config::Review& review) {
  if (files.empty() || files == std::vector<std::string>{"synthetic"}) return;
  bool good = true;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string where = files.size() == 1 ? key : fmt::format("{}[{}]", key, i);
    const std::string problem =
        files[i] == "synthetic"
            ? fmt::format("{} = \"synthetic\" stands among files. It can only stand alone.", where)
        : files[i].empty() ? fmt::format("{} = \"\" names no file.", where)
                           : data_problem(where, files[i]);
    review.require(problem.empty(), {key}, problem);
    good = good && problem.empty();
  }
  if (!good) return;
  try {
    images ? check_images(key, files, review) : check_text(key, files, review);
  } catch (const IoError& error) {
    review.require(false, {key}, fmt::format("{}: {}", key, error.what()));
  } catch (const fs::filesystem_error& error) {
    review.require(
        false, {key},
        fmt::format("{}: {} cannot be read: {}.", key, error.path1().string(), error.code().message()));
  }
}

std::string output_problem(const std::string& output) {
  if (output.empty())
    return "run.output = \"\" names no folder. Write for example run.output = \"runs/first\".";
  std::error_code error;
  fs::path there = fs::absolute(output, error).lexically_normal();
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there, error)) {
    return fmt::format("run.output = \"{}\" cannot be created: {} is a file, not a folder.", output,
                       there.string());
  }
  if (access(there.c_str(), W_OK) != 0) {
    return fmt::format("run.output = \"{}\" cannot be written: no permission in {}.", output, there.string());
  }
  return "";
}

std::string tokenizer_problem(const std::string& tokenizer) {
  std::error_code ignored;
  if (tokenizer == "bytes") return "";
  if (!fs::exists(tokenizer, ignored)) {
    return missing_text("data.tokenizer", tokenizer, " Write \"bytes\" for a tokenizer that needs no file.");
  }
  if (fs::is_directory(tokenizer, ignored) && !fs::exists(fs::path(tokenizer) / "tokenizer.json", ignored)) {
    return fmt::format("data.tokenizer = \"{}\" is a folder without tokenizer.json.", tokenizer);
  }
  return "";
}

// A sample needs room for one token behind its prompt. Text seldom has more tokens than bytes: a tokenizer is opened only for a long one.
std::string prompt_problem(const RunConfig& c) {
  constexpr int64_t kSpecialTokens = 8;
  const std::string& prompt = c.train.sample_prompt;
  const int64_t positions = c.model.max_positions.value_or(0);
  if (c.train.sample_every == 0 || positions == 0 || std::ssize(prompt) + kSpecialTokens < positions)
    return "";
  const auto length = std::ssize(data::Tokenizer::load(c.data.tokenizer)->encode(prompt));
  if (length < positions) return "";
  return fmt::format(
      "train.sample_prompt has {} tokens, and the model takes {} with those to come (model.max_positions). "
      "Allowed: at most {}.",
      length, positions, positions - 1);
}

std::string load_problem(const std::string& load) {
  std::error_code ignored;
  if (!fs::exists(load, ignored)) return missing_text("model.load", load, "");
  if (!fs::is_directory(load, ignored)) {
    return fmt::format(
        "model.load = \"{}\" is a file. Name the folder that holds config.json and the weights.", load);
  }
  if (!fs::exists(fs::path(load) / "config.json", ignored) &&
      !fs::exists(fs::path(load) / "manifest.json", ignored)) {
    for (const fs::path& folder : {fs::path(load) / "checkpoints", fs::path(load)}) {
      const std::vector<checkpoint::Found> found = checkpoint::list(folder);
      const auto newest = std::ranges::find_if(found.rbegin(), found.rend(),
                                               [](const checkpoint::Found& f) { return f.problem.empty(); });
      if (newest == found.rend()) continue;
      return fmt::format("model.load = \"{}\" is the folder of a run. Its newest checkpoint: \"{}\".", load,
                         newest->folder.string());
    }
    return fmt::format(
        "model.load = \"{}\" has neither config.json (Hugging Face) nor manifest.json (checkpoint).", load);
  }
  return "";
}

}  // namespace

void check_files(const RunConfig& c, config::Review& review) {
  review.require(!c.data.train.empty() || !review.given("data.train"), {"data.train"},
                 "data.train = [] names no file. Write \"synthetic\" for random tokens.");
  const bool images = task_of(c.model.family) == models::Task::image_classification;
  check_data("data.train", c.data.train, images, review);
  check_data("data.validation", c.data.validation, images, review);
  const auto report = [&](std::string_view key, const std::string& problem) {
    review.require(problem.empty(), {key}, problem);
  };
  const std::string tokenizer = tokenizer_problem(c.data.tokenizer);
  report("data.tokenizer", tokenizer);
  try {
    const std::string prompt = tokenizer.empty() ? prompt_problem(c) : "";
    review.require(prompt.empty(), {"train.sample_prompt", "model.max_positions", "train.sample_every"},
                   prompt);
  } catch (const IoError&) {
    // A damaged tokenizer: told by who opens the data.
  }
  report("run.output", output_problem(c.run.output));
  if (c.model.load) report("model.load", load_problem(*c.model.load));
}

}  // namespace colossal::train
