// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/parameter.h"

#include <ATen/core/grad_mode.h>

#include <unordered_set>

#include "colossal/nn/layer.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::nn {
namespace {

class Collector {
 public:
  explicit Collector(const comm::Mesh& mesh) : mesh_(mesh) {}

  void visit(const torch::nn::Module& module, const std::string& prefix) {
    const auto* layer = dynamic_cast<const Layer*>(&module);
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      const at::Tensor& tensor = item.value();
      if (!tensor.defined() || !seen_.insert(tensor.unsafeGetTensorImpl()).second) continue;
      found_.push_back({prefix + item.key(), tensor, spec_of(layer, item.key(), tensor)});
    }
    for (const auto& child : module.named_children()) visit(*child.value(), prefix + child.key() + ".");
  }

  std::vector<Parameter> take() { return std::move(found_); }

 private:
  ParameterSpec spec_of(const Layer* layer, const std::string& name, const at::Tensor& tensor) const {
    if (layer != nullptr) {
      if (auto it = layer->specs().find(name); it != layer->specs().end()) return it->second;
    }
    return {.layout = tensor::Layout::replicated(tensor.sizes().vec(), mesh_.shape()),
            .init = Init::keep(),
            .decay = tensor.dim() >= 2};
  }

  const comm::Mesh& mesh_;
  std::unordered_set<const void*> seen_;
  std::vector<Parameter> found_;
};

at::Tensor initial_value(const Parameter& p, uint64_t seed, int rank) {
  const tensor::RandomKey key = tensor::RandomKey(seed).named(p.name);
  const tensor::Shape& shape = p.layout().shape();
  const tensor::Slice slice = p.layout().slice(rank);
  const Init& init = p.spec.init;
  const at::ScalarType dtype = p.tensor.scalar_type();
  if (init.kind == Init::Kind::normal)
    return tensor::normal(key, shape, slice, 0, init.scale, dtype, p.tensor.device());
  return tensor::uniform(key, shape, slice, -init.scale, init.scale, dtype, p.tensor.device());
}

}  // namespace

std::vector<Parameter> parameters(const torch::nn::Module& module, const comm::Mesh& mesh) {
  Collector collector(mesh);
  collector.visit(module, "");
  return collector.take();
}

void initialize(const std::vector<Parameter>& parameters, uint64_t seed, int rank) {
  at::NoGradGuard no_grad;
  for (const Parameter& p : parameters) {
    if (p.spec.init.kind == Init::Kind::keep) continue;
    if (p.layout().is_padded()) at::Tensor(p.tensor).zero_();
    at::Tensor target = tensor::without_padding(p.tensor, p.layout(), rank);
    switch (p.spec.init.kind) {
      case Init::Kind::zeros: target.zero_(); break;
      case Init::Kind::ones: target.fill_(1); break;
      default: target.copy_(initial_value(p, seed, rank).view(target.sizes()));
    }
  }
}

}  // namespace colossal::nn
