// SPDX-License-Identifier: Apache-2.0
// colossal verify: does this build compute what a reference computed?
#include "colossal/train/verify.h"

#include <fmt/format.h>

#include "colossal/base/config/toml.h"
#include "colossal/base/error.h"
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/nn/dense_factory.h"

namespace colossal::cli {
namespace {

struct VerifyCommand {
  std::string model;
  std::string reference;
  at::ScalarType dtype = at::kDouble;
  std::vector<std::string> set;
  int num_ranks = 1;
};

// The axes that `--set parallel...` asks for; without it all ranks are data-parallel.
std::vector<comm::Axis> axes_of(const VerifyCommand& options) {
  int64_t data = world_size(options.num_ranks);
  const int64_t ranks = data;
  for (const std::string& argument : options.set) {
    const config::Override change = config::parse_override(argument);
    if (change.path != "parallel.data") {
      throw ConfigError(fmt::format(
          "--set {}: the layout of a verification has no such key. Allowed: parallel.data.", change.path));
    }
    const auto* number = std::get_if<int64_t>(&change.value.data);
    if (number == nullptr || *number != ranks) {
      throw ConfigError(fmt::format(
          "--set parallel.data: parallel.data = {} does not fill {} rank{}. Set parallel.data = {}{}.",
          change.value.raw.empty() ? "\"\"" : change.value.raw, ranks, ranks == 1 ? "" : "s", ranks,
          number != nullptr && *number > 0 ? fmt::format(", or start with -n {}", *number) : ""));
    }
    data = *number;
  }
  return {{"data", static_cast<int>(data)}};
}

int verify(const VerifyCommand& options, const Invocation& invocation) {
  const train::VerifyOptions what = {
      .model = options.model, .reference = options.reference, .dtype = options.dtype};
  const train::LaunchOptions launch = {.world = {}, .axes = axes_of(options)};
  train::check_verify(what, world_size(options.num_ranks));  // before any rank starts
  return run_as_ranks(options.num_ranks, invocation, launch, [&](const train::Context& context) {
    const train::VerifyReport report =
        train::verify(what, context.mesh, [&](std::shared_ptr<nn::StepState> state) {
          return std::make_unique<nn::DenseFactory>(context.mesh, std::move(state),
                                                    nn::FactoryOptions{.compute = options.dtype});
        });
    if (context.speaks()) fmt::print("{}", report.text());
    return report.passed() ? 0 : static_cast<int>(ExitCode::failure);
  });
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<VerifyCommand>();
  CLI::App* command = app.add_subcommand(
      "verify", "Compare a Hugging Face model with transformers or one rank: logits, loss, gradients, AdamW");
  command->add_option("model", options->model, "Hugging Face folder")->required();
  command->add_option("--reference", options->reference, "file that tools/make_reference.py wrote")
      ->type_name("FILE")
      ->default_str("reference.safetensors in the folder; else one rank");
  add_dtype(command, options->dtype, {"float64", "float32"});
  add_set(command, options->set, "parallel.data=N: the layout, by default all ranks data-parallel");
  add_num_ranks(command, options->num_ranks);
  command->footer(
      "Example: colossal verify gpt2-tiny -n 2 --set parallel.data=2\nExit code 1 where a difference is "
      "beyond the "
      "tolerance.");
  command->callback([=, &invocation] {
    invocation.action = [options, &invocation] { return verify(*options, invocation); };
  });
}

}  // namespace colossal::cli
