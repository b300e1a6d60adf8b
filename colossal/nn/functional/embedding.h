// SPDX-License-Identifier: Apache-2.0
// Rows of a table.
//
//   at::Tensor x = functional::embedding(ids, table, at::kBFloat16);
//   // ids: int64 [..] -> [.., h] in the dtype of the activations
//
// Backward adds rows in the order of the ids, so it does not depend on the number of threads. Thread-safe:
// pure function.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

namespace colossal::nn::functional {

// ids outside [0, table.size(0)) are a ShapeError. dtype: of the result; default: of the table.
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table,
                     std::optional<at::ScalarType> dtype = {});

}  // namespace colossal::nn::functional
