// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/loss_scaler.h"

#include <algorithm>

namespace colossal::optim {

void LossScaler::update(bool all_finite) {
  if (!all_finite) {
    scale_ = std::max(std::min(1.0, scale_), scale_ * options_.backoff);
    good_steps_ = 0;
    ++num_skipped_;
  } else if (++good_steps_ == options_.interval) {
    scale_ *= options_.growth;
    good_steps_ = 0;
  }
}

Json LossScaler::state() const {
  return {{"scale", scale_}, {"good_steps", good_steps_}, {"num_skipped", num_skipped_}};
}

void LossScaler::load_state(const Json& state) {
  scale_ = state.at("scale").get<double>();
  good_steps_ = state.at("good_steps").get<int64_t>();
  num_skipped_ = state.at("num_skipped").get<int64_t>();
}

}  // namespace colossal::optim
