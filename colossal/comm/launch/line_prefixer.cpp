// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/line_prefixer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace colossal::comm {

// A rank that never ends its line must not fill our memory.
constexpr size_t kLongestLine = 1 << 16;

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd writable = {fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

LinePrefixer::LinePrefixer(Socket from, int to, std::string prefix)
    : from_(std::move(from)), to_(to), terminal_(isatty(to) == 1), prefix_(std::move(prefix)) {
  set_nonblocking(from_.fd());
}

void LinePrefixer::write_line(std::string_view line) {
  // On a terminal rank 0 may be in the middle of its progress bar: clear that line first.
  write_all(to_, fmt::format("{}{}{}\n", terminal_ ? "\r\033[K" : "", prefix_, line));
}

void LinePrefixer::take(std::string_view bytes) {
  partial_ += bytes;
  size_t begin = 0;
  for (size_t end; (end = partial_.find('\n', begin)) != std::string::npos; begin = end + 1)
    write_line(std::string_view(partial_).substr(begin, end - begin));
  partial_.erase(0, begin);
  if (partial_.size() > kLongestLine) {
    write_line(partial_);
    partial_.clear();
  }
}

bool LinePrefixer::pump() {
  char buffer[16384];
  while (open()) {
    const ssize_t n = ::read(from_.fd(), buffer, sizeof(buffer));
    if (n > 0) {
      take({buffer, static_cast<size_t>(n)});
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && errno == EAGAIN) {
      return true;
    } else {
      finish();
    }
  }
  return false;
}

void LinePrefixer::finish() {
  char buffer[16384];
  for (ssize_t n; open() && (n = ::read(from_.fd(), buffer, sizeof(buffer))) > 0;)
    take({buffer, static_cast<size_t>(n)});
  if (!partial_.empty()) write_line(partial_);
  partial_.clear();
  from_.close();
}

}  // namespace colossal::comm
