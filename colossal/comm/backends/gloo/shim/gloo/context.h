// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gloo/transport/device.h>

#include <chrono>

namespace gloo {
class Context {
 public:
  ~Context();
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
