// SPDX-License-Identifier: Apache-2.0
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <doctest/doctest.h>

#include <cstdlib>

#include "colossal/base/error.h"
#include "colossal/tensor/block_matmul.h"
#include "colossal/tensor/matmul.h"
#include "colossal/tensor/matmul_tuner.h"

namespace {

using namespace colossal::tensor;

at::Tensor normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble).to(dtype);
}

double error(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  if (b.numel() == 0) return 0;
  return (a.to(at::kDouble) - b).abs().max().item<double>() / std::max(1.0, b.abs().max().item<double>());
}

struct Precision {
  at::ScalarType dtype;
  double tolerance;
};

void check_products(int64_t t, int64_t in, int64_t out, const Precision& p) {
  CAPTURE(at::toString(p.dtype));
  CAPTURE(t);
  const at::Tensor x = normal({t, in}, 1, p.dtype), w = normal({out, in}, 2, p.dtype),
                   dy = normal({t, out}, 3, p.dtype);
  const at::Tensor b = normal({out}, 4, p.dtype);
  const at::Tensor x64 = x.to(at::kDouble), w64 = w.to(at::kDouble), dy64 = dy.to(at::kDouble);
  CHECK(error(matmul_forward(x, w), at::mm(x64, w64.t())) < p.tolerance);
  CHECK(error(matmul_forward(x, w, b), at::mm(x64, w64.t()) + b.to(at::kDouble)) < p.tolerance);
  CHECK(error(matmul_input_grad(dy, w), at::mm(dy64, w64)) < p.tolerance);
  CHECK(error(matmul_weight_grad(dy, x, p.dtype), at::mm(dy64.t(), x64)) < p.tolerance);

  const bool narrow = p.dtype == at::kBFloat16;
  const at::ScalarType wide = narrow ? at::kFloat : p.dtype;
  const double exact = narrow ? 1e-6 : p.tolerance;  // fp32 results of bf16 operands lose nothing to bf16
  const at::Tensor y = matmul_forward_wide(x, w), dw = normal({out, in}, 5, wide),
                   before = dw.to(at::kDouble).clone();
  CHECK((y.scalar_type() == wide));
  CHECK(error(y, at::mm(x64, w64.t())) < exact);
  matmul_weight_grad_(dw, dy, x, Accumulate::yes);
  CHECK(error(dw, before + at::mm(dy64.t(), x64)) < exact);
  matmul_weight_grad_(dw, dy, x, Accumulate::no);
  CHECK(error(dw, at::mm(dy64.t(), x64)) < exact);
}

TEST_CASE("all products in all precisions, small and large enough to be measured") {
  for (const Precision& p :
       {Precision{at::kDouble, 1e-13}, Precision{at::kFloat, 2e-6}, Precision{at::kBFloat16, 8e-3}}) {
    check_products(1, 7, 5, p);
    check_products(0, 7, 5, p);
    check_products(4, 0, 5, p);
    check_products(33, 40, 127, p);
    check_products(300, 256, 384, p);  // above the threshold of the tuner
  }
  // Once more per kernel by ctest (tests/CMakeLists.txt), with COLOSSAL_MATMUL; else the tuner picks.
  const char* forced = std::getenv("COLOSSAL_MATMUL");
  if (forced == nullptr) return;
  if (std::string_view(forced) == "blocks" && !has_block_matmul(at::kFloat)) {
    MESSAGE("left out: blocks need AVX-512");
    return;
  }
  int obeyed = 0;
  for (const MatmulChoice& choice : matmul_choices()) obeyed += choice.kernel == forced;
  CHECK(obeyed >= 2);  // one library each for products in fp32 (three kinds) and from bf16 into fp32 (two)
}

