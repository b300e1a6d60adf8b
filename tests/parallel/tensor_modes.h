// SPDX-License-Identifier: Apache-2.0
// Layers of every tensor mode against their dense twins: one body, written in logical shapes, runs on one rank and on each mesh.
//
//   check_modes([](Site& site) {
//     auto up = site.add("up", site.make().linear({.in = 36, .out = {48}}));
//     const at::Tensor x = site.input("x", {5, 7, 36}, Place::stream);
//     site.output("y", up->forward(x), {5, 7, 48}, Place::inner);
//   });
//
// Compared on every rank, whole: outputs, and the gradients of inputs and parameters for one pseudo-random cotangent.
#pragma once
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <map>

#include "colossal/comm/collectives.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/parallel/tensor/tensor_factory.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::testing {

using parallel::Keep;
using parallel::TensorMode;
using parallel::TensorParallel;

struct Setup {
  TensorParallel how;
  Keep keep = Keep::shards;
  std::string text() const {
    return fmt::format("{} size {} depth {}{}", parallel::kTensorModes[static_cast<size_t>(how.mode)],
                       how.size, how.depth, keep == Keep::gathered ? " gathered" : "");
  }
};

// 5 rows and 7 positions divide by no mesh, a width of 36 (48 inside) by all of them.
inline constexpr int64_t kBatch = 5, kLength = 7, kWidth = 36, kInner = 48;
inline const tensor::Shape kStream = {kBatch, kLength, kWidth};

inline const std::vector<Setup>& setups() {
  static const std::vector<Setup> all = {{{TensorMode::one_d, 2}},
                                         {{TensorMode::one_d, 4}},
                                         {{TensorMode::one_d_sequence, 2}},
                                         {{TensorMode::one_d_sequence, 4}, Keep::gathered},
                                         {{TensorMode::two_d, 4}},
                                         {{TensorMode::two_d, 9}},
                                         {{TensorMode::two_and_half_d, 8, 2}},
                                         {{TensorMode::two_and_half_d, 16, 4}},
                                         {{TensorMode::three_d, 8}},
                                         {{TensorMode::three_d, 8}, Keep::gathered}};
  return all;
}

inline comm::Mesh mesh_of(std::shared_ptr<comm::World> world, const TensorParallel& how) {
  return {std::move(world), comm::MeshShape(parallel::tensor_axes(how))};
}

inline std::unique_ptr<nn::LayerFactory> factory_of(const comm::Mesh& mesh, const Setup& setup,
                                                    std::shared_ptr<nn::StepState> state,
                                                    at::ScalarType compute = at::kDouble) {
  return parallel::make_factory(mesh, std::move(state), setup.how.mode, {.compute = compute}, {setup.keep});
}

inline at::Tensor drawn(const std::string& name, const tensor::Shape& shape, double mean = 0,
                        double stddev = 1) {
  return tensor::normal(tensor::RandomKey(11).named(name), shape, {tensor::Shape(shape.size(), 0), shape},
                        mean, stddev, at::kDouble);
}

enum class Place { stream, inner };
using Results = std::map<std::string, at::Tensor>;

// One rank while it runs a body.
class Site {
 public:
  Site(comm::Mesh mesh, const Setup& setup, at::ScalarType compute)
      : setup_(setup),
        mesh_(std::move(mesh)),
        who_(parallel::arrangement(setup.how.mode)),
        compute_(compute),
        state_(std::make_shared<nn::StepState>(nn::StepState{.seed = 9, .step = 3})),
        make_(factory_of(mesh_, setup, state_, compute)) {}

  nn::LayerFactory& make() { return *make_; }
  const Setup& setup() const { return setup_; }
  const comm::Mesh& mesh() const { return mesh_; }
  const std::vector<nn::Parameter>& parameters() const { return parameters_; }
  nn::StepState& state() { return *state_; }
  // A mutation: gradients are not summed over these axes.
  void leave_out(comm::Axes axes) { left_out_ = std::move(axes); }

  // Fills the parameters by name; what starts as zeros or ones is drawn, too.
  template <class L>
  std::shared_ptr<L> add(const std::string& name, std::shared_ptr<L> layer) {
    std::vector<nn::Parameter> fresh;
    for (nn::Parameter p : nn::parameters(*layer, mesh_)) {
      const auto same = [&](const nn::Parameter& q) { return q.tensor.is_same(p.tensor); };
      if (std::any_of(parameters_.begin(), parameters_.end(), same)) continue;  // tied
      p.name = name + "." + p.name;
      if (p.spec.init.kind != nn::Init::Kind::normal) p.spec.init = nn::Init::uniform(0.5);
      fresh.push_back(std::move(p));
    }
    nn::initialize(fresh, 5, mesh_.rank());
    parameters_.insert(parameters_.end(), fresh.begin(), fresh.end());
    return layer;
  }

  // This rank's part of the logical [batch, sequence, ..] with dim `split` sharded like `place`, the last dims flattened.
  at::Tensor part(const at::Tensor& full, Place place, int64_t split = 2) {
    at::Tensor x = full;
    for (const auto& [dim, axes] : cuts(place, split)) {
      const nn::Part own = own_part(dim, x.size(dim), axes);
      std::vector<int64_t> sizes = x.sizes().vec();
      sizes[dim] = own.size;
      at::Tensor piece = at::zeros(sizes, x.options());
      piece.narrow(dim, 0, own.valid).copy_(x.narrow(dim, std::min(own.begin, x.size(dim)), own.valid));
      x = piece;
    }
    return x.reshape({x.size(0), x.size(1), -1});
  }
  at::Tensor whole(const at::Tensor& local, const tensor::Shape& shape, Place place, int64_t split = 2) {
    std::vector<int64_t> sizes = shape;
    const auto dims = cuts(place, split);
    for (const auto& [dim, axes] : dims) sizes[dim] = own_part(dim, shape[dim], axes).size;
    at::Tensor x = local.detach().reshape(sizes);
    for (const auto& [dim, axes] : dims)
      x = comm::all_gather(x, mesh_.group(axes), dim).narrow(dim, 0, shape[dim]);
    return x;
  }

