// SPDX-License-Identifier: Apache-2.0
// Keys of [model].
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
namespace {

constexpr double kMaxSize = 1 << 24;

using models::Task;
std::vector<std::string> text_families() {
  return families_with({Task::causal_language, Task::masked_language});
}

void describe_rope_scaling(config::Section<RopeScaling>& s) {
  s.key("type", &RopeScaling::type, "llama3 stretches long waves only, linear all of them.")
      .one_of({"llama3", "linear"})
      .also_called({"rope_type", "kind"});
  s.key("factor", &RopeScaling::factor, "Frequencies are divided by this.").at_least(1);
  s.key("low_freq_factor", &RopeScaling::low_freq_factor,
        "Wavelengths above original_max_positions / low_freq_factor are scaled in full.")
      .above(0)
      .only_with("model.rope_scaling.type", {"llama3"});
  s.key("high_freq_factor", &RopeScaling::high_freq_factor,
        "Wavelengths below original_max_positions / high_freq_factor are not scaled.")
      .above(0)
      .only_with("model.rope_scaling.type", {"llama3"});
  s.key("original_max_positions", &RopeScaling::original_max_positions, "Positions before the stretching.")
      .at_least(1)
      .only_with("model.rope_scaling.type", {"llama3"})
      .also_called({"original_max_position_embeddings"});
}

void describe_sizes(config::Section<ModelSection>& s) {
  s.key("num_layers", &ModelSection::num_layers, "Transformer blocks.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else 6")
      .also_called({"n_layer", "n_layers", "layers", "num_hidden_layers", "depth"});
  s.key("hidden_size", &ModelSection::hidden_size, "Width of the residual stream.")
      .at_least(1)
      .at_most(kMaxSize)
      .unset_means("the preset's, else 384")
      .also_called({"n_embd", "d_model", "dim", "hidden", "hidden_dim", "width", "embed_dim"});
  s.key("num_heads", &ModelSection::num_heads, "Attention heads.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else 6")
      .also_called({"n_head", "n_heads", "heads", "num_attention_heads"});
  s.key("num_kv_heads", &ModelSection::num_kv_heads,
        "Heads of keys and values, shared by groups of attention heads.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else 1 for palm, model.num_heads for llama and qwen2")
      .only_with("model.family", rotary_families())
      .also_called({"n_kv_heads", "num_key_value_heads", "kv_heads", "num_query_groups"});
  s.key("head_dim", &ModelSection::head_dim, "Width of a head.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else model.hidden_size / model.num_heads")
      .also_called({"kv_channels", "head_size"});
  s.key("ffn_size", &ModelSection::ffn_size, "Width of the feed-forward layer.")
      .at_least(1)
      .at_most(kMaxSize)
      .unset_means(
          "the preset's, else 4 × hidden_size, 8/3 × hidden_size rounded up to a multiple "
          "of 64 "
          "for llama and qwen2")
      .also_called({"intermediate_size", "n_inner", "d_ff", "ffn_hidden_size", "ffn_dim", "mlp_size", "ffn"});
  s.key("vocab_size", &ModelSection::vocab_size, "Rows of the embedding; at least the size of the tokenizer.")
      .at_least(2)
      .at_most(1 << 28)
      .unset_means("the preset's, else the tokenizer's")
      .only_with("model.family", text_families())
      .also_called({"n_vocab", "vocabulary", "vocabulary_size", "padded_vocab_size"});
  s.key("max_positions", &ModelSection::max_positions, "Longest sequence the model can take.")
      .at_least(1)
      .at_most(1 << 28)
      .unset_means("the preset's, else data.sequence_length")
      .only_with("model.family", text_families())
      .also_called({"n_positions", "n_ctx", "max_position_embeddings", "max_seq_len"});
}

void describe_images(config::Section<ModelSection>& s) {
  const std::vector<std::string> families = families_with({Task::image_classification});
  s.key("image_size", &ModelSection::image_size, "Pixels of a side; images of other sizes are resized.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else that of IDX files, 224 for folders")
      .only_with("model.family", families)
      .also_called({"img_size", "resolution"});
  s.key("patch_size", &ModelSection::patch_size, "Pixels of a side of a patch; divides model.image_size.")
      .at_least(1)
      .at_most(65536)
      .unset_means("the preset's, else 4 for images of up to 100 pixels, 16 for larger ones")
      .only_with("model.family", families)
      .also_called({"patch"});
  s.key("channels", &ModelSection::channels, "1: grey, 3: red, green and blue.")
      .at_least(1)
      .at_most(3)
      .unset_means("the preset's, else 1 for IDX files, 3 for folders")
      .only_with("model.family", families)
      .also_called({"num_channels", "in_channels", "in_chans"});
  s.key("num_classes", &ModelSection::num_classes, "Classes that the model tells apart.")
      .at_least(2)
      .at_most(1 << 24)
      .unset_means("the preset's, else those of the data")
      .only_with("model.family", families)
      .also_called({"num_labels", "n_classes", "classes"});
}

}  // namespace

