// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/open_data.h"

#include "colossal/base/error.h"

namespace colossal::data {
namespace {

bool is_synthetic(const DataOptions& options) {
  return options.train.size() == 1 && options.train[0] == "synthetic";
}

// The sources of a key. Errors of the files name it besides; where there is too little in them, what was built goes again.
TokenSplit open_sources(const char* key, const std::vector<std::string>& sources, double held_out,
                        int64_t vocab, const Tokenizer& tokenizer, const DataOptions& options) try {
  CachedTokens tokens = tokenize_cached(sources, tokenizer, options.tokenize);
  try {
    return split_tokens(std::make_shared<TokenStream>(tokens.prefixes), options.sequence_length, held_out,
                        vocab);
  } catch (const ConfigError&) {
    tokens.discard();
    throw;
  }
} catch (const IoError& error) {
  throw IoError(fmt::format("{}: {}", key, error.what()), error.exit_code());
}

}  // namespace

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
  const auto open = [&](const char* key, const std::vector<std::string>& sources, double held_out) {
    return open_sources(key, sources, held_out, vocab, *data.tokenizer, options);
  };
  if (options.validation.empty()) {
    TokenSplit split = open("data.train", options.train, options.validation_fraction);
    data.train = std::move(split.train);
    data.validation = std::move(split.held_out);
  } else {
    data.train = open("data.train", options.train, 0).train;
    data.validation = open("data.validation", options.validation, 0).train;
  }
  return data;
}

}  // namespace colossal::data
