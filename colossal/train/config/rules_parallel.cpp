// SPDX-License-Identifier: Apache-2.0
// Fills and checks [parallel], and what of a model and a batch its tensor mode must divide.
#include <fmt/format.h>

#include "colossal/train/config/describe.h"

namespace colossal::train {

void resolve_parallel(ParallelSection& p, config::Review& review, int64_t world_size) {
  const std::string wrong = parallel::problem(p.tensor.how());
  if (!wrong.empty()) {
    review.require(false, {"parallel.tensor.size", "parallel.tensor.depth", "parallel.tensor.mode"},
                   fmt::format("parallel.tensor.{}.", wrong));
    p.tensor = {};
    p.data = 1;  // one problem is enough
    return;
  }
  const int64_t tensor = p.tensor.size, data = p.data.value_or(world_size / tensor);
  const char* s = world_size == 1 ? "" : "s";
  if (tensor > 1 && !p.data && world_size % tensor != 0) {
    review.require(false, {"parallel.tensor.size"},
                   fmt::format("parallel.tensor.size = {} does not divide {} rank{}. Start {} ranks.", tensor,
                               world_size, s, multiples_near(world_size, tensor)));
  } else if (tensor > 1 && data * tensor != world_size) {
    review.reject(
        "parallel.data",
        fmt::format("parallel.data = {} × parallel.tensor.size = {} = {} does not fill {} rank{}. Leave "
                    "parallel.data out, or start {} ranks.",
                    data, tensor, data * tensor, world_size, s, data * tensor));
  } else if (data * tensor != world_size) {
    review.reject(
        "parallel.data",
        fmt::format("parallel.data = {} does not fill {} rank{}. Set parallel.data = {}, or start {} rank{}.",
                    data, world_size, s, world_size, data, data == 1 ? "" : "s"));
  }
  p.data = std::max<int64_t>(1, data);
}

void check_tensor_parallel(const RunConfig& c, config::Review& review) {
  const parallel::TensorParallel how = c.parallel.tensor.how();
  if (how.mode == parallel::TensorMode::none) return;
  const comm::MeshShape mesh(parallel::tensor_axes(how));
  const parallel::Arrangement who = parallel::arrangement(how.mode);
  // The finest cut; coarser ones of the same dim divide it.
  const auto need = [&](std::optional<int64_t> value, std::string_view key,
                        std::initializer_list<comm::Axes> cuts) {
    int64_t ways = 1;
    for (const comm::Axes& axes : cuts) ways = std::max<int64_t>(ways, mesh.axes_size(axes));
    if (!value || *value % ways == 0) return;
    review.require(
        false, {key, "parallel.tensor.size", "parallel.tensor.mode"},
        fmt::format("{} = {} cannot be cut into {} by parallel.tensor.mode = \"{}\" of {} ranks. Nearest: "
                    "{}.",
                    key, *value, ways, parallel::kTensorModes[static_cast<size_t>(how.mode)], how.size,
                    multiples_near(*value, ways)));
  };
  const ModelSection& m = c.model;
  need(m.num_heads, "model.num_heads", {who.inner.hidden});
  need(m.hidden_size, "model.hidden_size", {who.stream.hidden, who.expand_input});
  need(m.ffn_size, "model.ffn_size", {who.inner.hidden, who.contract_input});
  need(c.train.microbatch_size, "train.microbatch_size", {who.stream.batch});
}

}  // namespace colossal::train
