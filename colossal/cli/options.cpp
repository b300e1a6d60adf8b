// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/options.h"

#include "colossal/cli/command.h"

namespace colossal::cli {

void add_num_ranks(CLI::App* command, int& num_ranks) {
  command->add_option("-n", num_ranks, "number of ranks on this host")->check(CLI::PositiveNumber);
}

void add_set(CLI::App* command, std::vector<std::string>& changes, const std::string& help) {
  command->add_option("--set", changes, help)->take_all();
}

void add_dtype(CLI::App* command, at::ScalarType& dtype, const std::vector<std::string>& allowed) {
  const auto set = [&dtype](const std::string& name) {
    dtype = name == "float64" ? at::kDouble : name == "bfloat16" ? at::kBFloat16 : at::kFloat;
  };
  command->add_option_function<std::string>("--dtype", set, "precision of the arithmetic")
      ->check(CLI::IsMember(allowed));
}

CLI::Option* RunFile::add_to(CLI::App* command) {
  CLI::Option* option = command->add_option("file", file, "run file (TOML)");
  add_set(command, set);
  add_num_ranks(command, num_ranks);
  return option;
}

train::RunConfig RunFile::load() const { return train::load_run_config(file, set, world_size(num_ranks)); }

}  // namespace colossal::cli
