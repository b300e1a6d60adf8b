// SPDX-License-Identifier: Apache-2.0
// ViTForImageClassification as Hugging Face stores it. The number of classes is that of the names in id2label.
#include "colossal/models/foreign_config.h"
#include "colossal/models/vit/vit.h"

namespace colossal::models::vit {
namespace {

ForeignWeights foreign_weights(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  ForeignWeights weights;
  weights.add("vit.embeddings.cls_token", {1, 1, h}, "patches.class_token");
  weights.add("vit.embeddings.position_embeddings", {1, c.max_positions, h}, "positions.weight");
  weights.add_both("vit.embeddings.patch_embeddings.projection",
                   {h, c.image.channels, c.image.patch, c.image.patch}, "patches");
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string theirs = fmt::format("vit.encoder.layer.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    weights.add_both(theirs + "layernorm_before", {h}, ours + "norm1");
    weights.add_both(theirs + "attention.attention.query", {inner, h}, ours + "attention.qkv", 0);
    weights.add_both(theirs + "attention.attention.key", {inner, h}, ours + "attention.qkv", 1);
    weights.add_both(theirs + "attention.attention.value", {inner, h}, ours + "attention.qkv", 2);
    weights.add_both(theirs + "attention.output.dense", {h, inner}, ours + "attention.out");
    weights.add_both(theirs + "layernorm_after", {h}, ours + "norm2");
    weights.add_both(theirs + "intermediate.dense", {c.ffn_size, h}, ours + "mlp.up");
    weights.add_both(theirs + "output.dense", {h, c.ffn_size}, ours + "mlp.down");
  }
  weights.add_both("vit.layernorm", {h}, "norm");
  weights.add_both("classifier", {c.image.num_classes, h}, "classifier");
  return weights;
}

ModelConfig from_foreign(const Json& json, const std::string& where) {
  ForeignConfig read(json, where);
  ModelConfig c;
  c.family = "vit";
  c.num_layers = read.integer("num_hidden_layers");
  c.hidden_size = read.integer("hidden_size");
  c.num_heads = read.integer("num_attention_heads");
  c.ffn_size = read.integer("intermediate_size");
  c.image.size = read.integer("image_size", 224);
  c.image.patch = read.integer("patch_size", 16);
  c.image.channels = read.integer("num_channels", 3);
  const Json names = read.object("id2label");
  c.image.num_classes = read.integer("num_labels", names.empty() ? 2 : static_cast<int64_t>(names.size()));
  c.norm_eps = read.number("layer_norm_eps", 1e-12);
  c.init_std = read.number("initializer_range", 0.02);
  c.activation = read.gelu("hidden_act", "gelu");
  c.dropout = read.number("hidden_dropout_prob", 0.0);
  c.attention_dropout = read.number("attention_probs_dropout_prob", 0.0);
  read.must_be("qkv_bias", true);
  read.finish();
  return models::complete(c);
}

Json to_foreign(const ModelConfig& c) {
  Json names = Json::object(), numbers = Json::object();
  for (int64_t i = 0; i < c.image.num_classes; ++i) {
    const std::string name = fmt::format("LABEL_{}", i);
    names[std::to_string(i)] = name;
    numbers[name] = i;
  }
  return {{"architectures", {"ViTForImageClassification"}},
          {"model_type", "vit"},
          {"attention_probs_dropout_prob", c.attention_dropout},
          {"hidden_act", gelu_name(c.activation)},
          {"hidden_dropout_prob", c.dropout},
          {"hidden_size", c.hidden_size},
          {"id2label", names},
          {"image_size", c.image.size},
          {"initializer_range", c.init_std},
          {"intermediate_size", c.ffn_size},
          {"label2id", numbers},
          {"layer_norm_eps", c.norm_eps},
          {"num_attention_heads", c.num_heads},
          {"num_channels", c.image.channels},
          {"num_hidden_layers", c.num_layers},
          {"patch_size", c.image.patch},
          {"qkv_bias", true}};
}

}  // namespace

ForeignFormat foreign() { return {from_foreign, to_foreign, foreign_weights}; }

}  // namespace colossal::models::vit
