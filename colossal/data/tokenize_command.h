// SPDX-License-Identifier: Apache-2.0
// What `colossal tokenize` does.
//
//   tokenize_lines(*tokenizer, "text", std::cin, std::cout);           // --jsonl
//   tokenize_files(inputs, "tokens/", *tokenizer, options, std::cout); // --output DIR INPUT...
//
// Thread-safe: calls are independent.
#pragma once
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>

#include "colossal/data/tokenize.h"

namespace colossal::data {

// For each line {"<text_key>": "..."} one line {"ids": [...], "decoded": "..."}: ids with special tokens,
// decoded without. IoError "stdin:<line>: ..." for a line that is not such an object.
void tokenize_lines(const Tokenizer& tokenizer, const std::string& text_key, std::istream& in,
                    std::ostream& out);

// One pair of token files per text file, named after it, in `folder`; one line of report each.
void tokenize_files(std::span<const std::string> inputs, const std::filesystem::path& folder,
                    const Tokenizer& tokenizer, const TokenizeOptions& options, std::ostream& out);

}  // namespace colossal::data
