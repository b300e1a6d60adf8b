// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/byte_alphabet.h"

#include <algorithm>
#include <array>

#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

// byte of each character below U+0144, -1 for none. Visible Latin-1 stands for itself, the others follow from
// U+0100.
constexpr std::array<int16_t, 0x144> byte_of_char() {
  std::array<int16_t, 0x144> table{};
  for (auto& entry : table) entry = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table[visible ? byte : next++] = static_cast<int16_t>(byte);
  }
  return table;
}

}  // namespace

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  static constexpr auto kByteOfChar = byte_of_char();
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_char(text, i);
    if (c >= kByteOfChar.size() || kByteOfChar[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOfChar[c]));
  }
  return bytes;
}

std::string to_byte_alphabet(unsigned char byte) {
  static constexpr auto kByteOfChar = byte_of_char();
  const auto index = std::ranges::find(kByteOfChar, static_cast<int16_t>(byte)) - kByteOfChar.begin();
  return to_utf8(static_cast<char32_t>(index));
}

}  // namespace colossal::data
