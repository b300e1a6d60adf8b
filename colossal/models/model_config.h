// SPDX-License-Identifier: Apache-2.0
// What a model is, in words that all families share. The family says what else is fixed (norm, activation, biases).
//
//   ModelConfig config{.family = "llama", .num_layers = 2, .hidden_size = 64, .num_heads = 4, .vocab_size = 257};
//   std::vector<std::string> wrong = problems(complete(config), Modality::text);      // complete: family.h
//
// Thread-safe: values and pure functions.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "colossal/nn/functional/activation.h"

namespace colossal::models {

// Rotary position embedding.
struct Rope {
  enum class Scaling { none, linear, llama3 };
  double theta = 10000;
  Scaling scaling = Scaling::none;
  double factor = 1;                      // linear, llama3: how much longer the context became
  double low_freq_factor = 1;             // llama3
  double high_freq_factor = 4;            // llama3
  int64_t original_max_positions = 8192;  // llama3
  bool operator==(const Rope&) const = default;
};

using nn::functional::Activation;

// What a model of images sees.
struct ImageConfig {
  int64_t size = 224;  // pixels of a side
  int64_t patch = 16;  // pixels of a side, a divisor of size
  int64_t channels = 3;
  int64_t num_classes = 1000;
  bool operator==(const ImageConfig&) const = default;
};

struct ModelConfig {
  std::string family = "gpt2";
  int64_t num_layers = 0;
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;      // 0: num_heads
  int64_t head_dim = 0;          // 0: hidden_size / num_heads
  int64_t ffn_size = 0;          // 0: the family's rule
  int64_t vocab_size = 0;        // families of text
  int64_t max_positions = 1024;  // images: patches and class token
  ImageConfig image = {};        // families of images
  double norm_eps = 1e-5;
  Rope rope = {};                            // families with rotary embedding
  Activation activation = Activation::none;  // gpt2, bert, vit; none: the family's
  bool qkv_bias = false;                     // llama: qwen2 has them
  double logit_scale = 0;                    // palm; 0: 1 / sqrt(hidden_size)
  int64_t num_token_types = 2;               // bert
  bool next_sentence = false;  // bert: with the head that tells whether a sentence follows the other
  bool tie_embeddings = true;
  double dropout = 0;  // on the residual stream and the embedding
  double attention_dropout = 0;
  double init_std = 0.02;
  bool operator==(const ModelConfig&) const = default;
};

// Every problem of a config after the family has filled in its zeros: sizes below 1, heads that do not divide. Empty: fine.
// Each names the key as in a run file ("model.num_heads").
enum class Modality { text, image };
std::vector<std::string> problems(const ModelConfig& config, Modality modality);

// theta^(-2i/d) with the scaling applied, i < head_dim / 2, in fp64. llama3: long wavelengths are divided by `factor`, short ones kept,
// those between original_max_positions / high_freq_factor and / low_freq_factor blended (Llama 3.1 model card, transformers rope_utils).
std::vector<double> inverse_frequencies(const Rope& rope, int64_t head_dim);

}  // namespace colossal::models
