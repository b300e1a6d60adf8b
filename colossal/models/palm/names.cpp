// SPDX-License-Identifier: Apache-2.0
// PaLM as a Hugging Face folder. transformers has no such class; names and keys follow its customs for models of this form.
#include "colossal/models/foreign_config.h"
#include "colossal/models/palm/palm.h"

namespace colossal::models::palm {
namespace {

ForeignWeights foreign_weights(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t kv = c.num_kv_heads * c.head_dim;
  const bool fused = c.num_kv_heads == c.num_heads;
  ForeignWeights weights;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, const std::string& parameter,
                       int64_t part = -1) {
    weights.tensors.push_back({.name = name + ".weight",
                               .shape = std::move(shape),
                               .parameter = parameter + ".weight",
                               .part = part});
  };
  add("transformer.wte", {c.vocab_size, h}, "embedding");
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string theirs = fmt::format("transformer.layers.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    add(theirs + "norm", {h}, ours + "norm");
    add(theirs + "attn.q_proj", {inner, h}, ours + (fused ? "attention.qkv" : "attention.query"),
        fused ? 0 : -1);
    add(theirs + "attn.k_proj", {kv, h}, ours + (fused ? "attention.qkv" : "attention.key_value"),
        fused ? 1 : 0);
    add(theirs + "attn.v_proj", {kv, h}, ours + (fused ? "attention.qkv" : "attention.key_value"),
        fused ? 2 : 1);
    add(theirs + "attn.o_proj", {h, inner}, ours + "attention.out");
    add(theirs + "mlp.gate_proj", {c.ffn_size, h}, ours + "mlp.gate_up", 0);
    add(theirs + "mlp.up_proj", {c.ffn_size, h}, ours + "mlp.gate_up", 1);
    add(theirs + "mlp.down_proj", {h, c.ffn_size}, ours + "mlp.down");
  }
  add("transformer.norm", {h}, "norm");
  if (c.tie_embeddings) {
    weights.repeated.emplace_back("lm_head.weight", "transformer.wte.weight");
  } else {
    add("lm_head", {c.vocab_size, h}, "head");
  }
  weights.optional_prefix = "transformer.";
  return weights;
}

ModelConfig from_foreign(const Json& json, const std::string& where) {
  ForeignConfig read(json, where);
  ModelConfig c;
  c.family = "palm";
  c.num_layers = read.integer("num_hidden_layers");
  c.hidden_size = read.integer("hidden_size");
  c.num_heads = read.integer("num_attention_heads");
  c.num_kv_heads = read.integer("num_key_value_heads", 1);
  c.head_dim = read.integer("head_dim", 0);
  c.ffn_size = read.integer("intermediate_size", 0);
  c.vocab_size = read.integer("vocab_size");
  c.max_positions = read.integer("max_position_embeddings", 2048);
  c.norm_eps = read.number("layer_norm_eps", 1e-6);
  c.init_std = read.number("initializer_range", 0.02);
  c.tie_embeddings = read.boolean("tie_word_embeddings", true);
  c.dropout = read.number("hidden_dropout", 0.0);
  c.attention_dropout = read.number("attention_dropout", 0.0);
  c.rope.theta = read.number("rope_theta", 10000);
  c.logit_scale = read.number("logit_scale", 0.0);
  read.must_be("hidden_act", "silu");
  read.finish();
  return models::complete(c);
}

Json to_foreign(const ModelConfig& c) {
  return {{"architectures", {"PalmForCausalLM"}},
          {"model_type", "palm"},
          {"attention_dropout", c.attention_dropout},
          {"head_dim", c.head_dim},
          {"hidden_act", "silu"},
          {"hidden_dropout", c.dropout},
          {"hidden_size", c.hidden_size},
          {"initializer_range", c.init_std},
          {"intermediate_size", c.ffn_size},
          {"layer_norm_eps", c.norm_eps},
          {"logit_scale", c.logit_scale},
          {"max_position_embeddings", c.max_positions},
          {"num_attention_heads", c.num_heads},
          {"num_hidden_layers", c.num_layers},
          {"num_key_value_heads", c.num_kv_heads},
          {"rope_theta", c.rope.theta},
          {"tie_word_embeddings", c.tie_embeddings},
          {"vocab_size", c.vocab_size}};
}

}  // namespace

ForeignFormat foreign() { return {from_foreign, to_foreign, foreign_weights}; }

}  // namespace colossal::models::palm
