// SPDX-License-Identifier: Apache-2.0
// Softmax, log-probability of the label and gradient of a row of logits. Internal to nn/functional.
#pragma once
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {

template <class T>
struct CrossEntropyArguments {
  using A = simd::Wide<T>;
  A* logits;   // [rows, v]; overwritten
  T* dlogits;  // scale * (softmax - onehot), may be `logits`; null: not wanted
  const int64_t* labels;
  A* log_probs;  // [rows]
  A* right;      // [rows], 1 where no logit is larger than that of the label; null: not wanted
  int64_t v;
  A scale;
};

struct CrossEntropyRows {
  template <class T>
  COLOSSAL_INLINE static void run(CrossEntropyArguments<T> a, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(a, r);
  }

  template <class A>
  COLOSSAL_INLINE static A largest(const A* logits, int64_t v) {
    constexpr int64_t kLanes = simd::kLanes<A>;
    auto most = simd::load_up_to(logits, v, -INFINITY);
    for (int64_t i = kLanes; i < v; i += kLanes) {
      simd::prefetch(logits + i);  // the later passes find the row in the cache
      most = simd::max(most, simd::load_up_to(logits + i, v - i, -INFINITY));
    }
    return simd::horizontal_max(most);
  }

  // Exponentials replace the logits. Summed in blocks, so that the error does not grow with the vocabulary.
  template <class A>
  COLOSSAL_INLINE static A exponentials(A* logits, int64_t v, A shift) {
    constexpr int64_t kLanes = simd::kLanes<A>, kBlock = 64 * kLanes;
    A total = 0;
    for (int64_t block = 0; block < v; block += kBlock) {
      const int64_t stop = std::min(v, block + kBlock);
      simd::Vector<A> sum{};
      int64_t i = block;
      for (; i + kLanes <= stop; i += kLanes) {
        const auto e = simd::exp(simd::load(logits + i) - shift);
        simd::store(logits + i, e);
        sum += e;
      }
      if (i < stop) {  // lanes past the end hold e^-inf = 0
        const auto e = simd::exp(simd::load_first(logits + i, stop - i, -INFINITY) - shift);
        simd::store_first(logits + i, e, stop - i);
        sum += e;
      }
      total += simd::horizontal_sum(sum);
    }
    return total;
  }

  template <class T>
  COLOSSAL_INLINE static void row(const CrossEntropyArguments<T>& a, int64_t r) {
    using A = simd::Wide<T>;
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t label = a.labels[r], v = a.v;
    A* logits = a.logits + r * v;
    T* dlogits = a.dlogits == nullptr ? nullptr : a.dlogits + r * v;
    if (label == kIgnoredLabel) {
      a.log_probs[r] = 0;
      if (a.right != nullptr) a.right[r] = 0;
      if (dlogits != nullptr) std::memset(static_cast<void*>(dlogits), 0, static_cast<size_t>(v) * sizeof(T));
      return;
    }
    const A shift = largest(logits, v), own = logits[label];
    if (a.right != nullptr) a.right[r] = own >= shift ? 1 : 0;
    const A total = exponentials(logits, v, shift);
    a.log_probs[r] = own - shift - std::log(total);
    if (dlogits == nullptr) return;
    const A factor = a.scale / total, at_label = logits[label] * factor - a.scale;
    for (int64_t i = 0; i < v; i += kLanes)
      simd::store_up_to(dlogits + i, simd::load_up_to(logits + i, v - i) * factor, v - i);
    dlogits[label] = static_cast<T>(at_label);
  }
};

}  // namespace colossal::nn::functional
