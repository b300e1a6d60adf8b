// SPDX-License-Identifier: Apache-2.0
// Text files as documents: plain text (one document a file), .jsonl / .ndjson / .json (one a line), each also
// .gz or .zst.
//
//   for_each_text("books.jsonl.zst", "text", [&](const TextPart& part) { ... });
//
// Thread-safe: calls are independent.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "colossal/data/tokenizers/function_ref.h"

namespace colossal::data {

// A document, or a part of a long one: plain text is cut into parts of at most about 64 MiB, behind a line
// feed and before a character that is not a space, which is where split patterns cut anyway.
struct TextPart {
  std::string_view text;  // valid only during the call
  bool ends_document;
};

// Files of the given paths, folders (recursively, by name) and glob patterns, in order. Pairs of token files
// appear as their .idx. IoError names what is missing or what no reader exists for.
std::vector<std::filesystem::path> expand_sources(std::span<const std::string> sources);

bool is_token_file(const std::filesystem::path& file);

// Reads one text file. IoError "file:line: ..." for damaged compression, lines that are not JSON, lines
// without `text_key`, and text that is not UTF-8 (not checked with RequireUtf8::no).
enum class RequireUtf8 { no, yes };
void for_each_text(const std::filesystem::path& file, const std::string& text_key, RequireUtf8 utf8,
                   FunctionRef<void(const TextPart&)> visit);

}  // namespace colossal::data
