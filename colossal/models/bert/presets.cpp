// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/bert/bert.h"

namespace colossal::models::bert {
namespace {

// Every head has its own keys and values, whatever the config says.
ModelConfig rules(ModelConfig c) {
  c.num_kv_heads = c.num_heads;
  return c;
}

}  // namespace

// The uncased English models with both heads.
Family family() {
  const ModelConfig uncased = {
      .family = "bert", .vocab_size = 30522, .max_positions = 512, .norm_eps = 1e-12, .next_sentence = true};
  return {.name = "bert",
          .summary = "BERT: masked tokens and next sentence, post-norm, token types",
          .task = Task::masked_language,
          .usual = {.family = "bert", .norm_eps = 1e-12, .activation = Activation::gelu_erf},
          .presets = presets({{uncased, {{"bert-base", 12, 768, 12}, {"bert-large", 24, 1024, 16}}}}),
          .rules = rules,
          .build = build,
          .foreign = foreign()};
}

}  // namespace colossal::models::bert
