// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/matmul.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>

#include "colossal/base/error.h"
#include "colossal/tensor/blas.h"
#include "colossal/tensor/block_matmul.h"
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

at::Tensor fp32_like(const at::Tensor& like, int64_t rows, int64_t columns) {
  return at::empty({rows, columns}, like.options().dtype(at::kFloat));
}

at::Tensor blocks_forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {}) {
  at::Tensor y = fp32_like(x, x.size(0), w.size(0));
  block_matmul_forward(y, x.contiguous(), w.contiguous(), bias.defined() ? bias.contiguous() : bias);
  return y;
}

at::Tensor blocks_input_grad(const at::Tensor& dy, const at::Tensor& w) {
  at::Tensor dx = fp32_like(dy, dy.size(0), w.size(1));
  block_matmul_input_grad(dx, dy.contiguous(), w.contiguous());
  return dx;
}

at::Tensor blocks_weight_grad(const at::Tensor& dy, const at::Tensor& x) {
  at::Tensor dw = fp32_like(x, dy.size(1), x.size(1));
  block_matmul_weight_grad(dw, dy.contiguous(), x.contiguous(), Accumulate::no);
  return dw;
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

// Among ATen's default, oneDNN's linear and its blocks for fp32 on the CPU; ATen's for all else.
MatmulKernel kernel_for(MatmulOp op, const at::Tensor& like, int64_t rows, int64_t in, int64_t out) {
  if (!like.is_cpu() || like.scalar_type() != at::kFloat) return MatmulKernel::aten;
  const auto candidates = [&] {
    const Sample w(out, in, at::kFloat), big(std::max<int64_t>(rows, 64), std::max(in, out), at::kFloat);
    const auto operand = [big](int64_t r, int64_t c) {
      return big.get().view(-1).narrow(0, 0, r * c).view({r, c});
    };
    const auto x = [=](int64_t r) { return operand(r, in); };
    const auto dy = [=](int64_t r) { return operand(r, out); };
    const auto of_op = [&](auto forward, auto input_grad, auto weight_grad) -> std::function<void(int64_t)> {
      if (op == MatmulOp::forward) return forward;
      if (op == MatmulOp::input_grad) return input_grad;
      return weight_grad;
    };
    std::vector<MatmulCandidate> all = {
        {MatmulKernel::aten,
         of_op([=](int64_t r) { at::mm(x(r), w.get().t()); }, [=](int64_t r) { at::mm(dy(r), w.get()); },
               [=](int64_t r) { at::mm(dy(r).t(), x(r)); })}};
    if (onednn_op()) {
      all.push_back({MatmulKernel::onednn, of_op([=](int64_t r) { onednn(x(r), w.get()); },
                                                 [=](int64_t r) { onednn(dy(r), w.get().t()); },
                                                 [=](int64_t r) { onednn(dy(r).t(), x(r).t()); })});
    }
    if (has_block_matmul(at::kFloat)) {
      all.push_back({MatmulKernel::blocks, of_op([=](int64_t r) { blocks_forward(x(r), w.get()); },
                                                 [=](int64_t r) { blocks_input_grad(dy(r), w.get()); },
                                                 [=](int64_t r) { blocks_weight_grad(dy(r), x(r)); })});
    }
    return all;
  };
  return choose_matmul({op, at::kFloat, rows, in, out}, candidates, MatmulKernel::aten);
}

// bf16 into fp32: MKL's own product, oneDNN's blocks, or converting the operands. Converting for all other types.
MatmulKernel wide_kernel_for(MatmulOp op, const at::Tensor& like, int64_t rows, int64_t in, int64_t out) {
  if (!like.is_cpu() || like.scalar_type() != at::kBFloat16) return MatmulKernel::widen;
  const bool forward = op == MatmulOp::forward_wide, has_mkl = gemm_bf16bf16f32_ != nullptr;
  const auto candidates = [&] {
    const Sample w(out, in, at::kBFloat16), x(rows, in, at::kBFloat16), dy(rows, out, at::kBFloat16);
    std::vector<MatmulCandidate> all;
    if (has_mkl) {
      all.push_back({MatmulKernel::mkl, [=](int64_t r) {
                       forward ? mkl_bf16(false, x.rows(r), true, w.get(), 0, at::empty({r, out}, at::kFloat))
                               : mkl_bf16(true, dy.rows(r), false, x.rows(r), 0,
                                          at::empty({out, in}, at::kFloat));
                     }});
    }
    all.push_back({MatmulKernel::widen, [=](int64_t r) {
                     const at::Tensor rows_x = x.rows(r).to(at::kFloat);
                     forward ? at::mm(rows_x, w.get().to(at::kFloat).t())
                             : at::mm(dy.rows(r).to(at::kFloat).t(), rows_x);
                   }});
    if (has_block_matmul(at::kBFloat16) && (in % 2 == 0 || !forward)) {
      all.push_back({MatmulKernel::blocks, [=](int64_t r) {
                       forward ? blocks_forward(x.rows(r), w.get())
                               : blocks_weight_grad(dy.rows(r), x.rows(r));
                     }});
    }
    return all;
  };
  return choose_matmul({op, at::kBFloat16, rows, in, out}, candidates,
                       has_mkl ? MatmulKernel::mkl : MatmulKernel::widen);
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  switch (kernel_for(MatmulOp::forward, x, x.size(0), w.size(1), w.size(0))) {
    case MatmulKernel::onednn: return onednn(x, w, bias);
    case MatmulKernel::blocks: return blocks_forward(x, w, bias);
    default: return bias.defined() ? at::addmm(bias, x, w.t()) : at::mm(x, w.t());
  }
}

}  // namespace

