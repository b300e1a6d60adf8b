// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/tensor_factory.h"

#include "colossal/nn/dense_factory.h"
#include "colossal/parallel/tensor/vocabulary.h"

namespace colossal::parallel {

TensorFactory::TensorFactory(const comm::Mesh& mesh, std::shared_ptr<nn::StepState> state, TensorMode mode,
                             const nn::FactoryOptions& options, const TensorOptions& tensor)
    : StandardFactory(mesh, std::move(state), options, arrangement(mode).stream, arrangement(mode).inner),
      mode_(mode),
      who_(arrangement(mode)),
      tensor_(tensor) {}

// In the order of the operands: x, W (of this layer: gathered along its inputs), y.
ProductPorts TensorFactory::linear_ports(nn::Role role) const {
  const bool expands = role == nn::Role::expand;
  const auto group = [&](const char* axis) { return mesh().group(axis); };
  switch (mode_) {
    case TensorMode::one_d:
      return expands ? ProductPorts{Port::sum(group("tensor")), {}, {}}
                     : ProductPorts{{}, {}, Port::sum(group("tensor"))};
    case TensorMode::one_d_sequence:
      return expands ? ProductPorts{Port::gather(group("tensor"), 1), {}, {}}
                     : ProductPorts{{}, {}, Port::gather(group("tensor"), 1)};
    case TensorMode::three_d: {
      const Port k = Port::gather(group("cube_k"), 0), j = Port::gather(group("cube_j"), 0);
      const Port weight = Port::gather(group("cube_i"), 1);
      return expands ? ProductPorts{k, weight, j} : ProductPorts{j, weight, k};
    }
    default: return {};
  }
}

ProductPorts TensorFactory::head_ports() const {
  const auto group = [&](const char* axis) { return mesh().group(axis); };
  switch (mode_) {
    case TensorMode::one_d: return {Port::sum(group("tensor")), {}, {}};
    case TensorMode::one_d_sequence: return {Port::gather(group("tensor"), 1), {}, {}};
    case TensorMode::two_d:
    case TensorMode::two_and_half_d:
      return {{}, Port::gather(group("row"), 0), Port::gather(group("column"), -1)};
    case TensorMode::three_d:
      return {Port::gather(group("cube_k"), 0), Port::gather(group("cube_i"), 0),
              Port::gather(group("cube_j"), 0)};
    default: return {};
  }
}

std::shared_ptr<nn::UnaryLayer> TensorFactory::linear(const nn::LinearOptions& options) {
  return tensor_linear(options);
}

nn::LinearGroup TensorFactory::linears(const std::vector<nn::LinearOptions>& options) {
  check(options);
  std::vector<std::shared_ptr<TensorLinear>> layers;
  for (const nn::LinearOptions& each : options) layers.push_back(tensor_linear(each));
  return {.layers = {layers.begin(), layers.end()},
          .forward = [layers](const at::Tensor& x) { return forward_together(layers, x); }};
}

std::shared_ptr<TensorLinear> TensorFactory::tensor_linear(const nn::LinearOptions& options) const {
  if (mode_ == TensorMode::two_d || mode_ == TensorMode::two_and_half_d)
    return std::make_shared<Linear2D>(*context(), options, who_.replica_axes);
  if (options.role == nn::Role::keep) {
    // Each rank forms its columns from the whole hidden dim; the weight is whole where the stream's hidden dim is.
    const WeightAxes axes{.out = who_.stream.hidden, .in = {}, .replicas = who_.stream.token_axes()};
    const Port input = Port::gather(mesh().group(who_.stream.hidden), -1);
    return std::make_shared<PortedLinear>(*context(), options, axes, ProductPorts{input, {}, {}},
                                          tensor_.keep);
  }
  const bool expands = options.role == nn::Role::expand;
  const WeightAxes axes{.out = expands ? who_.inner.hidden : who_.stream.hidden,
                        .in = expands ? who_.expand_input : who_.contract_input,
                        .replicas = who_.replica_axes};
  return std::make_shared<PortedLinear>(*context(), options, axes, linear_ports(options.role), tensor_.keep);
}

std::shared_ptr<nn::UnaryLayer> TensorFactory::embedding(const nn::EmbeddingOptions& options) {
  std::optional<int64_t> dim = 0;
  if (mode_ == TensorMode::one_d) dim = std::nullopt;
  if (mode_ == TensorMode::one_d_sequence) dim = 1;
  return std::make_shared<TensorEmbedding>(context(), options, who_.vocabulary_axes, who_.replica_axes, dim);
}

std::shared_ptr<nn::HeadLayer> TensorFactory::head(const nn::HeadOptions& options) {
  const nn::ParameterSpec table = vocabulary_table(*context(), options.vocab_size, options.hidden,
                                                   who_.vocabulary_axes, who_.replica_axes, options.init_std);
  return std::make_shared<TensorHead>(context(), options, table, head_ports());
}

std::unique_ptr<nn::LayerFactory> make_factory(const comm::Mesh& mesh, std::shared_ptr<nn::StepState> state,
                                               TensorMode mode, const nn::FactoryOptions& options,
                                               const TensorOptions& tensor) {
  if (mode == TensorMode::none) return std::make_unique<nn::DenseFactory>(mesh, std::move(state), options);
  return std::make_unique<TensorFactory>(mesh, std::move(state), mode, options, tensor);
}

}  // namespace colossal::parallel
