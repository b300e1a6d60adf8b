// SPDX-License-Identifier: Apache-2.0
// A schema, and a struct that follows it, as text for people and tools.
//
//   to_toml(schema, &config, {.help = true})   the resolved configuration; reading it back gives the same struct
//   to_markdown(schema)                        the reference page (docs/config.md)
//   to_json_schema(schema, "Colossal run")     for editors that complete and check TOML
//
// Thread-safe: pure functions.
#pragma once
#include <map>
#include <string>

#include "colossal/base/config/schema.h"
#include "colossal/base/json.h"

namespace colossal::config {

struct TomlOptions {
  bool help = false;                           // every key below its help; unset keys as comments
  std::map<std::string, Origin> origins = {};  // noted behind the keys that somebody set
};
std::string to_toml(const Schema& schema, const void* root, const TomlOptions& options = {});

// The tables of keys, one per section. The page around them is the caller's.
std::string to_markdown(const Schema& schema);

// JSON Schema, draft 2020-12.
Json to_json_schema(const Schema& schema, const std::string& title);

}  // namespace colossal::config
