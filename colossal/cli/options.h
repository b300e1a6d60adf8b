// SPDX-License-Identifier: Apache-2.0
// Options that several commands have: each has one spelling, one check and one help text.
//
//   RunFile run;
//   run.add_to(command)->required();                    // FILE --set section.key=value -n N
//   train::RunConfig config = run.load();
//
// Thread safety: one thread.
#pragma once
#include <c10/core/ScalarType.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <string>
#include <vector>

#include "colossal/train/config.h"

namespace colossal::cli {

// Checks that teach, for numbers on the command line.
CLI::Validator whole_number(int64_t least, int64_t most = std::numeric_limits<int32_t>::max());
CLI::Validator number(double least, double most = std::numeric_limits<double>::infinity());

inline constexpr const char* kStartsRanks = "ranks (processes) to start on this host";
void add_num_ranks(CLI::App* command, int& num_ranks, const std::string& help = kStartsRanks);
void add_set(
    CLI::App* command, std::vector<std::string>& changes,
    const std::string& help = "change one key of the run file, for example train.steps=100; may be repeated");
// --dtype: the precision of the arithmetic, one of `allowed`, the first of them by default.
void add_dtype(CLI::App* command, at::ScalarType& dtype, const std::vector<std::string>& allowed);

// A run file, the changes to it and the number of ranks it is for.
struct RunFile {
  std::string file = {};
  std::vector<std::string> set = {};
  int num_ranks = 1;

  // Returns FILE; the texts of -n are those of add_num_ranks.
  CLI::Option* add_to(CLI::App* command, const std::string& ranks_help = kStartsRanks);
  train::RunConfig load() const;  // ConfigError with all its problems
};

}  // namespace colossal::cli