void describe_model(config::Section<ModelSection>& s) {
  s.key("family", &ModelSection::family,
        "Architecture. llama: Llama 1, 2, 3 and others of its form; bert fills in masked tokens; vit "
        "classifies images; the others "
        "predict the next token.")
      .one_of(family_names())
      .meant("gpt", "gpt2")
      .meant("gpt-2", "gpt2")
      .meant("llama2", "llama")
      .meant("llama3", "llama")
      .meant("qwen", "qwen2")
      .also_called({"type", "arch", "architecture", "model_type", "kind", "name"});
  s.key("preset", &ModelSection::preset,
        "A published size, which single keys may change; keys of the file that differ from a preset given "
        "with --set are "
        "an error. " +
            preset_help())
      .also_called({"size"});
  s.key("load", &ModelSection::load,
        "Hugging Face folder, or a checkpoint of Colossal, to start from. It brings family and sizes along.")
      .also_called(
          {"pretrained", "from", "path", "checkpoint", "init_from", "pretrained_model_name_or_path"});
  describe_sizes(s);
  s.key("next_sentence", &ModelSection::next_sentence,
        "With a head that tells whether a sentence follows the other, and pairs of sentences as data.")
      .unset_means("the preset's, else true")
      .only_with("model.family", families_with({Task::masked_language}));
  describe_images(s);
  s.key("dropout", &ModelSection::dropout,
        "Share of the embedding and of each branch's output set to zero in training.")
      .at_least(0)
      .below(1)
      .also_called({"resid_pdrop", "embd_pdrop", "hidden_dropout", "dropout_p"});
  s.key("attention_dropout", &ModelSection::attention_dropout,
        "Share of attention weights set to zero in training.")
      .at_least(0)
      .below(1)
      .also_called({"attn_pdrop", "attn_dropout"});
  s.key("tie_embeddings", &ModelSection::tie_embeddings, "Use the token embedding as output layer too.")
      .unset_means("the preset's, else true for gpt2, palm and bert, false for llama and qwen2")
      .only_with("model.family", text_families())
      .also_called({"tie_word_embeddings", "tie_weights", "tied"});
  s.key("rope_theta", &ModelSection::rope_theta, "Base of the rotary frequencies.")
      .above(0)
      .unset_means("the preset's, else 10000 for llama and palm, 1000000 for qwen2")
      .only_with("model.family", rotary_families())
      .also_called({"rotary_base", "rope_base"});
  s.key("norm_eps", &ModelSection::norm_eps, "Added to the variance in the norms.")
      .above(0)
      .at_most(0.1)
      .unset_means(
          "the preset's, else 1e-5 for gpt2 and llama, 1e-6 for qwen2 and palm, 1e-12 for bert and vit")
      .also_called({"layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps", "epsilon"});
  s.key("init_std", &ModelSection::init_std,
        "Standard deviation of initial weights. The embedding of palm has 1.")
      .above(0)
      .at_most(10)
      .also_called({"initializer_range", "init_method_std"});
  s.table("rope_scaling", &ModelSection::rope_scaling,
          "Stretching of rotary frequencies as in Llama 3.1, written model.rope_scaling = { factor = 8.0 }. "
          "Not there: none, or the preset's.",
          describe_rope_scaling);
}

}  // namespace colossal::train
