// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/render.h"

#include <fmt/format.h>

#include "colossal/base/config/check.h"
#include "colossal/base/text.h"

namespace colossal::config {
namespace {

std::string default_text(const Field& field) {
  if (field.is_required) return "required";
  if (!field.fallback_note.empty()) return field.fallback_note;
  return field.fallback.has_value() ? toml_text(*field.fallback) : "not set";
}

// "(default 100; at least 1)", as it stands behind the help.
std::string limits_text(const Field& field) {
  std::vector<std::string> parts = {field.is_required ? "required" : "default " + default_text(field)};
  if (const std::string allowed = allowed_text(field); !allowed.empty()) parts.push_back(allowed);
  if (field.condition) {
    parts.push_back(
        fmt::format("only with {} = {}", field.condition->path, join(field.condition->values, ", ")));
  }
  return fmt::format("({})", join(parts, "; "));
}

void wrap(std::string& out, const std::string& text, std::string_view prefix, size_t width) {
  std::string line;
  for (const std::string& word : split(text, ' ')) {
    if (!line.empty() && prefix.size() + line.size() + 1 + word.size() > width) {
      out += fmt::format("{}{}\n", prefix, line);
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  out += fmt::format("{}{}\n", prefix, line);
}

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

Json json_of(const Value& value) {
  if (const auto* list = value.get<List>()) {
    Json array = Json::array();
    for (const Value& element : *list) array.push_back(json_of(element));
    return array;
  }
  if (const auto* flag = value.get<bool>()) return *flag;
  if (const auto* whole = value.get<int64_t>()) return *whole;
  if (const auto* number = value.get<double>()) return *number;
  return *value.get<std::string>();
}

Json json_element(const Field& field) {
  static constexpr const char* kNames[] = {"boolean", "integer", "number", "string"};
  Json element = {{"type", kNames[static_cast<int>(field.type)]}};
  const auto bound = [&](double value) {
    return field.type == Type::integer ? Json(static_cast<int64_t>(value)) : Json(value);
  };
  if (field.lower) element[field.lower->open ? "exclusiveMinimum" : "minimum"] = bound(field.lower->bound);
  if (field.upper) element[field.upper->open ? "exclusiveMaximum" : "maximum"] = bound(field.upper->bound);
  if (!field.choices.empty()) element["enum"] = field.choices;
  return element;
}

Json json_field(const Field& field) {
  Json element = json_element(field);
  Json result = field.is_list ? Json{{"anyOf", {element, {{"type", "array"}, {"items", element}}}}} : element;
  result["description"] = field.help;
  if (field.fallback && field.fallback_note.empty() && !field.is_required)
    result["default"] = json_of(*field.fallback);
  return result;
}

Json json_table(const Schema& schema, const std::string& path) {
  Json table = {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
  Json required = Json::array();
  for (const Field& field : schema.fields) {
    if (field.section() != path) continue;
    table["properties"][std::string(field.name())] = json_field(field);
    if (field.is_required) required.push_back(field.name());
  }
  for (const TableInfo& info : schema.tables) {
    const size_t dot = info.path.rfind('.');
    const std::string parent = dot == info.path.npos ? "" : info.path.substr(0, dot);
    if (parent != path) continue;
    Json child = json_table(schema, info.path);
    child["description"] = info.help;
    table["properties"][dot == info.path.npos ? info.path : info.path.substr(dot + 1)] = std::move(child);
  }
  if (!required.empty()) table["required"] = required;
  return table;
}

}  // namespace

std::string to_toml(const Schema& schema, const void* root, const TomlOptions& options) {
  std::string out;
  for (const TableInfo& table : schema.tables) {
    std::string body;
    bool any = options.help;
    for (const Field& field : schema.fields) {
      if (field.section() != table.path) continue;
      // A key without effect would be refused when read back.
      const std::optional<Value> value =
          schema.has_effect(field, root) ? field.read(root) : std::optional<Value>();
      any = any || value.has_value();
      if (options.help) wrap(body, fmt::format("{} {}", field.help, limits_text(field)), "# ", 100);
      if (value.has_value()) {
        body += fmt::format("{} = {}", field.name(), toml_text(*value));
        const auto origin = options.origins.find(field.path);
        if (origin != options.origins.end()) body += fmt::format("  # {}", origin->second.text());
        body += '\n';
      } else if (options.help) {
        body += fmt::format("# {} =\n", field.name());
      }
      if (options.help) body += '\n';
    }
    if (!any) continue;
    if (!out.empty() && !out.ends_with("\n\n")) out += '\n';
    if (options.help) wrap(out, table.help, "# ", 100);
    out += fmt::format("[{}]\n{}", table.path, body);
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string to_markdown(const Schema& schema) {
  std::string out;
  for (const TableInfo& table : schema.tables) {
    out +=
        fmt::format("## [{}]\n\n{}\n\n| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n",
                    table.path, table.help);
    for (const Field& field : schema.fields) {
      if (field.section() != table.path) continue;
      std::string help = field.help;
      if (field.condition) {
        help +=
            fmt::format(" Only with `{}` = {}.", field.condition->path, join(field.condition->values, ", "));
      }
      const bool code = field.fallback.has_value() && field.fallback_note.empty() && !field.is_required;
      out += fmt::format("| `{}` | {} | {} | {} | {} |\n", field.name(), type_text(field),
                         code ? "`" + default_text(field) + "`" : default_text(field), allowed_text(field),
                         markdown_cell(help));
    }
    out += '\n';
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

Json to_json_schema(const Schema& schema, const std::string& title) {
  Json result = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  result.update(json_table(schema, ""));
  return result;
}

}  // namespace colossal::config
