// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/run_state.h"

#include "colossal/tensor/cast_cache.h"

namespace colossal::train {

std::vector<checkpoint::NamedTensor> run_tensors(Engine& engine) {
  std::vector<checkpoint::NamedTensor> tensors;
  for (const nn::Parameter& p : engine.optimizer().parameters())
    tensors.push_back({"model." + p.name, p.tensor, p.layout()});
  for (const optim::StateTensor& s : engine.optimizer().state())
    tensors.push_back({"optimizer." + s.name, s.local, s.layout});
  return tensors;
}

void load_run_tensors(Engine& engine, const checkpoint::Checkpoint& checkpoint) {
  const int rank = engine.context().rank();
  for (const checkpoint::NamedTensor& tensor : run_tensors(engine)) checkpoint.read_into(tensor, rank);
  for (const nn::Parameter& p : engine.optimizer().parameters()) tensor::drop_cast(p.tensor);
}

void load_weights(const std::vector<nn::Parameter>& parameters, const checkpoint::Checkpoint& checkpoint,
                  int rank) {
  at::NoGradGuard no_grad;
  for (const nn::Parameter& p : parameters) {
    const at::Tensor piece = checkpoint.read("model." + p.name, p.layout(), rank);
    p.tensor.copy_(piece.view(p.tensor.sizes()));
    tensor::drop_cast(p.tensor);
  }
}

}  // namespace colossal::train
