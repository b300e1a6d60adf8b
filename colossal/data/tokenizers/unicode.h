// SPDX-License-Identifier: Apache-2.0
// Character properties and normalization forms, each in the Unicode version that tokenizer.json files are
// made with.
//
//   normalize("ﬁ", NormalForm::nfkc)  ->  "fi"
//
// A tokenizer is a frozen table: a character that Unicode classified only later must keep its old treatment,
// or ids change. The Hugging Face tools fix: normalization forms Unicode 9, BERT's classes Unicode 8, classes
// in split patterns Unicode 16. The libraries of the distribution are between these, so the differences are
// tables of our own. Thread-safe: pure functions.
#pragma once
#include <string>
#include <string_view>

namespace colossal::data {

bool is_white_space(char32_t c);       // property White_Space
bool is_word(char32_t c);              // letter, mark, decimal or letter number, connector
bool is_numeric(char32_t c);           // categories N*
bool is_mark(char32_t c);              // categories M*, Unicode 9
bool is_bert_punctuation(char32_t c);  // Unicode 8
bool is_bert_control(
    char32_t c);  // Unicode 8: control, format, private use; not tab, line feed, carriage return
bool is_bert_nonspacing(char32_t c);  // Unicode 8
bool is_bert_ideograph(char32_t c);   // the blocks that BERT surrounds with spaces

void append_lowercase(std::string& text, char32_t c);  // full mapping of one character, no context

enum class NormalForm { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view text, NormalForm form);

}  // namespace colossal::data