TEST_CASE("blocks: edges of panels, depths and columns") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    if (!has_block_matmul(type)) {
      MESSAGE("left out: blocks need AVX-512");
      return;
    }
    for (const auto& [t, in, out] : std::vector<std::array<int64_t, 3>>{{1, 2, 1},
                                                                        {3, 16, 16},
                                                                        {33, 40, 127},
                                                                        {65, 600, 66},
                                                                        {513, 514, 64},
                                                                        {1027, 18, 31},
                                                                        {2, 1100, 640}}) {
      CAPTURE(fmt::format("{} {}x{}->{}", at::toString(type), t, in, out));
      const at::Tensor x = normal({t, in}, 1, type), w = normal({out, in}, 2, type),
                       dy = normal({t, out}, 3, type);
      const at::Tensor bias = normal({out}, 4, at::kFloat);
      const at::Tensor x64 = x.to(at::kDouble), w64 = w.to(at::kDouble), dy64 = dy.to(at::kDouble);
      const at::Tensor y = at::full({t, out}, NAN, at::kFloat), dw = at::full({out, in}, NAN, at::kFloat);
      block_matmul_forward(y, x, w);
      CHECK(error(y, at::mm(x64, w64.t())) < 2e-6);
      block_matmul_forward(y, x, w, bias);
      CHECK(error(y, at::mm(x64, w64.t()) + bias.to(at::kDouble)) < 2e-6);
      const at::Tensor products = at::mm(dy64.t(), x64);
      block_matmul_weight_grad(dw, dy, x, Accumulate::no);
      CHECK(error(dw, products) < 2e-6);
      block_matmul_weight_grad(dw, dy, x, Accumulate::yes);
      CHECK(error(dw, products * 2) < 2e-6);
      if (type == at::kBFloat16) continue;
      const at::Tensor dx = at::full({t, in}, NAN, at::kFloat);
      block_matmul_input_grad(dx, dy, w);
      CHECK(error(dx, at::mm(dy64, w64)) < 2e-6);
    }
  }
}

TEST_CASE("blocks: threads leave no trace") {
  if (!has_block_matmul(at::kBFloat16)) return;
  const int threads = at::get_num_threads();
  std::vector<std::array<at::Tensor, 2>> results;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    const at::Tensor x = normal({200, 96}, 1, at::kBFloat16), w = normal({700, 96}, 2, at::kBFloat16),
                     dy = normal({200, 700}, 3, at::kBFloat16);
    results.push_back({at::empty({200, 700}, at::kFloat), at::empty({700, 96}, at::kFloat)});
    block_matmul_forward(results.back()[0], x, w);
    block_matmul_weight_grad(results.back()[1], dy, x, Accumulate::no);
  }
  at::set_num_threads(threads);
  for (const auto& each : results)
    for (int i = 0; i < 2; ++i) CHECK(at::equal(each[i], results[0][i]));
}

TEST_CASE("choices are listed, and asked only once") {
  check_products(300, 256, 384, {at::kFloat, 2e-6});
  const auto choices = matmul_choices();
  const auto found = std::find_if(choices.begin(), choices.end(), [](const MatmulChoice& c) {
    return c.key.starts_with("forward Float 512x256->384");
  });
  REQUIRE(found != choices.end());
  CHECK((found->kernel == "aten" || found->kernel == "onednn" || found->kernel == "blocks"));
  int asked = 0;
  const auto candidates = [&] {
    ++asked;
    return std::vector<MatmulCandidate>{{MatmulKernel::aten, [](int64_t) {}}};
  };
  const MatmulCase c{MatmulOp::forward, at::kDouble, 1000, 999, 998};
  CHECK(choose_matmul(c, candidates, MatmulKernel::aten) == MatmulKernel::aten);
  CHECK(choose_matmul(c, candidates, MatmulKernel::aten) == MatmulKernel::aten);
  CHECK(asked == 1);
}

TEST_CASE("operands must be matrices of one dtype") {
  CHECK_THROWS_WITH_AS(
      matmul_forward(at::zeros({2, 3}), at::zeros({4, 3}, at::kBFloat16)),
      "matmul_forward: operands are 2x3 Float and 4x3 BFloat16. Both must be matrices of one dtype.",
      colossal::ShapeError);
}

}  // namespace
