// SPDX-License-Identifier: Apache-2.0
// UTF-8: walking, writing, checking.
//
//   for (size_t i = 0; i < text.size();) { char32_t c = next_char(text, i); ... }
//
// Thread-safe: pure functions.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace colossal::data {

// Number of bytes of the character that begins with `lead` (valid UTF-8).
constexpr size_t char_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// The character at text[i] of valid UTF-8; i moves behind it.
inline char32_t next_char(std::string_view text, size_t& i) {
  const size_t length = char_length(text[i]);
  const auto byte = [&](size_t k) { return static_cast<char32_t>(static_cast<unsigned char>(text[i + k])); };
  char32_t c = byte(0);
  if (length == 2) c = (c & 0x1f) << 6 | (byte(1) & 0x3f);
  if (length == 3) c = (c & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  if (length == 4) c = (c & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
  i += length;
  return c;
}

// The character that ends at text[end - 1].
inline char32_t previous_char(std::string_view text, size_t end) {
  size_t i = end - 1;
  while ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) --i;
  return next_char(text, i);
}

void append_utf8(std::string& text, char32_t c);
std::string to_utf8(char32_t c);

// Where the first byte stands that is not valid UTF-8 (no surrogates, no overlong forms); npos if there is
// none.
size_t find_invalid_utf8(std::string_view text);

// Every maximal broken subpart becomes one U+FFFD (Unicode 15.0, section 3.9, table 3-8).
std::string repair_utf8(std::string_view text);

bool is_ascii(std::string_view text);

}  // namespace colossal::data