at::Tensor matmul_forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  RECORD_FUNCTION("colossal::matmul_forward", {});
  check("matmul_forward", x, w);
  return forward(x, w, bias);
}

at::Tensor matmul_forward_wide(const at::Tensor& x, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_forward_wide", {});
  check("matmul_forward_wide", x, w);
  const bool widens = narrow(x.scalar_type());
  // No product, and none of the temporaries that some kernels need.
  if (x.is_meta())
    return at::empty({x.size(0), w.size(0)}, x.options().dtype(widens ? at::kFloat : x.scalar_type()));
  if (!widens) return forward(x, w, {});
  if (x.is_cuda()) return at::mm(x, w.t(), at::kFloat);
  const MatmulKernel kernel = wide_kernel_for(MatmulOp::forward_wide, x, x.size(0), w.size(1), w.size(0));
  if (kernel == MatmulKernel::blocks) return blocks_forward(x, w);
  if (kernel == MatmulKernel::widen) return at::mm(x.to(at::kFloat), w.to(at::kFloat).t());
  at::Tensor y = fp32_like(x, x.size(0), w.size(0));
  mkl_bf16(false, x, true, w, 0, y);
  return y;
}

at::Tensor matmul_input_grad(const at::Tensor& dy, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_input_grad", {});
  check("matmul_input_grad", dy, w);
  switch (kernel_for(MatmulOp::input_grad, dy, dy.size(0), w.size(1), w.size(0))) {
    case MatmulKernel::onednn: return onednn(dy, w.t());
    case MatmulKernel::blocks: return blocks_input_grad(dy, w);
    default: return at::mm(dy, w);
  }
}

void matmul_input_grad_into(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  RECORD_FUNCTION("colossal::matmul_input_grad", {});
  check("matmul_input_grad", dy, w);
  if (dx.is_meta()) return;
  at::Tensor out = dx;
  switch (kernel_for(MatmulOp::input_grad, dy, dy.size(0), w.size(1), w.size(0))) {
    case MatmulKernel::onednn: out.copy_(onednn(dy, w.t())); break;
    case MatmulKernel::blocks: out.copy_(blocks_input_grad(dy, w)); break;
    default: at::mm_out(out, dy, w);
  }
}

void matmul_weight_grad_(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x,
                         Accumulate accumulate) {
  RECORD_FUNCTION("colossal::matmul_weight_grad", {});
  check("matmul_weight_grad", dy, x);
  if (dw.is_meta()) return;
  const bool adds = accumulate == Accumulate::yes;
  at::Tensor out = dw;
  const auto by_blocks = [&] {
    if (dw.is_contiguous()) return block_matmul_weight_grad(dw, dy.contiguous(), x.contiguous(), accumulate);
    adds ? out.add_(blocks_weight_grad(dy, x)) : out.copy_(blocks_weight_grad(dy, x));
  };
  if (narrow(x.scalar_type()) && dw.scalar_type() == at::kFloat) {
    if (x.is_cuda()) {
      adds ? out.add_(at::mm(dy.t(), x, at::kFloat)) : at::mm_out(out, dy.t(), x, at::kFloat);
      return;
    }
    const MatmulKernel kernel =
        wide_kernel_for(MatmulOp::weight_grad_wide, x, x.size(0), x.size(1), dy.size(1));
    if (kernel == MatmulKernel::blocks) {
      by_blocks();
    } else if (kernel == MatmulKernel::mkl && dw.is_contiguous()) {
      mkl_bf16(true, dy, false, x, adds ? 1.0f : 0.0f, dw);
    } else {
      matmul_weight_grad_(dw, dy.to(at::kFloat), x.to(at::kFloat), accumulate);
    }
    return;
  }
  switch (kernel_for(MatmulOp::weight_grad, x, x.size(0), x.size(1), dy.size(1))) {
    case MatmulKernel::onednn:
      adds ? out.add_(onednn(dy.t(), x.t())) : out.copy_(onednn(dy.t(), x.t()));
      break;
    case MatmulKernel::blocks: by_blocks(); break;
    default: adds ? out.addmm_(dy.t(), x) : at::mm_out(out, dy.t(), x);
  }
}

at::Tensor matmul_weight_grad(const at::Tensor& dy, const at::Tensor& x, at::ScalarType result) {
  RECORD_FUNCTION("colossal::matmul_weight_grad", {});
  if (result == at::kFloat && x.scalar_type() == at::kFloat &&
      kernel_for(MatmulOp::weight_grad, x, x.size(0), x.size(1), dy.size(1)) == MatmulKernel::onednn) {
    return onednn(dy.t(), x.t());
  }
  const bool direct = result == x.scalar_type() || (narrow(x.scalar_type()) && result == at::kFloat);
  at::Tensor dw = at::empty({dy.size(1), x.size(1)}, x.options().dtype(direct ? result : x.scalar_type()));
  matmul_weight_grad_(dw, dy, x, Accumulate::no);
  return direct ? dw : dw.to(result);
}

}  // namespace colossal::tensor
