// SPDX-License-Identifier: Apache-2.0
// Fills and checks [parallel], and what of a model and a batch its tensor mode must divide.
#include <fmt/format.h>

#include <algorithm>

#include "colossal/base/text.h"
#include "colossal/train/config/describe.h"

namespace colossal::train {
namespace {

using parallel::TensorMode;
using parallel::TensorParallel;

std::string name_of(TensorMode mode) {
  return std::string(parallel::kTensorModes[static_cast<size_t>(mode)]);
}

// What a mode can be on these ranks, ascending; where it has a depth, every stack of squares.
std::vector<TensorParallel> that_fit(TensorMode mode, int64_t ranks) {
  std::vector<TensorParallel> found;
  for (int64_t size = 2; size <= ranks; ++size) {
    if (ranks % size != 0) continue;
    for (int64_t depth = 1; depth <= std::max<int64_t>(1, size / 4); ++depth) {
      const TensorParallel how{mode, size, depth};
      if (size % depth == 0 && parallel::problem(how).empty()) found.push_back(how);
    }
  }
  return found;
}

// The smallest of a mode that is parallel at all: as many ranks are needed.
TensorParallel least_of(TensorMode mode) {
  TensorParallel how{mode, 2, 1};
  while (!parallel::problem(how).empty()) ++how.size;
  return how;
}

// "2, 4 or 8 with parallel.tensor.depth = 2"
std::string sizes_text(const std::vector<TensorParallel>& all) {
  std::vector<std::string> texts;
  for (const TensorParallel& how : all) {
    texts.push_back(how.depth == 1 ? fmt::format("{}", how.size)
                                   : fmt::format("{} with parallel.tensor.depth = {}", how.size, how.depth));
  }
  const std::string last = texts.back();
  texts.pop_back();
  return texts.empty() ? last : join(texts, ", ") + " or " + last;
}

// "with 4 ranks parallel.tensor.size = 2 or 4", or how many ranks to start instead.
std::string size_fix(TensorMode mode, int64_t ranks) {
  const auto fit = that_fit(mode, ranks);
  if (!fit.empty()) return fmt::format("with {} ranks parallel.tensor.size = {}", ranks, sizes_text(fit));
  const int64_t least = least_of(mode).size;
  return fmt::format("start {} ranks and set parallel.tensor.size = {}", multiples_near(ranks, least), least);
}

// A number that a tensor mode cuts, and the axes along which it does.
struct Shared {
  std::string_view key;
  std::optional<int64_t> value;
  std::vector<comm::Axes> cuts;
};

std::vector<Shared> shared_by(const RunConfig& c, TensorMode mode) {
  const parallel::Arrangement who = parallel::arrangement(mode);
  const ModelSection& m = c.model;
  return {{"model.num_heads", m.num_heads, {who.inner.hidden}},
          {"model.hidden_size", m.hidden_size, {who.stream.hidden, who.expand_input}},
          {"model.ffn_size", m.ffn_size, {who.inner.hidden, who.contract_input}},
          {"train.microbatch_size", c.train.microbatch_size, {who.stream.batch}}};
}

// The finest cut; coarser ones of the same dim divide it.
int64_t ways(const TensorParallel& how, const std::vector<comm::Axes>& cuts) {
  const comm::MeshShape mesh(parallel::tensor_axes(how));
  int64_t most = 1;
  for (const comm::Axes& axes : cuts) most = std::max<int64_t>(most, mesh.axes_size(axes));
  return most;
}

// The largest smaller size with which everything divides, the other ranks being replicas; 0: none.
int64_t smaller_size(RunConfig c, const config::Review& review) {
  const TensorParallel how = c.parallel.tensor.how();
  if (review.given("parallel.data")) return 0;
  const int64_t world = how.size * c.parallel.data.value();
  for (int64_t size = how.size - 1; size > 1; --size) {
    const TensorParallel smaller{how.mode, size, how.depth};
    const int64_t data = world / size, batch = c.train.global_batch_size;
    if (world % size != 0 || !parallel::problem(smaller).empty() || batch % data != 0) continue;
    if (!review.given("train.microbatch_size")) c.train.microbatch_size = batch / data;
    if (batch / data % *c.train.microbatch_size != 0) continue;
    const bool fits = std::ranges::all_of(shared_by(c, how.mode), [&](const Shared& s) {
      return !s.value || *s.value % ways(smaller, s.cuts) == 0;
    });
    if (fits) return size;
  }
  return 0;
}

}  // namespace

std::string tensor_as_text(const config::Override& change, int64_t world_size) {
  const auto* text = change.value.get<std::string>();
  if (change.path != "parallel.tensor" || text == nullptr) return "";
  const auto mode = parallel::tensor_mode(*text);
  if (!mode) return "";
  std::string fix = fmt::format("--set parallel.tensor.mode={}", *text);
  if (*mode != TensorMode::none) {
    const auto fit = that_fit(*mode, world_size);
    const TensorParallel how = fit.empty() ? least_of(*mode) : fit.back();
    fix += fmt::format(" --set parallel.tensor.size={}", how.size);
    if (how.depth > 1) fix += fmt::format(" --set parallel.tensor.depth={}", how.depth);
  }
  return fmt::format("parallel.tensor = \"{}\" is text, not a table. Write {}", *text, fix);
}

void resolve_parallel(ParallelSection& p, config::Review& review, int64_t world_size) {
  const TensorMode mode = p.tensor.mode;
  std::string wrong = parallel::problem(p.tensor.how());
  if (mode != TensorMode::none && !review.given("parallel.tensor.size")) {
    wrong = fmt::format("mode = \"{}\" needs a size: {}", name_of(mode), size_fix(mode, world_size));
  } else if (wrong.starts_with("size") && mode != TensorMode::none) {
    if (const auto fit = that_fit(mode, world_size); !fit.empty())
      wrong += fmt::format(". With {} ranks: {}", world_size, sizes_text(fit));
  }
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
  const TensorParallel how = c.parallel.tensor.how();
  if (how.mode == TensorMode::none) return;
  for (const Shared& s : shared_by(c, how.mode)) {
    const int64_t cut = ways(how, s.cuts);
    if (!s.value || *s.value % cut == 0) continue;
    const int64_t size = smaller_size(c, review);
    review.require(
        false, {s.key, "parallel.tensor.size", "parallel.tensor.mode"},
        fmt::format("{} = {} cannot be cut into {} by parallel.tensor.mode = \"{}\" of {} ranks. Nearest: "
                    "{}{}.",
                    s.key, *s.value, cut, name_of(how.mode), how.size, multiples_near(*s.value, cut),
                    size > 0 ? fmt::format(", or parallel.tensor.size = {}", size) : ""));
  }
}

}  // namespace colossal::train
