// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/review.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "colossal/base/config/check.h"
#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::config {
namespace {

// Keys and tables directly below `section`.
std::vector<std::string> keys_of(const Schema& schema, std::string_view section) {
  std::vector<std::string> names;
  for (const Field& field : schema.fields) {
    if (field.section() == section) names.emplace_back(field.name());
  }
  for (const TableInfo& table : schema.tables) {
    const size_t dot = table.path.rfind('.');
    if (dot != table.path.npos && table.path.substr(0, dot) == section)
      names.push_back(table.path.substr(dot + 1));
  }
  return names;
}

std::string advice_on(const Schema& schema, std::string_view path) {
  const std::string_view name = path.substr(path.rfind('.') + 1);
  for (const Field& field : schema.fields) {
    for (const auto& [missing, advice] : field.advice) {
      if (iequals(missing, name)) return advice;
    }
  }
  return "";
}

}  // namespace

Review::Review(const Schema& schema, std::string file_name)
    : schema_(schema), file_name_(std::move(file_name)) {}

void Review::take(const Value& document) { take_tree("", document); }

void Review::take(const Override& change) { take_tree(change.path, change.value); }

void Review::take_tree(const std::string& path, const Value& value) {
  if (schema_.find(path) != nullptr) {
    given_[path] = value;
    return;
  }
  const auto* table = value.get<Table>();
  if (table == nullptr) {
    unknown(path, value);
    return;
  }
  if (table->empty() && !path.empty() && !schema_.has_table(path)) unknown(path, value);
  for (const auto& [name, child] : *table) take_tree(path.empty() ? name : path + "." + name, child);
}

void Review::unknown(const std::string& path, const Value& value) {
  if (schema_.has_table(path)) {
    bad(path, value.origin,
        fmt::format("{} = {} is {}, not a table. Keys of [{}]: {}.", path, toml_text(value), kind_text(value),
                    path, join(keys_of(schema_, path), ", ")));
    return;
  }
  std::string text = fmt::format("unknown key \"{}\".", path);
  if (const std::string advice = advice_on(schema_, path); !advice.empty()) {
    text += " " + advice;
  } else if (const auto near = nearest_key(schema_, path)) {
    text += did_you_mean(near);
  } else {
    const std::string section = path.substr(0, path.rfind('.'));
    std::vector<std::string> names = keys_of(schema_, section);
    const bool known = !names.empty();
    if (!known) {
      for (const TableInfo& table : schema_.tables) names.push_back(table.path);
    }
    text += known ? fmt::format(" Keys of [{}]: {}.", section, join(names, ", "))
                  : fmt::format(" Sections: {}.", join(names, ", "));
  }
  bad(path, value.origin, std::move(text));
}

void Review::bad(const std::string& path, const Origin& origin, std::string text) {
  bad_.insert(path);
  problems_.push_back({origin, std::move(text)});
}

void Review::write(void* root) {
  for (const auto& [path, value] : given_) {
    const Field& field = *schema_.find(path);
    Checked checked = check_value(field, value);
    if (checked.problem.empty()) {
      field.write(root, checked.value);
    } else {
      bad(path, value.origin, std::move(checked.problem));
    }
  }
  for (const Field& field : schema_.fields) {
    if (field.is_required && !given(field.path) && field.read(root).has_value()) {
      bad(field.path, {file_name_, 0},
          fmt::format("{} is missing. Write for example {} = {}.", field.path, field.path, field.example));
    }
  }
}

void Review::check_conditions(const void* root) {
  for (const Field& field : schema_.fields) {
    if (!given(field.path) || schema_.has_effect(field, root) || bad_.contains(field.condition->path))
      continue;
    const Field& other = *schema_.find(field.condition->path);
    const std::optional<Value> now = other.read(root);
    std::vector<std::string> uses;
    for (const std::string& value : field.condition->values) {
      uses.push_back(other.type == Type::text ? "\"" + value + "\"" : value);
    }
    bad(field.path, given_.at(field.path).origin,
        fmt::format("{} has no effect with {} = {}. Remove it, or set {} to {}.", field.path, other.path,
                    now.has_value() ? toml_text(*now) : "(not set)", other.path, join(uses, " or ")));
  }
}

void Review::require(bool holds, std::initializer_list<std::string_view> paths, const std::string& text) {
  if (holds) return;
  for (const std::string_view path : paths) {
    if (bad_.contains(path)) return;
  }
  for (const std::string_view path : paths) {
    if (const auto found = given_.find(std::string(path)); found != given_.end()) {
      problems_.push_back({found->second.origin, text});
      return;
    }
  }
  problems_.push_back({{file_name_, 0}, text});
}

void Review::reject(const std::string& path, std::string text) {
  const auto found = given_.find(path);
  bad(path, found == given_.end() ? Origin{file_name_, 0} : found->second.origin, std::move(text));
}

void Review::problem(const Origin& origin, std::string text) {
  problems_.push_back({origin, std::move(text)});
}

void Review::finish() const {
  if (problems_.empty()) return;
  std::vector<Problem> sorted = problems_;
  std::ranges::stable_sort(sorted, {}, [&](const Problem& problem) {
    return std::tuple(problem.origin.line > 0               ? 0
                      : problem.origin.source == file_name_ ? 1
                                                            : 2,
                      problem.origin.line);
  });
  std::vector<std::string> lines;
  for (const Problem& problem : sorted) {
    const std::string place = problem.origin.text(), key = place.substr(place.rfind(' ') + 1) + ": ";
    const bool twice = place.starts_with("--set ") && problem.text.starts_with(key);
    const std::string text = twice ? problem.text.substr(key.size()) : problem.text;
    lines.push_back(place.empty() ? text : place + ": " + text);
  }
  throw ConfigError(std::move(lines));
}

std::map<std::string, Origin> Review::origins() const {
  std::map<std::string, Origin> result;
  for (const auto& [path, value] : given_) result[path] = value.origin;
  return result;
}

}  // namespace colossal::config
