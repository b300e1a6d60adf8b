// SPDX-License-Identifier: Apache-2.0
// Reads a foreign config.json key by key and collects every problem, to be reported at once.
//
//   ForeignConfig read(json, "config.json");
//   config.hidden_size = read.integer("n_embd");
//   read.must_be("add_cross_attention", false);
//   read.finish();                                   // ConfigError with all problems
//
// Thread safety: one thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/models/model_config.h"

namespace colossal::models {

class ForeignConfig {
 public:
  // `where` begins every message: the path of the file.
  ForeignConfig(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  bool has(const std::string& key) const;  // there and not null
  // Without a default the key is required. null counts as absent.
  int64_t integer(const std::string& key, std::optional<int64_t> otherwise = {});
  double number(const std::string& key, std::optional<double> otherwise = {});
  bool boolean(const std::string& key, std::optional<bool> otherwise = {});
  std::string text(const std::string& key, const std::optional<std::string>& otherwise = {});
  // The forms of GELU by their names in transformers.
  Activation gelu(const std::string& key, const std::string& otherwise);
  // A nested object (empty when absent); its problems go to this reader's list through `adopt`.
  Json object(const std::string& key) const;
  void adopt(ForeignConfig&& nested);
  // The model code here knows one value only; absent counts as that value.
  void must_be(const std::string& key, const Json& value);
  void problem(const std::string& key, const std::string& what);
  void finish() const;

 private:
  template <class T, class Is>
  T get(const std::string& key, const std::optional<T>& otherwise, const char* kind, Is is);

  const Json& json_;
  std::string where_;
  std::vector<std::string> problems_;
};

// gelu_new or gelu
std::string gelu_name(Activation activation);

}  // namespace colossal::models
