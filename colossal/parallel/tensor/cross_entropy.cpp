// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/cross_entropy.h"

#include <ATen/record_function.h>

#include "colossal/comm/collectives.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/softmax_rows.h"
#include "colossal/nn/functional/sum_rows.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/matmul.h"
#include "colossal/tensor/meta.h"

namespace colossal::parallel {
namespace {

namespace ag = torch::autograd;
using nn::functional::kIgnoredLabel;

constexpr int64_t kLogitBytes = int64_t{64} << 20;  // partial logits held at a time

struct Want {
  bool hidden = false;
  bool weight = false;
  bool bias = false;
  bool any() const { return hidden || weight || bias; }
};

struct Result {
  nn::functional::TokenScores scores;  // [tokens], wide
  at::Tensor dhidden;
  at::Tensor dweight;
  at::Tensor dbias;
};

// What the labels of some tokens say about this rank's columns.
struct Targets {
  at::Tensor column;   // [t, 1], of this rank's logits: any where the label is another's
  at::Tensor others;   // bool [t], the label is none or another's
  at::Tensor ignored;  // bool [t], no label
  at::Tensor mine;     // [t, 1] in the dtype of the logits, 1 where the label is this rank's

  Targets(const at::Tensor& labels, at::ScalarType wide, const VocabularyParallel& head)
      : ignored(labels.eq(kIgnoredLabel)) {
    const at::Tensor local = labels - head.first;
    others = local.lt(0).logical_or_(local.ge(head.valid)).logical_or_(ignored);
    column = local.clamp_(0, std::max<int64_t>(head.valid, 1) - 1).unsqueeze(1);
    mine = others.logical_not().to(wide).unsqueeze(1);
  }
  Targets narrow(int64_t begin, int64_t count) const {
    Targets part = *this;
    for (at::Tensor* t : {&part.column, &part.others, &part.ignored, &part.mine})
      *t = t->narrow(0, begin, count);
    return part;
  }
};

// A softmax over columns that the members of a group share. The logits are overwritten.
struct Softmax {
  nn::functional::TokenScores scores;  // [t], 0 where there is no label
  at::Tensor dlogits;  // scale * (p - onehot), in the dtype of the activations; undefined when not wanted
};

Softmax softmax_over(const at::Tensor& logits, const Targets& targets, double scale,
                     std::optional<at::ScalarType> gradient, const VocabularyParallel& head) {
  using namespace nn::functional;
  const int64_t columns = logits.size(1);
  const at::Tensor own = logits.gather(1, targets.column).squeeze(1);
  // Columns behind the vocabulary have no part in it: their logits count as -inf.
  RowSums sums;
  if (head.valid == 0) {
    logits.zero_();
    sums = {at::full({logits.size(0)}, -INFINITY, logits.options()),
            at::zeros({logits.size(0)}, logits.options())};
  } else {
    if (head.valid < columns) logits.narrow(1, head.valid, columns - head.valid).fill_(-INFINITY);
    sums = exponentials_(logits);
  }
  const at::Tensor most = sums.most.clone();
  comm::all_reduce(most, head.vocabulary, comm::ReduceOp::max);
  const at::Tensor shrink = (sums.most - most).exp_();
  const at::Tensor both = at::stack({sums.total * shrink, (own - most).masked_fill_(targets.others, 0)});
  comm::all_reduce(both, head.vocabulary);
  Softmax result{{(both[1] - both[0].log()).masked_fill_(targets.ignored, 0), {}}, {}};
  if (!gradient) {  // one rank has the label, and the difference to the largest logit is exact
    result.scores.right = both[1].eq(0).logical_and_(targets.ignored.logical_not()).to(logits.scalar_type());
    return result;
  }
  const at::Tensor factors = (shrink * scale / both[0]).masked_fill_(targets.ignored, 0);
  result.dlogits = logits.scalar_type() == *gradient
                       ? logits
                       : at::empty(logits.sizes(), logits.options().dtype(*gradient));
  softmax_gradient_into(result.dlogits, logits, {factors, targets.column, targets.mine}, scale);
  return result;
}

Result run(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias,
           const at::Tensor& labels, double scale, Want want, const VocabularyParallel& head) {
  const at::ScalarType type = hidden.scalar_type(), wide = type == at::kDouble ? at::kDouble : at::kFloat;
  Flight weights = head.ports.weight.start_enter(tensor::cached_cast(weight, type));
  const at::Tensor all = head.ports.input.enter(hidden);
  const at::Tensor w = weights.wait().contiguous();
  // Logits are cut along the tokens (3D): each chunk holds as many tokens of every member.
  const Port& output = head.ports.output;
  const bool by_tokens = output.kind() == Port::Kind::gather && output.dim() == 0;
  const int64_t members = by_tokens ? output.group().size() : 1, tokens = labels.numel();
  const at::Tensor x = all.reshape({members, tokens, all.size(-1)});
  const int64_t most =
      std::clamp<int64_t>(kLogitBytes / (members * w.size(0) * static_cast<int64_t>(c10::elementSize(wide))),
                          1, std::max<int64_t>(tokens, 1));
  const Targets targets(labels.reshape({-1}), wide, head);
  const auto options = hidden.options().dtype(wide);
  Result result{{at::empty({tokens}, options), want.any() ? at::Tensor() : at::empty({tokens}, options)},
                {},
                {},
                want.bias ? at::zeros(bias.sizes(), options) : at::Tensor()};
  const at::Tensor dx = want.hidden ? at::empty_like(x) : at::Tensor();
  const at::Tensor dw = !want.weight  ? at::Tensor()
                        : tokens == 0 ? at::zeros(w.sizes(), options)
                                      : at::empty(w.sizes(), options);
  for (int64_t begin = 0; begin < tokens; begin += most) {
    const int64_t count = std::min(most, tokens - begin);
    const at::Tensor rows = x.narrow(1, begin, count).reshape({members * count, x.size(2)});
    const at::Tensor logits = output.leave(tensor::matmul_forward_wide(rows, w));
    if (bias.defined()) logits.add_(bias.detach().to(wide));
    const Softmax softmax = softmax_over(logits, targets.narrow(begin, count), scale,
                                         want.any() ? std::optional(type) : std::nullopt, head);
    result.scores.log_probs.narrow(0, begin, count).copy_(softmax.scores.log_probs);
    if (!want.any()) {
      result.scores.right.narrow(0, begin, count).copy_(softmax.scores.right);
      continue;
    }
    if (want.bias) result.dbias.add_(nn::functional::sum_rows(softmax.dlogits, wide));
    if (!want.hidden && !want.weight) continue;
    const at::Tensor dlogits = output.enter(softmax.dlogits).contiguous();
    if (want.hidden)
      dx.narrow(1, begin, count)
          .copy_(tensor::matmul_input_grad(dlogits, w).view({members, count, x.size(2)}));
    if (want.weight)
      tensor::matmul_weight_grad_(dw, dlogits, rows,
                                  begin == 0 ? tensor::Accumulate::no : tensor::Accumulate::yes);
  }
  if (want.weight) tensor::drop_cast(weight);  // as the dense head does
  Flight dweights = want.weight ? head.ports.weight.start_leave(dw) : Flight(at::Tensor());
  if (want.hidden) result.dhidden = head.ports.input.leave(dx.view(all.sizes())).view(hidden.sizes());
  if (want.weight) result.dweight = dweights.wait().to(weight.scalar_type());
  if (want.bias) result.dbias = result.dbias.to(bias.scalar_type());
  return result;
}

double total(const at::Tensor& log_probs, const comm::Group& tokens) {
  const at::Tensor sum = log_probs.sum(at::kDouble);
  comm::all_reduce(sum, tokens);
  return tensor::number_in(sum, 0);
}

// The gradients are formed in forward, while logits are there anyway, and scaled in backward where that is needed.
struct Loss : ag::Function<Loss> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const at::Tensor& labels,
                            double num_targets, Want want, const VocabularyParallel& head) {
    RECORD_FUNCTION("colossal::vocabulary_parallel_loss", {});
    const bool late = hidden.scalar_type() == at::kHalf;  // as the dense head does
    const Result r =
        run(hidden, weight, bias.value_or(at::Tensor()), labels, late ? 1.0 : 1.0 / num_targets, want, head);
    ctx->saved_data["targets"] = late ? num_targets : 1.0;
    ctx->save_for_backward({r.dhidden, r.dweight, r.dbias});
    return at::full({}, -total(r.scores.log_probs, head.tokens) / num_targets, r.scores.log_probs.options());
  }
  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto kept = ctx->get_saved_variables();
    const double factor = tensor::number_in(grads[0], 1) / ctx->saved_data["targets"].toDouble();
    const auto scaled = [&](const at::Tensor& t) { return !t.defined() || factor == 1 ? t : t * factor; };
    return {scaled(kept[0]), scaled(kept[1]), scaled(kept[2]), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor vocabulary_parallel_loss(const at::Tensor& hidden, const at::Tensor& weight,
                                    const at::Tensor& bias, const at::Tensor& labels, double num_targets,
                                    const VocabularyParallel& head) {
  const bool grad = at::GradMode::is_enabled();
  return Loss::apply(hidden, weight, nn::functional::given(bias), labels, num_targets,
                     Want{grad && hidden.requires_grad(), grad && weight.requires_grad(),
                          grad && bias.defined() && bias.requires_grad()},
                     head);
}

nn::functional::TokenScores vocabulary_parallel_scores(const at::Tensor& hidden, const at::Tensor& weight,
                                                       const at::Tensor& bias, const at::Tensor& labels,
                                                       const VocabularyParallel& head) {
  at::NoGradGuard no_grad;
  const auto scores = run(hidden, weight, bias, labels, 1.0, {}, head).scores;
  return {scores.log_probs.view(labels.sizes()), scores.right.view(labels.sizes())};
}

}  // namespace colossal::parallel
