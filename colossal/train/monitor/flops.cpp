// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/flops.h"

namespace colossal::train {

int64_t matmul_parameters(const ModelSection& model, int64_t vocab_size) {
  const int64_t layers = model.num_layers.value(), hidden = model.hidden_size.value(),
                ffn = model.ffn_size.value();
  const int64_t heads = model.num_heads.value(),
                kv_hidden = hidden / heads * model.num_kv_heads.value_or(heads);
  const int64_t attention = 2 * hidden * hidden + 2 * hidden * kv_hidden;  // query and output, key and value
  const int64_t feed_forward = (model.family == "gpt2" ? 2 : 3) * hidden * ffn;  // gated: one more
  return layers * (attention + feed_forward) + hidden * vocab_size;
}

double flops_per_token(const ModelSection& model, int64_t vocab_size, int64_t sequence_length) {
  return 6.0 * static_cast<double>(matmul_parameters(model, vocab_size)) +
         12.0 * static_cast<double>(model.num_layers.value() * model.hidden_size.value() * sequence_length);
}

}  // namespace colossal::train
