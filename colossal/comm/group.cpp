// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/group.h"

#include "colossal/comm/group_state.h"

namespace colossal::comm {

Group::Group() = default;

int Group::size() const { return state_ == nullptr ? 1 : static_cast<int>(state_->ranks.size()); }

int Group::index() const { return state_ == nullptr ? 0 : state_->index; }

const std::vector<int>& Group::ranks() const {
  static const std::vector<int> self = {0};
  return state_ == nullptr ? self : state_->ranks;
}

const std::string& Group::name() const {
  static const std::string self = "self";
  return state_ == nullptr ? self : state_->name;
}

std::string_view Group::backend() const { return state_ == nullptr ? "none" : state_->backend->name(); }

void Group::State::fail(const std::string& cause) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (!failed()) {
      cause_ = cause;
      failed_.store(true, std::memory_order_release);
    }
  }
  if (backend != nullptr) backend->abort();
}

std::string Group::State::cause() const {
  std::lock_guard lock(mutex_);
  return cause_;
}

}  // namespace colossal::comm
