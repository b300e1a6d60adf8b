// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/attention_backward.h"

#include "colossal/nn/functional/kernel.h"
#include "colossal/tensor/tile_matmul.h"

namespace colossal::nn::functional {
namespace {

using tensor::Accumulate;
using tensor::tile_matmul;

constexpr int64_t kTileQueries = 128;
constexpr int64_t kTileKeys = 256;

// One tile: scores and gradients of probabilities in, probabilities and gradients of scores out (in T, which may share the memory).
template <class T>
struct SoftmaxTile {
  simd::Wide<T>* scores;          // [queries, keys]: q k^T
  simd::Wide<T>* dprobabilities;  // [queries, keys]: dy v^T
  T* probabilities;               // [queries, keys]
  T* dscores;                     // [queries, keys]
  const T* mask;                  // null, or of the first query and key, rows `mask_stride` apart
  int64_t mask_stride;
  const simd::Wide<T>* lse;    // of the first query
  const simd::Wide<T>* delta;  // sum over d of dy * out, of the first query
  int64_t queries, keys;
  int64_t visible;  // keys that the first query sees; the next one sees one more (at most all)
  simd::Wide<T> scale;
};

struct SoftmaxBackward {
  template <class T>
  COLOSSAL_INLINE static void run(SoftmaxTile<T> t) {
    using A = simd::Wide<T>;
    for (int64_t i = 0; i < t.queries; ++i) {
      A *s = t.scores + i * t.keys, *dp = t.dprobabilities + i * t.keys;
      T *p = t.probabilities + i * t.keys, *ds = t.dscores + i * t.keys;
      const T* mask = t.mask == nullptr ? nullptr : t.mask + i * t.mask_stride;
      const int64_t seen = std::clamp<int64_t>(t.visible + i, 0, t.keys);
      for (int64_t j = 0; j < seen; j += simd::kLanes<T>) {
        auto score = simd::load_up_to(s + j, seen - j) * t.scale;
        if (mask != nullptr) score += simd::load_up_to(mask + j, seen - j);
        const auto probability = simd::exp(score - t.lse[i]);
        const auto gradient = probability * (simd::load_up_to(dp + j, seen - j) - t.delta[i]) * t.scale;
        simd::store_up_to(p + j, probability, seen - j);
        simd::store_up_to(ds + j, gradient, seen - j);
      }
      for (int64_t j = seen; j < t.keys; ++j) p[j] = ds[j] = T(0);
    }
  }
};

struct DotRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows,
                                  int64_t d, A* out) {
    for (int64_t i = 0; i < rows; ++i) {
      simd::Vector<T> sum{};
      for (int64_t j = 0; j < d; j += simd::kLanes<T>)
        sum += simd::load_up_to(x + i * x_stride + j, d - j) * simd::load_up_to(y + i * y_stride + j, d - j);
      out[i] = simd::horizontal_sum(sum);
    }
  }
};

struct ConvertRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const A* x, T* y, int64_t y_stride, int64_t rows, int64_t d) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < d; j += simd::kLanes<T>)
        simd::store_up_to(y + i * y_stride + j, simd::load_up_to(x + i * d + j, d - j), d - j);
    }
  }
};

// Rows of one head of one sequence.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  T* at(int64_t row) const { return data + row * stride; }
};

template <class T>
Rows<const T> rows_of(const at::Tensor& x, int64_t batch, int64_t head) {
  return {x.const_data_ptr<T>() + batch * x.stride(0) + head * x.stride(2), x.stride(1)};
}

// What one thread needs; allocated once per range of heads.
template <class T>
class Workspace {
  using A = simd::Wide<T>;
  static constexpr bool kInPlace = std::is_same_v<T, A>;
  static constexpr int64_t kTile = kTileQueries * kTileKeys;

 public:
  explicit Workspace(const AttentionForward& f)
      : queries(f.q.size(1)),
        keys(f.k.size(1)),
        d(f.q.size(3)),
        wide_(2 * kTile + queries * (d + 2) + 2 * keys * d),
        narrow_(kInPlace ? 0 : 2 * kTile) {}

  const int64_t queries, keys, d;
  A* scores() { return wide_.data(); }
  A* dprobabilities() { return scores() + kTile; }
  A* lse() { return dprobabilities() + kTile; }
  A* delta() { return lse() + queries; }
  A* dq() { return delta() + queries; }
  A* dk() { return dq() + queries * d; }
  A* dv() { return dk() + keys * d; }
  T* probabilities() {
    if constexpr (kInPlace) {
      return scores();
    } else {
      return narrow_.data();
    }
  }
  T* dscores() {
    if constexpr (kInPlace) {
      return dprobabilities();
    } else {
      return narrow_.data() + kTile;
    }
  }

 private:
  std::vector<A> wide_;
  std::vector<T> narrow_;
};

