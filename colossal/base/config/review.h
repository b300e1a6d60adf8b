// SPDX-License-Identifier: Apache-2.0
// Reads a configuration into a struct and collects every problem before it says anything.
//
//   Review review(schema, "run.toml");
//   review.take(parse_toml(text, "run.toml"));
//   review.take(parse_override("train.steps=100"));
//   review.write(&config);                                     // all values that passed
//   review.require(steps > warmup, {"train.steps", "schedule.warmup_steps"}, "train.steps = ... ");   // rules between keys
//   review.finish();                                           // throws ConfigError with all problems
//
// Not thread-safe: one thread per object.
#pragma once
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "colossal/base/config/schema.h"
#include "colossal/base/config/toml.h"

namespace colossal::config {

class Review {
 public:
  // `file_name` names the place of problems that stand on no line, such as a missing key.
  Review(const Schema& schema, std::string file_name);

  // Later values replace earlier ones. Unknown keys become problems.
  void take(const Value& document);
  void take(const Override& change);

  // Checks what was taken, writes the good values into `root`, and notes missing keys.
  void write(void* root);

  // Notes given keys that have no effect beside the values in `root` (Key::only_with).
  void check_conditions(const void* root);

  bool given(std::string_view path) const { return given_.contains(std::string(path)); }

  // A cross-key rule over `paths`: when it does not hold, `text` is reported where the first given one of
  // them stands. Skipped when one of them already has a problem: its value is not the one that was asked for.
  void require(bool holds, std::initializer_list<std::string_view> paths, const std::string& text);

  // A problem of one key, found outside the schema; rules that read this key are skipped from here on.
  void reject(const std::string& path, std::string text);

  // A problem without a key; an empty origin when the text says the place itself.
  void problem(const Origin& origin, std::string text);

  // Throws ConfigError with all problems: lines of the file in order, then the file, then --set.
  void finish() const;

  // Where each given key stands.
  std::map<std::string, Origin> origins() const;

 private:
  struct Problem {
    Origin origin;
    std::string text;
  };
  void take_tree(const std::string& path, const Value& value);
  void unknown(const std::string& path, const Value& value);
  void bad(const std::string& path, const Origin& origin, std::string text);

  const Schema& schema_;
  std::string file_name_;
  std::map<std::string, Value> given_;
  std::set<std::string, std::less<>> bad_;
  std::vector<Problem> problems_;
};

// The declared key that `path` probably means: a slip of the finger, another section, another system's name.
std::optional<std::string> nearest_key(const Schema& schema, std::string_view path);

}  // namespace colossal::config
