// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/run_state.h"

#include <fmt/format.h>

#include <set>

#include "colossal/base/error.h"
#include "colossal/tensor/cast_cache.h"

namespace colossal::train {
namespace {

std::string first_of(const std::set<std::string>& names) {
  return fmt::format("{}{}", *names.begin(),
                     names.size() == 1 ? "" : fmt::format(" and {} more", names.size() - 1));
}

// All that the run has is there, and nothing would be left behind.
void check_names(const std::vector<checkpoint::NamedTensor>& tensors,
                 const checkpoint::Checkpoint& checkpoint) {
  std::set<std::string> lacking, spare;
  for (const checkpoint::TensorEntry& entry : checkpoint.manifest().tensors) spare.insert(entry.name);
  for (const checkpoint::NamedTensor& tensor : tensors)
    if (spare.erase(tensor.name) == 0) lacking.insert(tensor.name);
  if (lacking.empty() && spare.empty()) return;
  std::string what;
  if (!lacking.empty()) what = fmt::format("lacks {}, which this run has", first_of(lacking));
  if (!spare.empty())
    what += fmt::format("{}holds {}, for which this run has no place", what.empty() ? "" : ", and ",
                        first_of(spare));
  throw ConfigError(
      fmt::format("{}: {}. Resume with the [model] and [optimizer] that it was trained with, or start anew "
                  "in another run.output.",
                  checkpoint.folder().string(), what));
}

}  // namespace

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
  const std::vector<checkpoint::NamedTensor> tensors = run_tensors(engine);
  check_names(tensors, checkpoint);
  for (const checkpoint::NamedTensor& tensor : tensors) checkpoint.read_into(tensor, rank);
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
