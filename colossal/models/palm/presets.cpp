// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "colossal/models/palm/palm.h"

namespace colossal::models::palm {
namespace {

ModelConfig rules(ModelConfig c) {
  if (c.num_kv_heads == 0) c.num_kv_heads = 1;
  if (c.logit_scale == 0)
    c.logit_scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(c.hidden_size, 1)));
  return c;
}

}  // namespace

// Table 1 of the paper; sequences of 2048 tokens, a vocabulary of 256k.
Family family() {
  const ModelConfig published = {
      .family = "palm", .head_dim = 256, .vocab_size = 256000, .max_positions = 2048, .norm_eps = 1e-6};
  return {.name = "palm",
          .summary = "PaLM: parallel attention and MLP, multi-query attention, SwiGLU, rotary positions",
          .rotary = true,
          .usual = {.family = "palm", .norm_eps = 1e-6},
          .presets = presets({{published,
                               {{"palm-8b", 32, 4096, 16},  //
                                {"palm-62b", 64, 8192, 32},
                                {"palm-540b", 118, 18432, 48}}}}),
          .rules = rules,
          .build = build,
          .foreign = foreign()};
}

}  // namespace colossal::models::palm
