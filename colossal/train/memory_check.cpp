// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/memory_check.h"

#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/train/build.h"
#include "colossal/train/outline.h"

namespace colossal::train {
namespace {

// The most data-parallel ranks that can share the batch, up to `most`.
int64_t ranks_that_share(const RunConfig& config, int64_t most) {
  const TrainSection& t = config.train;
  // A microbatch size that nobody wrote follows the ranks.
  const int64_t parts =
      t.global_batch_size / (config.origins.contains("train.microbatch_size") ? *t.microbatch_size : 1);
  most = std::min(most, parts);
  while (most > 0 && parts % most != 0) --most;
  return most;
}

// Fewer ranks, fewer layers, or what is left when neither helps.
std::string what_fits(const RunConfig& config, const HeldBytes& held, int64_t process_bytes,
                      int64_t ranks_here, int64_t available) {
  const int64_t replica = config.parallel.tensor.size, world = config.parallel.data.value() * replica;
  const int64_t fit = available / (held.total() + process_bytes);
  const int64_t ranks = world == ranks_here ? ranks_that_share(config, fit / replica) * replica : 0;
  const int64_t layers = (available / ranks_here - process_bytes - held.outside) / held.block;
  std::vector<std::string> fixes;
  if (ranks > 0) fixes.push_back(fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s"));
  if (layers > 0 && !config.model.load) fixes.push_back(fmt::format("model.num_layers = {}", layers));
  if (!fixes.empty()) return fmt::format("Nearest that fits: {}.", join(fixes, ", or "));
  return fmt::format(
      "One of its {} layers alone needs {}. Take a smaller model, or share it among more hosts with "
      "parallel.tensor.",
      held.num_blocks, human_bytes(static_cast<double>(held.with(1))));
}

}  // namespace

void check_memory(const RunConfig& config, int64_t ranks_here, int64_t process_bytes,
                  const HostMemory& host) {
  if (device_of(config).is_cuda()) return;
  const HeldBytes held = held_bytes(config);
  if (held.total() + process_bytes <= host.available / ranks_here) return;
  const auto text = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  throw ConfigError(fmt::format(
      "model: weights, gradients and the state of {} need {}{}{}; this host has {} available of {}. {}",
      config.optimizer.name, text(held.total()),
      ranks_here == 1 ? "" : fmt::format(" for each of {} ranks", ranks_here),
      process_bytes == 0 ? "" : fmt::format(", and the process of each {}", text(process_bytes)),
      text(host.available), text(host.total),
      what_fits(config, held, process_bytes, ranks_here, host.available)));
}

}  // namespace colossal::train
