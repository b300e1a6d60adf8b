// SPDX-License-Identifier: Apache-2.0
// A place in a JSON file: typed reading whose errors name the file and the path.
//
//   JsonNode root(file_name, json);
//   std::string kind = root["model"]["type"].text();     // "f.json: model.type: expected a string, found 3."
//
// Thread-safe: a value that refers to an immutable document, which must outlive it.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::data {

class JsonNode {
 public:
  JsonNode(std::string file, const nlohmann::json& json) : file_(std::move(file)), json_(&json) {}

  JsonNode operator[](const std::string& key) const;  // IoError when it is missing
  JsonNode operator[](size_t index) const;
  bool has(const std::string& key) const;  // there, and not null
  size_t size() const { return json_->size(); }
  const nlohmann::json& json() const { return *json_; }
  std::vector<JsonNode> items() const;  // of a list

  std::string text() const;
  int64_t integer() const;
  double number() const;
  bool boolean() const;
  char32_t character() const;  // a string of one character

  std::string text_or(const std::string& key, std::string otherwise) const;
  int64_t integer_or(const std::string& key, int64_t otherwise) const;
  bool boolean_or(const std::string& key, bool otherwise) const;

  // Throws IoError "<file>: <path>: <problem>".
  [[noreturn]] void fail(std::string_view problem) const;
  [[noreturn]] void expected(std::string_view what) const;

 private:
  JsonNode(std::string file, std::string path, const nlohmann::json& json)
      : file_(std::move(file)), path_(std::move(path)), json_(&json) {}
  std::string file_, path_;
  const nlohmann::json* json_;
};

}  // namespace colossal::data
