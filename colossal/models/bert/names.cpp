// SPDX-License-Identifier: Apache-2.0
// BertForPreTraining and BertForMaskedLM as Hugging Face stores them.
#include <algorithm>

#include "colossal/models/bert/bert.h"
#include "colossal/models/foreign_config.h"

namespace colossal::models::bert {
namespace {

constexpr const char* kPretraining = "BertForPreTraining";
constexpr const char* kMasked = "BertForMaskedLM";

bool read_next_sentence(ForeignConfig& read, const Json& json) {
  if (!read.has("architectures")) return false;
  const Json& classes = json.at("architectures");
  if (classes == Json::array({kPretraining})) return true;
  if (classes != Json::array({kMasked})) {
    read.problem("architectures", fmt::format("= {} is not supported. Allowed: {}, {}.", classes.dump(),
                                              kPretraining, kMasked));
  }
  return false;
}

// What other classes of transformers, and old versions, store beside these weights.
void accept_others(ForeignWeights& weights, const ModelConfig& c) {
  weights.repeated.emplace_back("cls.predictions.decoder.bias", "cls.predictions.bias");
  weights.ignored_endings = {".embeddings.position_ids"};
  if (!c.next_sentence) {
    for (const char* layer : {".pooler.dense", ".cls.seq_relationship"}) {
      for (const char* tensor : {".weight", ".bias"})
        weights.ignored_endings.push_back(std::string(layer) + tensor);
    }
  }
  weights.old_endings = {{".LayerNorm.weight", ".LayerNorm.gamma"}, {".LayerNorm.bias", ".LayerNorm.beta"}};
}

ForeignWeights foreign_weights(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  ForeignWeights weights;
  weights.add("bert.embeddings.word_embeddings.weight", {c.vocab_size, h}, "embedding.weight");
  weights.add("bert.embeddings.position_embeddings.weight", {c.max_positions, h}, "positions.weight");
  weights.add("bert.embeddings.token_type_embeddings.weight", {c.num_token_types, h}, "types.weight");
  weights.add_both("bert.embeddings.LayerNorm", {h}, "embedding_norm");
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string theirs = fmt::format("bert.encoder.layer.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    weights.add_both(theirs + "attention.self.query", {inner, h}, ours + "attention.qkv", 0);
    weights.add_both(theirs + "attention.self.key", {inner, h}, ours + "attention.qkv", 1);
    weights.add_both(theirs + "attention.self.value", {inner, h}, ours + "attention.qkv", 2);
    weights.add_both(theirs + "attention.output.dense", {h, inner}, ours + "attention.out");
    weights.add_both(theirs + "attention.output.LayerNorm", {h}, ours + "norm1");
    weights.add_both(theirs + "intermediate.dense", {c.ffn_size, h}, ours + "mlp.up");
    weights.add_both(theirs + "output.dense", {h, c.ffn_size}, ours + "mlp.down");
    weights.add_both(theirs + "output.LayerNorm", {h}, ours + "norm2");
  }
  weights.add_both("cls.predictions.transform.dense", {h, h}, "transform");
  weights.add_both("cls.predictions.transform.LayerNorm", {h}, "transform_norm");
  weights.add("cls.predictions.bias", {c.vocab_size}, "head.bias");
  if (c.tie_embeddings) {
    weights.repeated.emplace_back("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight");
  } else {
    weights.add("cls.predictions.decoder.weight", {c.vocab_size, h}, "head.weight");
  }
  if (c.next_sentence) {
    weights.add("bert.pooler.dense.weight", {h, h}, "next_sentence.pool_weight");
    weights.add("bert.pooler.dense.bias", {h}, "next_sentence.pool_bias");
    weights.add_both("cls.seq_relationship", {2, h}, "next_sentence");
  }
  accept_others(weights, c);
  return weights;
}

ModelConfig from_foreign(const Json& json, const std::string& where) {
  ForeignConfig read(json, where);
  ModelConfig c;
  c.family = "bert";
  c.next_sentence = read_next_sentence(read, json);
  c.num_layers = read.integer("num_hidden_layers");
  c.hidden_size = read.integer("hidden_size");
  c.num_heads = read.integer("num_attention_heads");
  c.ffn_size = read.integer("intermediate_size");
  c.vocab_size = read.integer("vocab_size");
  c.max_positions = read.integer("max_position_embeddings", 512);
  c.num_token_types = read.integer("type_vocab_size", 2);
  c.norm_eps = read.number("layer_norm_eps", 1e-12);
  c.init_std = read.number("initializer_range", 0.02);
  c.activation = read.gelu("hidden_act", "gelu");
  c.tie_embeddings = read.boolean("tie_word_embeddings", true);
  c.dropout = read.number("hidden_dropout_prob", 0.1);
  c.attention_dropout = read.number("attention_probs_dropout_prob", 0.1);
  read.must_be("position_embedding_type", "absolute");
  read.must_be("is_decoder", false);
  read.must_be("add_cross_attention", false);
  read.finish();
  return models::complete(c);
}

Json to_foreign(const ModelConfig& c) {
  return {{"architectures", Json::array({c.next_sentence ? kPretraining : kMasked})},
          {"model_type", "bert"},
          {"attention_probs_dropout_prob", c.attention_dropout},
          {"hidden_act", gelu_name(c.activation)},
          {"hidden_dropout_prob", c.dropout},
          {"hidden_size", c.hidden_size},
          {"initializer_range", c.init_std},
          {"intermediate_size", c.ffn_size},
          {"layer_norm_eps", c.norm_eps},
          {"max_position_embeddings", c.max_positions},
          {"num_attention_heads", c.num_heads},
          {"num_hidden_layers", c.num_layers},
          {"pad_token_id", 0},
          {"position_embedding_type", "absolute"},
          {"tie_word_embeddings", c.tie_embeddings},
          {"type_vocab_size", c.num_token_types},
          {"vocab_size", c.vocab_size}};
}

}  // namespace

ForeignFormat foreign() { return {from_foreign, to_foreign, foreign_weights}; }

}  // namespace colossal::models::bert
