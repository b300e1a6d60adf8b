// SPDX-License-Identifier: Apache-2.0
// Sums gradients over the ranks that hold other parts of the batch, in flat buckets, while backward is still running.
//
//   GradientReducer reducer(parameters, mesh, {});
//   reducer.begin_step();
//   for (m = 0; m < n; ++m) { reducer.begin_backward(m + 1 < n ? Pass::accumulate : Pass::reduce); loss[m].backward(); }
//   reducer.finish();                       // every parameter.tensor.grad() is now the sum over all ranks
//
// The axes of each sum are "data" and the parameter's own ParameterSpec::sum_axes. A bucket is one flat buffer; after its first
// gradient arrived, parameter.grad() is a view of it, so later micro-batches accumulate in place and the optimizer reads it
// directly. Buckets are reduced in one fixed order on all ranks, whatever order gradients arrive in: that in which backward completes
// them when it meets parameters in reverse registration.
// Thread safety: one rank; hooks may run on the autograd thread of a device, the calls above on the rank's own thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/comm/work.h"
#include "colossal/nn/parameter.h"

namespace colossal::parallel {

struct GradientReducerOptions {
  int64_t bucket_bytes = 25 << 20;
  int64_t alone_bytes =
      1 << 20;  // a gradient of this size is a bucket of its own, and needs no copy into one
  enum class When { during_backward, after_backward } when = When::during_backward;
};

class GradientReducer {
 public:
  // Installs a hook on every parameter; the destructor removes them.
  GradientReducer(const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh,
                  const GradientReducerOptions& options);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Forgets the gradients of the last step.
  void begin_step();
  enum class Pass { accumulate, reduce };
  // `reduce`: the coming backward completes the gradients of this step, so full buckets may leave at once.
  void begin_backward(Pass pass);
  // Sends what has not left yet and waits for all. A parameter that got no gradient has a zero one afterwards.
  void finish();

  size_t num_buckets() const { return buckets_.size(); }  // with more than one rank to sum over
  int64_t reduced_bytes() const;                          // payload of one step

 private:
  struct Bucket;
  struct Slot;
  class Hook;
  void on_gradient(Slot& slot);
  void send_ready();
  void send(Bucket& bucket);

  GradientReducerOptions options_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::unique_ptr<Bucket>> buckets_;  // in the order in which they are reduced
  std::vector<comm::Work> works_;
  size_t next_ = 0;  // first bucket that has not left
  Pass pass_ = Pass::reduce;
};

}  // namespace colossal::parallel
