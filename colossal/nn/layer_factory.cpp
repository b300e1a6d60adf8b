// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/layer_factory.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"

namespace colossal::nn {

void check(const LinearOptions& o) {
  const bool sizes = o.in >= 1 && !o.out.empty() &&
                     std::all_of(o.out.begin(), o.out.end(), [](int64_t size) { return size >= 1; });
  if (!sizes || o.split < 0 || o.split >= static_cast<int64_t>(o.out.size()) ||
      (o.role != Role::expand && o.out.size() != 1)) {
    throw ShapeError(fmt::format(
        "linear: in = {}, out = [{}], split = {}{}. Allowed: sizes of at least 1, split a dim of out{}.",
        o.in, fmt::join(o.out, ", "), o.split, o.role == Role::expand ? "" : ", not Role::expand",
        o.role == Role::expand ? "" : ", one dim of out where the role is not to expand"));
  }
}

void check(const std::vector<LinearOptions>& group) {
  for (const LinearOptions& each : group) {
    const LinearOptions& first = group.front();
    if (each.in != first.in || each.role != first.role || each.activation != first.activation) {
      throw ShapeError(
          fmt::format("linears: the inputs of linear 0 and linear {} differ (in = {} and {}). Allowed: the "
                      "same input, role and "
                      "activation.",
                      &each - group.data(), first.in, each.in));
    }
  }
}

tensor::Shape weight_shape(const LinearOptions& options) {
  tensor::Shape shape = options.out;
  shape.push_back(options.in);
  return shape;
}

}  // namespace colossal::nn
