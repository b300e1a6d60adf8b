// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/open_data.h"

#include "colossal/base/error.h"

namespace colossal::data {
namespace {

bool is_synthetic(const DataOptions& options) {
  return options.train.size() == 1 && options.train[0] == "synthetic";
}

// Errors name the key besides the file.
std::vector<std::filesystem::path> token_files(const char* key, const std::vector<std::string>& sources,
                                               const Tokenizer& tokenizer, const TokenizeOptions& options) {
  try {
    return tokenize_cached(sources, tokenizer, options);
  } catch (const IoError& error) {
    throw IoError(fmt::format("{}: {}", key, error.what()), error.exit_code());
  }
}

std::shared_ptr<const TokenStream> open_stream(const char* key, const std::vector<std::string>& sources,
                                               const Tokenizer& tokenizer, const TokenizeOptions& options) {
  return std::make_shared<TokenStream>(token_files(key, sources, tokenizer, options));
}

}  // namespace

void prepare_data(const DataOptions& options) {
  if (is_synthetic(options)) return;
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  token_files("data.train", options.train, *tokenizer, options.tokenize);
  token_files("data.validation", options.validation, *tokenizer, options.tokenize);
}

Datasets open_data(const DataOptions& options) {
  Datasets data{.tokenizer = Tokenizer::load(options.tokenizer)};
  const int64_t vocab = options.vocab_size > 0 ? options.vocab_size : data.tokenizer->vocab_size();
  if (is_synthetic(options)) {
    constexpr int64_t kSamples = int64_t{1} << 20, kHeldOut = 1024;
    const auto tokens = [&](int64_t num_samples, uint64_t seed) {
      return std::make_shared<SyntheticTokens>(num_samples, options.sequence_length, vocab, seed);
    };
    data.train = tokens(kSamples, options.seed);
    data.validation = tokens(kHeldOut, options.seed + 1);
    return data;
  }
  if (vocab < data.tokenizer->vocab_size()) {
    throw ConfigError(fmt::format(
        "model.vocab_size = {} is smaller than the {} ids of data.tokenizer = \"{}\". Allowed: {} or more.",
        vocab, data.tokenizer->vocab_size(), options.tokenizer, data.tokenizer->vocab_size()));
  }
  const auto stream = open_stream("data.train", options.train, *data.tokenizer, options.tokenize);
  if (options.validation.empty()) {
    auto [train, held_out] =
        split_tokens(stream, options.sequence_length, options.validation_fraction, vocab);
    data.train = std::move(train);
    data.validation = std::move(held_out);
  } else {
    data.train = split_tokens(stream, options.sequence_length, 0, vocab).train;
    const auto own = open_stream("data.validation", options.validation, *data.tokenizer, options.tokenize);
    data.validation = split_tokens(own, options.sequence_length, 0, vocab).train;
  }
  return data;
}

}  // namespace colossal::data
