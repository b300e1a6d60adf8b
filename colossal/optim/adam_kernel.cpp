// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/adam_kernel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>

#include "colossal/tensor/simd.h"

namespace colossal::optim {
namespace {

COLOSSAL_INLINE uint16_t to_bfloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
  return static_cast<uint16_t>(((x == x) ? rounded : (bits | 0x400000)) >> 16);
}
COLOSSAL_INLINE uint16_t to_bfloat16(double x) { return to_bfloat16(static_cast<float>(x)); }

enum class Extra { none, amsgrad, copy, both };

template <Extra extra, typename T>
COLOSSAL_INLINE void update(const AdamTensors<T>& t, int64_t begin, int64_t end, const AdamCoefficients& c) {
  const T beta1 = static_cast<T>(c.beta1), rest1 = static_cast<T>(1 - c.beta1);
  const T beta2 = static_cast<T>(c.beta2), rest2 = static_cast<T>(1 - c.beta2);
  const T eps = static_cast<T>(c.eps), keep = static_cast<T>(c.keep), l2 = static_cast<T>(c.l2);
  const T step_size = static_cast<T>(c.step_size), inverse_root = static_cast<T>(c.inverse_root);
  const T scale = static_cast<T>(c.gradient_scale);
  T *weight = t.weight, *exp_avg = t.exp_avg, *exp_avg_sq = t.exp_avg_sq, *greatest = t.max_exp_avg_sq;
  const T* gradient = t.gradient;
  auto* copy = reinterpret_cast<uint16_t*>(t.copy);
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const T w = weight[i];
    const T g = gradient[i] * scale + l2 * w;
    const T m = beta1 * exp_avg[i] + rest1 * g;
    const T v = beta2 * exp_avg_sq[i] + rest2 * (g * g);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    T second = v;
    if constexpr (extra == Extra::amsgrad || extra == Extra::both) {
      second = greatest[i] > v ? greatest[i] : v;
      greatest[i] = second;
    }
    const T next = w * keep - step_size * (m / (static_cast<T>(__builtin_sqrt(second)) * inverse_root + eps));
    weight[i] = next;
    if constexpr (extra == Extra::copy || extra == Extra::both) copy[i] = to_bfloat16(next);
  }
}

template <typename T>
COLOSSAL_INLINE void update_range(const AdamTensors<T>& t, int64_t begin, int64_t end,
                                  const AdamCoefficients& c) {
  if (t.max_exp_avg_sq != nullptr && t.copy != nullptr) return update<Extra::both>(t, begin, end, c);
  if (t.max_exp_avg_sq != nullptr) return update<Extra::amsgrad>(t, begin, end, c);
  if (t.copy != nullptr) return update<Extra::copy>(t, begin, end, c);
  update<Extra::none>(t, begin, end, c);
}

struct Update {
  template <typename T>
  COLOSSAL_INLINE static void run(AdamTensors<T> t, int64_t begin, int64_t end, AdamCoefficients c) {
    update_range(t, begin, end, c);
  }
};

constexpr int64_t kGrain = 1 << 15;

template <typename T>
void run(const std::vector<AdamJob<T>>& jobs) {
  std::vector<int64_t> starts;  // of each job in the range of all elements
  int64_t total = 0;
  for (const AdamJob<T>& job : jobs) {
    starts.push_back(total);
    total += job.numel;
  }
  at::parallel_for(0, total, kGrain, [&](int64_t begin, int64_t end) {
    auto j = static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), begin) - starts.begin()) - 1;
    for (; begin < end; ++j) {
      const int64_t inside = begin - starts[j], count = std::min(jobs[j].numel - inside, end - begin);
      tensor::simd::run<Update>(jobs[j].tensors, inside, inside + count, jobs[j].coefficients);
      begin += count;
    }
  });
}

}  // namespace

void adam_kernel(const std::vector<AdamJob<float>>& jobs) { run(jobs); }

void adam_kernel(const std::vector<AdamJob<double>>& jobs) { run(jobs); }

}  // namespace colossal::optim
