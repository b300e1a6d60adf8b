// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/pattern.h"

#include "colossal/base/error.h"

namespace colossal::data {

Pattern::Pattern(const JsonNode& node) {
  if (node.has("String")) {
    literal_ = node["String"].text();
    if (literal_.empty()) node["String"].expected("a string that is not empty");
    return;
  }
  if (!node.has("Regex")) node.expected("{\"String\": ...} or {\"Regex\": ...}");
  try {
    regex_.emplace(node["Regex"].text());
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    node["Regex"].fail(fmt::format("cannot use this pattern: {}.", error.what()));
  }
}

void Pattern::for_each_match(std::string_view text, FunctionRef<void(size_t, size_t)> visit) const {
  if (regex_) return regex_->for_each_match(text, visit);
  for (size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    visit(at, at + literal_.size());
  }
}

std::string Pattern::replaced(std::string_view text, std::string_view content) const {
  std::string out;
  size_t done = 0;
  for_each_match(text, [&](size_t begin, size_t end) {
    out.append(text, done, begin - done).append(content);
    done = end;
  });
  return out.append(text, done);
}

}  // namespace colossal::data
