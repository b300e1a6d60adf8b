// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/toml.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::config {
namespace {

Value convert(const toml::node& node, const std::string& name) {
  Value value;
  value.origin = {name, static_cast<int64_t>(node.source().begin.line)};
  if (const auto* table = node.as_table()) {
    Table result;
    for (const auto& [key, child] : *table) {
      Value converted = convert(child, name);
      // A key counts as standing where its name stands: the value of a list may begin lines below.
      if (key.source().begin.line > 0) converted.origin.line = static_cast<int64_t>(key.source().begin.line);
      result.push_back({std::string(key.str()), std::move(converted)});
    }
    std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
      return a.value.origin.line < b.value.origin.line;  // toml++ sorts by name
    });
    value.data = std::move(result);
  } else if (const auto* array = node.as_array()) {
    List list;
    for (const auto& child : *array) list.push_back(convert(child, name));
    value.data = std::move(list);
  } else if (const auto* text = node.as_string()) {
    value.data = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.data = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    value.data = number->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.data = boolean->get();
  } else {  // dates and times: no key takes one, their text does for the message
    std::ostringstream out;
    if (const auto* date = node.as_date()) out << *date;
    if (const auto* time = node.as_time()) out << *time;
    if (const auto* moment = node.as_date_time()) out << *moment;
    value.data = out.str();
  }
  return value;
}

// Where `text` names one key, or opens one table, for the second time: toml++ says neither both lines nor the section. Empty
// when it does not.
std::string named_twice(const std::vector<std::string>& lines, const std::string& name) {
  std::map<std::string, size_t> first;  // "train.steps", "[train]": its line
  std::string section;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string line(trim(std::string_view(lines[i]).substr(0, lines[i].find('#'))));
    const bool table = line.starts_with('[') && line.ends_with(']') && !line.starts_with("[[");
    const size_t equals = line.find('=');
    if (!table && equals == std::string::npos) continue;
    std::string key(trim(std::string_view(line).substr(0, equals)));
    if (table) section = std::string(trim(std::string_view(line).substr(1, line.size() - 2))) + ".";
    key = table ? line : section + key;
    const auto [earlier, fresh] = first.try_emplace(key, i + 1);
    if (!fresh) {
      return fmt::format("{}:{}: {} is given twice, first on line {}. Remove one of {}.", name, i + 1, key,
                         earlier->second, table ? "the headings" : "the lines");
    }
  }
  return "";
}

bool is_key_path(std::string_view path) {
  return !path.empty() && path.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == path.npos;
}

}  // namespace

Value parse_toml(std::string_view text, const std::string& name) {
  try {
    return convert(toml::parse(text, name), name);
  } catch (const toml::parse_error& error) {
    const size_t line = error.source().begin.line;
    const std::vector<std::string> lines = split(text, '\n');
    if (error.description().find("redefine existing") != std::string_view::npos) {
      if (std::string problem = named_twice(lines, name); !problem.empty())
        throw ConfigError(std::move(problem));
    }
    const std::string_view here =
        line >= 1 && line <= lines.size() ? trim(lines[line - 1]) : std::string_view();
    throw ConfigError(
        fmt::format("{}:{}: not valid TOML: {}. The line is: {}", name, line, error.description(), here));
  }
}

Override parse_override(std::string_view argument) {
  const size_t equals = argument.find('=');
  const std::string path(trim(argument.substr(0, equals)));
  if (equals == std::string_view::npos || !is_key_path(path)) {
    throw ConfigError(
        fmt::format("--set {}: not of the form section.key=value. Write for example "
                    "--set train.steps=100.",
                    argument));
  }
  const std::string raw(trim(argument.substr(equals + 1)));
  Override result{path, {}};
  result.value.data = raw;
  if (raw.find('\n') == std::string::npos) {
    try {
      const toml::table table = toml::parse("x = " + raw);
      result.value = convert(*table.get("x"), "");
    } catch (const toml::parse_error&) {
      // not TOML: plain text
    }
  }
  result.value.origin = {"--set " + path, 0};
  result.value.raw = raw;
  return result;
}

}  // namespace colossal::config
