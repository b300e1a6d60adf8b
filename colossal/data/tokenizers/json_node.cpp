// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/json_node.h"

#include "colossal/base/error.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {

void JsonNode::fail(std::string_view problem) const {
  throw IoError(fmt::format("{}: {}{}{}", file_, path_, path_.empty() ? "" : ": ", problem));
}

void JsonNode::expected(std::string_view what) const {
  std::string found = json_->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (found.size() > 60) found = found.substr(0, 57) + "...";
  fail(fmt::format("expected {}, found {}.", what, found));
}

JsonNode JsonNode::operator[](const std::string& key) const {
  if (!json_->is_object()) expected("an object");
  const auto found = json_->find(key);
  if (found == json_->end()) fail(fmt::format("the key \"{}\" is missing.", key));
  return JsonNode(file_, path_.empty() ? key : path_ + "." + key, *found);
}

JsonNode JsonNode::operator[](size_t index) const {
  if (!json_->is_array()) expected("a list");
  if (index >= json_->size())
    fail(fmt::format("entry {} is missing, the list has {}.", index, json_->size()));
  return JsonNode(file_, fmt::format("{}[{}]", path_, index), (*json_)[index]);
}

bool JsonNode::has(const std::string& key) const {
  if (!json_->is_object()) expected("an object");
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

std::vector<JsonNode> JsonNode::items() const {
  if (!json_->is_array()) expected("a list");
  std::vector<JsonNode> nodes;
  for (size_t i = 0; i < json_->size(); ++i) nodes.push_back((*this)[i]);
  return nodes;
}

std::string JsonNode::text() const {
  if (!json_->is_string()) expected("a string");
  return json_->get<std::string>();
}

int64_t JsonNode::integer() const {
  if (!json_->is_number_integer()) expected("an integer");
  return json_->get<int64_t>();
}

double JsonNode::number() const {
  if (!json_->is_number()) expected("a number");
  return json_->get<double>();
}

bool JsonNode::boolean() const {
  if (!json_->is_boolean()) expected("true or false");
  return json_->get<bool>();
}

char32_t JsonNode::character() const {
  const std::string value = text();
  size_t length = 0;
  const char32_t c = value.empty() ? 0 : next_char(value, length);
  if (value.empty() || length != value.size()) expected("one character");
  return c;
}

std::string JsonNode::text_or(const std::string& key, std::string otherwise) const {
  return has(key) ? (*this)[key].text() : std::move(otherwise);
}
int64_t JsonNode::integer_or(const std::string& key, int64_t otherwise) const {
  return has(key) ? (*this)[key].integer() : otherwise;
}
bool JsonNode::boolean_or(const std::string& key, bool otherwise) const {
  return has(key) ? (*this)[key].boolean() : otherwise;
}

}  // namespace colossal::data
