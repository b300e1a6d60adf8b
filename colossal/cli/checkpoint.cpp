// SPDX-License-Identifier: Apache-2.0
// colossal checkpoint list | verify | export
#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "colossal/cli/command.h"
#include "colossal/train/export.h"
#include "colossal/train/named_folder.h"

namespace colossal::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWanted = "the output folder of a run (run.output), or one of its checkpoints";

// DIR may be a checkpoint, the folder of checkpoints, or a run's output folder.
fs::path checkpoints_below(const fs::path& dir) {
  train::check_named_folder(dir, kWanted);
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
  if (found.empty()) train::refuse_named_folder(dir, "holds no checkpoint", kWanted);
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
  std::string newest_good;
  bool damaged = false;
  for (const checkpoint::Found& found : found_in(dir)) {
    try {
      checkpoint::Checkpoint(found.folder).verify();
      newest_good = found.folder.string();
      fmt::print("{}: good\n", newest_good);
    } catch (const Error& error) {
      fmt::print("{}\n", checkpoint::damage_alone(error.what()));
      damaged = true;
    }
  }
  if (!damaged) return 0;
  fmt::print("{}\n", newest_good.empty()
                         ? "No checkpoint is good. Put a copy of one in its place, or train anew."
                         : "The newest good one, which --resume takes: " + newest_good);
  return static_cast<int>(ExitCode::checkpoint);
}

int write_export(const std::string& dir, const std::string& output, train::Overwrite overwrite) {
  const auto chosen = fs::exists(fs::path(dir) / "manifest.json")
                          ? checkpoint::Chosen{.folder = dir, .skipped = {}}
                          : checkpoint::newest_good(checkpoints_below(dir), comm::Group());
  for (const std::string& line : chosen.skipped) fmt::print(stderr, "skipped: {}\n", line);
  if (!chosen.folder && chosen.skipped.empty())
    train::refuse_named_folder(dir, "holds no checkpoint", kWanted);
  if (!chosen.folder) throw IoError(fmt::format("{}: holds no good checkpoint", dir), ExitCode::checkpoint);
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
