// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/line_channel.h"

#include <sys/socket.h>

#include <cerrno>

namespace colossal::comm {

// Longer than any message of ours; a stranger who sends more without a newline is cut off.
constexpr size_t kLongestMessage = 1 << 16;

void LineChannel::send(const Json& message) {
  if (!open()) return;
  out_ += message.dump(-1, ' ', false, Json::error_handler_t::replace);
  out_ += '\n';
  flush();
}

void LineChannel::flush() {
  while (open() && !out_.empty()) {
    const ssize_t n = ::send(socket_.fd(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
      out_.erase(0, static_cast<size_t>(n));
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      close();
  }
}

void LineChannel::receive() {
  char buffer[8192];
  bool gone = false;
  while (open() && !gone) {
    const ssize_t n = ::recv(socket_.fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n > 0)
      in_.append(buffer, static_cast<size_t>(n));
    else if (n < 0 && errno == EAGAIN)
      break;
    else if (n == 0 || errno != EINTR)
      gone = true;
    if (in_.size() > kLongestMessage && in_.find('\n') == std::string::npos) gone = true;
  }
  size_t begin = 0;
  for (size_t end; (end = in_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json message = Json::parse(in_.begin() + begin, in_.begin() + end, nullptr, false);
    if (!message.is_object())
      gone = true;
    else
      messages_.push_back(std::move(message));
  }
  in_.erase(0, begin);
  if (gone) close();
}

std::optional<Json> LineChannel::next() {
  if (messages_.empty()) return std::nullopt;
  Json first = std::move(messages_.front());
  messages_.pop_front();
  return first;
}

}  // namespace colossal::comm
