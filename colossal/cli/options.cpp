// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "colossal/base/text.h"
#include "colossal/cli/command.h"

namespace colossal::cli {

namespace {

constexpr int64_t kMostRanks = 65536;  // more are a slip of the finger

// `text` as a whole, or nothing.
template <class Number>
std::optional<Number> read_number(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace

CLI::Validator whole_number(int64_t least, int64_t most) {
  const auto check = [=](const std::string& text) {
    const auto value = read_number<int64_t>(text);
    if (value && *value >= least && *value <= most) return std::string();
    const bool large = value ? *value > most : text.size() > 18;
    return large
               ? fmt::format("\"{}\" is not allowed. Allowed: whole numbers from {} to {}", text, least, most)
               : fmt::format("\"{}\" is not allowed. Allowed: whole numbers of at least {}", text, least);
  };
  return {check, "", "whole number"};
}

CLI::Validator number(double least, double most) {
  const auto check = [=](const std::string& text) {
    const auto value = read_number<double>(text);
    if (value && *value >= least && *value <= most) return std::string();
    return std::isinf(most)
               ? fmt::format("\"{}\" is not allowed. Allowed: numbers of at least {}", text, least)
               : fmt::format("\"{}\" is not allowed. Allowed: numbers from {} to {}", text, least, most);
  };
  return {check, "", "number"};
}

void add_num_ranks(CLI::App* command, int& num_ranks, const std::string& help) {
  command->add_option("-n", num_ranks, help)->type_name("N")->check(whole_number(1, kMostRanks));
}

void add_set(CLI::App* command, std::vector<std::string>& changes, const std::string& help) {
  // One value each: a file behind it is the run file.
  command->add_option("--set", changes, help)->type_name("KEY=VALUE")->allow_extra_args(false);
}

void add_dtype(CLI::App* command, at::ScalarType& dtype, const std::vector<std::string>& allowed) {
  const auto set = [&dtype](const std::string& name) {
    dtype = name == "float64" ? at::kDouble : name == "bfloat16" ? at::kBFloat16 : at::kFloat;
  };
  set(allowed.front());
  const auto check = [allowed](const std::string& text) {
    if (std::ranges::find(allowed, text) != allowed.end()) return std::string();
    return fmt::format("\"{}\" is not allowed. {}", text, allowed_instead(text, allowed));
  };
  command
      ->add_option_function<std::string>("--dtype", set,
                                         "precision of the arithmetic: " + join(allowed, " or "))
      ->type_name("TYPE")
      ->default_str(allowed.front())
      ->check(check);
}

CLI::Option* RunFile::add_to(CLI::App* command, const std::string& ranks_help) {
  CLI::Option* option =
      command->add_option("file", file, "the run file (TOML), for example configs/quickstart.toml");
  add_set(command, set);
  add_num_ranks(command, num_ranks, ranks_help);
  return option;
}

train::RunConfig RunFile::load() const { return train::load_run_config(file, set, world_size(num_ranks)); }

}  // namespace colossal::cli
