// SPDX-License-Identifier: Apache-2.0
// Language-model loss with the vocabulary sharded over a group: fused and chunked over tokens, as nn/functional/cross_entropy.h.
//
//   at::Tensor loss = vocabulary_parallel_loss(hidden, weight, bias, labels, num_targets, head);
//
// Per token three numbers are all-reduced (largest logit; sum of exponentials and logit of the label), never logits. Operands and
// partial logits go through the ports of the mode (port.h). Computed in fp32 (fp64 for fp64). Thread safety: collective.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/parallel/tensor/products.h"

namespace colossal::parallel {

struct VocabularyParallel {
  ProductPorts ports;      // hidden, weight (its rows), partial logits
  comm::Group vocabulary;  // shares the columns of the logits
  comm::Group tokens;      // shares the tokens: the loss is summed over it
  int64_t first = 0;       // column of the vocabulary that is this rank's column 0
  int64_t valid = 0;       // so many columns of this rank are of the vocabulary, the others are padding
};

// sum over all tokens with a label of -log p(label) / num_targets, 0-d and equal on all ranks of the mode. hidden: this rank's part
// of the stream; weight: local; bias: of this rank's columns, or undefined; labels: int64, of the tokens whose logits this rank gets, -100: none.
at::Tensor vocabulary_parallel_loss(const at::Tensor& hidden, const at::Tensor& weight,
                                    const at::Tensor& bias, const at::Tensor& labels, double num_targets,
                                    const VocabularyParallel& head);

// How the labels of this rank's tokens score, 0 where there is none: shape of labels. No gradient.
nn::functional::TokenScores vocabulary_parallel_scores(const at::Tensor& hidden, const at::Tensor& weight,
                                                       const at::Tensor& bias, const at::Tensor& labels,
                                                       const VocabularyParallel& head);

}  // namespace colossal::parallel
