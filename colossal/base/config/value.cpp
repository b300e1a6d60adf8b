// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/value.h"

#include <fmt/format.h>

#include <cmath>

namespace colossal::config {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

struct TomlText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return number(value); }
  std::string operator()(const std::string& value) const { return in_quotes(value); }
  std::string operator()(const List& list) const {
    std::string text = "[";
    for (size_t i = 0; i < list.size(); ++i) text += (i > 0 ? ", " : "") + toml_text(list[i]);
    return text + "]";
  }
  std::string operator()(const Table& table) const {
    std::string text = "{";
    for (size_t i = 0; i < table.size(); ++i) {
      text += fmt::format("{} {} = {}", i > 0 ? "," : "", table[i].key, toml_text(table[i].value));
    }
    return text + " }";
  }
};

}  // namespace

std::string Origin::text() const { return line > 0 ? fmt::format("{}:{}", source, line) : source; }

std::string toml_text(const Value& value) { return std::visit(TomlText{}, value.data); }

std::string_view kind_text(const Value& value) {
  static constexpr std::string_view kNames[] = {"true or false", "a whole number", "a number",
                                                "text",          "a list",         "a table"};
  return kNames[value.data.index()];
}

}  // namespace colossal::config
