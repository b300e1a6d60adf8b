// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/activation.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/activation_kernels.h"
#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

constexpr int64_t kElementGrain = 16384;

template <class Function>
at::Tensor unary_forward(const at::Tensor& x) {
  at::Tensor y = at::empty_like(x);
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    at::parallel_for(0, x.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      simd::run<UnaryForward<Function>>(from + begin, to + begin, end - begin);
    });
  });
  return y;
}

template <class Function>
at::Tensor unary_backward(const at::Tensor& x, const at::Tensor& dy_in) {
  const at::Tensor dy = dy_in.contiguous();
  at::Tensor dx = at::empty_like(x);
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T *from = x.const_data_ptr<T>(), *dfrom = dy.const_data_ptr<T>();
    T* to = dx.mutable_data_ptr<T>();
    at::parallel_for(0, x.numel(), kElementGrain, [&](int64_t begin, int64_t end) {
      simd::run<UnaryBackward<Function>>(from + begin, dfrom + begin, to + begin, end - begin);
    });
  });
  return dx;
}

template <class Function>
struct Unary : ag::Function<Unary<Function>> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x_in) {
    RECORD_FUNCTION("colossal::activation", {});
    const at::Tensor x = x_in.contiguous();
    ctx->save_for_backward({x});
    return unary_forward<Function>(x);
  }
  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    return {unary_backward<Function>(ctx->get_saved_variables()[0], grads[0])};
  }
};

at::Tensor swiglu_forward(const at::Tensor& like, const at::Tensor& gate, const at::Tensor& up,
                          int64_t stride, at::IntArrayRef shape) {
  at::Tensor y = at::empty(shape, like.options());
  const int64_t f = shape.back();
  with_type(like, [&](auto zero) {
    using T = decltype(zero);
    const T *g = gate.const_data_ptr<T>(), *u = up.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    at::parallel_for(0, row_count(y), row_grain(f), [&](int64_t begin, int64_t end) {
      simd::run<SwigluForward>(g, u, to, stride, f, begin, end);
    });
  });
  return y;
}

void swiglu_backward(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& dy_in,
                     const at::Tensor& dgate, const at::Tensor& dup, int64_t stride) {
  const at::Tensor dy = dy_in.contiguous();
  const int64_t f = dy.size(-1);
  with_type(dy, [&](auto zero) {
    using T = decltype(zero);
    const T *g = gate.const_data_ptr<T>(), *u = up.const_data_ptr<T>(), *d = dy.const_data_ptr<T>();
    T *dg = dgate.mutable_data_ptr<T>(), *du = dup.mutable_data_ptr<T>();
    at::parallel_for(0, row_count(dy), row_grain(f), [&](int64_t begin, int64_t end) {
      simd::run<SwigluBackward>(g, u, d, dg, du, stride, f, begin, end);
    });
  });
}

at::Tensor packed_backward(const at::Tensor& packed, const at::Tensor& dy) {
  at::Tensor dpacked = at::empty_like(packed);
  const int64_t f = packed.size(-1) / 2;
  swiglu_backward(packed.narrow(-1, 0, f), packed.narrow(-1, f, f), dy, dpacked.narrow(-1, 0, f),
                  dpacked.narrow(-1, f, f), 2 * f);
  return dpacked;
}

struct SwigluPair : ag::Function<SwigluPair> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& gate_in, const at::Tensor& up_in) {
    RECORD_FUNCTION("colossal::activation", {});
    const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous();
    ctx->save_for_backward({gate, up});
    return swiglu_forward(gate, gate, up, gate.size(-1), gate.sizes());
  }
  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dgate = at::empty_like(saved[0]), dup = at::empty_like(saved[1]);
    swiglu_backward(saved[0], saved[1], grads[0], dgate, dup, saved[0].size(-1));
    return {dgate, dup};
  }
};

struct SwigluPacked : ag::Function<SwigluPacked> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& packed_in) {
    RECORD_FUNCTION("colossal::activation", {});
    const at::Tensor packed = packed_in.contiguous();
    const int64_t f = packed.size(-1) / 2;
    std::vector<int64_t> shape = packed.sizes().vec();
    shape.back() = f;
    ctx->save_for_backward({packed});
    return swiglu_forward(packed, packed.narrow(-1, 0, f), packed.narrow(-1, f, f), 2 * f, shape);
  }
  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    return {packed_backward(ctx->get_saved_variables()[0], grads[0])};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  return has_kernel(x) ? Unary<GeluTanh>::apply(x) : at::gelu(x, "tanh");
}
at::Tensor gelu_erf(const at::Tensor& x) { return has_kernel(x) ? Unary<GeluErf>::apply(x) : at::gelu(x); }
at::Tensor silu(const at::Tensor& x) { return has_kernel(x) ? Unary<Silu>::apply(x) : at::silu(x); }

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (gate.sizes() != up.sizes() || gate.scalar_type() != up.scalar_type()) {
    throw ShapeError(fmt::format("swiglu: gate is {} {}, up {} {}. Both must have the same shape and dtype.",
                                 shape_text(gate.sizes()), at::toString(gate.scalar_type()),
                                 shape_text(up.sizes()), at::toString(up.scalar_type())));
  }
  return has_kernel(gate) ? SwigluPair::apply(gate, up) : aten::swiglu(gate, up);
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  if (gate_up.dim() == 0 || gate_up.size(-1) % 2 != 0) {
    throw ShapeError(fmt::format("swiglu: the last dimension of {} must be even: [gate | up].",
                                 shape_text(gate_up.sizes())));
  }
  if (has_kernel(gate_up)) return SwigluPacked::apply(gate_up);
  const auto halves = gate_up.chunk(2, -1);
  return aten::swiglu(halves[0], halves[1]);
}

at::Tensor activation(const at::Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::gelu_tanh: return functional::gelu_tanh(x);
    case Activation::gelu_erf: return functional::gelu_erf(x);
    case Activation::silu: return functional::silu(x);
    case Activation::swiglu: return functional::swiglu(x);
    default: return x;
  }
}

at::Tensor activation_backward(const at::Tensor& x, const at::Tensor& dy, Activation kind) {
  if (!has_kernel(x)) return aten::activation_backward(x, dy, kind);
  switch (kind) {
    case Activation::gelu_tanh: return unary_backward<GeluTanh>(x, dy);
    case Activation::gelu_erf: return unary_backward<GeluErf>(x, dy);
    case Activation::silu: return unary_backward<Silu>(x, dy);
    case Activation::swiglu: return packed_backward(x, dy);
    default: return dy;
  }
}

}  // namespace colossal::nn::functional
