// SPDX-License-Identifier: Apache-2.0
// The search for the cheapest redistribution: Dijkstra over placements of the mesh axes.
#include <fmt/ranges.h>

#include <numeric>
#include <set>

#include "colossal/base/error.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::tensor {
namespace {

using Numbers = std::vector<int>;  // indices of mesh axes

// Where each axis of size above 1 is; axes in neither list hold replicas.
struct Placement {
  std::vector<Numbers> dims;
  Numbers partial;  // ascending
  auto operator<=>(const Placement&) const = default;
};

struct Cost {
  int64_t sent = 0;  // elements per rank times the mesh size: a whole number for every move
  int64_t collectives = 0;
  int64_t steps = 0;
  auto operator<=>(const Cost&) const = default;
};

struct Move {
  Step::Kind kind{};
  Numbers axes;
  int64_t dim = 0;
  int64_t from_dim = 0;
};

struct Reached {
  Cost cost;
  Placement previous;
  Move move;
};

Placement placement_of(const Layout& layout) {
  const auto numbers = [&](const Axes& axes) {
    Numbers list;
    for (const std::string& axis : axes) {
      if (layout.mesh().axis_size(axis) > 1) list.push_back(layout.mesh().axis_index(axis));
    }
    return list;
  };
  Placement p;
  for (const Axes& axes : layout.dims()) p.dims.push_back(numbers(axes));
  p.partial = numbers(layout.partial());
  std::sort(p.partial.begin(), p.partial.end());
  return p;
}

class Search {
 public:
  Search(const Layout& from, const Layout& to)
      : from_(from), start_(placement_of(from)), goal_(placement_of(to)) {}

  Plan run() {
    reached_[start_] = {};
    queue_.insert({Cost{}, start_});
    while (!queue_.empty()) {
      const auto [cost, here] = *queue_.begin();
      queue_.erase(queue_.begin());
      if (here == goal_) return plan();
      expand(here, cost);
    }
    throw InternalError(fmt::format("no redistribution of {} was found.", from_.describe()));
  }

 private:
  int64_t members(const Numbers& axes) const {
    int64_t n = 1;
    for (int a : axes) n *= from_.mesh().axes()[a].size;
    return n;
  }

  int64_t local_size(const Placement& p, size_t dim) const {
    return from_.shape()[dim] / members(p.dims[dim]);
  }

  int64_t local_numel(const Placement& p) const {
    int64_t n = 1;
    for (size_t d = 0; d < p.dims.size(); ++d) n *= local_size(p, d);
    return n;
  }

  int64_t sent(const Move& move, const Placement& before) const {
    const int64_t n = members(move.axes), numel = local_numel(before), scale = from_.mesh().size();
    switch (move.kind) {
      case Step::Kind::all_reduce: return scale / n * (2 * (n - 1) * numel);
      case Step::Kind::all_gather: return scale * ((n - 1) * numel);
      case Step::Kind::slice: return 0;
      default: return scale / n * ((n - 1) * numel);
    }
  }

  void reach(const Placement& before, const Cost& cost, Move move, const Placement& after) {
    const bool local = move.kind == Step::Kind::slice;
    const Cost total{cost.sent + sent(move, before), cost.collectives + (local ? 0 : 1), cost.steps + 1};
    auto it = reached_.find(after);
    if (it != reached_.end() && it->second.cost <= total) return;
    if (it != reached_.end()) queue_.erase({it->second.cost, after});
    reached_[after] = {total, before, std::move(move)};
    queue_.insert({total, after});
  }

  void expand(const Placement& here, const Cost& cost) {
    Numbers reducible;  // partial now and not wanted partial
    std::set_difference(here.partial.begin(), here.partial.end(), goal_.partial.begin(), goal_.partial.end(),
                        std::back_inserter(reducible));
    Numbers chosen;
    reduce(here, cost, reducible, chosen);
    for (size_t d = 0; d < here.dims.size(); ++d) {
      for (size_t keep = 0; keep < here.dims[d].size(); ++keep) unshard(here, cost, d, keep);
      shard(here, cost, d);
    }
  }

  // Every ordered choice of reducible axes: summed away, or scattered along each dim they fit.
  void reduce(const Placement& here, const Cost& cost, const Numbers& reducible, Numbers& chosen) {
    if (!chosen.empty()) {
      Placement summed = here;
      std::erase_if(summed.partial,
                    [&](int a) { return std::find(chosen.begin(), chosen.end(), a) != chosen.end(); });
      if (std::is_sorted(chosen.begin(), chosen.end())) {
        reach(here, cost, {Step::Kind::all_reduce, chosen}, summed);
      }
      for (size_t d = 0; d < here.dims.size(); ++d) {
        if (local_size(here, d) % members(chosen) != 0) continue;
        Placement scattered = summed;
        scattered.dims[d].insert(scattered.dims[d].end(), chosen.begin(), chosen.end());
        reach(here, cost, {Step::Kind::reduce_scatter, chosen, static_cast<int64_t>(d)}, scattered);
      }
    }
    for (int a : reducible) {
      if (std::find(chosen.begin(), chosen.end(), a) != chosen.end()) continue;
      chosen.push_back(a);
      reduce(here, cost, reducible, chosen);
      chosen.pop_back();
    }
  }

  // All but the first `keep` axes of dim d gathered, or moved to another dim.
  void unshard(const Placement& here, const Cost& cost, size_t d, size_t keep) {
    const Numbers inner(here.dims[d].begin() + static_cast<std::ptrdiff_t>(keep), here.dims[d].end());
    Placement gathered = here;
    gathered.dims[d].resize(keep);
    const auto dim = static_cast<int64_t>(d);
    reach(here, cost, {Step::Kind::all_gather, inner, dim}, gathered);
    for (size_t e = 0; e < here.dims.size(); ++e) {
      if (e == d || local_size(here, e) % members(inner) != 0) continue;
      Placement moved = gathered;
      moved.dims[e].insert(moved.dims[e].end(), inner.begin(), inner.end());
      reach(here, cost, {Step::Kind::all_to_all, inner, static_cast<int64_t>(e), dim}, moved);
    }
  }

