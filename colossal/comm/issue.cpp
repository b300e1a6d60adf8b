// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/issue.h"

#include "colossal/comm/checks.h"

namespace colossal::comm {

Work::State issue(std::string_view op, const Group& group, const Volume& volume, std::vector<at::Tensor> keep,
                  const std::function<Backend::Pending(Backend&)>& call) {
  Work::State work;
  work.op = op;
  work.group = group.shared_state();
  work.group_sequence = ++work.group->sequence;
  work.keep = std::move(keep);
  RecorderEntry entry;
  entry.group_sequence = work.group_sequence;
  entry.op = op;
  entry.group = work.group->name;
  entry.group_id = work.group->group_id;
  if (volume.tensor.defined()) {
    entry.shape = volume.tensor.sizes().vec();
    entry.dtype = dtype_name(volume.tensor.scalar_type());
  }
  entry.bytes_sent = volume.bytes_sent;
  entry.started = std::chrono::steady_clock::now();
  work.record = work.group->recorder->begin(std::move(entry));
  guarded(work, [&] { work.pending = call(*work.group->backend); });
  return work;
}

Work::State on_contiguous(const at::Tensor& x,
                          const std::function<Work::State(const at::Tensor&)>& issue_on) {
  const at::Tensor raw = x.detach();
  if (raw.is_contiguous()) return issue_on(raw);
  const at::Tensor copy = raw.contiguous();
  Work::State work = issue_on(copy);
  work.finish = [raw, copy] { raw.copy_(copy); };
  return work;
}

void complete(Work::State work) { work.wait(); }

Work in_background(Work::State work) {
  if (work.pending != nullptr) work.pending->start();
  return Work(std::make_unique<Work::State>(std::move(work)));
}

Work keep_to_itself(const at::Tensor& out, const at::Tensor& in) {
  if (out.const_data_ptr() != in.const_data_ptr()) out.detach().view(-1).copy_(in.detach().view(-1));
  return Work();
}

}  // namespace colossal::comm
