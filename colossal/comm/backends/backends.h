// SPDX-License-Identifier: Apache-2.0
// One factory per backend. Called by World when a group is created, by all members of the group at the same
// time.
//
//   std::unique_ptr<Backend> backend = make_gloo(endpoint);
//
// Thread-safe: every call makes an object of its own.
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/store.h"

namespace colossal::comm {

// This rank's end of a group that is being created.
struct Endpoint {
  std::string name;                            // unique on this host over all jobs: "<job>/<group>.<number>"
  std::vector<int> ranks;                      // world ranks by index
  int index = 0;                               // this rank's position
  Store store;                                 // keys are prefixed for this group: use them freely
  std::chrono::milliseconds timeout{600'000};  // of every operation
  std::chrono::milliseconds connect_timeout{10'000};
  int host_ranks = 0;             // of the run on this host, inside and outside the group; 0: not known
  bool threads = false;           // all members are threads of this process
  std::string interface_address;  // Gloo: local address to bind, from comm or the master address
  at::Device device = at::kCPU;

  int size() const { return static_cast<int>(ranks.size()); }
};

std::unique_ptr<Backend> make_gloo(const Endpoint& endpoint);   // CPU, over TCP
std::unique_ptr<Backend> make_local(const Endpoint& endpoint);  // CPU, shared memory of one host
std::unique_ptr<Backend> make_nccl(
    const Endpoint& endpoint);  // CUDA; ConfigError in a build without COLOSSAL_CUDA
std::unique_ptr<Backend> make_fake(const Endpoint& endpoint);  // any device, moves nothing between ranks

}  // namespace colossal::comm
