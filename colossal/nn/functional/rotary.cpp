// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/rotary.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/aten.h"
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

template <class T>
struct RotaryArguments {
  using A = simd::Wide<T>;
  const T* x;
  T* y;          // dense [batch, sequence, heads, 2 half]
  const A* cos;  // row 0 belongs to sequence position 0
  const A* sin;
  A direction;  // 1 turns, -1 turns back
  int64_t sequence, heads, half;
  int64_t stride_batch, stride_sequence, stride_head;
};

// Tokens [begin, end) of batch * sequence.
struct Rotate {
  template <class T>
  COLOSSAL_INLINE static void run(RotaryArguments<T> a, int64_t begin, int64_t end) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    for (int64_t token = begin; token < end; ++token) {
      const int64_t s = token % a.sequence, b = token / a.sequence;
      for (int64_t head = 0; head < a.heads; ++head) {
        const T* x = a.x + b * a.stride_batch + s * a.stride_sequence + head * a.stride_head;
        T* y = a.y + (token * a.heads + head) * 2 * a.half;
        for (int64_t i = 0; i < a.half; i += kLanes) {
          const int64_t left = a.half - i;
          const auto c = simd::load_up_to(a.cos + s * a.half + i, left);
          const auto d = simd::load_up_to(a.sin + s * a.half + i, left) * a.direction;
          const auto u = simd::load_up_to(x + i, left), v = simd::load_up_to(x + a.half + i, left);
          simd::store_up_to(y + i, u * c - v * d, left);
          simd::store_up_to(y + a.half + i, v * c + u * d, left);
        }
      }
    }
  }
};

at::Tensor rotate(const at::Tensor& x_in, const at::Tensor& cos, const at::Tensor& sin, int64_t offset,
                  int direction) {
  const at::Tensor x = x_in.stride(-1) == 1 ? x_in : x_in.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    const RotaryArguments<T> a{x.const_data_ptr<T>(),
                               y.mutable_data_ptr<T>(),
                               cos.const_data_ptr<A>() + offset * cos.size(1),
                               sin.const_data_ptr<A>() + offset * sin.size(1),
                               static_cast<A>(direction),
                               x.size(1),
                               x.size(2),
                               x.size(3) / 2,
                               x.stride(0),
                               x.stride(1),
                               x.stride(2)};
    at::parallel_for(0, x.size(0) * x.size(1), row_grain(x.size(2) * x.size(3)),
                     [&](int64_t begin, int64_t end) { simd::run<Rotate>(a, begin, end); });
  });
  return y;
}

struct Rotary : ag::Function<Rotary> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin, int64_t offset) {
    RECORD_FUNCTION("colossal::rotary", {});
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["offset"] = offset;
    return rotate(x, cos, sin, offset, 1);
  }
  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto tables = ctx->get_saved_variables();
    return {rotate(grads[0], tables[0], tables[1], ctx->saved_data["offset"].toInt(), -1), {}, {}, {}};
  }
};

}  // namespace

RotaryTable rotary_table(std::span<const double> inverse_frequencies, int64_t positions, at::ScalarType dtype,
                         at::Device device) {
  const auto wide = at::dtype(at::kDouble);
  const at::Tensor frequencies = at::empty({static_cast<int64_t>(inverse_frequencies.size())}, wide);
  std::copy(inverse_frequencies.begin(), inverse_frequencies.end(), frequencies.mutable_data_ptr<double>());
  const at::Tensor angles = at::outer(at::arange(positions, wide), frequencies);
  const auto options = at::dtype(wide_type(dtype)).device(device);
  return {angles.cos().to(options), angles.sin().to(options)};
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table, int64_t offset) {
  if (x.dim() != 4 || x.size(3) != 2 * table.cos.size(1)) {
    throw ShapeError(fmt::format(
        "apply_rotary: x is {}, the table turns heads of {}. x must be [batch, sequence, heads, {}].",
        shape_text(x.sizes()), 2 * table.cos.size(1), 2 * table.cos.size(1)));
  }
  if (offset < 0 || offset + x.size(1) > table.cos.size(0)) {
    throw ShapeError(fmt::format(
        "apply_rotary: positions {} to {} of a table of {} positions. Build the table for more positions.",
        offset, offset + x.size(1) - 1, table.cos.size(0)));
  }
  const bool usable = has_kernel(x) && table.cos.scalar_type() == wide_type(x.scalar_type());
  return usable ? Rotary::apply(x, table.cos, table.sin, offset) : aten::apply_rotary(x, table, offset);
}

}  // namespace colossal::nn::functional
