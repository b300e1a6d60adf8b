// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/options.h"

#include <charconv>
#include <cmath>

#include "colossal/cli/command.h"

namespace colossal::cli {

namespace {

// `text` as a whole, or nothing.
template <class Number>
std::optional<Number> read_number(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace

CLI::Validator whole_number(int64_t least) {
  const auto check = [least](const std::string& text) {
    const auto value = read_number<int32_t>(text);
    return value && *value >= least
               ? std::string()
               : fmt::format("\"{}\" is not allowed. Allowed: whole numbers of at least {}", text, least);
  };
  return {check, fmt::format("WHOLE NUMBER >= {}", least), "whole number"};
}

CLI::Validator number(double least, double most) {
  const auto check = [=](const std::string& text) {
    const auto value = read_number<double>(text);
    if (value && *value >= least && *value <= most) return std::string();
    return std::isinf(most)
               ? fmt::format("\"{}\" is not allowed. Allowed: numbers of at least {}", text, least)
               : fmt::format("\"{}\" is not allowed. Allowed: numbers from {} to {}", text, least, most);
  };
  return {check,
          std::isinf(most) ? fmt::format("NUMBER >= {}", least) : fmt::format("NUMBER {} to {}", least, most),
          "number"};
}

void add_num_ranks(CLI::App* command, int& num_ranks) {
  command->add_option("-n", num_ranks, "number of ranks on this host")->check(whole_number(1));
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
