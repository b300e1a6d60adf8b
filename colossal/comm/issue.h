// SPDX-License-Identifier: Apache-2.0
// From checked arguments to the backend: a collective is numbered, recorded, begun, and then waited for or left to go on.
//
//   complete(issue("broadcast", group, {x, bytes(x)}, {x}, [&](Backend& b) { return b.broadcast(x, root); }));
//
// Thread safety: one thread at a time per group. Private to comm.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>
#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/group.h"
#include "colossal/comm/work_state.h"

namespace colossal::comm {

// What the recorder wants to know of a call: the tensor that stands for it and the bytes this rank sends.
struct Volume {
  const at::Tensor& tensor;
  int64_t bytes_sent;
};

inline int64_t bytes(const at::Tensor& x) { return x.numel() * static_cast<int64_t>(x.element_size()); }

// `keep` lives until the operation is complete. More than one member.
Work::State issue(std::string_view op, const Group& group, const Volume& volume, std::vector<at::Tensor> keep,
                  const std::function<Backend::Pending(Backend&)>& call);

// An in-place op on a contiguous stand-in where `x` is not contiguous; the result is copied back.
Work::State on_contiguous(const at::Tensor& x, const std::function<Work::State(const at::Tensor&)>& issue_on);

// The two ways to go on: the synchronous call waits, the asynchronous one lets the backend proceed by itself.
void complete(Work::State work);
Work in_background(Work::State work);

// An asynchronous call in a group of one: what the member gives is what it gets.
Work keep_to_itself(const at::Tensor& out, const at::Tensor& in);

}  // namespace colossal::comm
