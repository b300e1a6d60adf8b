// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/cross_entropy.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/cross_entropy_kernels.h"
#include "colossal/nn/functional/kernel.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/softmax_rows.h"
#include "colossal/nn/functional/sum_rows.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/matmul.h"
#include "colossal/tensor/meta.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

// Logits and their gradients held at a time. Larger chunks spread the traffic of accumulating the weight gradient over
// more tokens.
constexpr int64_t kLogitBytes = int64_t{72} << 20;

// Equal chunks, so that all of them use one matmul kernel.
int64_t chunk_rows(int64_t rows, int64_t row_bytes) {
  const int64_t most = std::clamp<int64_t>(kLogitBytes / row_bytes, 1, std::max<int64_t>(rows, 1));
  const int64_t chunks = (rows + most - 1) / most;
  return chunks == 0 ? 1 : (rows + chunks - 1) / chunks;
}

struct Want {
  bool hidden = false;
  bool weight = false;
  bool bias = false;
  bool right = false;
  bool any() const { return hidden || weight || bias; }
};

struct Result {
  TokenScores scores;  // [rows], wide
  at::Tensor dhidden;  // of -sum(log_probs) * scale
  at::Tensor dweight;
  at::Tensor dbias;
};

template <class T>
void softmax_rows(const at::Tensor& logits, const at::Tensor& dlogits, const int64_t* labels,
                  simd::Wide<T>* log_probs, simd::Wide<T>* right, double scale) {
  using A = simd::Wide<T>;
  const CrossEntropyArguments<T> a{logits.mutable_data_ptr<A>(),
                                   dlogits.defined() ? dlogits.mutable_data_ptr<T>() : nullptr,
                                   labels,
                                   log_probs,
                                   right,
                                   logits.size(1),
                                   static_cast<A>(scale)};
  at::parallel_for(0, logits.size(0), row_grain(logits.size(1)),
                   [&](int64_t begin, int64_t end) { simd::run<CrossEntropyRows>(a, begin, end); });
}

// The same where there is no kernel, by operators: the results of the rows go into log_probs, right (or undefined) and dlogits (or undefined).
void softmax_by_operators(const at::Tensor& logits, const at::Tensor& dlogits, const at::Tensor& labels,
                          const at::Tensor& log_probs, const at::Tensor& right, double scale) {
  const at::Tensor ignored = labels.eq(kIgnoredLabel), column = labels.clamp_min(0).unsqueeze(1);
  const at::Tensor own = logits.gather(1, column).squeeze(1);
  const RowSums sums = exponentials_(logits);
  log_probs.copy_((own - sums.most - sums.total.log()).masked_fill_(ignored, 0));
  if (right.defined()) right.copy_(own.ge(sums.most).logical_and_(ignored.logical_not()));
  if (!dlogits.defined()) return;
  const at::Tensor has_label = ignored.logical_not().unsqueeze(1).to(logits.scalar_type());
  softmax_gradient_into(dlogits, logits,
                        {sums.total.reciprocal().mul_(scale).masked_fill_(ignored, 0), column, has_label},
                        scale);
}

Result run(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
           const at::Tensor& labels, double scale, Want want) {
  const at::ScalarType type = hidden.scalar_type(), wide = wide_type(type);
  const at::Tensor h = hidden.reshape({-1, hidden.size(-1)}).contiguous(),
                   y = labels.reshape({-1}).contiguous();
  const at::Tensor w = tensor::cached_cast(weight, type).contiguous();
  const at::Tensor b = bias.defined() ? bias.to(wide) : bias;
  const int64_t rows = h.size(0), vocabulary = w.size(0);
  const auto options = h.options().dtype(wide);
  const bool narrow_gradient = want.any() && type != wide;  // else it takes the place of the logits
  const int64_t element_bytes =
      static_cast<int64_t>(c10::elementSize(wide) + (narrow_gradient ? c10::elementSize(type) : 0));
  const int64_t chunk = chunk_rows(rows, vocabulary * element_bytes);
  Result result{{at::empty({rows}, options), want.right ? at::empty({rows}, options) : at::Tensor()},
                want.hidden ? at::empty_like(h) : at::Tensor(),
                want.weight ? (rows == 0 ? at::zeros(w.sizes(), options) : at::empty(w.sizes(), options))
                            : at::Tensor(),
                want.bias ? at::zeros({vocabulary}, options) : at::Tensor()};
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t count = std::min(chunk, rows - begin);
    const at::Tensor rows_h = h.narrow(0, begin, count), logits = tensor::matmul_forward_wide(rows_h, w);
    const at::Tensor dlogits = narrow_gradient ? at::empty_like(logits, h.options())
                               : want.any()    ? logits
                                               : at::Tensor();
    if (b.defined()) logits.add_(b);
    const auto of_rows = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, begin, count) : t; };
    const at::Tensor &log_probs = result.scores.log_probs, &right = result.scores.right;
    if (!has_kernel(h)) {
      softmax_by_operators(logits, dlogits, of_rows(y), of_rows(log_probs), of_rows(right), scale);
    } else {
      with_type(h, [&](auto zero) {
        using T = decltype(zero);
        using A = simd::Wide<T>;
        softmax_rows<T>(logits, dlogits, y.const_data_ptr<int64_t>() + begin,
                        log_probs.template mutable_data_ptr<A>() + begin,
                        want.right ? right.template mutable_data_ptr<A>() + begin : nullptr, scale);
      });
    }
    if (want.hidden) tensor::matmul_input_grad_into(result.dhidden.narrow(0, begin, count), dlogits, w);
    if (want.weight) {
      tensor::matmul_weight_grad_(result.dweight, dlogits, rows_h,
                                  begin == 0 ? tensor::Accumulate::no : tensor::Accumulate::yes);
    }
    if (want.bias) result.dbias.add_(sum_rows(dlogits, result.dbias.scalar_type()));
  }
  // Often the largest copy of all, and not used again before the next forward: the peak of a step lies in between.
  if (want.weight) tensor::drop_cast(weight);
  return result;
}

