// SPDX-License-Identifier: Apache-2.0
// Small models of every family, in every tensor mode: what the tests of rehearsals count on real ranks and on meta tensors.
//
//   for (const RehearsalCase& c : rehearsal_cases(4)) cost = train::rehearse(world_of_4, c.rehearsal);
//
// Thread-safe: pure functions.
#pragma once
#include <string>
#include <vector>

#include "colossal/models/family.h"
#include "colossal/train/rehearsal.h"

namespace colossal::testing {

struct RehearsalCase {
  std::string name;
  train::Rehearsal rehearsal;
};

// 6 sequences of 10, a vocabulary of 127 and 17 patches divide by few meshes.
inline models::ModelConfig rehearsal_model(const std::string& family) {
  models::ModelConfig c = models::family(family).usual;
  c.num_layers = 2;
  c.hidden_size = 64;
  c.num_heads = 16;
  c.head_dim = 16;
  c.num_kv_heads = family == "llama" ? 4 : family == "palm" ? 1 : 16;
  c.ffn_size = 192;
  c.vocab_size = 127;
  c.max_positions = 12;
  c.image = {.size = 16, .patch = 4, .channels = 3, .num_classes = 5};
  c.next_sentence = family == "bert";
  c.dropout = family == "bert" ? 0.1 : 0;
  return c;
}

inline std::vector<RehearsalCase> rehearsal_cases(int ranks) {
  using parallel::Keep;
  using parallel::TensorMode;
  struct Mode {
    parallel::TensorParallel how;
    Keep keep = Keep::shards;
  };
  const std::vector<Mode> modes = {{{TensorMode::none, 1}},
                                   {{TensorMode::one_d, 4}},
                                   {{TensorMode::one_d_sequence, 4}},
                                   {{TensorMode::one_d_sequence, 4}, Keep::gathered},
                                   {{TensorMode::two_d, 4}},
                                   {{TensorMode::two_and_half_d, 8, 2}},
                                   {{TensorMode::three_d, 8}},
                                   {{TensorMode::three_d, 8}, Keep::gathered},
                                   {{TensorMode::one_d, 16}},
                                   {{TensorMode::one_d_sequence, 16}},
                                   {{TensorMode::two_d, 16}},
                                   {{TensorMode::two_d, 64}},
                                   {{TensorMode::two_and_half_d, 64, 4}},
                                   {{TensorMode::three_d, 64}}};
  std::vector<RehearsalCase> cases;
  for (const auto& [how, keep] : modes) {
    if (how.size != ranks) continue;
    for (const std::string family : {"gpt2", "llama", "bert", "vit", "palm"}) {
      cases.push_back({family + " " + std::string(parallel::kTensorModes[static_cast<size_t>(how.mode)]) +
                           " " + std::to_string(how.size) + (keep == Keep::gathered ? " gathered" : ""),
                       {.model = rehearsal_model(family),
                        .tensor = how,
                        .keep = keep,
                        .batch_size = 6,
                        .sequence_length = 10}});
    }
  }
  return cases;
}

}  // namespace colossal::testing
