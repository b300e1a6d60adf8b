// SPDX-License-Identifier: Apache-2.0
// One training step (forward, backward, AdamW) of the benchmark models on nn/functional alone, without the engine: how fast the kernels
// are, to be held against a plain PyTorch loop on the same sizes. Prints one line "RESULT {json}".
//
//   bench_step w1 [--dtype bf16] [--steps 5] [--warmup 2] [--threads 2] [--malloc]
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "colossal/nn/functional/activation.h"
#include "colossal/nn/functional/attention.h"
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/functional/linear.h"
#include "colossal/nn/functional/norm.h"
#include "colossal/nn/functional/rotary.h"
#include "colossal/tensor/allocator.h"
#include "colossal/tensor/matmul_tuner.h"

namespace {

namespace F = colossal::nn::functional;
using Clock = std::chrono::steady_clock;

struct Workload {
  bool llama;
  int64_t layers, hidden, heads, kv_heads, ffn, vocab, batch;
  int64_t sequence = 256;
  int64_t head_dim() const { return hidden / heads; }
};

const std::map<std::string, Workload> kWorkloads{{"w1", {false, 6, 384, 6, 6, 1536, 50304, 16}},
                                                 {"w1b", {false, 6, 384, 6, 6, 1536, 256, 16}},
                                                 {"w2", {false, 12, 768, 12, 12, 3072, 50304, 4}},
                                                 {"w3", {true, 6, 384, 6, 2, 1024, 32000, 16}}};

struct Model {
  Workload w;
  at::ScalarType compute;
  at::Generator generator = at::detail::createCPUGenerator(1234);
  std::vector<at::Tensor> parameters;
  F::RotaryTable rotary;

  at::Tensor weight(at::IntArrayRef shape) {
    return keep(at::randn(shape, generator, at::kFloat).mul_(0.02));
  }
  at::Tensor constant(int64_t n, double value) { return keep(at::full({n}, value, at::kFloat)); }
  at::Tensor keep(const at::Tensor& t) {
    parameters.push_back(t.requires_grad_());
    return t;
  }

  struct Dense {
    at::Tensor weight, bias;
    at::Tensor operator()(const at::Tensor& x) const { return F::linear(x, weight, bias); }
  };
  struct Norm {
    at::Tensor weight, bias;
  };
  struct Block {
    Norm norm1, norm2;
    Dense query, key_value, out, up, down;  // query: q, k and v where they have equally many heads
  };
  Dense dense(int64_t in, int64_t out) {
    return {weight({out, in}), w.llama ? at::Tensor() : constant(out, 0)};
  }
  Norm norm() { return {constant(w.hidden, 1), w.llama ? at::Tensor() : constant(w.hidden, 0)}; }

  at::Tensor tokens, positions, head;
  std::vector<Block> blocks;
  Norm last;

  Model(const Workload& workload, at::ScalarType type) : w(workload), compute(type) {
    tokens = weight({w.vocab, w.hidden});
    if (!w.llama) positions = weight({w.sequence, w.hidden});
    for (int64_t i = 0; i < w.layers; ++i) {
      Block b;
      b.norm1 = norm();
      b.norm2 = norm();
      b.query = dense(w.hidden, w.llama ? w.hidden : 3 * w.hidden);
      if (w.llama) b.key_value = dense(w.hidden, 2 * w.kv_heads * w.head_dim());
      b.out = dense(w.hidden, w.hidden);
      b.up = dense(w.hidden, w.llama ? 2 * w.ffn : w.ffn);
      b.down = dense(w.ffn, w.hidden);
      blocks.push_back(b);
    }
    last = norm();
    head = w.llama ? weight({w.vocab, w.hidden}) : tokens;
    std::vector<double> frequencies;
    for (int64_t i = 0; i < w.head_dim(); i += 2) {
      frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(w.head_dim())));
    }
    rotary = F::rotary_table(frequencies, w.sequence, compute, at::kCPU);
  }

  F::AddNorm add_norm(const at::Tensor& branch, const at::Tensor& residual, const Norm& n) const {
    return w.llama ? F::add_rms_norm(branch, residual, n.weight, 1e-5)
                   : F::add_layer_norm(branch, residual, n.weight, n.bias, 1e-5);
  }

  at::Tensor attention(const Block& b, const at::Tensor& x) const {
    const int64_t batch = x.size(0), sequence = x.size(1), d = w.head_dim();
    at::Tensor q, k, v;
    if (w.llama) {
      q = F::apply_rotary(b.query(x).view({batch, sequence, w.heads, d}), rotary);
      const auto kv = b.key_value(x).view({batch, sequence, 2, w.kv_heads, d}).unbind(2);
      k = F::apply_rotary(kv[0], rotary);
      v = kv[1];
    } else {
      const auto qkv = b.query(x).view({batch, sequence, 3, w.heads, d}).unbind(2);
      q = qkv[0], k = qkv[1], v = qkv[2];
    }
    return b.out(F::attention(q, k, v, {.causal = true}).view({batch, sequence, w.hidden}));
  }

  at::Tensor mlp(const Block& b, const at::Tensor& x) const {
    const at::Tensor u = b.up(x);
    return b.down(w.llama ? F::swiglu(u) : F::gelu_tanh(u));
  }

  at::Tensor loss(const at::Tensor& ids, const at::Tensor& labels) const {
    at::Tensor residual = F::embedding(ids, tokens, compute);
    if (!w.llama) residual = residual + F::embedding(at::arange(w.sequence, at::kLong), positions, compute);
    const Norm& first = blocks[0].norm1;
    at::Tensor x = w.llama ? F::rms_norm(residual, first.weight, 1e-5)
                           : F::layer_norm(residual, first.weight, first.bias, 1e-5);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const F::AddNorm middle = add_norm(attention(blocks[i], x), residual, blocks[i].norm2);
      const F::AddNorm next = add_norm(mlp(blocks[i], middle.normed), middle.sum,
                                       i + 1 < blocks.size() ? blocks[i + 1].norm1 : last);
      residual = next.sum;
      x = next.normed;
    }
    return F::fused_linear_cross_entropy(x, head, labels, static_cast<double>(labels.numel()));
  }
};

