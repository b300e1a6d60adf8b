// SPDX-License-Identifier: Apache-2.0
// Cost of counter-based random numbers per element, beside a copy and ATen's generator-based dropout.
//
//   OMP_NUM_THREADS=2 build/bench/bench_random
//
// Repeats are interleaved; medians in nanoseconds per element over all threads, one JSON line.
#include "colossal/tensor/random.h"

#include <ATen/Parallel.h>

#include "bench/timing.h"

using namespace colossal;

int main() {
  constexpr int kRepeats = 9;
  const tensor::Shape shape{4096, 1536};
  const tensor::Slice whole{{0, 0}, shape}, columns{{0, 384}, {4096, 384}};
  const tensor::RandomKey key(1);
  const at::Tensor x = at::ones(shape), out = at::empty(shape), x16 = x.to(at::kBFloat16);
  double sink = 0;
  const auto use = [&](const at::Tensor& t) { sink += t.view(-1)[7].item<double>(); };
  struct Case {
    const char* name;
    int64_t numel;
    std::function<void()> body;
    bench::Samples nanoseconds = {};
  };
  std::vector<Case> cases{
      {"copy", x.numel(), [&] { out.copy_(x); }},
      {"dropout fp32", x.numel(), [&] { use(tensor::dropout(x, 0.1, key, shape, whole)); }},
      {"dropout bf16", x.numel(), [&] { use(tensor::dropout(x16, 0.1, key, shape, whole)); }},
      {"aten dropout fp32", x.numel(), [&] { use(at::dropout(x, 0.1, true)); }},
      {"normal fp32", x.numel(), [&] { use(tensor::normal(key, shape, whole, 0, 0.02, at::kFloat)); }},
      {"normal fp32, a block of columns", int64_t{4096} * 384,
       [&] { use(tensor::normal(key, shape, columns, 0, 0.02, at::kFloat)); }},
      {"uniform fp32", x.numel(), [&] { use(tensor::uniform(key, shape, whole, -1, 1, at::kFloat)); }}};
  for (int r = -1; r < kRepeats; ++r) {
    for (Case& c : cases) {
      const double seconds = bench::seconds_of(c.body);
      if (r >= 0) c.nanoseconds.add(seconds * 1e9 / static_cast<double>(c.numel));
    }
  }
  Json result = {{"benchmark", "random"}, {"threads", at::get_num_threads()}};
  for (const Case& c : cases) result["nanoseconds_per_element"][c.name] = c.nanoseconds.json();
  fmt::print("{}\n", result.dump());
}
