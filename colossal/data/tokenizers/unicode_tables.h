// SPDX-License-Identifier: Apache-2.0
// Sorted ranges of code points from fixed versions of the Unicode Character Database.
//
//   contains(marks_9(), c)
//
// Thread-safe: constants.
#pragma once
#include <span>

namespace colossal::data {

struct Range {
  char32_t first, last;  // both inclusive
};
struct CategoryRange {
  char32_t first, last;
  const char* category;  // two letters, for example "Lu"
};

std::span<const Range> punctuation_8();       // Unicode 8.0: categories P*, and ASCII punctuation
std::span<const Range> nonspacing_marks_8();  // Unicode 8.0: Mn
std::span<const Range> other_8();  // Unicode 8.0: Cc, Cf, Co without tab, line feed, carriage return
std::span<const Range> marks_9();  // Unicode 9.0: M*
// Assigned in Unicode 10.0 or later, and with a decomposition, a combining class, or part in a composition.
std::span<const Range> normalization_after_9();
std::span<const CategoryRange>
assigned_after_14();  // Unicode 14.1 to 16.0: letters, marks, numbers, punctuation, symbols

bool contains(std::span<const Range> ranges, char32_t c);

}  // namespace colossal::data
