// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/nn/layer.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/optim/optimizer.h"
#include "colossal/parallel/data/gradient_reducer.h"
#include "colossal/tensor/random.h"

using namespace colossal;
using namespace colossal::parallel;
using tensor::Layout;

namespace {

constexpr int64_t kRows = 8, kIn = 7, kHidden = 13, kOut = 3, kSteps = 10;

// Two linears with dropout between; `odd` takes part in every second step only, `idle` never.
struct Net : nn::Layer {
  explicit Net(const comm::MeshShape& mesh) {
    const auto add = [&](const char* name, const tensor::Shape& shape) {
      return add_parameter(name, shape,
                           {.layout = Layout::replicated(shape, mesh), .init = nn::Init::normal(0.5)},
                           at::kDouble);
    };
    up = add("up", {kHidden, kIn});
    bias = add("bias", {kHidden});
    idle = add("idle", {5});
    odd = add("odd", {kOut});
    down = add("down", {kOut, kHidden});
  }
  // Sum over rows of the squared output, over all rows of the global batch.
  at::Tensor loss(const at::Tensor& x, int64_t first_row, int64_t step) const {
    at::Tensor h = at::tanh(at::linear(x, up, bias));
    h = tensor::dropout(h, 0.3, tensor::RandomKey(4).at_step(static_cast<uint64_t>(step)), {kRows, kHidden},
                        {{first_row, 0}, {x.size(0), kHidden}});
    at::Tensor y = at::linear(h, down);
    if (step % 2 == 1) y = y + odd;
    return y.square().sum() / kRows;
  }
  at::Tensor up, bias, idle, odd, down;
};

at::Tensor batch(int64_t step, int64_t first_row, int64_t rows) {
  const auto key = tensor::RandomKey(2).at_step(static_cast<uint64_t>(step));
  return tensor::normal(key, {kRows, kIn}, {{first_row, 0}, {rows, kIn}}, 0, 1, at::kDouble);
}

// All parameters after kSteps of AdamW with clipping, on `ranks` ranks with `accumulation` micro-batches each.
std::vector<at::Tensor> train(int ranks, int64_t accumulation, const GradientReducerOptions& options) {
  std::vector<std::vector<at::Tensor>> results(static_cast<size_t>(ranks));
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", ranks}}));
    Net net(mesh.shape());
    const auto parameters = nn::parameters(net, mesh);
    nn::initialize(parameters, 3, mesh.rank());
    const auto optimizer = optim::make_optimizer({.weight_decay = 0.1}, parameters, mesh);
    GradientReducer reducer(parameters, mesh, options);
    const int64_t rows = kRows / (ranks * accumulation);
    for (int64_t step = 0; step < kSteps; ++step) {
      reducer.begin_step();
      for (int64_t m = 0; m < accumulation; ++m) {
        reducer.begin_backward(m + 1 < accumulation ? GradientReducer::Pass::accumulate
                                                    : GradientReducer::Pass::reduce);
        const int64_t first_row = (mesh.rank() * accumulation + m) * rows;
        net.loss(batch(step, first_row, rows), first_row, step).backward();
      }
      reducer.finish();
      const double norm = optim::gradient_norm(parameters, mesh).value;
      optimizer->step({.learning_rate = 0.05, .gradient_scale = optim::clip_factor(norm, 1.0)});
    }
    for (const nn::Parameter& p : parameters)
      results[static_cast<size_t>(mesh.rank())].push_back(p.tensor.detach().clone());
  });
  for (const auto& other : results) {
    for (size_t i = 0; i < other.size(); ++i)
      CHECK(at::equal(other[i], results[0][i]));  // bit for bit on all ranks
  }
  return results[0];
}

double difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, (a[i] - b[i]).abs().max().item<double>());
  return worst;
}

void require(bool condition, const char* what) {  // doctest's macros stay on the main thread
  if (!condition) throw InternalError(what);
}

}  // namespace

TEST_CASE("one rank with four micro-batches = two with two = four with one") {
  const auto one = train(1, 4, {});
  CHECK(difference(train(1, 1, {}), one) < 1e-10);
  for (int64_t bucket_bytes : {int64_t{1}, int64_t{200}, int64_t{25} << 20}) {
    CAPTURE(bucket_bytes);
    CHECK(difference(train(2, 2, {.bucket_bytes = bucket_bytes}), one) < 1e-10);
    CHECK(difference(train(4, 1, {.bucket_bytes = bucket_bytes}), one) < 1e-10);
  }
  CHECK(difference(train(4, 2, {.bucket_bytes = 200, .when = GradientReducerOptions::When::after_backward}),
                   one) < 1e-10);
}

TEST_CASE("two runs are equal bit for bit") {
  CHECK(difference(train(2, 2, {.bucket_bytes = 200}), train(2, 2, {.bucket_bytes = 200})) == 0);
}

