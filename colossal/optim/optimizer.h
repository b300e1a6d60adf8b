// SPDX-License-Identifier: Apache-2.0
// Optimizers over local shards. Elementwise ones never communicate; those that need the norm of a whole tensor sum it over the
// axes that the parameter's Layout shards.
//
//   auto optimizer = make_optimizer({.name = "adamw", .weight_decay = 0.1}, nn::parameters(*model, mesh), mesh);
//   optimizer->step({.learning_rate = 3e-4, .gradient_scale = clip_factor / loss_scale});
//
// Thread safety: one rank, one thread; the kernels use all intra-op threads.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/comm/mesh.h"
#include "colossal/nn/parameter.h"
#include "colossal/tensor/layout.h"

namespace colossal::optim {

// Parameters with spec.decay == false get no weight decay and, from LAMB and LARS, a trust ratio of 1.
struct OptimizerOptions {
  std::string name = "adamw";  // adamw adam sgd adafactor lamb lars
  double beta1 = 0.9;          // adamw, adam, lamb
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;       // decoupled for adamw, adafactor and lamb, in the gradient for the others
  double momentum = 0;              // sgd, lars, adafactor (there: beta1)
  bool nesterov = false;            // sgd
  bool amsgrad = false;             // adamw, adam
  bool bias_correction = true;      // lamb
  double trust_coefficient = 1e-3;  // lars
  struct Adafactor {
    double decay_rate = 0.8;      // beta2 of step t is 1 - t^-decay_rate
    double clip_threshold = 1;    // greatest root mean square of an update before the rate
    double square_eps = 1e-30;    // added to squared gradients
    double scale_eps = 1e-3;      // least root mean square that a parameter counts with
    bool scale_parameter = true;  // rate relative to the parameter's root mean square
    bool relative_step = false;   // rate min(1e-2, 1/sqrt(t)) instead of StepOptions::learning_rate
    bool warmup = false;          // with relative_step: 1e-6 t instead of 1e-2
  } adafactor = {};
};

struct StepOptions {
  double learning_rate = 0;
  double gradient_scale = 1;  // multiplies every gradient first: clipping and loss scale in the same pass
};

// One tensor of optimizer state, as a checkpoint stores it.
struct StateTensor {
  std::string name;  // "exp_avg.blocks.0.norm.weight"
  at::Tensor local;  // same element count as layout.local_shape()
  tensor::Layout layout;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Updates parameters whose gradient is defined, from parameter.tensor.grad() (any float dtype, the parameter's shape).
  virtual void step(const StepOptions& options) = 0;

  const std::vector<nn::Parameter>& parameters() const { return parameters_; }
  int64_t num_steps() const { return num_steps_; }

  // All state tensors, allocated if they were not yet: a checkpoint saves them and loads into them in place.
  virtual std::vector<StateTensor> state() = 0;
  // What is not a tensor: number of steps and the like.
  virtual Json scalars() const { return {{"num_steps", num_steps_}}; }
  virtual void load_scalars(const Json& json) { num_steps_ = json.at("num_steps").get<int64_t>(); }

 protected:
  Optimizer(std::vector<nn::Parameter> parameters, comm::Mesh mesh)
      : parameters_(std::move(parameters)), mesh_(std::move(mesh)) {}
  std::vector<nn::Parameter> parameters_;
  comm::Mesh mesh_;
  int64_t num_steps_ = 0;
};

// ConfigError for an unknown name (with the nearest) or options that the optimizer does not know or that are out of range: all
// problems at once. ShapeError for a parameter that is not fp32 or fp64.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options,
                                          std::vector<nn::Parameter> parameters, const comm::Mesh& mesh);

}  // namespace colossal::optim
