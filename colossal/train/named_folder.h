// SPDX-License-Identifier: Apache-2.0
// Folders that a command line names: one that is not there, or is not what the command takes, is a mistake of the command line (exit
// code 2), whatever the command.
//
//   check_named_folder(path, "the output folder of a run (run.output)");
//   if (!holds_what_i_need(path)) refuse_named_folder(path, "holds no checkpoint", "the output folder of a run (run.output)");
//
// Thread-safe: functions that read the disk.
#pragma once
#include <filesystem>
#include <string>

namespace colossal::train {

// What makes a folder a run worth naming to who has named a wrong one.
enum class Runs { with_checkpoints, with_metrics };

// ConfigError "PATH: WHY. Name WANTED. Runs with checkpoints: A, B.": the runs in the folder, else those beside it, else those where runs
// are by default.
[[noreturn]] void refuse_named_folder(const std::filesystem::path& path, const std::string& why,
                                      const std::string& wanted, Runs near = Runs::with_checkpoints);

// Refuses what is not there ("no such folder") and what is no folder ("is a file").
void check_named_folder(const std::filesystem::path& path, const std::string& wanted,
                        Runs near = Runs::with_checkpoints);

}  // namespace colossal::train
