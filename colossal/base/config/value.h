// SPDX-License-Identifier: Apache-2.0
// One value of a configuration, as somebody wrote it: what it is and where it stands.
//
//   Value steps{int64_t{100}, {"run.toml", 14}};
//   steps.origin.text()  ->  "run.toml:14"        toml_text(steps)  ->  "100"
//
// Thread-safe: plain values.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace colossal::config {

// Where a value was written: a line of a file, or (line 0) a command-line argument or the file as a whole.
struct Origin {
  std::string source;
  int64_t line = 0;

  std::string text() const;
};

struct Value;
struct Entry;
using List = std::vector<Value>;
using Table = std::vector<Entry>;  // in written order

struct Value {
  std::variant<bool, int64_t, double, std::string, List, Table> data;
  Origin origin;
  std::string raw;  // the text as typed after `--set key=`; empty for values from files

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data);
  }
};

struct Entry {
  std::string key;
  Value value;
};

// The value in TOML, on one line. Reading it back gives the same value (doubles in shortest exact form).
std::string toml_text(const Value& value);

// "a whole number", "a number", "text", "true or false", "a list", "a table".
std::string_view kind_text(const Value& value);

}  // namespace colossal::config
