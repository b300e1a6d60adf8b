// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/optim/adafactor.h"
#include "colossal/optim/adam.h"
#include "colossal/optim/lamb.h"
#include "colossal/optim/sgd.h"

namespace colossal::optim {
namespace {

const std::vector<std::string>& names() {
  static const std::vector<std::string> all{"adamw", "adam", "sgd", "adafactor", "lamb", "lars"};
  return all;
}

class Problems {
 public:
  explicit Problems(const OptimizerOptions& options) : o_(options) {
    if (std::find(names().begin(), names().end(), o_.name) == names().end()) {
      found_.push_back(fmt::format("optimizer.name = \"{}\" is not an optimizer. {}", o_.name,
                                   allowed_instead(o_.name, names())));
      return;
    }
    below_one("beta1", o_.beta1);
    below_one("beta2", o_.beta2);
    below_one("momentum", o_.momentum);
    if (!(o_.eps >= 0)) found_.push_back(fmt::format("optimizer.eps = {} is negative. Usual: 1e-8.", o_.eps));
    if (!(o_.weight_decay >= 0)) {
      found_.push_back(
          fmt::format("optimizer.weight_decay = {} is negative. Usual: 0 to 0.1.", o_.weight_decay));
    }
    only_for("momentum", o_.momentum != 0, {"sgd", "lars", "adafactor"});
    only_for("nesterov", o_.nesterov, {"sgd"});
    only_for("amsgrad", o_.amsgrad, {"adamw", "adam"});
    if (o_.nesterov && o_.name == "sgd" && o_.momentum == 0) {
      found_.emplace_back("optimizer.nesterov needs optimizer.momentum above 0. Usual: 0.9.");
    }
  }
  void raise() {
    if (!found_.empty()) throw ConfigError(std::move(found_));
  }

 private:
  void below_one(const char* key, double value) {
    if (value >= 0 && value < 1) return;
    found_.push_back(fmt::format("optimizer.{} = {} is out of range. Allowed: 0 to below 1.", key, value));
  }
  void only_for(const char* key, bool given, const std::vector<std::string>& those) {
    if (!given || std::find(those.begin(), those.end(), o_.name) != those.end()) return;
    found_.push_back(
        fmt::format("optimizer.{} is not known to {}. Known to: {}.", key, o_.name, fmt::join(those, ", ")));
  }
  const OptimizerOptions& o_;
  std::vector<std::string> found_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& o, std::vector<nn::Parameter> parameters,
                                          const comm::Mesh& mesh) {
  Problems(o).raise();
  for (const nn::Parameter& p : parameters) {
    if (p.tensor.scalar_type() == at::kFloat || p.tensor.scalar_type() == at::kDouble) continue;
    throw ShapeError(
        fmt::format("optimizer: parameter {} is {}. Weights to be trained are float or double; low precision "
                    "is for compute.",
                    p.name, c10::toString(p.tensor.scalar_type())));
  }
  if (o.name == "adamw")
    return std::make_unique<Adam>(o, Adam::Decay::decoupled, std::move(parameters), mesh);
  if (o.name == "adam")
    return std::make_unique<Adam>(o, Adam::Decay::in_gradient, std::move(parameters), mesh);
  if (o.name == "sgd") return std::make_unique<Sgd>(o, std::move(parameters), mesh);
  if (o.name == "adafactor") return std::make_unique<Adafactor>(o, std::move(parameters), mesh);
  if (o.name == "lamb") return std::make_unique<Lamb>(o, std::move(parameters), mesh);
  return std::make_unique<Lars>(o, std::move(parameters), mesh);
}

}  // namespace colossal::optim
