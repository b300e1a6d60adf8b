// SPDX-License-Identifier: Apache-2.0
// Language-model loss from hidden states, without ever forming the logits [tokens, vocabulary]: tokens are
// taken in chunks and the gradients of hidden states and weight are computed along with the loss.
//
//   at::Tensor loss = functional::fused_linear_cross_entropy(hidden, head_weight, labels, num_targets);
//   loss.backward();
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

inline constexpr int64_t kIgnoredLabel = -100;

// sum over targets of -log softmax(hidden W^T)[label] / num_targets, 0-d, fp32 (fp64 for fp64). hidden: [..,
// h]; weight: [vocabulary, h]; labels: int64, the leading shape of hidden, kIgnoredLabel = not a target.
// num_targets: of the whole global batch, so that losses and gradients of ranks and micro-batches add up.
// Other labels outside [0, vocabulary) are a ShapeError. bias: [vocabulary], added to the logits, or undefined.
at::Tensor fused_linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight,
                                      const at::Tensor& labels, double num_targets,
                                      const at::Tensor& bias = {});

// How the label of every token scores, 0 where ignored: shape of labels, fp32 (fp64 for fp64). For evaluation: not differentiable.
struct TokenScores {
  at::Tensor log_probs;  // log p(label)
  at::Tensor right;      // 1 where no other logit is larger
};
TokenScores token_scores(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                         const at::Tensor& bias = {});

}  // namespace colossal::nn::functional
