// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/matmul.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>

#include "colossal/base/error.h"
#include "colossal/tensor/blas.h"
#include "colossal/tensor/matmul_tuner.h"
#include "colossal/tensor/shape_text.h"

namespace colossal::tensor {
namespace {

using OptionalScalars = c10::List<std::optional<at::Scalar>>;
using OnednnLinear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                std::string_view, OptionalScalars, std::optional<std::string_view>);

// oneDNN's linear on dense weights; absent where torch was built without oneDNN.
const std::optional<c10::TypedOperatorHandle<OnednnLinear>>& onednn_op() {
  static const auto op = []() -> std::optional<c10::TypedOperatorHandle<OnednnLinear>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle) return std::nullopt;
    return handle->typed<OnednnLinear>();
  }();
  return op;
}

at::Tensor onednn(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {}) {
  return onednn_op()->call(x, w, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, "none",
                           OptionalScalars(), std::nullopt);
}

bool narrow(at::ScalarType type) { return type == at::kBFloat16 || type == at::kHalf; }
bool has_mkl_bf16(const at::Tensor& t) {
  return gemm_bf16bf16f32_ != nullptr && t.is_cpu() && t.scalar_type() == at::kBFloat16;
}

// Row-major c [m, n] = op(a) op(b) + beta c, where op transposes if asked; a and b are dense row-major bf16,
// c fp32.
void mkl_bf16(bool trans_a, const at::Tensor& a, bool trans_b, const at::Tensor& b, float beta,
              const at::Tensor& c) {
  // Column-major libraries see every matrix transposed: c^T = op(b)^T op(a)^T.
  const int m = static_cast<int>(c.size(0)), n = static_cast<int>(c.size(1));
  const int k = static_cast<int>(trans_a ? a.size(0) : a.size(1));
  const int lda = static_cast<int>(std::max<int64_t>(1, a.size(1))),
            ldb = static_cast<int>(std::max<int64_t>(1, b.size(1)));
  const int ldc = std::max(1, n);
  const float one = 1;
  gemm_bf16bf16f32_(trans_b ? "T" : "N", trans_a ? "T" : "N", &n, &m, &k, &one, b.const_data_ptr(), &ldb,
                    a.const_data_ptr(), &lda, &beta, c.mutable_data_ptr<float>(), &ldc);
}

void check(const char* where, const at::Tensor& a, const at::Tensor& b) {
  if (a.dim() != 2 || b.dim() != 2 || a.scalar_type() != b.scalar_type()) {
    throw ShapeError(fmt::format("{}: operands are {} {} and {} {}. Both must be matrices of one dtype.",
                                 where, shape_text(a.sizes()), at::toString(a.scalar_type()),
                                 shape_text(b.sizes()), at::toString(b.scalar_type())));
  }
}

// An operand for a measurement, made when it is first multiplied: most choices are known already. Contents do not matter, but must not
// be denormal.
class Sample {
 public:
  Sample(int64_t rows, int64_t columns, at::ScalarType dtype)
      : rows_(rows), columns_(columns), dtype_(dtype), made_(std::make_shared<at::Tensor>()) {}
  const at::Tensor& get() const {
    if (!made_->defined()) *made_ = at::full({rows_, columns_}, 0.5, dtype_);
    return *made_;
  }
  at::Tensor rows(int64_t count) const { return get().narrow(0, 0, count); }

 private:
  int64_t rows_, columns_;
  at::ScalarType dtype_;
  std::shared_ptr<at::Tensor> made_;  // by all copies together
};

bool use_onednn(MatmulOp op, const at::Tensor& like, int64_t rows, int64_t in, int64_t out) {
  if (!like.is_cpu() || like.scalar_type() != at::kFloat || !onednn_op()) return false;
  const auto candidates = [&]() -> std::vector<MatmulCandidate> {
    const Sample w(out, in, at::kFloat), big(std::max<int64_t>(rows, 64), std::max(in, out), at::kFloat);
    const auto operand = [big](int64_t r, int64_t c) {
      return big.get().view(-1).narrow(0, 0, r * c).view({r, c});
    };
    const auto x = [=](int64_t r) { return operand(r, in); };
    const auto dy = [=](int64_t r) { return operand(r, out); };
    switch (op) {
      case MatmulOp::forward:
        return {{MatmulKernel::aten, [=](int64_t r) { at::mm(x(r), w.get().t()); }},
                {MatmulKernel::onednn, [=](int64_t r) { onednn(x(r), w.get()); }}};
      case MatmulOp::input_grad:
        return {{MatmulKernel::aten, [=](int64_t r) { at::mm(dy(r), w.get()); }},
                {MatmulKernel::onednn, [=](int64_t r) { onednn(dy(r), w.get().t()); }}};
      default:
        return {{MatmulKernel::aten, [=](int64_t r) { at::mm(dy(r).t(), x(r)); }},
                {MatmulKernel::onednn, [=](int64_t r) { onednn(dy(r).t(), x(r).t()); }}};
    }
  };
  return choose_matmul({op, at::kFloat, rows, in, out}, candidates, MatmulKernel::aten) ==
         MatmulKernel::onednn;
}