struct AdamW {
  std::vector<at::Tensor> parameters, first, second, steps;
  explicit AdamW(const std::vector<at::Tensor>& p) : parameters(p) {
    for (const auto& t : p) {
      first.push_back(at::zeros_like(t.detach()));
      second.push_back(at::zeros_like(t.detach()));
      steps.push_back(at::zeros({}, at::kFloat));
    }
  }
  void step() {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> grads;
    for (size_t i = 0; i < parameters.size(); ++i) {
      grads.push_back(parameters[i].grad());
      steps[i].add_(1);
    }
    at::_fused_adamw_(parameters, grads, first, second, {}, steps, 3e-4, 0.9, 0.95, 0.1, 1e-8, false, false);
    for (auto& p : parameters) {
      p.unsafeGetTensorImpl()->bump_version();  // the fused operators of ATen do not
      p.mutable_grad().reset();
    }
  }
};

double seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("one training step of the benchmark models");
  std::string name, dtype = "fp32";
  int steps = 5, warmup = 2, threads = 2;
  bool use_malloc = false, table = false;
  app.add_option("workload", name)->required()->check(CLI::IsMember({"w1", "w1b", "w2", "w3"}));
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"fp32", "bf16"}));
  app.add_option("--steps", steps);
  app.add_option("--warmup", warmup);
  app.add_option("--threads", threads);
  app.add_flag("--malloc", use_malloc, "without the caching allocator");
  app.add_flag("--table", table, "print the matmul choices");
  CLI11_PARSE(app, argc, argv);
  at::set_num_threads(threads);
  if (!use_malloc) colossal::tensor::install_caching_allocator();

  const Workload w = kWorkloads.at(name);
  Model model(w, dtype == "fp32" ? at::kFloat : at::kBFloat16);
  AdamW optimizer(model.parameters);
  const at::Tensor ids = at::randint(0, w.vocab, {w.batch, w.sequence + 1}, model.generator, at::kLong);
  const at::Tensor input = ids.narrow(1, 0, w.sequence).contiguous(),
                   labels = ids.narrow(1, 1, w.sequence).contiguous();

  std::vector<double> step_seconds, losses;
  double forward = 0, backward = 0, update = 0;
  for (int i = 0; i < warmup + steps; ++i) {
    const auto start = Clock::now();
    at::Tensor loss = model.loss(input, labels);
    losses.push_back(loss.item<double>());
    const double at_forward = seconds(start);
    loss.backward();
    const double at_backward = seconds(start);
    loss.reset();
    optimizer.step();
    const double total = seconds(start);
    if (i < warmup) continue;
    step_seconds.push_back(total);
    forward += at_forward / steps, backward += (at_backward - at_forward) / steps,
        update += (total - at_backward) / steps;
  }
  std::sort(step_seconds.begin(), step_seconds.end());
  const double median = step_seconds[step_seconds.size() / 2];
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto memory = colossal::tensor::memory_stats();
  const nlohmann::json result{{"workload", name},
                              {"dtype", dtype},
                              {"threads", threads},
                              {"tok_s", static_cast<double>(w.batch * w.sequence) / median},
                              {"step_s", median},
                              {"step_min", step_seconds.front()},
                              {"step_max", step_seconds.back()},
                              {"forward_s", forward},
                              {"backward_s", backward},
                              {"optimizer_s", update},
                              {"rss_mib", usage.ru_maxrss / 1024},
                              {"peak_tensor_mib", memory.peak_bytes >> 20},
                              {"cached_mib", memory.cached_bytes >> 20},
                              {"losses", losses}};
  fmt::print("RESULT {}\n", result.dump());
  if (table) {
    for (const auto& c : colossal::tensor::matmul_choices()) {
      fmt::print("{:60} {}", c.key, c.kernel);
      for (const auto& [kernel, rate] : c.gflops) fmt::print("  {} {:.0f}", kernel, rate);
      fmt::print("\n");
    }
  }
  return 0;
}