TEST_CASE("gradients are views of flat buckets in reverse registration order, and travel once") {
  comm::run_ranks(2, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", 2}}));
    Net net(mesh.shape());
    const auto parameters = nn::parameters(net, mesh);
    nn::initialize(parameters, 3, mesh.rank());
    GradientReducer reducer(parameters, mesh, {});
    require(reducer.num_buckets() == 1, "one bucket holds all");
    int64_t numel = 0;
    for (const nn::Parameter& p : parameters) numel += p.tensor.numel();
    require(reducer.reduced_bytes() == numel * 8, "payload");
    for (int step = 0; step < 2; ++step) {
      const int64_t before = world->recorder().total().bytes_sent;
      reducer.begin_step();
      for (auto pass : {GradientReducer::Pass::accumulate, GradientReducer::Pass::reduce}) {
        reducer.begin_backward(pass);
        net.loss(batch(0, 0, 2), 0, 0).backward();
      }
      reducer.finish();
      require(world->recorder().total().bytes_sent - before == numel * 8,
              "2 (n-1)/n of the payload, once per step");
      for (size_t i = 0; i + 1 < parameters.size(); ++i) {
        const at::Tensor &here = parameters[i].tensor.grad(), &next = parameters[i + 1].tensor.grad();
        require(next.data_ptr<double>() + next.numel() == here.data_ptr<double>(),
                "neighbours in one buffer");
      }
      require(at::equal(parameters[2].tensor.grad(), at::zeros({5}, at::kDouble)),
              "an unused parameter has zeros");
    }
  });
}

TEST_CASE(
    "large gradients travel alone and where they are; buckets leave in the order in which backward completes "
    "them") {
  comm::run_ranks(2, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", 2}}));
    std::vector<nn::Parameter> parameters;
    for (const auto& [name, size] : {std::pair{"first", 3}, {"large", 64}, {"last", 5}}) {
      parameters.push_back({name,
                            at::full({size}, 1.0 + mesh.rank(), at::kDouble).requires_grad_(),
                            {.layout = Layout::replicated({size}, mesh.shape())}});
    }
    GradientReducer reducer(parameters, mesh, {.alone_bytes = 64 * 8});
    require(reducer.num_buckets() == 2, "large, and the others together");
    const void* formed = nullptr;
    parameters[1].tensor.register_hook([&](const at::Tensor& gradient) { formed = gradient.data_ptr(); });
    reducer.begin_step();
    reducer.begin_backward(GradientReducer::Pass::reduce);
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const nn::Parameter& p : parameters) sum = sum + p.tensor.square().sum();
    const int64_t before = world->recorder().total().calls;
    sum.backward();
    require(world->recorder().total().calls == before + 2, "both have left");
    reducer.finish();
    require(parameters[1].tensor.grad().data_ptr() == formed, "not copied");
    for (const nn::Parameter& p : parameters)
      require(at::equal(p.tensor.grad(), at::full_like(p.tensor, 6)), "2 (1 + 2)");
  });
}

TEST_CASE("ranks that use different parameters agree on every sum") {
  comm::run_ranks(2, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", 2}}));
    Net net(mesh.shape());
    const auto parameters = nn::parameters(net, mesh);
    nn::initialize(parameters, 3, mesh.rank());
    GradientReducer reducer(parameters, mesh, {.bucket_bytes = 1});
    reducer.begin_step();
    reducer.begin_backward(GradientReducer::Pass::reduce);
    (mesh.rank() == 0 ? net.odd : net.idle).sum().backward();
    reducer.finish();
    require(at::equal(net.odd.grad(), at::ones({kOut}, at::kDouble)), "odd, from rank 0");
    require(at::equal(net.idle.grad(), at::ones({5}, at::kDouble)), "idle, from rank 1");
    require(at::equal(net.up.grad(), at::zeros({kHidden, kIn}, at::kDouble)), "up, from nobody");
  });
}

TEST_CASE("sum_axes name further axes; axes that are neither stay out") {
  comm::run_ranks(4, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", 2}, {"tensor", 2}}));
    const auto make = [&](const char* name, const comm::Axes& sum_axes) {
      return nn::Parameter{name,
                           at::zeros({3}, at::kDouble).requires_grad_(),
                           {.layout = Layout::replicated({3}, mesh.shape()), .sum_axes = sum_axes}};
    };
    const std::vector<nn::Parameter> parameters{make("shared", {"tensor"}), make("own", {})};
    GradientReducer reducer(parameters, mesh, {});
    require(reducer.num_buckets() == 2, "one sequence per set of axes");
    reducer.begin_step();
    reducer.begin_backward(GradientReducer::Pass::reduce);
    ((parameters[0].tensor + parameters[1].tensor).sum() * (1 << mesh.rank())).backward();
    reducer.finish();
    require(parameters[0].tensor.grad()[0].item<double>() == 15, "over all four ranks");
    require(parameters[1].tensor.grad()[0].item<double>() == (mesh.coordinate("tensor") == 0 ? 1 + 4 : 2 + 8),
            "over data only");
  });
}
