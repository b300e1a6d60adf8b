// SPDX-License-Identifier: Apache-2.0
// One pass over weight, gradient and moments: 28 bytes of traffic per fp32 parameter, all intra-op threads.
//
//   adam_kernel(std::vector<AdamJob<float>>{{{.weight = w, .gradient = g, .exp_avg = m, .exp_avg_sq = v}, numel, coefficients}});
//
// Thread-safe for distinct tensors.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <vector>

namespace colossal::optim {

// w <- w * keep - step_size * m / (sqrt(v) * inverse_root + eps), after m and v took in g = gradient * gradient_scale + l2 * w.
struct AdamCoefficients {
  double beta1, beta2, eps;
  double keep;          // 1 - learning_rate * decoupled decay
  double l2;            // decay inside the gradient
  double step_size;     // learning_rate / (1 - beta1^t)
  double inverse_root;  // 1 / sqrt(1 - beta2^t)
  double gradient_scale;
};

template <typename T>
struct AdamTensors {
  T* weight;
  const T* gradient;
  T* exp_avg;
  T* exp_avg_sq;
  T* max_exp_avg_sq = nullptr;    // amsgrad
  c10::BFloat16* copy = nullptr;  // of the new weight, rounded to nearest even
};

template <typename T>
struct AdamJob {
  AdamTensors<T> tensors;
  int64_t numel = 0;
  AdamCoefficients coefficients{};
};

// All jobs in one parallel region: threads share the elements evenly, whatever the sizes of the tensors.
void adam_kernel(const std::vector<AdamJob<float>>& jobs);
void adam_kernel(const std::vector<AdamJob<double>>& jobs);

}  // namespace colossal::optim
