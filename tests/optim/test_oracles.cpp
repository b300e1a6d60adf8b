// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/file.h"
#include "colossal/base/json.h"
#include "colossal/checkpoint/safetensors.h"
#include "colossal/optim/optimizer.h"
#include "colossal/optim/schedule.h"

using namespace colossal;
using namespace colossal::optim;

namespace {

const std::string kFolder = COLOSSAL_ORACLES "/optim/";

OptimizerOptions options_of(const std::string& name, const Json& hp) {
  const auto number = [&](const char* key, double otherwise) {
    return hp.contains(key) && hp[key].is_number() ? hp[key].get<double>() : otherwise;
  };
  const auto flag = [&](const char* key) { return hp.contains(key) && hp[key].get<bool>(); };
  OptimizerOptions o{.name = name.substr(0, name.find('_')), .weight_decay = number("weight_decay", 0)};
  if (hp.contains("betas")) {
    o.beta1 = hp["betas"][0].get<double>();
    o.beta2 = hp["betas"][1].get<double>();
  }
  if (hp.contains("eps") && hp["eps"].is_number()) o.eps = hp["eps"].get<double>();
  o.momentum = number("momentum", number("beta1", 0));
  o.nesterov = flag("nesterov");
  o.amsgrad = flag("amsgrad");
  o.bias_correction = !hp.contains("bias_correction") || flag("bias_correction");
  o.trust_coefficient = number("trust_coefficient", 0);
  o.adafactor.scale_parameter = flag("scale_parameter");
  o.adafactor.relative_step = flag("relative_step");
  o.adafactor.warmup = flag("warmup_init");
  return o;
}

// Largest difference from the reference trajectory after steps 1, 2 and 10.
double worst_difference(const std::string& name, const Json& hp, const checkpoint::SafetensorsReader& data) {
  const std::vector<std::string> tensors{"w", "conv", "b", "scalar", "zero"};
  const bool exclude = hp.contains("exclude_1d") && hp["exclude_1d"].get<bool>();
  std::vector<nn::Parameter> parameters;
  for (const std::string& t : tensors) {
    at::Tensor p = data.read("param.0." + t).requires_grad_();
    parameters.push_back(
        {t,
         p,
         {.layout = tensor::Layout::replicated(p.sizes().vec(), {}), .decay = !(exclude && p.dim() < 2)}});
  }
  const auto optimizer = make_optimizer(options_of(name, hp), parameters, comm::Mesh());
  double worst = 0;
  for (int step = 1; step <= 10; ++step) {
    for (nn::Parameter& p : parameters) {  // half the gradient, doubled by the optimizer: exact in binary
      p.tensor.mutable_grad() = data.read("grad." + std::to_string(step) + "." + p.name) / 2;
    }
    optimizer->step(
        {.learning_rate = hp["lr"].is_number() ? hp["lr"].get<double>() : 0, .gradient_scale = 2});
    for (nn::Parameter& p : parameters) {
      const std::string key = name + "." + std::to_string(step) + "." + p.name;
      if (data.contains(key)) worst = std::max(worst, (data.read(key) - p.tensor).abs().max().item<double>());
    }
  }
  return worst;
}

ScheduleOptions options_of(const Json& s) {
  static const std::map<std::string, std::string> names{{"constant_with_warmup", "constant"},
                                                        {"cosine_with_restarts", "cosine_restarts"},
                                                        {"cosine_with_min_lr", "cosine"},
                                                        {"warmup_stable_decay", "wsd"}};
  const auto kind = s["scheduler"].get<std::string>();
  ScheduleOptions o{.name = names.contains(kind) ? names.at(kind) : kind,
                    .learning_rate = s["base_lr"].get<double>(),
                    .warmup_steps = kind == "constant" ? 0 : s["num_warmup_steps"].get<int64_t>(),
                    .total_steps = s["num_training_steps"].get<int64_t>()};
  if (s.contains("num_cycles")) o.cycles = s["num_cycles"].get<double>();
  if (s.contains("min_lr_rate")) o.min_ratio = s["min_lr_rate"].get<double>();
  if (s.contains("min_lr_ratio")) o.min_ratio = s["min_lr_ratio"].get<double>();
  if (s.contains("lr_end")) o.min_ratio = s["lr_end"].get<double>() / o.learning_rate;
  if (s.contains("power")) o.power = s["power"].get<double>();
  if (s.contains("num_decay_steps")) o.decay_steps = s["num_decay_steps"].get<int64_t>();
  if (s.contains("decay_type")) o.decay = s["decay_type"].get<std::string>();
  return o;
}

}  // namespace

TEST_CASE("every optimizer follows its reference trajectory") {
  const Json cases = Json::parse(read_file(kFolder + "optim.json"));
  const checkpoint::SafetensorsReader data(kFolder + "optim.safetensors");
  REQUIRE(cases.size() == 15);
  for (const auto& [name, hp] : cases.items()) {
    CAPTURE(name);
    CHECK(worst_difference(name, hp, data) < 1e-12);
  }
}

TEST_CASE("every schedule gives the reference rate at each of 100 steps") {
  const Json cases = Json::parse(read_file(kFolder + "schedules.json"));
  REQUIRE(cases.size() == 21);
  for (const auto& [name, s] : cases.items()) {
    CAPTURE(name);
    const Schedule schedule = make_schedule(options_of(s));
    double worst = 0;
    for (int64_t step = 0; step < 100; ++step) {
      worst = std::max(worst, std::abs(schedule(step) - s["lr"][static_cast<size_t>(step)].get<double>()));
    }
    CHECK(worst <= 1e-15);
  }
}
