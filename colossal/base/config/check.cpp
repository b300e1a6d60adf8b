// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "colossal/base/text.h"

namespace colossal::config {
namespace {

constexpr double kMostWhole = 9e18;  // what fits into 64 bits

std::string bound_text(const Field& field, double bound) {
  return field.type == Type::integer ? fmt::format("{:.0f}", bound) : fmt::format("{}", bound);
}

std::string_view wanted_text(Type type) {
  switch (type) {
    case Type::boolean: return "true or false";
    case Type::integer: return "a whole number";
    case Type::number: return "a number";
    case Type::text: return "text";
  }
  return "";
}

std::string example_text(const Field& field) {
  if (!field.example.empty()) return field.example;
  if (field.fallback.has_value()) return toml_text(*field.fallback);
  if (!field.choices.empty()) return fmt::format("\"{}\"", field.choices.front());
  switch (field.type) {
    case Type::boolean: return "true";
    case Type::integer: return bound_text(field, field.lower ? std::max(field.lower->bound, 1.0) : 1.0);
    case Type::number: return "0.1";
    case Type::text: return "\"...\"";
  }
  return "";
}

// The number that `text` spells, as TOML text of the wanted type; empty when it spells none.
std::string number_in(Type type, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return "";
  if (type == Type::integer)
    return value == std::floor(value) && std::abs(value) < kMostWhole ? fmt::format("{:.0f}", value) : "";
  return std::string(text);
}

// What to write instead of a value of the wrong type: ` Write train.steps = 100, without quotes.`
std::string type_fix(const Field& field, const std::string& where, const Value& value) {
  if (const auto* text = value.get<std::string>()) {
    if (field.type == Type::boolean) {
      for (const char* yes : {"true", "yes", "on"}) {
        if (iequals(*text, yes)) return fmt::format(" Write {} = true, without quotes.", where);
      }
      for (const char* no : {"false", "no", "off"}) {
        if (iequals(*text, no)) return fmt::format(" Write {} = false, without quotes.", where);
      }
    } else if (const std::string number = number_in(field.type, *text); !number.empty()) {
      return fmt::format(" Write {} = {}, without quotes.", where, number);
    }
  }
  if (const auto* number = value.get<double>(); number != nullptr && field.type == Type::integer) {
    const double low = std::floor(*number);
    if (!std::isfinite(*number) || std::abs(low) >= kMostWhole)
      return fmt::format(" Write for example {} = {}.", where, example_text(field));
    if (low == *number) return fmt::format(" Write {} = {:.0f}.", where, low);
    return fmt::format(" Nearest: {:.0f} or {:.0f}.", low, low + 1);
  }
  if (const auto* whole = value.get<int64_t>(); whole != nullptr && field.type == Type::boolean) {
    if (*whole == 0 || *whole == 1) return fmt::format(" Write {} = {}.", where, *whole == 1);
  }
  const bool scalar = value.get<List>() == nullptr && value.get<Table>() == nullptr;
  if (field.type == Type::text && scalar)
    return fmt::format(" Write {} = \"{}\", in quotes.", where, toml_text(value));
  return fmt::format(" Write for example {} = {}.", where, example_text(field));
}

// Converts where nothing is lost; false when the type is wrong.
bool convert(const Field& field, Value& value) {
  switch (field.type) {
    case Type::boolean: return value.get<bool>() != nullptr;
    case Type::integer: return value.get<int64_t>() != nullptr;
    case Type::number:
      if (const auto* whole = value.get<int64_t>()) value.data = static_cast<double>(*whole);
      return value.get<double>() != nullptr;
    case Type::text:
      // On the command line nobody writes quotes: what was typed is the text.
      if (value.get<std::string>() == nullptr && !value.raw.empty()) value.data = value.raw;
      return value.get<std::string>() != nullptr;
  }
  return false;
}

std::string range_problem(const Field& field, const std::string& what, const Value& value) {
  double number = 0;
  if (const auto* whole = value.get<int64_t>()) number = static_cast<double>(*whole);
  if (const auto* real = value.get<double>()) number = *real;
  const std::string allowed = allowed_text(field);
  if (!std::isfinite(number)) {
    return fmt::format("{} is not a finite number.{}", what,
                       allowed.empty() ? "" : " Allowed: " + allowed + ".");
  }
  if (field.lower && (field.lower->open ? number <= field.lower->bound : number < field.lower->bound)) {
    return fmt::format("{} is too small. Allowed: {}.", what, allowed);
  }
  if (field.upper && (field.upper->open ? number >= field.upper->bound : number > field.upper->bound)) {
    return fmt::format("{} is too large. Allowed: {}.", what, allowed);
  }
  return "";
}

std::string choice_problem(const Field& field, const std::string& what, const std::string& text) {
  if (field.choices.empty() || std::ranges::find(field.choices, text) != field.choices.end()) return "";
  std::optional<std::string> meant;
  for (const auto& [wrong, right] : field.synonyms) {
    if (iequals(wrong, text)) meant = right;
  }
  for (const std::string& choice : field.choices) {
    if (iequals(choice, text)) meant = choice;
  }
  if (!meant) meant = nearest_spelling(text, field.choices);
  return fmt::format("{} is unknown. Allowed: {}.{}", what, join(field.choices, ", "), did_you_mean(meant));
}

// One element: the value itself, or one of a list.
std::string check_element(const Field& field, const std::string& where, Value& value) {
  const std::string what = fmt::format("{} = {}", where, toml_text(value));
  if (!convert(field, value)) {
    if (field.type == Type::integer && value.get<double>() != nullptr) {
      return fmt::format("{} is not a whole number.{}", what, type_fix(field, where, value));
    }
    // On the command line a number of more than 64 bits arrives as text.
    if (field.type == Type::integer && !value.raw.empty() &&
        value.raw.find_first_not_of("0123456789") == std::string::npos)
      return fmt::format("{} = {} is too large. Allowed: whole numbers of 64 bits.", where, value.raw);
    return fmt::format("{} is {}, not {}.{}", what, kind_text(value), wanted_text(field.type),
                       type_fix(field, where, value));
  }
  if (field.type == Type::integer || field.type == Type::number) return range_problem(field, what, value);
  if (field.type == Type::text) return choice_problem(field, what, *value.get<std::string>());
  return "";
}

}  // namespace

Checked check_value(const Field& field, const Value& value) {
  Checked result{value, ""};
  if (!field.is_list) {
    result.problem = check_element(field, field.path, result.value);
    return result;
  }
  if (result.value.get<List>() == nullptr) {
    result.value.data = List{value};
    result.problem = check_element(field, field.path, std::get<List>(result.value.data)[0]);
    return result;
  }
  auto& list = std::get<List>(result.value.data);
  for (size_t i = 0; i < list.size() && result.problem.empty(); ++i) {
    result.problem = check_element(field, fmt::format("{}[{}]", field.path, i), list[i]);
  }
  return result;
}

std::string allowed_text(const Field& field) {
  if (!field.choices.empty()) return join(field.choices, ", ");
  std::vector<std::string> parts;
  if (field.lower)
    parts.push_back((field.lower->open ? "above " : "at least ") + bound_text(field, field.lower->bound));
  if (field.upper)
    parts.push_back((field.upper->open ? "below " : "at most ") + bound_text(field, field.upper->bound));
  return join(parts, " and ");
}

std::string type_text(const Field& field) {
  std::string_view name;
  switch (field.type) {
    case Type::boolean: name = "true or false"; break;
    case Type::integer: name = field.is_list ? "whole numbers" : "whole number"; break;
    case Type::number: name = field.is_list ? "numbers" : "number"; break;
    case Type::text: name = "text"; break;
  }
  return field.is_list ? fmt::format("list of {}", name) : std::string(name);
}

}  // namespace colossal::config
