// SPDX-License-Identifier: Apache-2.0
// Marks a CPU kernel to be compiled once per instruction set and chosen when the program starts.
//
//   COLOSSAL_CPU_CLONES void scale(float* x, int64_t n, float s) { ... }
//
// The clones give identical results: nothing is contracted to fused multiply-add (-ffp-contract=off). Loops need `#pragma omp simd`.
// Sanitizers cannot run the resolver, so under them only the baseline is built.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COLOSSAL_CPU_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define COLOSSAL_CPU_CLONES
#endif
