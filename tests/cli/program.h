// SPDX-License-Identifier: Apache-2.0
// The program as a user has it: run files, command lines, and what a run leaves in its folder.
//
//   const std::string file = write_run_file(scratch / "run", {"train.steps = 6"});
//   const Finished run = run_colossal({"train", file, "-n", "2"});
//   const std::vector<Json> steps = metrics_of(scratch / "run");
//
// Thread safety: as run_process.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

namespace colossal::testing {

// Runs the program `colossal`; the first argument is the command.
Finished run_colossal(std::vector<std::string> arguments, const RunOptions& options = {});

// A run file for a GPT of 2 layers x 32 on a text that stands beside it, fp64, dropout on, a line per step. Written to
// <output>.toml; `changes` are lines of TOML ("train.steps = 6").
std::string write_run_file(const std::filesystem::path& output, const std::vector<std::string>& changes = {});

// metrics.jsonl of a run, one object per line.
std::vector<Json> metrics_of(const std::filesystem::path& output);
// The numbers under `key`, step by step; fails the test case where steps do not count 1, 2, 3, ...
std::vector<double> curve(const std::filesystem::path& output, const std::string& key);

// The step in the name of the newest checkpoint; 0 where there is none.
int64_t newest_checkpoint(const std::filesystem::path& output);

}  // namespace colossal::testing
