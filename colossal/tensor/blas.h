// SPDX-License-Identifier: Apache-2.0
// The products of the BLAS inside libtorch_cpu, column-major, as far as it was built with one (MKL has all three): null where not.
// bf16 is multiplied into fp32. Internal to tensor/.
#pragma once

#define COLOSSAL_GEMM_ARGUMENTS(T, A)                                                                 \
  const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k, const A *alpha, \
      const T *a, const int *lda, const T *b, const int *ldb, const A *beta, A *c, const int *ldc

extern "C" {
__attribute__((weak)) void sgemm_(COLOSSAL_GEMM_ARGUMENTS(float, float));
__attribute__((weak)) void dgemm_(COLOSSAL_GEMM_ARGUMENTS(double, double));
__attribute__((weak)) void gemm_bf16bf16f32_(COLOSSAL_GEMM_ARGUMENTS(void, float));
}
