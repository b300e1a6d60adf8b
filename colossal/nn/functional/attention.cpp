// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/attention.h"

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/record_function.h>

#include "colossal/base/error.h"
#include "colossal/nn/functional/aten.h"
#include "colossal/nn/functional/attention_backward.h"
#include "colossal/nn/functional/kernel.h"
#include "colossal/nn/functional/optional.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

// [batch, heads, sequence, d] as the kernel wants it; key heads repeated for their group of query heads.
at::Tensor by_head(const at::Tensor& x, int64_t heads) {
  at::Tensor t = x.transpose(1, 2);
  const int64_t group = heads / x.size(2);
  if (group == 1) return t;
  return t.unsqueeze(2)
      .expand({t.size(0), t.size(1), group, t.size(2), t.size(3)})
      .reshape({t.size(0), heads, t.size(2), t.size(3)});
}

struct FlashOutput {
  at::Tensor out;  // [batch, heads, queries, d], dense in the order batch, queries, heads
  at::Tensor lse;  // [batch, heads, queries], likewise
};

FlashOutput flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const std::optional<at::Tensor>& mask, bool causal, double scale) {
  const at::Tensor keys = by_head(k, q.size(2)), values = by_head(v, q.size(2));
  if (q.is_meta()) {  // the operator knows no meta tensors
    return {at::empty(q.sizes(), q.options()).transpose(1, 2),
            at::empty(q.sizes().slice(0, 3), q.options().dtype(wide_type(q.scalar_type()))).transpose(1, 2)};
  }
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(q.transpose(1, 2), keys, values, 0.0,
                                                                    causal, mask, scale);
  return {out, lse};
}

// Saves the projections as they came (key heads not repeated), the output and one number per query and head.
struct Flash : ag::Function<Flash> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::optional<at::Tensor>& mask, bool causal,
                            double scale) {
    RECORD_FUNCTION("colossal::attention", {});
    const auto [out, lse] = flash(q, k, v, mask, causal, scale);
    ctx->save_for_backward({q, k, v, out, lse, mask.value_or(at::Tensor())});
    ctx->saved_data["causal"] = causal;
    ctx->saved_data["scale"] = scale;
    return out.transpose(1, 2).contiguous();
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    auto [dq, dk, dv] = attention_backward(grads[0], {.q = saved[0],
                                                      .k = saved[1],
                                                      .v = saved[2],
                                                      .out = saved[3].transpose(1, 2),
                                                      .lse = saved[4],
                                                      .mask = saved[5],
                                                      .causal = ctx->saved_data["causal"].toBool(),
                                                      .scale = ctx->saved_data["scale"].toDouble()});
    return {dq, dk, dv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// Scores are finite where a key is invisible, so that a row without any visible key stays free of NaN (it is
// zeroed afterwards).
constexpr double kInvisible = -1e30;

struct Mask {
  at::Tensor additive;  // [batch or 1, 1, queries, keys] in the dtype of q
  at::Tensor
      seen;  // bool [batch, queries, 1, 1]: false where a query sees no key at all; undefined if all see some
};

Mask build_mask(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const int64_t batch = q.size(0), queries = q.size(1), keys = k.size(1);
  at::Tensor visible = at::ones({1, 1, queries, keys}, q.options().dtype(at::kBool));
  if (options.causal) visible = visible.tril(keys - queries);
  if (options.key_mask.defined()) visible = visible.logical_and(options.key_mask.view({batch, 1, 1, keys}));
  const at::Tensor additive =
      at::zeros(visible.sizes(), q.options()).masked_fill_(visible.logical_not(), kInvisible);
  return {additive,
          options.key_mask.defined() ? visible.any(-1).transpose(1, 2).unsqueeze(-1) : at::Tensor()};
}

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const bool fits = q.dim() == 4 && k.dim() == 4 && k.sizes() == v.sizes() && q.size(0) == k.size(0) &&
                    q.size(3) == k.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0;
  if (!fits) {
    throw ShapeError(fmt::format(
        "attention: q is {}, k {}, v {}. Allowed: q [batch, queries, heads, d], k and v [batch, keys, "
        "kv_heads, d] with heads a multiple of kv_heads.",
        shape_text(q.sizes()), shape_text(k.sizes()), shape_text(v.sizes())));
  }
  if (options.causal && q.size(1) > k.size(1)) {
    throw ShapeError(fmt::format(
        "attention: {} queries but {} keys. Causal attention needs at least as many keys as queries.",
        q.size(1), k.size(1)));
  }
  const at::Tensor& mask = options.key_mask;
  if (mask.defined() && (mask.scalar_type() != at::kBool || mask.dim() != 2 || mask.size(0) != k.size(0) ||
                         mask.size(1) != k.size(1))) {
    throw ShapeError(fmt::format("attention: key_mask is {} {}. It must be bool {}x{} (batch, keys).",
                                 at::toString(mask.scalar_type()), shape_text(mask.sizes()), k.size(0),
                                 k.size(1)));
  }
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  check(q, k, v, options);
  if (!has_kernel(q) || options.dropout_mask || q.numel() == 0) return aten::attention(q, k, v, options);
  const double scale = options.scale != 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const bool square = q.size(1) == k.size(1);
  const auto dense = [](const at::Tensor& t) { return t.stride(-1) == 1 ? t : t.contiguous(); };
  if (!options.key_mask.defined() && (square || !options.causal || q.size(1) == 1)) {
    return Flash::apply(dense(q), dense(k), dense(v), std::optional<at::Tensor>(),
                        options.causal && q.size(1) > 1, scale);
  }
  const Mask mask = build_mask(q, k, options);
  const at::Tensor y = Flash::apply(dense(q), dense(k), dense(v), given(mask.additive), false, scale);
  return mask.seen.defined() ? y.masked_fill(mask.seen.logical_not(), 0) : y;
}

}  // namespace colossal::nn::functional
