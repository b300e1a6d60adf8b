// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/utf8.h"

#include <cstring>

namespace colossal::data {
namespace {

struct Scan {
  size_t length;  // bytes of the valid character, or of the broken subpart
  bool valid;
};

Scan scan_char(std::string_view text, size_t i) {
  const auto at = [&](size_t k) { return static_cast<unsigned char>(text[i + k]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t length = char_length(text[i]);
  // The second byte has a narrower range after four leads: overlong forms, surrogates, above U+10FFFF.
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t k = 1; k < length; ++k) {
    if (i + k >= text.size()) return {k, false};
    const unsigned char byte = at(k);
    if (k == 1 ? byte < low || byte > high : (byte & 0xc0) != 0x80) return {k, false};
  }
  return {length, true};
}

}  // namespace

void append_utf8(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }
}

std::string to_utf8(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) return false;
  }
  for (; i < text.size(); ++i) {
    if (text[i] & 0x80) return false;
  }
  return true;
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (i + 8 <= text.size()) {
      uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080u) == 0) {
        i += 8;
        continue;
      }
    }
    const Scan scan = scan_char(text, i);
    if (!scan.valid) return i;
    i += scan.length;
  }
  return std::string_view::npos;
}

std::string repair_utf8(std::string_view text) {
  if (find_invalid_utf8(text) == std::string_view::npos) return std::string(text);
  std::string repaired;
  for (size_t i = 0; i < text.size();) {
    const Scan scan = scan_char(text, i);
    if (scan.valid) {
      repaired.append(text, i, scan.length);
    } else {
      repaired += "\xef\xbf\xbd";
    }
    i += scan.length;
  }
  return repaired;
}

}  // namespace colossal::data
