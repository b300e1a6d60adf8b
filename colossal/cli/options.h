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
CLI::Validator whole_number(int64_t least);
CLI::Validator number(double least, double most = std::numeric_limits<double>::infinity());

void add_num_ranks(CLI::App* command, int& num_ranks);
void add_set(CLI::App* command, std::vector<std::string>& changes,
             const std::string& help = "section.key=value; may be repeated");
// --dtype: the precision of the arithmetic, one of `allowed`.
void add_dtype(CLI::App* command, at::ScalarType& dtype, const std::vector<std::string>& allowed);

// A run file, the changes to it and the number of ranks it is for.
struct RunFile {
  std::string file = {};
  std::vector<std::string> set = {};
  int num_ranks = 1;

  CLI::Option* add_to(CLI::App* command);  // returns FILE
  train::RunConfig load() const;           // ConfigError with all its problems
};

}  // namespace colossal::cli
