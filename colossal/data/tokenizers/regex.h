// SPDX-License-Identifier: Apache-2.0
// Regular expressions as tokenizer.json writes them (Oniguruma syntax, Unicode 16 classes), run by PCRE2 with
// its JIT.
//
//   Regex pattern("\\p{N}{1,3}| ?\\p{L}+");
//   pattern.for_each_match(text, [](size_t begin, size_t end) { ... });
//
// Thread-safe: a Regex is immutable after construction.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "colossal/data/tokenizers/function_ref.h"

namespace colossal::data {

class Regex {
 public:
  explicit Regex(const std::string& pattern);  // Error (one line) when it cannot be used
  ~Regex();
  Regex(Regex&&) noexcept;

  // Non-empty matches from left to right in valid UTF-8.
  void for_each_match(std::string_view text, FunctionRef<void(size_t, size_t)> visit) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

// The PCRE2 spelling of an Oniguruma pattern. Exposed for tests.
std::string translate_pattern(const std::string& pattern);

}  // namespace colossal::data
