// SPDX-License-Identifier: Apache-2.0
// colossal checkpoint list | verify | export
#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "colossal/cli/command.h"
#include "colossal/train/export.h"

namespace colossal::cli {
namespace fs = std::filesystem;
namespace {

// The output folders of runs in `place` that have checkpoints, by name.
std::vector<std::string> runs_with_checkpoints(const fs::path& place) {
  std::vector<std::string> runs;
  std::error_code error;
  for (fs::directory_iterator it(place, error), end; !error && it != end; it.increment(error)) {
    try {
      if (!checkpoint::list(it->path() / "checkpoints").empty())
        runs.push_back(it->path().lexically_normal().string());
    } catch (const fs::filesystem_error&) {
      // One that cannot be read is none to name.
    }
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

// What to name instead of `dir`: the runs in it, else those beside it, else those where runs are by default.
[[noreturn]] void refuse(const fs::path& dir, const std::string& why) {
  std::vector<std::string> near;
  for (const fs::path& place :
       {dir, (dir / "").lexically_normal().parent_path().parent_path(), fs::path("runs")}) {
    if (near.empty()) near = runs_with_checkpoints(place.empty() ? "." : place);
  }
  constexpr size_t kMost = 5;
  const std::string more = near.size() > kMost ? fmt::format(" and {} more", near.size() - kMost) : "";
  near.resize(std::min(near.size(), kMost));
  throw IoError(
      fmt::format("{}: {}. Name the output folder of a run (run.output), or one of its checkpoints.{}",
                  dir.string(), why,
                  near.empty() ? "" : fmt::format(" Runs with checkpoints: {}{}.", join(near, ", "), more)),
      ExitCode::checkpoint);
}

// DIR may be a checkpoint, the folder of checkpoints, or a run's output folder.
fs::path checkpoints_below(const fs::path& dir) {
  if (!fs::exists(dir)) refuse(dir, "there is no such folder");
  if (!fs::is_directory(dir)) {
    throw IoError(
        fmt::format("{}: is a file. Name the output folder of a run, or a checkpoint.", dir.string()),
        ExitCode::checkpoint);
  }
  return fs::is_directory(dir / "checkpoints") ? dir / "checkpoints" : dir;
}

std::vector<checkpoint::Found> found_in(const fs::path& dir) {
  std::vector<checkpoint::Found> found;
  if (fs::exists(dir / "manifest.json")) {
    found.push_back({.folder = dir,
                     .step = checkpoint::Checkpoint(dir).manifest().step,
                     .written_at = 0,
                     .bytes = 0,
                     .problem = ""});
  } else {
    found = checkpoint::list(checkpoints_below(dir));
  }
  if (found.empty()) refuse(dir, "holds no checkpoint");
  return found;
}

int list(const std::string& dir) {
  for (const checkpoint::Found& found : found_in(dir)) {
    if (!found.problem.empty()) {
      fmt::print("step {:>8}  {:>10}  incomplete: {}\n", found.step,
                 human_bytes(static_cast<double>(found.bytes)), found.problem);
      continue;
    }
    const checkpoint::Checkpoint opened(found.folder);
    const checkpoint::Manifest& manifest = opened.manifest();
    fmt::print("step {:>8}  {:>10}  {} tensors, written by {} rank{} ({})  {}\n", found.step,
               human_bytes(static_cast<double>(found.bytes)), manifest.tensors.size(), manifest.world_size,
               manifest.world_size == 1 ? "" : "s", manifest.mesh, found.folder.string());
  }
  return 0;
}

int verify(const std::string& dir) {
  int status = 0;
  for (const checkpoint::Found& found : found_in(dir)) {
    try {
      checkpoint::Checkpoint(found.folder).verify();
      fmt::print("{}: good\n", found.folder.string());
    } catch (const Error& error) {
      fmt::print("{}\n", error.what());
      status = static_cast<int>(ExitCode::checkpoint);
    }
  }
  return status;
}

int write_export(const std::string& dir, const std::string& output, train::Overwrite overwrite) {
  const auto chosen = fs::exists(fs::path(dir) / "manifest.json")
                          ? checkpoint::Chosen{.folder = dir, .skipped = {}}
                          : checkpoint::newest_good(checkpoints_below(dir), comm::Group());
  for (const std::string& line : chosen.skipped) fmt::print(stderr, "skipped: {}\n", line);
  if (!chosen.folder)
    refuse(dir, chosen.skipped.empty() ? "holds no checkpoint" : "holds no good checkpoint");
  const std::string lost = train::export_huggingface(*chosen.folder, output, overwrite);
  fmt::print("{}: exported to {}\n", chosen.folder->string(), output);
  if (!lost.empty()) {
    fmt::print(
        stderr,
        "{}: the tokenizer of the run is not there any more, so {} has no tokenizer.json. Copy one there.\n",
        lost, output);
  }
  return 0;
}

}  // namespace

void add_checkpoint(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("checkpoint", "List, verify or export checkpoints");
  command->require_subcommand(1);
  command->footer("Example: colossal checkpoint list runs/quickstart");
  auto dir = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* help, const std::function<int()>& action) {
    CLI::App* sub = command->add_subcommand(name, help);
    sub->add_option("dir", *dir, "a checkpoint, or the output folder of a run")->required();
    sub->callback([action, &invocation] { invocation.action = action; });
    return sub;
  };
  add("list", "Show step, size and origin of every checkpoint", [dir] { return list(*dir); });
  add("verify", "Read every checkpoint and compare its hashes", [dir] {
    return verify(*dir);
  })->footer("Example: colossal checkpoint verify runs/quickstart\nExit code 4 where one is damaged.");
  auto overwrite = std::make_shared<bool>(false);
  CLI::App* exporter = add("export", "Write the newest good checkpoint as a Hugging Face folder", [=] {
    return write_export(*dir, *output, *overwrite ? train::Overwrite::yes : train::Overwrite::no);
  });
  exporter->add_option("output", *output, "folder to write: config.json, model.safetensors, tokenizer.json")
      ->required();
  exporter->add_flag("--overwrite", *overwrite, "replace the model that the folder holds");
  exporter->footer("Example: colossal checkpoint export runs/quickstart quickstart-hf");
}

}  // namespace colossal::cli
