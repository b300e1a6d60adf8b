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

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace colossal::nn::functional {

// For a table that also gets a dense gradient in the same backward (that of a tied head): rows wait here and are added to the dense
// gradient when it arrives, instead of a second table of zeros. One backward at a time.
class DeferredRows final : public std::enable_shared_from_this<DeferredRows> {
 public:
  // Once, with the leaf that `embedding` reads.
  void attach(const at::Tensor& table);
  // `output` was computed from the table with a dense gradient: its backward, which comes before that of the embedding, announces it.
  void expect_dense_from(const at::Tensor& output);
  // False: nothing dense is coming, the caller must form the whole gradient. dy: [.., h].
  bool take(const at::Tensor& ids, const at::Tensor& dy);

 private:
  at::Tensor add_to(const at::Tensor& dense);

  bool expected_ = false;
  std::vector<std::pair<at::Tensor, at::Tensor>> rows_;  // ids, dy
};
using DeferredRowsPtr = std::shared_ptr<DeferredRows>;

// ids outside [0, table.size(0)): a ShapeError, or rows of zeros (of a table that is shared by ranks). dtype: of the result; default: of
// the table.
enum class Outside { error, zeros };
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, std::optional<at::ScalarType> dtype = {},
                     const DeferredRowsPtr& deferred = {}, Outside outside = Outside::error);

}  // namespace colossal::nn::functional
