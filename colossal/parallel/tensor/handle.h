// SPDX-License-Identifier: Apache-2.0
// Any value inside the saved data of an autograd function.
//
//   save(*ctx, "ports", ports);  ...  const Ports& ports = saved<Ports>(*ctx, "ports");
//
// Internal to parallel/tensor. Thread-safe: pure functions.
#pragma once
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

namespace colossal::parallel {

template <class T>
struct Handle final : torch::CustomClassHolder {
  explicit Handle(T v) : value(std::move(v)) {}
  T value;
};

template <class T>
void save(torch::autograd::AutogradContext& context, const std::string& name, T value) {
  context.saved_data[name] = c10::IValue::make_capsule(c10::make_intrusive<Handle<T>>(std::move(value)));
}

template <class T>
T saved(torch::autograd::AutogradContext& context, const std::string& name) {
  return static_cast<Handle<T>&>(*context.saved_data[name].toCapsule()).value;
}

}  // namespace colossal::parallel
