// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/rotary.h"

#include "colossal/base/error.h"
#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

RotaryTable rotary_table(std::span<const double> inverse_frequencies, int64_t positions, at::ScalarType dtype,
                         at::Device device) {
  const auto wide = at::dtype(at::kDouble);
  const at::Tensor frequencies = at::empty({static_cast<int64_t>(inverse_frequencies.size())}, wide);
  std::copy(inverse_frequencies.begin(), inverse_frequencies.end(), frequencies.mutable_data_ptr<double>());
  const at::Tensor angles = at::outer(at::arange(positions, wide), frequencies);
  const auto options = at::dtype(dtype == at::kDouble ? at::kDouble : at::kFloat).device(device);
  return {angles.cos().to(options), angles.sin().to(options)};
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table, int64_t offset) {
  if (offset < 0 || offset + x.size(1) > table.cos.size(0)) {
    throw ShapeError(fmt::format(
        "apply_rotary: positions {} to {} of a table of {} positions. Build the table for more positions.",
        offset, offset + x.size(1) - 1, table.cos.size(0)));
  }
  return aten::apply_rotary(x, table, offset);
}

}  // namespace colossal::nn::functional