  at::Tensor input(const std::string& name, const at::Tensor& full, Place place, int64_t split = 2) {
    state_->num_rows = state_->global_rows = full.size(0);
    state_->sequence_length = full.size(1);
    at::Tensor x = part(full, place, split).to(compute_).requires_grad_();
    gathered_.emplace_back(
        [=, this] { results_["d " + name] = whole(x.grad(), full.sizes().vec(), place, split); });
    return x;
  }
  at::Tensor input(const std::string& name, const tensor::Shape& shape, Place place, int64_t split = 2) {
    return input(name, drawn(name, shape), place, split);
  }
  void output(const std::string& name, const at::Tensor& y, const tensor::Shape& shape, Place place,
              int64_t split = 2) {
    if (y.requires_grad())
      add_to_loss((y.to(at::kDouble) * part(drawn("cotangent of " + name, shape), place, split)).sum());
    results_[name] = whole(y, shape, place, split);
  }
  // What all ranks hold in full: logits, a loss. log_probs have no gradient.
  void output(const std::string& name, const at::Tensor& y) {
    if (y.requires_grad()) add_to_loss((y * drawn("cotangent of " + name, y.sizes().vec())).sum());
    results_[name] = y.detach();
  }

  Results finish() {
    if (loss_.defined()) {
      loss_.backward();
      for (const auto& gather : gathered_) gather();
      for (const nn::Parameter& p : parameters_) {
        const at::Tensor& own = p.tensor.grad();  // undefined: nothing of it was used here
        const at::Tensor sum = own.defined() ? own.clone() : at::zeros_like(p.tensor.detach());
        comm::Axes axes = p.spec.sum_axes;
        for (const std::string& axis : left_out_) std::erase(axes, axis);
        comm::all_reduce(sum, mesh_.group(axes));
        results_["d " + p.name] = tensor::gather_full(sum, p.layout(), mesh_);
      }
    }
    return std::move(results_);
  }

 private:
  std::vector<std::pair<int64_t, comm::Axes>> cuts(Place place, int64_t split) const {
    const nn::Placement& p = place == Place::stream ? who_.stream : who_.inner;
    return {{0, p.batch}, {1, p.sequence}, {split, p.hidden}};
  }
  // Between two linears the sequence is whole, but as long as it was padded to.
  nn::Part own_part(int64_t dim, int64_t size, const comm::Axes& axes) const {
    nn::Part own = nn::part_of(size, axes, mesh_.shape(), mesh_.rank());
    const int64_t unit = mesh_.shape().axes_size(who_.stream.sequence);
    if (dim == 1 && axes.empty()) own.size = (size + unit - 1) / unit * unit;
    return own;
  }
  void add_to_loss(const at::Tensor& term) { loss_ = loss_.defined() ? loss_ + term : term; }

  Setup setup_;
  comm::Mesh mesh_;
  parallel::Arrangement who_;
  at::ScalarType compute_;
  std::shared_ptr<nn::StepState> state_;
  std::unique_ptr<nn::LayerFactory> make_;
  std::vector<nn::Parameter> parameters_;
  std::vector<std::function<void()>> gathered_;
  comm::Axes left_out_;
  at::Tensor loss_;
  Results results_;
};

using Body = std::function<void(Site&)>;

inline Results run_dense(const Body& body) {
  Site site(comm::Mesh(), {}, at::kDouble);
  body(site);
  return site.finish();
}

// By rank.
inline std::vector<Results> run_mode(const Setup& setup, const Body& body,
                                     at::ScalarType compute = at::kDouble) {
  std::vector<Results> results(setup.how.size);
  comm::run_ranks(static_cast<int>(setup.how.size), [&](std::shared_ptr<comm::World> world) {
    Site site(mesh_of(world, setup.how), setup, compute);
    body(site);
    results[world->rank()] = site.finish();
  });
  return results;
}

// Largest difference relative to the largest element; to 0 where all are 0.
inline double difference(const at::Tensor& ours, const at::Tensor& dense) {
  const double worst = (ours.to(at::kDouble) - dense.to(at::kDouble)).abs().max().item<double>();
  const double most = dense.abs().max().item<double>();
  return most == 0 ? worst : worst / most;
}

inline void check_close(const std::vector<Results>& ranks, const Results& dense, double tolerance) {
  for (const Results& ours : ranks) {
    REQUIRE(ours.size() == dense.size());
    for (const auto& [name, expected] : dense) {
      CAPTURE(name);
      REQUIRE(ours.count(name) == 1);
      REQUIRE(ours.at(name).sizes() == expected.sizes());
      CHECK(difference(ours.at(name), expected) <= tolerance);
    }
  }
}

// The dense twin computes in fp64 whatever `compute` is.
inline void check_modes(const Body& body, double tolerance = 1e-10, at::ScalarType compute = at::kDouble) {
  const Results dense = run_dense(body);
  for (const Setup& setup : setups()) {
    CAPTURE(setup.text());
    check_close(run_mode(setup, body, compute), dense, tolerance);
  }
}

}  // namespace colossal::testing
