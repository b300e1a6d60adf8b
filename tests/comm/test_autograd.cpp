// SPDX-License-Identifier: Apache-2.0
// Each function is a linear map A over all members, its backward A^T: sum <A x, y> = sum <x, A^T y> for any x and y.
#include "backends.h"
#include "colossal/comm/autograd.h"

using namespace colossal::comm;

TEST_CASE("autograd: backward is the adjoint of forward, in fp64") {
  using Call = std::function<at::Tensor(const at::Tensor&, const Group&)>;
  const std::vector<Call> calls = {
      [](const at::Tensor& x, const Group& g) { return all_reduce_both(x, g); },
      [](const at::Tensor& x, const Group& g) { return gather_from(x, g, 1); },
      [](const at::Tensor& x, const Group& g) { return scatter_sum_to(x, g, 1); },
      [](const at::Tensor& x, const Group& g) { return exchange(x, g, 1, 0); },
      [](const at::Tensor& x, const Group& g) { return broadcast_from(x, g, 1); },
      [](const at::Tensor& x, const Group& g) { return reduce_to(x, g, 1); },
  };
  on_backends(3, [&](const Group& group) {
    for (const Call& call : calls) {
      const at::Tensor x = sample(group.index(), {2, 6}, at::kDouble).requires_grad_();
      const at::Tensor out = call(x, group);
      const at::Tensor y = (out.detach() * 0 + 1).cumsum(0) * (group.index() + 2);
      out.backward(y);
      const at::Tensor both = at::stack({(out.detach() * y).sum(), (x.detach() * x.grad()).sum()});
      all_reduce(both, group);
      CHECK(both[0].item<double>() == both[1].item<double>());
    }
    // Replicated values: the gradient of what every member computes alike.
    const at::Tensor x = sample(0, {2, 6}, at::kDouble).requires_grad_();
    const at::Tensor weight = at::full({2, 6}, group.index() + 1.0, at::kDouble);
    reduce_from(copy_to(x, group) * weight, group).sum().backward();
    CHECK(x.grad().eq(6).all().item<bool>());
    x.mutable_grad().reset();
    join_from(split_to(x, group, 1) * 2, group, 1).sum().backward();
    CHECK(x.grad().eq(2).all().item<bool>());
  });
}