  // Only along axes that shard the goal: others could share the work too, but for one more collective and little.
  void shard(const Placement& here, const Cost& cost, size_t d) {
    for (int a = 0; a < static_cast<int>(from_.mesh().axes().size()); ++a) {
      const auto names = [a](const Numbers& list) {
        return std::find(list.begin(), list.end(), a) != list.end();
      };
      if (std::none_of(goal_.dims.begin(), goal_.dims.end(), names) || names(here.partial)) continue;
      if (std::any_of(here.dims.begin(), here.dims.end(), names) || local_size(here, d) % members({a}) != 0)
        continue;
      Placement sliced = here;
      sliced.dims[d].push_back(a);
      reach(here, cost, {Step::Kind::slice, {a}, static_cast<int64_t>(d)}, sliced);
    }
  }

  Axes names(const Numbers& axes) const {
    Axes list;
    for (int a : axes) list.push_back(from_.mesh().axes()[a].name);
    return list;
  }

  Plan plan() const {
    Plan plan;
    for (Placement here = goal_; here != start_;) {
      const Reached& r = reached_.at(here);
      std::vector<Axes> dims;
      for (const Numbers& axes : here.dims) dims.push_back(names(axes));
      plan.steps.push_back({.kind = r.move.kind,
                            .axes = names(r.move.axes),
                            .dim = r.move.dim,
                            .from_dim = r.move.from_dim,
                            .num_members = members(r.move.axes),
                            .elements_in = local_numel(r.previous),
                            .result = Layout(from_.shape(), from_.mesh(), dims, names(here.partial))});
      here = r.previous;
    }
    std::reverse(plan.steps.begin(), plan.steps.end());
    return plan;
  }

  const Layout& from_;
  Placement start_, goal_;
  std::map<Placement, Reached> reached_;
  std::set<std::pair<Cost, Placement>> queue_;
};

}  // namespace

int64_t Step::bytes_sent(int64_t element_size) const {
  const int64_t bytes = elements_in * element_size;
  switch (kind) {
    case Kind::all_reduce: return 2 * (num_members - 1) * bytes / num_members;
    case Kind::all_gather: return (num_members - 1) * bytes;
    case Kind::slice:
    case Kind::recut: return 0;
    default: return (num_members - 1) * bytes / num_members;
  }
}

int64_t Plan::bytes_sent(int64_t element_size) const {
  return std::accumulate(steps.begin(), steps.end(), int64_t{0},
                         [&](int64_t sum, const Step& step) { return sum + step.bytes_sent(element_size); });
}

std::string Plan::describe() const {
  std::vector<std::string> texts;
  for (const Step& s : steps) {
    const std::string axes = fmt::format("({})", fmt::join(s.axes, ", "));
    switch (s.kind) {
      case Step::Kind::all_reduce: texts.push_back("all_reduce" + axes); break;
      case Step::Kind::reduce_scatter:
        texts.push_back(fmt::format("reduce_scatter{} to dim {}", axes, s.dim));
        break;
      case Step::Kind::all_gather: texts.push_back(fmt::format("all_gather{} of dim {}", axes, s.dim)); break;
      case Step::Kind::all_to_all:
        texts.push_back(fmt::format("all_to_all{} from dim {} to {}", axes, s.from_dim, s.dim));
        break;
      case Step::Kind::slice: texts.push_back(fmt::format("slice{} of dim {}", axes, s.dim)); break;
      case Step::Kind::recut: texts.push_back(fmt::format("recut of dim {}", s.dim)); break;
    }
  }
  return texts.empty() ? "nothing to move" : fmt::format("{}", fmt::join(texts, ", "));
}

Plan plan_redistribution(const Layout& from, const Layout& to) {
  const auto refuse = [&](const std::string& why) {
    throw ShapeError(fmt::format("redistribute {} -> {}: {}", from.describe(), to.describe(), why));
  };
  if (from.shape() != to.shape()) refuse("the logical shapes differ.");
  if (from.mesh() != to.mesh()) {
    refuse(fmt::format("the meshes differ: {} and {}.", from.mesh().describe(), to.mesh().describe()));
  }
  const Placement start = placement_of(from), goal = placement_of(to);
  if (!std::includes(start.partial.begin(), start.partial.end(), goal.partial.begin(), goal.partial.end())) {
    refuse("the result cannot be a partial sum over an axis where the source is none.");
  }
  const Shape& padded = from.padded_shape();
  std::vector<Axes> dims = to.dims();
  std::vector<size_t> recut;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (to.padded_shape()[d] == padded[d]) continue;
    dims[d].clear();
    recut.push_back(d);
  }
  const Layout first(padded, from.mesh(), from.dims(), from.partial());
  const Layout last(padded, from.mesh(), std::move(dims), to.partial());
  Plan plan = Search(first, last).run();
  int64_t numel = last.local_numel();
  for (const size_t d : recut) {
    plan.steps.push_back({.kind = Step::Kind::recut,
                          .axes = to.dims()[d],
                          .dim = static_cast<int64_t>(d),
                          .num_members = to.mesh().axes_size(to.dims()[d]),
                          .elements_in = numel,
                          .result = to});
    numel = padded[d] == 0 ? 0 : numel / padded[d] * to.local_shape()[d];
  }
  return plan;
}

}  // namespace colossal::tensor
