// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/reach.h"

#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

// True when all bytes were read.
bool read_process(int64_t pid, uint64_t address, void* to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    iovec here{static_cast<std::byte*>(to) + done, bytes - done};
    iovec there{reinterpret_cast<void*>(address + done), bytes - done};
    const ssize_t got = process_vm_readv(static_cast<pid_t>(pid), &here, 1, &there, 1, 0);
    if (got <= 0) {
      return false;
    }
    done += static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

Reach::Way Reach::probe(const Session& session) {
  if (session.threads()) {
    return Way::threads;
  }
  for (int i = 0; i < session.size(); ++i) {
    const Member& member = session.segment().member(i);
    uint64_t word = 0;
    if (!read_process(member.pid, member.probe, &word, sizeof word) || word != session.segment().nonce()) {
      return Way::none;
    }
  }
  return Way::processes;
}

void Reach::fetch(int peer, uint64_t address, void* to, size_t bytes) const {
  if (way_ == Way::threads) {
    std::memcpy(to, reinterpret_cast<const void*>(address), bytes);
    return;
  }
  const Member& member = session_->segment().member(peer);
  if (!read_process(member.pid, address, to, bytes)) {
    session_->fail(fmt::format("local backend: the memory of {} (process {}) on \"{}\" cannot be read: {}.",
                               session_->who(peer), member.pid, session_->group(), std::strerror(errno)));
  }
}

}  // namespace colossal::comm::local
