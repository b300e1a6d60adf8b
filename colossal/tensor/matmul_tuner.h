// SPDX-License-Identifier: Apache-2.0
// Which kernel multiplies which shape: measured at first use, kept in a file so that every process on this
// machine chooses alike (a resumed run repeats its numbers bit for bit).
//
//   const MatmulKernel kernel = choose_matmul({MatmulOp::forward, at::kFloat, t, in, out}, candidates);
//   for (const MatmulChoice& c : matmul_choices()) fmt::print("{} {}\n", c.key, c.kernel);   // `colossal doctor`
//
// The file is matmul-<machine>.json in $COLOSSAL_CACHE_DIR, else $XDG_CACHE_HOME/colossal, else $HOME/.cache/colossal. The
// first process to need a shape measures it under a file lock and all others wait for it and read. Where no file can be
// written nothing is measured and ATen's default is used, so that processes still agree. COLOSSAL_MATMUL=aten, onednn, mkl,
// widen or blocks forces one (where it applies). Thread-safe.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace colossal::tensor {

enum class MatmulOp { forward, forward_wide, input_grad, weight_grad, weight_grad_wide };
// blocks: block_matmul.h; widen: operands converted to fp32 first.
enum class MatmulKernel { aten, onednn, mkl, widen, blocks };

const char* name(MatmulOp op);
const char* name(MatmulKernel kernel);

struct MatmulCase {
  MatmulOp op;
  c10::ScalarType dtype;
  int64_t rows;  // t: choices are shared by all t with the same power of two above
  int64_t in;
  int64_t out;
};

struct MatmulCandidate {
  MatmulKernel kernel;
  std::function<void(int64_t rows)> multiply;  // once, on operands of its own with that many rows
};

struct MatmulChoice {
  std::string key;  // "forward float32 4096x384->1152, 2 threads"
  std::string kernel;
  std::vector<std::pair<std::string, double>> gflops;  // of every candidate; empty: not measured
};

// The first candidate is the default: taken for small products and unless another is 8% faster.
MatmulKernel choose_matmul(const MatmulCase& c,
                           const std::function<std::vector<MatmulCandidate>()>& candidates,
                           MatmulKernel fallback);

// All choices of this process so far, in order of key.
std::vector<MatmulChoice> matmul_choices();

}  // namespace colossal::tensor