// bf16 into fp32: MKL's own product against converting the operands.
bool use_mkl_bf16(MatmulOp op, const at::Tensor& like, int64_t rows, int64_t in, int64_t out) {
  if (!has_mkl_bf16(like)) return false;
  const auto candidates = [&]() -> std::vector<MatmulCandidate> {
    const Sample w(out, in, at::kBFloat16), x(rows, in, at::kBFloat16), dy(rows, out, at::kBFloat16);
    if (op == MatmulOp::forward_wide) {
      return {{MatmulKernel::mkl,
               [=](int64_t r) {
                 mkl_bf16(false, x.rows(r), true, w.get(), 0, at::empty({r, out}, at::kFloat));
               }},
              {MatmulKernel::widen,
               [=](int64_t r) { at::mm(x.rows(r).to(at::kFloat), w.get().to(at::kFloat).t()); }}};
    }
    return {{MatmulKernel::mkl,
             [=](int64_t r) {
               mkl_bf16(true, dy.rows(r), false, x.rows(r), 0, at::empty({out, in}, at::kFloat));
             }},
            {MatmulKernel::widen,
             [=](int64_t r) { at::mm(dy.rows(r).to(at::kFloat).t(), x.rows(r).to(at::kFloat)); }}};
  };
  return choose_matmul({op, at::kBFloat16, rows, in, out}, candidates, MatmulKernel::mkl) ==
         MatmulKernel::mkl;
}

}  // namespace

at::Tensor matmul_forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  RECORD_FUNCTION("colossal::matmul_forward", {});
  check("matmul_forward", x, w);
  if (use_onednn(MatmulOp::forward, x, x.size(0), w.size(1), w.size(0))) return onednn(x, w, bias);
  return bias.defined() ? at::addmm(bias, x, w.t()) : at::mm(x, w.t());
}

at::Tensor matmul_forward_wide(const at::Tensor& x, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_forward_wide", {});
  check("matmul_forward_wide", x, w);
  const bool narrow_operands = narrow(x.scalar_type());
  const auto empty = [&] {
    return at::empty({x.size(0), w.size(0)}, narrow_operands ? x.options().dtype(at::kFloat) : x.options());
  };
  if (x.is_meta()) return empty();  // no product, and none of the temporaries that some kernels need
  if (!narrow_operands) {
    const bool by_onednn = use_onednn(MatmulOp::forward, x, x.size(0), w.size(1), w.size(0));
    return by_onednn ? onednn(x, w) : at::mm(x, w.t());
  }
  if (use_mkl_bf16(MatmulOp::forward_wide, x, x.size(0), w.size(1), w.size(0))) {
    at::Tensor y = empty();
    mkl_bf16(false, x, true, w, 0, y);
    return y;
  }
  return x.is_cuda() ? at::mm(x, w.t(), at::kFloat) : at::mm(x.to(at::kFloat), w.to(at::kFloat).t());
}

at::Tensor matmul_input_grad(const at::Tensor& dy, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_input_grad", {});
  check("matmul_input_grad", dy, w);
  if (use_onednn(MatmulOp::input_grad, dy, dy.size(0), w.size(1), w.size(0))) return onednn(dy, w.t());
  return at::mm(dy, w);
}

void matmul_input_grad_into(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_input_grad", {});
  check("matmul_input_grad", dy, w);
  if (dx.is_meta()) return;
  at::Tensor out = dx;
  if (use_onednn(MatmulOp::input_grad, dy, dy.size(0), w.size(1), w.size(0))) {
    out.copy_(onednn(dy, w.t()));
  } else {
    at::mm_out(out, dy, w);
  }
}

void matmul_weight_grad_(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x,
                         Accumulate accumulate) {
  RECORD_FUNCTION("colossal::matmul_weight_grad", {});
  check("matmul_weight_grad", dy, x);
  if (dw.is_meta()) return;
  const bool adds = accumulate == Accumulate::yes;
  at::Tensor out = dw;
  if (narrow(x.scalar_type()) && dw.scalar_type() == at::kFloat) {
    if (dw.is_contiguous() && use_mkl_bf16(MatmulOp::weight_grad_wide, x, x.size(0), x.size(1), dy.size(1))) {
      mkl_bf16(true, dy, false, x, adds ? 1.0f : 0.0f, dw);
    } else if (x.is_cuda()) {
      adds ? out.add_(at::mm(dy.t(), x, at::kFloat)) : at::mm_out(out, dy.t(), x, at::kFloat);
    } else {
      matmul_weight_grad_(dw, dy.to(at::kFloat), x.to(at::kFloat), accumulate);
    }
    return;
  }
  if (use_onednn(MatmulOp::weight_grad, x, x.size(0), x.size(1), dy.size(1))) {
    adds ? out.add_(onednn(dy.t(), x.t())) : out.copy_(onednn(dy.t(), x.t()));
  } else if (adds) {
    out.addmm_(dy.t(), x);
  } else {
    at::mm_out(out, dy.t(), x);
  }
}

at::Tensor matmul_weight_grad(const at::Tensor& dy, const at::Tensor& x, at::ScalarType result) {
  RECORD_FUNCTION("colossal::matmul_weight_grad", {});
  if (result == at::kFloat && x.scalar_type() == at::kFloat &&
      use_onednn(MatmulOp::weight_grad, x, x.size(0), x.size(1), dy.size(1))) {
    return onednn(dy.t(), x.t());
  }
  const bool direct = result == x.scalar_type() || (narrow(x.scalar_type()) && result == at::kFloat);
  at::Tensor dw = at::empty({dy.size(1), x.size(1)}, x.options().dtype(direct ? result : x.scalar_type()));
  matmul_weight_grad_(dw, dy, x, Accumulate::no);
  return direct ? dw : dw.to(result);
}

}  // namespace colossal::tensor
