// SPDX-License-Identifier: Apache-2.0
// Llama and Qwen2 as Hugging Face stores them. config.json has two spellings of rope: "rope_parameters" (transformers 5) and
// "rope_theta" with "rope_scaling" (4); both are read, both are written.
#include "colossal/models/foreign_config.h"
#include "colossal/models/llama/llama.h"

namespace colossal::models::llama {
namespace {

Rope read_rope(ForeignConfig& read, const std::string& where) {
  const bool new_spelling = read.has("rope_parameters");
  const std::string key = new_spelling ? "rope_parameters" : "rope_scaling";
  const Json json = read.object(key);
  ForeignConfig scaling(json, where + ": " + key);
  Rope rope;
  rope.theta = new_spelling ? scaling.number("rope_theta", read.number("rope_theta", 10000))
                            : read.number("rope_theta", 10000);
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  if (type == "linear" || type == "llama3") rope.factor = scaling.number("factor");
  if (type == "linear") rope.scaling = Rope::Scaling::linear;
  if (type == "llama3") {
    rope.scaling = Rope::Scaling::llama3;
    rope.low_freq_factor = scaling.number("low_freq_factor");
    rope.high_freq_factor = scaling.number("high_freq_factor");
    rope.original_max_positions = scaling.integer("original_max_position_embeddings");
  } else if (type != "default" && type != "linear") {
    scaling.problem("rope_type",
                    fmt::format("= \"{}\" is not supported. Allowed: default, linear, llama3.", type));
  }
  read.adopt(std::move(scaling));
  return rope;
}

Json rope_json(const Rope& rope) {
  Json json = {{"rope_type", "default"}};
  if (rope.scaling == Rope::Scaling::linear) json = {{"rope_type", "linear"}, {"factor", rope.factor}};
  if (rope.scaling == Rope::Scaling::llama3) {
    json = {{"rope_type", "llama3"},
            {"factor", rope.factor},
            {"low_freq_factor", rope.low_freq_factor},
            {"high_freq_factor", rope.high_freq_factor},
            {"original_max_position_embeddings", rope.original_max_positions}};
  }
  return json;
}

ModelConfig read_common(ForeignConfig& read, const std::string& where) {
  ModelConfig c;
  c.num_layers = read.integer("num_hidden_layers");
  c.hidden_size = read.integer("hidden_size");
  c.num_heads = read.integer("num_attention_heads");
  c.num_kv_heads = read.integer("num_key_value_heads", c.num_heads);
  c.head_dim = read.integer("head_dim", 0);
  c.ffn_size = read.integer("intermediate_size");
  c.vocab_size = read.integer("vocab_size");
  c.max_positions = read.integer("max_position_embeddings", 2048);
  c.norm_eps = read.number("rms_norm_eps", 1e-6);
  c.init_std = read.number("initializer_range", 0.02);
  c.tie_embeddings = read.boolean("tie_word_embeddings", false);
  c.attention_dropout = read.number("attention_dropout", 0.0);
  c.rope = read_rope(read, where);
  read.must_be("hidden_act", "silu");
  return c;
}

ModelConfig from_foreign(const Json& json, const std::string& where) {
  ForeignConfig read(json, where);
  ModelConfig c = read_common(read, where);
  c.family = read.text("model_type");
  if (c.family == "qwen2") {
    read.must_be("use_sliding_window", false);
  } else {
    read.must_be("attention_bias", false);
    read.must_be("mlp_bias", false);
  }
  read.finish();
  return models::complete(c);
}

Json to_foreign(const ModelConfig& c) {
  const bool qwen2 = c.family == "qwen2";
  Json json = {{"architectures", {qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM"}},
               {"model_type", qwen2 ? "qwen2" : "llama"},
               {"attention_dropout", c.attention_dropout},
               {"head_dim", c.head_dim},
               {"hidden_act", "silu"},
               {"hidden_size", c.hidden_size},
               {"initializer_range", c.init_std},
               {"intermediate_size", c.ffn_size},
               {"max_position_embeddings", c.max_positions},
               {"num_attention_heads", c.num_heads},
               {"num_hidden_layers", c.num_layers},
               {"num_key_value_heads", c.num_kv_heads},
               {"rms_norm_eps", c.norm_eps},
               {"rope_theta", c.rope.theta},
               {"tie_word_embeddings", c.tie_embeddings},
               {"vocab_size", c.vocab_size}};
  Json rope = rope_json(c.rope);
  json["rope_scaling"] = c.rope.scaling == Rope::Scaling::none ? Json() : rope;
  rope["rope_theta"] = c.rope.theta;
  json["rope_parameters"] = rope;
  if (qwen2) {
    json["use_sliding_window"] = false;
  } else {
    json["attention_bias"] = false;
    json["mlp_bias"] = false;
  }
  return json;
}

ForeignWeights foreign_weights(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t kv = c.num_kv_heads * c.head_dim;
  ForeignWeights weights;
  weights.add("model.embed_tokens.weight", {c.vocab_size, h}, "embedding.weight");
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string theirs = fmt::format("model.layers.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    const auto add_projection = [&](const char* name, int64_t out, const std::string& layer, int64_t part) {
      weights.add(fmt::format("{}self_attn.{}.weight", theirs, name), {out, h},
                  ours + "attention." + layer + ".weight", part);
      if (c.qkv_bias)
        weights.add(fmt::format("{}self_attn.{}.bias", theirs, name), {out},
                    ours + "attention." + layer + ".bias", part);
    };
    const bool fused = c.num_kv_heads == c.num_heads;
    weights.add(theirs + "input_layernorm.weight", {h}, ours + "norm1.weight");
    add_projection("q_proj", inner, fused ? "qkv" : "query", fused ? 0 : -1);
    add_projection("k_proj", kv, fused ? "qkv" : "key_value", fused ? 1 : 0);
    add_projection("v_proj", kv, fused ? "qkv" : "key_value", fused ? 2 : 1);
    weights.add(theirs + "self_attn.o_proj.weight", {h, inner}, ours + "attention.out.weight");
    weights.add(theirs + "post_attention_layernorm.weight", {h}, ours + "norm2.weight");
    weights.add(theirs + "mlp.gate_proj.weight", {c.ffn_size, h}, ours + "mlp.gate_up.weight", 0);
    weights.add(theirs + "mlp.up_proj.weight", {c.ffn_size, h}, ours + "mlp.gate_up.weight", 1);
    weights.add(theirs + "mlp.down_proj.weight", {h, c.ffn_size}, ours + "mlp.down.weight");
  }
  weights.add("model.norm.weight", {h}, "norm.weight");
  if (c.tie_embeddings) {
    weights.repeated.emplace_back("lm_head.weight", "model.embed_tokens.weight");
  } else {
    weights.add("lm_head.weight", {c.vocab_size, h}, "head.weight");
  }
  weights.optional_prefix = "model.";
  weights.ignored_endings = {".rotary_emb.inv_freq"};
  return weights;
}

}  // namespace

ForeignFormat foreign() { return {from_foreign, to_foreign, foreign_weights}; }

}  // namespace colossal::models::llama
