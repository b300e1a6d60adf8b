// SPDX-License-Identifier: Apache-2.0
// Floating-point operations that a model needs per token, and what share of a machine's peak a run reaches.
//
//   flops_per_token(config.model, vocab_size, config.data.sequence_length) * tokens_per_second / peak_flops   ->  0.41
//
// Thread-safe: pure functions.
#pragma once
#include <cstdint>

#include "colossal/train/config.h"

namespace colossal::train {

// Weights that take part in a matrix product for every token: attention, feed-forward, output layer (tied or not).
// Looking up an embedding is no product, and norms and biases are left out.
int64_t matmul_parameters(const ModelSection& model, int64_t vocab_size);

// Model FLOPs of forward and backward per token: 6 N + 12 L h s.
//   6 N       N = matmul_parameters; a multiplication and an addition each, in the forward product and in the two
//             products of the backward pass
//   12 L h s  attention over L layers of width h and sequences of s tokens: scores and weighted sum, 2 products of
//             2 h s each, three times; the causal half is not taken off (arXiv:2204.02311, appendix B)
// What a program computes beyond that (recomputed activations, padding) does not count: it is the model's need.
double flops_per_token(const ModelSection& model, int64_t vocab_size, int64_t sequence_length);

}  // namespace colossal::train
