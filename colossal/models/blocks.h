// SPDX-License-Identifier: Apache-2.0
// The blocks of the residual stream: attention and MLP in the arrangements that there are.
//
//   BlockParts parts = {.arrangement = Arrangement::post_norm, .norm = {...}, .attention = attention_options(c), .mlp = mlp_options(c)};
//   Block block(config, parts, make, "blocks.3");
//
// Dropout on both branches. Thread safety: one rank, one thread.
#pragma once
#include <memory>
#include <string>

#include "colossal/models/model_config.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::models {

enum class Arrangement {
  pre_norm,   // y = x + attention(norm1(x)), y + mlp(norm2(y)): GPT-2, Llama, ViT
  parallel,   // u = norm(x), x + attention(u) + mlp(u): PaLM
  post_norm,  // y = norm1(x + attention(x)), norm2(y + mlp(y)): BERT
};

// down(activation(up(x))); for Activation::swiglu down(silu(gate(x)) * up(x)), Shazeer 2020 (arXiv 2002.05202).
struct MlpOptions {
  int64_t hidden = 0;
  int64_t ffn = 0;
  Activation activation = Activation::gelu_erf;
  bool bias = true;
  double init_std = 0.02;
  double out_init_std = 0.02;
};
std::shared_ptr<nn::UnaryLayer> make_mlp(const MlpOptions& options, nn::LayerFactory& make);

struct BlockParts {
  Arrangement arrangement = Arrangement::pre_norm;
  nn::NormOptions norm = {};
  nn::AttentionOptions attention = {};
  MlpOptions mlp = {};
};

class Block final : public nn::Layer {
 public:
  // `site` is the prefix of its dropout sites.
  Block(const ModelConfig& config, const BlockParts& parts, nn::LayerFactory& make, const std::string& site);
  at::Tensor forward(const at::Tensor& x, const nn::AttentionContext& context);  // [b, s, h] -> same

 private:
  Arrangement arrangement_;
  std::shared_ptr<nn::NormLayer> norm1_, norm2_;  // parallel: the first alone
  std::shared_ptr<nn::AttentionLayer> attention_;
  std::shared_ptr<nn::UnaryLayer> mlp_, drop1_, drop2_;
};

// Weights that write to the residual stream start smaller, by the number of such writes (Radford et al. 2019).
double residual_std(const ModelConfig& config);

// The attention and the MLP that the sizes, rates and deviations of `config` describe.
nn::AttentionOptions attention_options(const ModelConfig& config);
MlpOptions mlp_options(const ModelConfig& config);

}  // namespace colossal::models
