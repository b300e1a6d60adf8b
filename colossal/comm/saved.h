// SPDX-License-Identifier: Apache-2.0
// Any value in the saved data of an autograd function: groups, ports, functions.
//
//   save(*ctx, "group", group);                                  // forward
//   const Group& group = saved<Group>(*ctx, "group");            // backward, of the same type
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

namespace colossal::comm {

template <class T>
struct SavedValue final : torch::CustomClassHolder {
  explicit SavedValue(T v) : value(std::move(v)) {}
  T value;
};

template <class T>
void save(torch::autograd::AutogradContext& context, const std::string& name, T value) {
  context.saved_data[name] = c10::IValue::make_capsule(c10::make_intrusive<SavedValue<T>>(std::move(value)));
}

// Lives as long as the context.
template <class T>
const T& saved(torch::autograd::AutogradContext& context, const std::string& name) {
  return static_cast<SavedValue<T>&>(*context.saved_data.at(name).toCapsule()).value;
}

}  // namespace colossal::comm
