// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/ones.h>

#include "colossal/base/version.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/run_ranks.h"

int main() {
  colossal::comm::run_ranks(2, [](std::shared_ptr<colossal::comm::World> world) {
    at::Tensor x = at::ones({3});
    colossal::comm::all_reduce(x, world->group());
    if (x.sum().item<double>() != 6) throw std::runtime_error("wrong sum");
  });
  std::puts(colossal::kVersion);
}
