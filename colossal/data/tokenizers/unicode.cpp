// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/unicode.h"

#include <utf8proc.h>

#include <cstdlib>

#include "colossal/base/error.h"
#include "colossal/data/tokenizers/unicode_tables.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool newer_category(char32_t c, std::string_view first_letters) {
  const auto table = assigned_after_14();
  const auto after =
      std::upper_bound(table.begin(), table.end(), c,
                       [](char32_t value, const CategoryRange& range) { return value < range.first; });
  if (after == table.begin()) return false;
  const CategoryRange& range = *(after - 1);
  return c <= range.last && first_letters.find(range.category[0]) != std::string_view::npos;
}

void append_normalized(std::string& out, std::string_view text, NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                               static_cast<utf8proc_ssize_t>(text.size()), &result,
                                               static_cast<utf8proc_option_t>(options));
  if (length < 0) throw InternalError(fmt::format("normalization: {}", utf8proc_errmsg(length)));
  out.append(reinterpret_cast<const char*>(result), static_cast<size_t>(length));
  std::free(result);
}

}  // namespace

bool contains(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  return after != ranges.begin() && c <= (after - 1)->last;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return newer_category(c, "LM");
  }
}

bool is_numeric(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO ||
         newer_category(c, "N");
}

bool is_mark(char32_t c) { return contains(marks_9(), c); }
bool is_bert_punctuation(char32_t c) { return contains(punctuation_8(), c); }
bool is_bert_control(char32_t c) { return contains(other_8(), c); }
bool is_bert_nonspacing(char32_t c) { return contains(nonspacing_marks_8(), c); }

bool is_bert_ideograph(char32_t c) {
  // The sixth block begins at 2B920, not at its real start 2B820, in the tokenizer that defines the format.
  constexpr Range kBlocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                               {0x2a700, 0x2b73f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
  return c >= 0x3400 && contains(kBlocks, c);
}

void append_lowercase(std::string& text, char32_t c) {
  if (c < 0x80) {
    text.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
    return;
  }
  struct Mapping {
    char32_t first, last;
    int32_t distance;
  };
  // Pairs of Unicode 16 and 17, which utf8proc may not know yet.
  constexpr Mapping kNewer[] = {{0x1c89, 0x1c89, 1},    {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},
                                {0xa7cc, 0xa7cc, 1},    {0xa7ce, 0xa7ce, 1},
                                {0xa7d2, 0xa7d2, 1},    {0xa7d4, 0xa7d4, 1},
                                {0xa7da, 0xa7da, 1},    {0xa7dc, 0xa7dc, 0x19b - 0xa7dc},
                                {0x10d50, 0x10d65, 32}, {0x16ea0, 0x16eb8, 27}};
  for (const Mapping& mapping : kNewer) {
    if (c >= mapping.first && c <= mapping.last) {
      append_utf8(text, static_cast<char32_t>(static_cast<int32_t>(c) + mapping.distance));
      return;
    }
  }
  if (c == 0x130) {
    text += "i\u0307";
  } else {
    append_utf8(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

std::string normalize(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  // Characters that Unicode 9 did not know have class 0 and no mapping: they stay, and nothing moves or joins
  // across.
  std::string out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t here = i;
    const char32_t c = next_char(text, i);
    if (c < 0x300 || !contains(normalization_after_9(), c)) continue;
    append_normalized(out, text.substr(begin, here - begin), form);
    out.append(text, here, i - here);
    begin = i;
  }
  append_normalized(out, text.substr(begin), form);
  return out;
}

}  // namespace colossal::data
