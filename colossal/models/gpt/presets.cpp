// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/gpt/gpt.h"

namespace colossal::models::gpt {

// quickstart: a few minutes on a laptop; for byte tokens (256 and 1 end-of-text), padded to a round number.
Family family() {
  return {.name = "gpt2",
          .summary = "GPT-2: learned positions, layer norm, GELU",
          .usual = {.family = "gpt2", .activation = Activation::gelu_tanh},
          .presets = presets({{{.family = "gpt2", .vocab_size = 264, .max_positions = 256},  //
                               {{"quickstart", 4, 256, 4}}},
                              {{.family = "gpt2", .vocab_size = 50257, .max_positions = 1024},
                               {{"gpt2", 12, 768, 12},
                                {"gpt2-small", 12, 768, 12},
                                {"gpt2-124m", 12, 768, 12},
                                {"gpt2-medium", 24, 1024, 16},
                                {"gpt2-large", 36, 1280, 20},
                                {"gpt2-xl", 48, 1600, 25}}},
                              // Brown et al., arXiv 2005.14165
                              {{.family = "gpt2", .vocab_size = 50257, .max_positions = 2048},
                               {{"gpt3-175b", 96, 12288, 96}}}}),
          .build = build,
          .foreign = foreign()};
}

}  // namespace colossal::models::gpt
