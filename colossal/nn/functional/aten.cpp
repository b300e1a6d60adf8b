// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/aten.h"

#include <cmath>

namespace colossal::nn::functional::aten {
namespace {

at::Tensor as(const at::Tensor& t, at::ScalarType dtype) { return t.defined() ? t.to(dtype) : t; }

at::ScalarType accumulate_type(at::ScalarType dtype) {
  return dtype == at::kDouble ? at::kDouble : at::kFloat;
}

// [queries, keys] or [batch, 1, queries, keys], true where a query sees a key; undefined if all do.
at::Tensor visible(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const int64_t queries = q.size(1), keys = k.size(1);
  at::Tensor mask;
  if (options.causal && queries > 1) {
    mask = at::ones({queries, keys}, q.options().dtype(at::kBool)).tril(keys - queries);
  }
  if (options.key_mask.defined()) {
    at::Tensor by_key = options.key_mask.view({q.size(0), 1, 1, keys});
    mask = mask.defined() ? mask.logical_and(by_key) : by_key.expand({q.size(0), 1, queries, keys});
  }
  return mask;
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, as(weight, x.scalar_type()), as(bias, x.scalar_type()));
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return at::layer_norm(x, {x.size(-1)}, as(weight, x.scalar_type()), as(bias, x.scalar_type()), eps);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(accumulate_type(x.scalar_type()));
  const at::Tensor scale = (wide.square().mean(-1, true) + eps).rsqrt();
  return (wide * scale * weight).to(x.scalar_type());
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor activation_backward(const at::Tensor& x, const at::Tensor& dy, Activation kind) {
  switch (kind) {
    case Activation::gelu_tanh: return at::gelu_backward(dy, x, "tanh");
    case Activation::gelu_erf: return at::gelu_backward(dy, x);
    case Activation::silu: return at::silu_backward(dy, x);
    case Activation::swiglu: {
      const auto halves = x.chunk(2, -1);  // gate, up
      return at::cat({at::silu_backward(dy * halves[1], halves[0]), dy * at::silu(halves[0])}, -1);
    }
    default: return dy;
  }
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table, int64_t offset) {
  const at::Tensor cos = table.cos.narrow(0, offset, x.size(1)).unsqueeze(1);
  const at::Tensor sin = table.sin.narrow(0, offset, x.size(1)).unsqueeze(1);
  const auto halves = x.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1)
      .to(x.scalar_type());
}

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, at::ScalarType dtype) {
  return at::embedding(table, ids).to(dtype);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  const bool grouped = q.size(2) != k.size(2);
  const std::optional<double> scale =
      options.scale != 0 ? std::optional<double>(options.scale) : std::nullopt;
  const at::Tensor qh = q.transpose(1, 2), kh = k.transpose(1, 2), vh = v.transpose(1, 2);
  const at::Tensor mask = visible(q, k, options);
  if (!options.dropout_mask) {
    const bool plain_causal = options.causal && !options.key_mask.defined() && q.size(1) == k.size(1);
    at::Tensor y = plain_causal
                       ? at::scaled_dot_product_attention(qh, kh, vh, {}, 0.0, true, scale, grouped)
                       : at::scaled_dot_product_attention(
                             qh, kh, vh, mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt, 0.0,
                             false, scale, grouped);
    if (options.key_mask.defined()) y = y.masked_fill(mask.any(-1, true).logical_not(), 0);
    return y.transpose(1, 2).contiguous();
  }
  const int64_t repeats = q.size(2) / k.size(2);
  const at::Tensor keys = grouped ? kh.repeat_interleave(repeats, 1) : kh;
  const at::Tensor values = grouped ? vh.repeat_interleave(repeats, 1) : vh;
  const double factor = options.scale != 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  at::Tensor scores = at::matmul(qh, keys.transpose(2, 3)).to(accumulate_type(q.scalar_type())) * factor;
  if (mask.defined()) scores = scores.masked_fill(mask.logical_not(), -INFINITY);
  at::Tensor probabilities = at::softmax(scores, -1);
  if (options.key_mask.defined()) probabilities = probabilities.masked_fill(mask.logical_not(), 0);
  probabilities = (probabilities * options.dropout_mask()).to(q.scalar_type());
  return at::matmul(probabilities, values).transpose(1, 2).contiguous();
}

}  // namespace colossal::nn::functional::aten
