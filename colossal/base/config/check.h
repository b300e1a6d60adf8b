// SPDX-License-Identifier: Apache-2.0
// Checks one value against its key: type, range, allowed values, with the nearest fix in the message.
//
//   Checked result = check_value(field, value);
//   if (!result.problem.empty()) report(value.origin, result.problem);
//
// Thread-safe: pure functions.
#pragma once
#include <string>

#include "colossal/base/config/schema.h"

namespace colossal::config {

// `value` in exactly the type that the key wants (a whole number for a number, one element for a list, ...),
// or the problem as a sentence without its place: "train.steps = 0 is too small. Allowed: at least 1."
struct Checked {
  Value value;
  std::string problem;
};
Checked check_value(const Field& field, const Value& value);

// "at least 1", "above 0 and below 1", or the list of choices; empty when everything is allowed.
std::string allowed_text(const Field& field);

// "whole number", "list of text", ...
std::string type_text(const Field& field);

}  // namespace colossal::config
