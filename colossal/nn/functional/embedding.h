// SPDX-License-Identifier: Apache-2.0
// Rows of a table.
//
//   at::Tensor x = functional::embedding(ids, table, at::kBFloat16);
//   // ids: int64 [..] -> [.., h] in the dtype of the activations
//
// Backward adds rows in the order of the ids, so it does not depend on the number of threads. Thread-safe: pure function.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

namespace colossal::nn::functional {

// The gradient of the table: all its rows, or (sparse) only those that were looked up. Autograd adds a sparse gradient to a dense one of
// the same table in place, so a table that is also an output layer needs no second gradient of full size.
enum class TableGradient { dense, sparse };

// ids outside [0, table.size(0)) are a ShapeError. dtype: of the result; default: of the table.
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, std::optional<at::ScalarType> dtype = {},
                     TableGradient gradient = TableGradient::dense);

}  // namespace colossal::nn::functional
