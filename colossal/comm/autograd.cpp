// SPDX-License-Identifier: Apache-2.0
// Every function here is one linear map and names the function that is its adjoint, so gradients of gradients
// work as well.
#include "colossal/comm/autograd.h"

#include "colossal/comm/checks.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/saved.h"

namespace colossal::comm {

namespace {

namespace ag = torch::autograd;
using Map = std::function<at::Tensor(const at::Tensor&)>;

struct LinearMap : ag::Function<LinearMap> {
  static at::Tensor forward(ag::AutogradContext* context, const at::Tensor& x, const Map& map,
                            const Map& adjoint) {
    save(*context, "adjoint", adjoint);
    return map(x);
  }
  static ag::variable_list backward(ag::AutogradContext* context, ag::variable_list gradients) {
    return {saved<Map>(*context, "adjoint")(gradients[0]), at::Tensor(), at::Tensor()};
  }
};

at::Tensor apply(const at::Tensor& x, const Group& group, const Map& map, const Map& adjoint) {
  return group.size() == 1 ? x : LinearMap::apply(x, map, adjoint);
}

at::Tensor same(const at::Tensor& x) { return x.view_as(x); }

at::Tensor summed(const at::Tensor& x, const Group& group) {
  at::Tensor y = x.detach().clone(at::MemoryFormat::Contiguous);
  all_reduce(y, group);
  return y;
}

at::Tensor own_piece(const at::Tensor& x, const Group& group, int64_t dim) {
  const int64_t size = x.size(dim) / group.size();
  return x.detach().narrow(dim, group.index() * size, size).contiguous();
}

}  // namespace

at::Tensor copy_to(const at::Tensor& x, const Group& group) {
  return apply(x, group, same, [group](const at::Tensor& g) { return reduce_from(g, group); });
}

at::Tensor reduce_from(const at::Tensor& x, const Group& group) {
  return apply(
      x, group, [&](const at::Tensor& y) { return summed(y, group); },
      [group](const at::Tensor& g) { return copy_to(g, group); });
}

at::Tensor all_reduce_both(const at::Tensor& x, const Group& group) {
  return apply(
      x, group, [&](const at::Tensor& y) { return summed(y, group); },
      [group](const at::Tensor& g) { return all_reduce_both(g, group); });
}

at::Tensor gather_from(const at::Tensor& x, const Group& group, int64_t dim) {
  return apply(
      x, group, [&](const at::Tensor& y) { return all_gather(y, group, dim); },
      [group, dim](const at::Tensor& g) { return scatter_sum_to(g, group, dim); });
}

at::Tensor scatter_sum_to(const at::Tensor& x, const Group& group, int64_t dim) {
  return apply(
      x, group, [&](const at::Tensor& y) { return reduce_scatter(y, group, dim); },
      [group, dim](const at::Tensor& g) { return gather_from(g, group, dim); });
}

at::Tensor split_to(const at::Tensor& x, const Group& group, int64_t dim) {
  const Checker check("split_to", group);
  check.tensor(x);
  dim = check.dim(x, dim);
  check.divides(x, dim);
  return apply(
      x, group, [&](const at::Tensor& y) { return own_piece(y, group, dim); },
      [group, dim](const at::Tensor& g) { return join_from(g, group, dim); });
}

at::Tensor join_from(const at::Tensor& x, const Group& group, int64_t dim) {
  return apply(
      x, group, [&](const at::Tensor& y) { return all_gather(y, group, dim); },
      [group, dim](const at::Tensor& g) { return split_to(g, group, dim); });
}

at::Tensor exchange(const at::Tensor& x, const Group& group, int64_t split_dim, int64_t join_dim) {
  return apply(
      x, group, [&](const at::Tensor& y) { return all_to_all(y, group, split_dim, join_dim); },
      [group, split_dim, join_dim](const at::Tensor& g) { return exchange(g, group, join_dim, split_dim); });
}

at::Tensor broadcast_from(const at::Tensor& x, const Group& group, int root) {
  return apply(
      x, group,
      [&](const at::Tensor& y) {
        at::Tensor copy = y.detach().clone(at::MemoryFormat::Contiguous);
        broadcast(copy, group, root);
        return copy;
      },
      [group, root](const at::Tensor& g) { return reduce_to(g, group, root); });
}

at::Tensor reduce_to(const at::Tensor& x, const Group& group, int root) {
  return apply(
      x, group,
      [&](const at::Tensor& y) {
        const at::Tensor copy = y.detach().clone(at::MemoryFormat::Contiguous);
        reduce(copy, group, root);
        return group.index() == root ? copy : copy.zero_();
      },
      [group, root](const at::Tensor& g) { return broadcast_from(g, group, root); });
}

}  // namespace colossal::comm
