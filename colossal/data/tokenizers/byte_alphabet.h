// SPDX-License-Identifier: Apache-2.0
// The printable alphabet in which byte-level vocabularies are written: one character per byte (GPT-2,
// bytes_to_unicode).
//
//   from_byte_alphabet("Ġthe")  ->  " the"
//
// Thread-safe: pure functions.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace colossal::data {

// The bytes that `text` stands for; nothing when it holds a character outside of the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);
// The character that stands for `byte`, in UTF-8.
std::string to_byte_alphabet(unsigned char byte);

}  // namespace colossal::data
