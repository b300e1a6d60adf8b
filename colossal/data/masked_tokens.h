// SPDX-License-Identifier: Apache-2.0
// Masked-language samples (Devlin et al., arXiv 1810.04805) from stretches of text:
//
//   [CLS] A [SEP] B [SEP]     with next_sentence: B is what follows A half of the time, else it is from another stretch
//   [CLS] A [SEP]             without
//
//   auto dataset = std::make_shared<MaskedTokens>(stretches, MaskingOptions{.tokens = masking_tokens(*tokenizer, name), .num_words = 30522});
//
// "labels" holds the token where it was chosen, else -100; of the chosen ones 80 % became [MASK], 10 % a random token, 10 % stayed.
// "next_sentence_label" is 0 where B follows A, as in transformers; "token_type_ids" is 1 from B on. Thread-safe: immutable.
#pragma once
#include <memory>

#include "colossal/data/dataset.h"
#include "colossal/data/tokenizer.h"

namespace colossal::data {

struct MaskingOptions {
  MaskingTokens tokens = {};
  int32_t end_of_text = -1;   // between documents: is never chosen, like the tokens above; -1: there is none
  int64_t num_words = 0;      // random tokens are below it
  double probability = 0.15;  // of being chosen, each token on its own
  bool next_sentence = false;
  uint64_t seed = 0;
};

class MaskedTokens : public Dataset {
 public:
  // `stretches`: "input_ids" of equally many tokens, which are num_special(next_sentence) fewer than those of a sample; at least 2 for
  // pairs, of at least 2 stretches, else ConfigError.
  MaskedTokens(std::shared_ptr<const Dataset> stretches, const MaskingOptions& options);
  static int64_t num_special(bool next_sentence) { return next_sentence ? 3 : 2; }

  int64_t size() const override { return stretches_->size(); }
  Batch fetch(std::span<const int64_t> samples, int64_t position) const override;

 private:
  std::shared_ptr<const Dataset> stretches_;
  MaskingOptions options_;
  int64_t length_;  // of a stretch
};

}  // namespace colossal::data
