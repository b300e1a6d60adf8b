// SPDX-License-Identifier: Apache-2.0
// Fills and checks [parallel], and what of a model and a batch its tensor mode must divide.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "colossal/base/text.h"
#include "colossal/models/family.h"
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

// A number that a tensor mode cuts.
struct Cut {
  std::string_view key;
  std::string what;  // "model.num_heads = 6"
  int64_t ways;      // into how many
  bool fits;
  std::string nearest;  // that would
};

// The finest cut; coarser ones of the same dim divide it.
int64_t ways_along(const TensorParallel& how, std::initializer_list<comm::Axes> cuts) {
  const comm::MeshShape mesh(parallel::tensor_axes(how));
  int64_t most = 1;
  for (const comm::Axes& axes : cuts) most = std::max<int64_t>(most, mesh.axes_size(axes));
  return most;
}

// The nearest sizes of a head that are multiples of `unit`; even where rotary positions turn pairs.
std::string head_dims_near(const ModelSection& m, int64_t dim, int64_t unit) {
  const bool rotary = models::foreign_family(m.family, "model.family").rotary;
  return "model.head_dim = " + multiples_near(dim, rotary ? std::lcm(unit, int64_t{2}) : unit);
}

// Keys and values of heads that do not divide are made in pieces of heads.
Cut key_value_cut(const ModelSection& m, int64_t dim, int64_t ways) {
  const int64_t heads = *m.num_heads, kv_heads = *m.num_kv_heads;
  int64_t below = 0, above = heads;  // divisors of the heads
  for (int64_t n = ways; n <= heads; n += ways) {
    if (heads % n != 0) continue;
    if (n < kv_heads) below = n;
    if (n > kv_heads) above = std::min(above, n);
  }
  return {.key = "model.num_kv_heads",
          .what = fmt::format("model.num_kv_heads = {} of {} features each", kv_heads, dim),
          .ways = ways,
          .fits = kv_heads % ways == 0 || dim % ways == 0,
          .nearest = fmt::format("{}{}, or {}", below > 0 ? fmt::format("{} or ", below) : "", above,
                                 head_dims_near(m, dim, ways))};
}

std::vector<Cut> cuts_of(const RunConfig& c, const TensorParallel& how) {
  const parallel::Arrangement who = parallel::arrangement(how.mode);
  const ModelSection& m = c.model;
  std::vector<Cut> all;
  const auto add = [&](std::string_view key, const std::optional<int64_t>& value, int64_t ways) {
    if (!value) return;
    all.push_back(
        {key, fmt::format("{} = {}", key, *value), ways, *value % ways == 0, multiples_near(*value, ways)});
  };
  const int64_t heads_ways = ways_along(how, {who.inner.hidden});
  add("model.num_heads", m.num_heads, heads_ways);
  add("model.hidden_size", m.hidden_size, ways_along(how, {who.stream.hidden, who.expand_input}));
  add("model.ffn_size", m.ffn_size, ways_along(how, {who.inner.hidden, who.contract_input}));
  add("train.microbatch_size", c.train.microbatch_size, ways_along(how, {who.stream.batch}));
  // One problem at a time: of heads that can be shared, what is in them.
  if (!m.num_heads || !m.hidden_size || *m.num_heads % heads_ways != 0) return all;
  if (!m.head_dim && *m.hidden_size % *m.num_heads != 0) return all;
  const int64_t heads = *m.num_heads, dim = m.head_dim.value_or(*m.hidden_size / heads);
  if (m.num_kv_heads && heads % *m.num_kv_heads == 0) all.push_back(key_value_cut(m, dim, heads_ways));
  if (const int64_t ways = ways_along(how, {who.contract_input}); m.head_dim) {
    all.push_back(
        {.key = "model.head_dim",
         .what = fmt::format("model.num_heads × model.head_dim = {} × {} = {}", heads, dim, heads * dim),
         .ways = ways,
         .fits = heads * dim % ways == 0,
         .nearest = head_dims_near(m, dim, ways / std::gcd(ways, heads))});
  }
  return all;
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
    if (std::ranges::all_of(cuts_of(c, smaller), &Cut::fits)) return size;
  }
  return 0;
}

// "Sizes that fit it: 2, 4.": of a mode for a model that is what it is, about as large as was asked.
std::string sizes_of_loaded(const RunConfig& c) {
  const TensorParallel how = c.parallel.tensor.how();
  std::vector<TensorParallel> fit;
  for (int64_t size = 2; size <= 2 * how.size; ++size) {
    const TensorParallel other{how.mode, size, how.depth};
    if (parallel::problem(other).empty() && std::ranges::all_of(cuts_of(c, other), &Cut::fits))
      fit.push_back(other);
  }
  if (fit.empty()) return fmt::format("No size near {} fits this model.", how.size);
  return fmt::format("Sizes of this mode that fit this model: {}.", sizes_text(fit));
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
  bool told = false;  // that the loaded model does not fit, with the sizes with which all of it does
  for (const Cut& cut : cuts_of(c, how)) {
    if (cut.fits) continue;
    const int64_t size = smaller_size(c, review);
    const bool fixed = c.model.load && cut.key.starts_with("model.");
    if (fixed && std::exchange(told, true)) continue;
    const std::string fix =
        fixed ? sizes_of_loaded(c)
              : fmt::format("Nearest: {}{}.", cut.nearest,
                            size > 0 ? fmt::format(", or parallel.tensor.size = {}", size) : "");
    review.require(false, {cut.key, "parallel.tensor.size", "parallel.tensor.mode"},
                   fmt::format("{} cannot be cut into {} by parallel.tensor.mode = \"{}\" of {} ranks. {}",
                               cut.what, cut.ways, name_of(how.mode), how.size, fix));
  }
}

}  // namespace colossal::train
