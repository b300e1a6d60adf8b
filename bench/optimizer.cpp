// SPDX-License-Identifier: Apache-2.0
// AdamW against the memory bandwidth of the same run, and against ATen's fused operator.
//
//   OMP_NUM_THREADS=2 build/bench/bench_optimizer [million parameters = 100]
//
// Least traffic: read w, g, m, v and write w, m, v = 28 bytes per fp32 parameter. The limit is that traffic at the rate of
// b += a over arrays of the same total size (12 bytes per element). Repeats are interleaved; medians in seconds, one JSON line.
#include "colossal/optim/optimizer.h"

#include <ATen/Parallel.h>

#include <cstdlib>

#include "bench/timing.h"
#include "colossal/comm/mesh.h"
#include "colossal/optim/gradient_norm.h"

using namespace colossal;

namespace {

constexpr int kRepeats = 7, kTensors = 50;

std::vector<nn::Parameter> make_parameters(int64_t numel) {
  std::vector<nn::Parameter> parameters;
  for (int i = 0; i < kTensors; ++i) {
    nn::Parameter p{"w" + std::to_string(i),
                    at::full({numel}, 0.5f).requires_grad_(),
                    {.layout = tensor::Layout::replicated({numel}, {})}};
    p.tensor.mutable_grad() = at::full({numel}, 0.01f);
    parameters.push_back(std::move(p));
  }
  return parameters;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t numel = (argc > 1 ? std::atoll(argv[1]) : 100) * 1'000'000 / kTensors;
  const auto parameters = make_parameters(numel);
  const auto optimizer = optim::make_optimizer({.name = "adamw"}, parameters, comm::Mesh());
  const int64_t total = numel * kTensors;
  const at::Tensor a = at::ones({total / 2}), b = at::ones({total / 2});

  std::vector<at::Tensor> weights, gradients, exp_avgs, exp_avg_sqs, steps;
  for (const nn::Parameter& p : parameters) {
    weights.push_back(p.tensor.detach());
    gradients.push_back(p.tensor.grad());
    exp_avgs.push_back(at::zeros({numel}));
    exp_avg_sqs.push_back(at::zeros({numel}));
    steps.push_back(at::ones({}));
  }
  const auto add = [&] {
    at::parallel_for(0, a.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
      float* to = b.data_ptr<float>();
      const float* from = a.const_data_ptr<float>();
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) to[i] += from[i];
    });
  };
  const auto ours = [&] { optimizer->step({.learning_rate = 1e-3, .gradient_scale = 0.5}); };
  const auto aten = [&] {
    at::_fused_adamw_(weights, gradients, exp_avgs, exp_avg_sqs, {}, steps, 1e-3, 0.9, 0.999, 0.01, 1e-8,
                      false, false);
  };
  double norm = 0;
  const auto gradient_norm = [&] { norm += optim::gradient_norm(parameters, comm::Mesh()).value; };

  bench::Samples add_time, our_time, aten_time, norm_time;
  for (int r = -1; r < kRepeats; ++r) {  // the first round touches the memory and does not count
    for (const auto& [samples, body] :
         std::initializer_list<std::pair<bench::Samples*, std::function<void()>>>{
             {&add_time, add}, {&our_time, ours}, {&aten_time, aten}, {&norm_time, gradient_norm}}) {
      const double seconds = bench::seconds_of(body);
      if (r >= 0) samples->add(seconds);
    }
  }
  const double bandwidth = 12.0 * static_cast<double>(a.numel()) / add_time.median();
  const double limit = 28.0 * static_cast<double>(total) / bandwidth;
  const Json result = {
      {"benchmark", "optimizer"},
      {"parameters", total},
      {"threads", at::get_num_threads()},
      {"bandwidth_bytes_per_second", bandwidth},
      {"limit_seconds", limit},
      {"adamw", our_time.json()},
      {"adamw_over_limit", our_time.median() / limit},
      {"aten_fused_adamw", aten_time.json()},
      {"aten_over_limit", aten_time.median() / limit},
      {"gradient_norm", norm_time.json()},
      {"gradient_norm_over_limit", norm_time.median() / (4.0 * static_cast<double>(total) / bandwidth)}};
  fmt::print("{}\n", result.dump());
}
