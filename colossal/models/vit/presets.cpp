// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/vit/vit.h"

namespace colossal::models::vit {
namespace {

// Every head has its own keys and values, and there is a position for each patch and the class token, whatever the config says.
ModelConfig rules(ModelConfig c) {
  c.num_kv_heads = c.num_heads;
  const int64_t side = c.image.patch < 1 ? 0 : c.image.size / c.image.patch;
  c.max_positions = side * side + 1;
  return c;
}

}  // namespace

// For ImageNet-1k: images of 224 x 224, 1000 classes. Tiny and small: Touvron et al., arXiv 2012.12877; the others: table 1 of the paper.
Family family() {
  return {.name = "vit",
          .summary = "ViT: images as sequences of patches, class token, classifier",
          .task = Task::image_classification,
          .usual = {.family = "vit", .norm_eps = 1e-12, .activation = Activation::gelu_erf},
          .presets = presets({{{.family = "vit", .image = {.patch = 16}, .norm_eps = 1e-12},
                               {{"vit-tiny-16", 12, 192, 3},
                                {"vit-small-16", 12, 384, 6},
                                {"vit-base-16", 12, 768, 12},
                                {"vit-large-16", 24, 1024, 16}}},
                              {{.family = "vit", .image = {.patch = 14}, .norm_eps = 1e-12},  //
                               {{"vit-huge-14", 32, 1280, 16}}}}),
          .rules = rules,
          .build = build,
          .foreign = foreign()};
}

}  // namespace colossal::models::vit
