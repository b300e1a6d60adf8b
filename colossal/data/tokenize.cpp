// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenize.h"

#include <xxhash.h>

#include <atomic>
#include <exception>
#include <thread>

#include "colossal/base/error.h"
#include "colossal/data/text_source.h"
#include "colossal/data/token_file.h"

namespace colossal::data {
namespace {

// Collects parts of documents and encodes a batch of them on several threads; results are written in order.
class ParallelEncoder {
 public:
  ParallelEncoder(const Tokenizer& tokenizer, TokenFileWriter& writer, int threads)
      : tokenizer_(tokenizer),
        writer_(writer),
        end_of_text_(*tokenizer.end_of_text()),
        threads_(std::max(1, threads)) {}

  void add(const TextPart& part) {
    pending_bytes_ += part.text.size();
    parts_.push_back({std::string(part.text), part.ends_document});
    constexpr size_t kBatchBytes = size_t{8} << 20;
    if (pending_bytes_ >= kBatchBytes) flush();
  }

  void flush() {
    std::vector<std::vector<int32_t>> ids(parts_.size());
    std::atomic<size_t> next = 0;
    std::exception_ptr failure;
    std::mutex mutex;
    const auto work = [&] {
      try {
        for (size_t i = next++; i < parts_.size(); i = next++)
          tokenizer_.encode(parts_[i].text, SpecialTokens::skip, ids[i]);
      } catch (...) {
        std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    };
    {
      std::vector<std::jthread> helpers;
      for (int i = 1; i < threads_ && parts_.size() > 1; ++i) helpers.emplace_back(work);
      work();
    }
    if (failure) std::rethrow_exception(failure);
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].ends_document) ids[i].push_back(end_of_text_);
      writer_.add(ids[i]);
      if (parts_[i].ends_document) writer_.end_document();
    }
    parts_.clear();
    pending_bytes_ = 0;
  }

 private:
  struct Part {
    std::string text;
    bool ends_document;
  };
  const Tokenizer& tokenizer_;
  TokenFileWriter& writer_;
  int32_t end_of_text_;
  int threads_;
  std::vector<Part> parts_;
  size_t pending_bytes_ = 0;
};

}  // namespace

TokenizeProgress tokenize_file(const std::filesystem::path& text, const std::filesystem::path& prefix,
                               const Tokenizer& tokenizer, const TokenizeOptions& options) {
  if (!tokenizer.end_of_text()) {
    throw ConfigError(
        "the tokenizer has no end-of-text token to put between documents. Name one as eos_token in a "
        "tokenizer_config.json beside it.");
  }
  const auto begin = std::chrono::steady_clock::now();
  TokenizeProgress progress{.file = text};
  TokenFileWriter writer(prefix, tokenizer.vocab_size());
  ParallelEncoder encoder(tokenizer, writer, options.threads);
  const auto utf8 = tokenizer.fingerprint() == "bytes" ? RequireUtf8::no : RequireUtf8::yes;
  for_each_text(text, options.text_key, utf8, [&](const TextPart& part) {
    progress.text_bytes += static_cast<int64_t>(part.text.size());
    encoder.add(part);
  });
  encoder.flush();
  writer.finish();
  progress.documents = writer.num_documents();
  progress.tokens = writer.num_tokens();
  progress.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return progress;
}

std::filesystem::path cached_prefix(const std::filesystem::path& text, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options) {
  std::error_code error;
  const auto size = std::filesystem::file_size(text, error);
  if (error) throw IoError(fmt::format("{}: cannot read: {}", text.string(), error.message()));
  const std::string key =
      fmt::format("1\n{}\n{}\n{}\n{}\n{}", std::filesystem::absolute(text).lexically_normal().string(), size,
                  std::filesystem::last_write_time(text).time_since_epoch().count(), tokenizer.fingerprint(),
                  options.text_key);
  const std::string stem = text.filename().string().substr(0, text.filename().string().find('.'));
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return options.cache / fmt::format("{}-{:016x}{:016x}", stem, hash.high64, hash.low64);
}

void CachedTokens::discard() {
  for (const std::filesystem::path& prefix : built) remove_token_file(prefix);
  folder.reset();
}

namespace {

bool is_whole(const std::filesystem::path& prefix) try {
  const TokenFile opened(prefix);
  return true;
} catch (const IoError&) {
  return false;
}

// The cache is a key of its own: a full disk is no fault of the text.
TokenizeProgress tokenize_into_cache(const std::filesystem::path& text, const std::filesystem::path& prefix,
                                     const Tokenizer& tokenizer, const TokenizeOptions& options) try {
  return tokenize_file(text, prefix, tokenizer, options);
} catch (const NoSpace& full) {
  throw ConfigError(
      fmt::format("data.cache = \"{}\": {}. Free space, or set data.cache (by default in run.output) to a "
                  "folder on another disk.",
                  options.cache.string(), full.shortage()));
}

}  // namespace

CachedTokens tokenize_cached(std::span<const std::string> sources, const Tokenizer& tokenizer,
                             const TokenizeOptions& options) {
  CachedTokens tokens;
  for (const std::filesystem::path& file : expand_sources(sources)) {
    if (is_token_file(file)) {
      tokens.prefixes.push_back(token_file_prefix(file));
      continue;
    }
    tokens.prefixes.push_back(cached_prefix(file, tokenizer, options));
    const bool there = std::filesystem::exists(tokens.prefixes.back().string() + ".idx");
    if (there && is_whole(tokens.prefixes.back())) continue;
    if (!tokens.folder) tokens.folder = std::make_unique<ProvisionalFolder>(options.cache);
    TokenizeProgress progress = tokenize_into_cache(file, tokens.prefixes.back(), tokenizer, options);
    progress.replaces_damaged = there;
    tokens.built.push_back(tokens.prefixes.back());
    if (options.on_file) options.on_file(progress);
  }
  return tokens;
}

}  // namespace colossal::data
