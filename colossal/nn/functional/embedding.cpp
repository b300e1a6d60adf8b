// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/embedding.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, std::optional<at::ScalarType> dtype) {
  return aten::embedding(ids, table, dtype.value_or(table.scalar_type()));
}

}  // namespace colossal::nn::functional
