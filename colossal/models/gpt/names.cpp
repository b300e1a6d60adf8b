// SPDX-License-Identifier: Apache-2.0
// GPT-2 as Hugging Face stores it: Conv1D weights lie [in, out], q, k and v are one tensor.
#include "colossal/models/foreign_config.h"
#include "colossal/models/gpt/gpt.h"

namespace colossal::models::gpt {
namespace {

ForeignWeights foreign_weights(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  ForeignWeights weights;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, const std::string& parameter,
                       int64_t rotation = 0) {
    weights.tensors.push_back(
        {.name = name, .shape = std::move(shape), .parameter = parameter, .rotation = rotation});
  };
  const auto add_norm = [&](const std::string& name, const std::string& parameter) {
    add(name + ".weight", {h}, parameter + ".weight");
    add(name + ".bias", {h}, parameter + ".bias");
  };
  add("transformer.wte.weight", {c.vocab_size, h}, "embedding.weight");
  add("transformer.wpe.weight", {c.max_positions, h}, "positions.weight");
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string theirs = fmt::format("transformer.h.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    add_norm(theirs + "ln_1", ours + "norm1");
    add(theirs + "attn.c_attn.weight", {h, 3 * inner}, ours + "attention.qkv.weight", 3);
    add(theirs + "attn.c_attn.bias", {3 * inner}, ours + "attention.qkv.bias");
    add(theirs + "attn.c_proj.weight", {inner, h}, ours + "attention.out.weight", 1);
    add(theirs + "attn.c_proj.bias", {h}, ours + "attention.out.bias");
    add_norm(theirs + "ln_2", ours + "norm2");
    add(theirs + "mlp.c_fc.weight", {h, c.ffn_size}, ours + "mlp.up.weight", 1);
    add(theirs + "mlp.c_fc.bias", {c.ffn_size}, ours + "mlp.up.bias");
    add(theirs + "mlp.c_proj.weight", {c.ffn_size, h}, ours + "mlp.down.weight", 1);
    add(theirs + "mlp.c_proj.bias", {h}, ours + "mlp.down.bias");
  }
  add_norm("transformer.ln_f", "norm");
  if (c.tie_embeddings) {
    weights.repeated.emplace_back("lm_head.weight", "transformer.wte.weight");
  } else {
    add("lm_head.weight", {c.vocab_size, h}, "head.weight");
  }
  weights.optional_prefix = "transformer.";
  weights.ignored_endings = {".attn.bias", ".attn.masked_bias"};
  return weights;
}

ModelConfig from_foreign(const Json& json, const std::string& where) {
  ForeignConfig read(json, where);
  ModelConfig c;
  c.family = "gpt2";
  c.num_layers = read.integer("n_layer");
  c.hidden_size = read.integer("n_embd");
  c.num_heads = read.integer("n_head");
  c.ffn_size = read.integer("n_inner", 4 * c.hidden_size);
  c.vocab_size = read.integer("vocab_size");
  c.max_positions = read.integer("n_positions");
  c.norm_eps = read.number("layer_norm_epsilon", 1e-5);
  c.init_std = read.number("initializer_range", 0.02);
  c.tie_embeddings = read.boolean("tie_word_embeddings", true);
  c.dropout = read.number("resid_pdrop", 0.1);
  c.attention_dropout = read.number("attn_pdrop", 0.1);
  if (read.number("embd_pdrop", 0.1) != c.dropout) {
    read.problem(
        "embd_pdrop",
        fmt::format("= {} differs from resid_pdrop = {}, which is not supported. Allowed: equal rates.",
                    read.number("embd_pdrop", 0.1), c.dropout));
  }
  c.activation = read.gelu("activation_function", "gelu_new");
  read.must_be("scale_attn_weights", true);
  read.must_be("scale_attn_by_inverse_layer_idx", false);
  read.must_be("add_cross_attention", false);
  read.finish();
  return models::complete(c);
}

Json to_foreign(const ModelConfig& c) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"activation_function", gelu_name(c.activation)},
          {"attn_pdrop", c.attention_dropout},
          {"embd_pdrop", c.dropout},
          {"initializer_range", c.init_std},
          {"layer_norm_epsilon", c.norm_eps},
          {"n_embd", c.hidden_size},
          {"n_head", c.num_heads},
          {"n_inner", c.ffn_size},
          {"n_layer", c.num_layers},
          {"n_positions", c.max_positions},
          {"resid_pdrop", c.dropout},
          {"tie_word_embeddings", c.tie_embeddings},
          {"vocab_size", c.vocab_size}};
}

}  // namespace

ForeignFormat foreign() { return {from_foreign, to_foreign, foreign_weights}; }

}  // namespace colossal::models::gpt