// 0-d, in double; on the CPU in the order of the tokens, so that chunks and threads leave no trace.
at::Tensor total(const at::Tensor& log_probs) {
  const at::Tensor wide = log_probs.to(at::kDouble);
  if (!wide.is_cpu()) return wide.sum();
  double sum = 0;
  for (const double *p = wide.const_data_ptr<double>(), *end = p + wide.numel(); p != end; ++p) sum += *p;
  return at::full({}, sum, wide.options());
}

// t * factor, 0-d. What a GPU holds is not waited for.
at::Tensor scaled(const at::Tensor& t, const at::Tensor& factor) {
  if (!t.defined()) return t;
  if (t.is_cuda()) return t.to(factor.scalar_type()).mul(factor).to(t.scalar_type());
  const double number = tensor::number_in(factor, 1);
  return number == 1 ? t : t * number;
}

// The gradients are formed in forward, while the logits of a chunk are there anyway, and scaled in backward where that is needed. In fp16
// those of one token among thousands would vanish: there they are formed for the sum of the losses, and all scaling is left to backward,
// where the factor of loss scaling is known.
struct FusedLoss : ag::Function<FusedLoss> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const at::Tensor& labels,
                            double num_targets, bool want_hidden, bool want_weight, bool want_bias) {
    RECORD_FUNCTION("colossal::cross_entropy", {});
    const bool late = hidden.scalar_type() == at::kHalf;
    Result r = run(hidden, weight, bias.value_or(at::Tensor()), labels, late ? 1.0 : 1.0 / num_targets,
                   {want_hidden, want_weight, want_bias});
    if (want_hidden) r.dhidden = r.dhidden.view(hidden.sizes());
    if (want_weight) r.dweight = r.dweight.to(weight.scalar_type());
    if (want_bias) r.dbias = r.dbias.to(bias->scalar_type());
    ctx->save_for_backward({r.dhidden, r.dweight, r.dbias});
    ctx->saved_data["targets"] = late ? num_targets : 1.0;
    return total(r.scores.log_probs).div_(-num_targets).to(r.scores.log_probs.scalar_type());
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor factor = grads[0] / ctx->saved_data["targets"].toDouble();
    return {scaled(saved[0], factor), scaled(saved[1], factor), scaled(saved[2], factor), {}, {}, {}, {}, {}};
  }
};

void check_loss(const char* where, const at::Tensor& hidden, const at::Tensor& weight,
                const at::Tensor& labels, const at::Tensor& bias) {
  const bool fits = hidden.dim() > 0 && weight.dim() == 2 && hidden.size(-1) == weight.size(1) &&
                    labels.sizes() == hidden.sizes().slice(0, static_cast<size_t>(hidden.dim() - 1)) &&
                    labels.scalar_type() == at::kLong;
  if (!fits) {
    throw ShapeError(
        fmt::format("{}: hidden is {}, weight {}, labels {} {}. Allowed: hidden [.., h], weight [vocabulary, "
                    "h], labels int64 [..].",
                    where, shape_text(hidden.sizes()), shape_text(weight.sizes()),
                    at::toString(labels.scalar_type()), shape_text(labels.sizes())));
  }
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != weight.size(0))) {
    throw ShapeError(fmt::format("{}: bias is {}. Allowed: {} (the vocabulary).", where,
                                 shape_text(bias.sizes()), weight.size(0)));
  }
  if (!labels.is_cpu()) return;
  const at::Tensor dense = labels.contiguous();
  const int64_t* y = dense.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < dense.numel(); ++i) {
    if (y[i] != kIgnoredLabel && (y[i] < 0 || y[i] >= weight.size(0))) {
      throw ShapeError(fmt::format(
          "{}: label {} (token {}) is outside the vocabulary. Allowed: 0 to {}, or {} for no target.", where,
          y[i], i, weight.size(0) - 1, kIgnoredLabel));
    }
  }
}

}  // namespace

at::Tensor fused_linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight,
                                      const at::Tensor& labels, double num_targets, const at::Tensor& bias) {
  check_loss("fused_linear_cross_entropy", hidden, weight, labels, bias);
  const bool grad = at::GradMode::is_enabled();
  return FusedLoss::apply(hidden, weight, given(bias), labels, num_targets, grad && hidden.requires_grad(),
                          grad && weight.requires_grad(), grad && bias.defined() && bias.requires_grad());
}

TokenScores token_scores(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                         const at::Tensor& bias) {
  check_loss("token_scores", hidden, weight, labels, bias);
  at::NoGradGuard no_grad;
  const TokenScores scores = run(hidden, weight, bias, labels, 1.0, {.right = true}).scores;
  return {scores.log_probs.view(labels.sizes()), scores.right.view(labels.sizes())};
}

}  // namespace colossal::nn::functional
