// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/foreign_config.h"

#include <fmt/format.h>

#include "colossal/base/error.h"

namespace colossal::models {

template <class T, class Is>
T ForeignConfig::get(const std::string& key, const std::optional<T>& otherwise, const char* kind, Is is) {
  if (!has(key)) {
    if (!otherwise) problem(key, fmt::format("is missing. Expected: {}.", kind));
    return otherwise.value_or(T{});
  }
  const Json& value = json_.at(key);
  if (is(value)) return value.get<T>();
  problem(key, fmt::format("= {}. Expected: {}.", value.dump(), kind));
  return otherwise.value_or(T{});
}

bool ForeignConfig::has(const std::string& key) const {
  const auto found = json_.find(key);
  return found != json_.end() && !found->is_null();
}

int64_t ForeignConfig::integer(const std::string& key, std::optional<int64_t> otherwise) {
  return get<int64_t>(key, otherwise, "a whole number", [](const Json& v) { return v.is_number_integer(); });
}

double ForeignConfig::number(const std::string& key, std::optional<double> otherwise) {
  return get<double>(key, otherwise, "a number", [](const Json& v) { return v.is_number(); });
}

bool ForeignConfig::boolean(const std::string& key, std::optional<bool> otherwise) {
  return get<bool>(key, otherwise, "true or false", [](const Json& v) { return v.is_boolean(); });
}

std::string ForeignConfig::text(const std::string& key, const std::optional<std::string>& otherwise) {
  return get<std::string>(key, otherwise, "a string", [](const Json& v) { return v.is_string(); });
}

Activation ForeignConfig::gelu(const std::string& key, const std::string& otherwise) {
  const std::string name = text(key, otherwise);
  if (name == "gelu") return Activation::gelu_erf;
  if (name != "gelu_new" && name != "gelu_pytorch_tanh") {
    problem(key, fmt::format("= \"{}\" is not supported. Allowed: gelu_new, gelu_pytorch_tanh, gelu.", name));
  }
  return Activation::gelu_tanh;
}

Json ForeignConfig::object(const std::string& key) const {
  return has(key) && json_.at(key).is_object() ? json_.at(key) : Json::object();
}

void ForeignConfig::adopt(ForeignConfig&& nested) {
  problems_.insert(problems_.end(), nested.problems_.begin(), nested.problems_.end());
}

void ForeignConfig::must_be(const std::string& key, const Json& value) {
  if (has(key) && json_.at(key) != value) {
    problem(key, fmt::format("= {} is not supported. Allowed: {}.", json_.at(key).dump(), value.dump()));
  }
}

void ForeignConfig::problem(const std::string& key, const std::string& what) {
  problems_.push_back(fmt::format("{}: {} {}", where_, key, what));
}

void ForeignConfig::finish() const {
  if (!problems_.empty()) throw ConfigError(problems_);
}

std::string gelu_name(Activation activation) {
  return activation == Activation::gelu_erf ? "gelu" : "gelu_new";
}

}  // namespace colossal::models
