// SPDX-License-Identifier: Apache-2.0
// Stands in for nccl.cpp in a build without CUDA.
#include "colossal/base/error.h"
#include "colossal/comm/backends/backends.h"

namespace colossal::comm {

std::unique_ptr<Backend> make_nccl(const Endpoint&) {
  throw ConfigError(
      "comm.backend = \"nccl\" needs a build with CUDA, and this one has none. Configure with "
      "-DCOLOSSAL_CUDA=ON, or use "
      "\"auto\", \"local\" or \"gloo\" on the CPU.");
}

}  // namespace colossal::comm