// dq of one query head; its share of dk and dv is added to the workspace's.
template <class T>
void one_query_head(const at::Tensor& dy_all, const AttentionForward& f, int64_t batch, int64_t head,
                    int64_t kv_head, Workspace<T>& w) {
  using A = simd::Wide<T>;
  const int64_t d = w.d;
  const auto q = rows_of<T>(f.q, batch, head), out = rows_of<T>(f.out, batch, head),
             dy = rows_of<T>(dy_all, batch, head), k = rows_of<T>(f.k, batch, kv_head),
             v = rows_of<T>(f.v, batch, kv_head);
  simd::run<DotRows>(dy.data, dy.stride, out.data, out.stride, w.queries, d, w.delta());
  const A* lse = f.lse.const_data_ptr<A>() + batch * f.lse.stride(0) + head * f.lse.stride(1);
  for (int64_t i = 0; i < w.queries; ++i) w.lse()[i] = lse[i * f.lse.stride(2)];
  std::fill_n(w.dq(), w.queries * d, A{});
  for (int64_t kb = 0; kb < w.keys; kb += kTileKeys) {
    const int64_t first_query = f.causal ? kb / kTileQueries * kTileQueries : 0;
    for (int64_t qb = first_query; qb < w.queries; qb += kTileQueries) {
      const int64_t n = std::min(kTileQueries, w.queries - qb);
      // Keys after the last query of the tile are seen by none of it.
      const int64_t m = std::min({kTileKeys, w.keys - kb, f.causal ? qb + n - kb : w.keys});
      tile_matmul<T>({q.at(qb), q.stride, false}, {k.at(kb), k.stride, true}, {n, m, d}, Accumulate::no,
                     w.scores(), m);
      tile_matmul<T>({dy.at(qb), dy.stride, false}, {v.at(kb), v.stride, true}, {n, m, d}, Accumulate::no,
                     w.dprobabilities(), m);
      SoftmaxTile<T> tile{.scores = w.scores(),
                          .dprobabilities = w.dprobabilities(),
                          .probabilities = w.probabilities(),
                          .dscores = w.dscores(),
                          .mask = nullptr,
                          .mask_stride = 0,
                          .lse = w.lse() + qb,
                          .delta = w.delta() + qb,
                          .queries = n,
                          .keys = m,
                          .visible = f.causal ? qb - kb + 1 : m,
                          .scale = static_cast<A>(f.scale)};
      if (f.mask.defined()) {
        tile.mask_stride = f.mask.stride(2);
        tile.mask = f.mask.const_data_ptr<T>() + (f.mask.size(0) == 1 ? 0 : batch) * f.mask.stride(0) +
                    qb * tile.mask_stride + kb;
      }
      simd::run<SoftmaxBackward>(tile);
      tile_matmul<T>({w.probabilities(), m, true}, {dy.at(qb), dy.stride, false}, {m, d, n}, Accumulate::yes,
                     w.dv() + kb * d, d);
      tile_matmul<T>({w.dscores(), m, true}, {q.at(qb), q.stride, false}, {m, d, n}, Accumulate::yes,
                     w.dk() + kb * d, d);
      tile_matmul<T>({w.dscores(), m, false}, {k.at(kb), k.stride, false}, {n, d, m}, Accumulate::yes,
                     w.dq() + qb * d, d);
    }
  }
}

template <class T>
void backward(const at::Tensor& dy, const AttentionForward& f, const at::Tensor& dq, const at::Tensor& dk,
              const at::Tensor& dv) {
  const int64_t kv_heads = f.k.size(2), group = f.q.size(2) / kv_heads;
  at::parallel_for(0, f.q.size(0) * kv_heads, 1, [&](int64_t begin, int64_t end) {
    Workspace<T> w(f);
    const auto store = [&](const auto* from, const at::Tensor& to, int64_t batch, int64_t head) {
      simd::run<ConvertRows>(from, to.mutable_data_ptr<T>() + batch * to.stride(0) + head * to.stride(2),
                             to.stride(1), to.size(1), w.d);
    };
    for (int64_t task = begin; task < end; ++task) {
      const int64_t batch = task / kv_heads, kv_head = task % kv_heads;
      std::fill_n(w.dk(), 2 * w.keys * w.d, simd::Wide<T>{});  // and dv, which follows
      for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        one_query_head(dy, f, batch, head, kv_head, w);
        store(w.dq(), dq, batch, head);
      }
      store(w.dk(), dk, batch, kv_head);
      store(w.dv(), dv, batch, kv_head);
    }
  });
}

}  // namespace

std::array<at::Tensor, 3> attention_backward(const at::Tensor& dy_in, const AttentionForward& forward) {
  const at::Tensor dy = dy_in.stride(-1) == 1 ? dy_in : dy_in.contiguous();
  const auto dense = [](const at::Tensor& like) { return at::empty(like.sizes(), like.options()); };
  std::array<at::Tensor, 3> gradients = {dense(forward.q), dense(forward.k), dense(forward.v)};
  with_type(forward.q, [&](auto zero) {
    backward<decltype(zero)>(dy, forward, gradients[0], gradients[1], gradients[2]);
  });
  return gradients;
}

}  // namespace colossal::nn::functional
