// SPDX-License-Identifier: Apache-2.0
// TOML text and `--set key=value` arguments into values that know where they were written.
//
//   Value document = parse_toml(read_file("run.toml"), "run.toml");       // a table
//   Override change = parse_override("train.steps=100");
//
// Thread-safe: pure functions.
#pragma once
#include <string>
#include <string_view>

#include "colossal/base/config/value.h"

namespace colossal::config {

// The document as one table. Throws ConfigError "<name>:<line>: not valid TOML: ..." at the first syntax
// error.
Value parse_toml(std::string_view text, const std::string& name);

// One `--set` argument. The origin of `value` reads "--set train.steps".
struct Override {
  std::string path;
  Value value;
};

// The text after the first '=' is a TOML value where it parses as one, else plain text:
// `optimizer.name=adamw` needs no quotes. Throws ConfigError when there is no '=' or no key.
Override parse_override(std::string_view argument);

}  // namespace colossal::config
