// SPDX-License-Identifier: Apache-2.0
// From text files to token files, once: the result is kept in a folder under a name that hashes what it was
// made from.
//
//   TokenizeOptions options{.cache = "runs/a/tokens"};
//   if (rank == 0) tokenize_cached(files, *tokenizer, options);      // then a barrier; afterwards every rank
//   auto prefixes = tokenize_cached(files, *tokenizer, options).prefixes;  // finds them at once
//
// Safe when several processes build the same thing: each writes aside and renames; the results are equal.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "colossal/base/file.h"
#include "colossal/data/tokenizer.h"

namespace colossal::data {

struct TokenizeProgress {
  std::filesystem::path file = {};
  int64_t documents = 0, tokens = 0, text_bytes = 0;
  double seconds = 0;
  bool replaces_damaged = false;  // in a cache: tokens were there and could not be read
};

struct TokenizeOptions {
  std::filesystem::path cache = {};  // folder of the token files; made when it is missing
  std::string text_key = "text";     // of JSON lines
  int threads = 1;                   // that encode; the ids do not depend on it
  std::function<void(const TokenizeProgress&)> on_file = {};  // called behind every file that was built
};

// One pair of token files from one text file: documents without special tokens, each followed by the
// tokenizer's end of text. ConfigError when the tokenizer has no end of text.
TokenizeProgress tokenize_file(const std::filesystem::path& text, const std::filesystem::path& prefix,
                               const Tokenizer& tokenizer, const TokenizeOptions& options);

// Where the tokens of a text file are, or will be: the name hashes path, size, time of change, tokenizer and
// text_key.
std::filesystem::path cached_prefix(const std::filesystem::path& text, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options);

struct CachedTokens {
  std::vector<std::filesystem::path> prefixes = {};  // of all sources, in order
  std::vector<std::filesystem::path> built = {};     // those of them that were not there before
  std::unique_ptr<ProvisionalFolder> folder = {};    // made for them
  void discard();                                    // removes what was built
};

// The token files of all sources; those that do not exist, or are truncated, are built. Token files among the sources stay as they are. ConfigError where there is no room
// for them in options.cache.
CachedTokens tokenize_cached(std::span<const std::string> sources, const Tokenizer& tokenizer,
                             const TokenizeOptions& options);

}  // namespace colossal::data
