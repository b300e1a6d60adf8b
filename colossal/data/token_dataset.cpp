// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/token_dataset.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "colossal/base/error.h"

namespace colossal::data {

TokenStream::TokenStream(std::span<const std::filesystem::path> prefixes) {
  for (const auto& prefix : prefixes) {
    files_.emplace_back(prefix);
    begins_.push_back(begins_.back() + files_.back().num_tokens());
  }
}

int64_t TokenStream::num_documents() const {
  int64_t documents = 0;
  for (const TokenFile& file : files_) documents += file.num_documents();
  return documents;
}

void TokenStream::read(int64_t begin, std::span<int64_t> out) const {
  size_t file =
      static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin()) - 1;
  while (!out.empty()) {
    if (file >= files_.size())
      throw InternalError(fmt::format("token stream: read behind its end, at {}", begin));
    const auto count =
        static_cast<size_t>(std::min<int64_t>(static_cast<int64_t>(out.size()), begins_[file + 1] - begin));
    files_[file].read(begin - begins_[file], out.first(count));
    out = out.subspan(count);
    begin += static_cast<int64_t>(count);
    ++file;
  }
}

std::string TokenStream::fingerprint() const {
  constexpr int64_t kBlocks = 64, kBlockTokens = 64;
  const int64_t length = std::min(num_tokens(), kBlockTokens), last = num_tokens() - length;
  std::vector<int64_t> tokens(kBlocks * length);
  for (int64_t i = 0; i < kBlocks; ++i)
    read(last * i / (kBlocks - 1), std::span(tokens).subspan(i * length, length));
  return fmt::format("{} tokens {:016x}", num_tokens(),
                     XXH3_64bits(tokens.data(), tokens.size() * sizeof(int64_t)));
}

std::string TokenStream::place(int64_t token) const {
  const size_t file =
      static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), token) - begins_.begin()) - 1;
  return fmt::format("{}.bin, token {}", files_.at(file).prefix().string(), token - begins_[file]);
}

TokenDataset::TokenDataset(std::shared_ptr<const TokenStream> stream, int64_t begin, int64_t end,
                           const SequenceOptions& options)
    : stream_(std::move(stream)),
      begin_(begin),
      end_(end),
      length_(options.length - options.reserved),
      vocab_size_(options.vocab_size) {
  if (length_ < 1) {
    throw ConfigError(
        fmt::format("data.sequence_length = {}. Allowed: {} or more.", options.length, options.reserved + 1));
  }
  if (begin < 0 || end > stream_->num_tokens() || begin > end) {
    throw InternalError(fmt::format("tokens {} to {} of {}", begin, end, stream_->num_tokens()));
  }
  if (end - begin < length_ + 1) {
    throw ConfigError(fmt::format(
        "data.sequence_length = {}: the data holds {} tokens, fewer than the {} of one sequence and its last "
        "label. "
        "Use more text or a sequence length of at most {}.",
        options.length, end - begin, length_ + 1, std::max<int64_t>(0, end - begin - 1) + options.reserved));
  }
}

Batch TokenDataset::fetch(std::span<const int64_t> samples, int64_t) const {
  const auto rows = static_cast<int64_t>(samples.size());
  const at::Tensor inputs = at::empty({rows, length_}, at::kLong),
                   labels = at::empty({rows, length_}, at::kLong);
  int64_t* input = inputs.mutable_data_ptr<int64_t>();
  int64_t* label = labels.mutable_data_ptr<int64_t>();
  std::vector<int64_t> tokens(static_cast<size_t>(length_ + 1));
  for (const int64_t sample : samples) {
    if (sample < 0 || sample >= size()) throw InternalError(fmt::format("sample {} of {}", sample, size()));
    const int64_t begin = begin_ + sample * length_;
    stream_->read(begin, tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] >= 0 && tokens[i] < vocab_size_) continue;
      throw IoError(fmt::format(
          "{}: id {} is not below model.vocab_size = {}. The file was made with another tokenizer, or the "
          "model needs a larger vocabulary.",
          stream_->place(begin + static_cast<int64_t>(i)), tokens[i], vocab_size_));
    }
    input = std::copy(tokens.begin(), tokens.end() - 1, input);
    label = std::copy(tokens.begin() + 1, tokens.end(), label);
  }
  return {.inputs = {{"input_ids", inputs}, {"labels", labels}}};
}

TokenSplit split_tokens(const std::shared_ptr<const TokenStream>& stream, double held_out,
                        const SequenceOptions& options) {
  if (!(held_out >= 0 && held_out < 1)) {
    throw ConfigError(
        fmt::format("held-out fraction {} of the data. Allowed: 0 to below 1, for example 0.01.", held_out));
  }
  const int64_t total = stream->num_tokens(), needed = options.length - options.reserved + 1;
  const int64_t border = total - std::llround(static_cast<double>(total) * held_out);
  TokenSplit split;
  split.train = std::make_shared<TokenDataset>(stream, 0, border, options);
  if (held_out > 0 && total - border < needed) {
    const double least = std::ceil(1e4 * static_cast<double>(needed) / static_cast<double>(total)) / 1e4;
    throw ConfigError(
        fmt::format("data.validation_fraction = {}: holds out {} of {} tokens, fewer than the {} of one "
                    "sequence and its last label. {}",
                    held_out, total - border, total, needed,
                    least <= 0.5 ? fmt::format("Allowed for this text: at least {}.", least)
                                 : "Use more text, or a smaller data.sequence_length."));
  }
  if (held_out > 0) split.held_out = std::make_shared<TokenDataset>(stream, border, total, options);
  return split;
}

}  // namespace colossal::data
