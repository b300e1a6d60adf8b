// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/config/schema.h"

#include <algorithm>
#include <cctype>

#include "colossal/base/config/review.h"
#include "colossal/base/text.h"

namespace colossal::config {
namespace {

std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name)
    out += c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_called(const Field& field, const std::string& name) {
  return field.name() == name || std::ranges::find(field.also_called, name) != field.also_called.end();
}

}  // namespace

const Field* Schema::find(std::string_view path) const {
  const auto found = std::ranges::find(fields, path, &Field::path);
  return found == fields.end() ? nullptr : &*found;
}

bool Schema::has_table(std::string_view path) const {
  return path.empty() || std::ranges::find(tables, path, &TableInfo::path) != tables.end();
}

bool Schema::has_effect(const Field& field, const void* root) const {
  if (!field.condition.has_value()) return true;
  const std::optional<Value> now = find(field.condition->path)->read(root);
  if (!now.has_value()) return false;
  const std::string* text = now->get<std::string>();
  return std::ranges::find(field.condition->values, text != nullptr ? *text : toml_text(*now)) !=
         field.condition->values.end();
}

std::optional<std::string> nearest_key(const Schema& schema, std::string_view path) {
  const size_t dot = path.rfind('.');
  const std::string section = dot == path.npos ? "" : std::string(path.substr(0, dot));
  const std::string name = plain(dot == path.npos ? path : path.substr(dot + 1));

  // The right name in this section, then a slip of the finger in it.
  std::vector<std::string> here;
  for (const Field& field : schema.fields) {
    if (field.section() != section) continue;
    if (is_called(field, name)) return field.path;
    here.emplace_back(field.name());
  }
  if (const auto near = nearest_spelling(name, here)) return section + "." + *near;

  // In another section: the right name, else a slip in it; of several, the one whose path is spelled most alike.
  const auto best = [&](auto matches) {
    const Field* found = nullptr;
    int64_t least = 0;
    for (const Field& field : schema.fields) {
      if (!matches(field)) continue;
      const int64_t distance = edit_distance(path, field.path);
      if (found == nullptr || distance < least) {
        found = &field;
        least = distance;
      }
    }
    return found;
  };
  const Field* found = best([&](const Field& field) { return is_called(field, name); });
  if (found == nullptr) {
    found = best([&](const Field& field) {
      return nearest_spelling(name, std::vector{std::string(field.name())}).has_value();
    });
  }
  return found == nullptr ? std::nullopt : std::optional(found->path);
}

}  // namespace colossal::config
