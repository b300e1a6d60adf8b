// SPDX-License-Identifier: Apache-2.0
// colossal verify: does this build compute what a reference computed?
#include "colossal/train/verify.h"

#include <fmt/format.h>

#include "colossal/base/config/toml.h"
#include "colossal/base/error.h"
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/train/build.h"

namespace colossal::cli {
namespace {

struct VerifyCommand {
  std::string model;
  std::string reference;
  at::ScalarType dtype = at::kDouble;
  std::vector<std::string> set;
  int num_ranks = 1;
};

// The layout that `--set parallel...` asks for; without it all ranks are data-parallel.
train::ParallelSection layout_of(const VerifyCommand& options) {
  for (const std::string& argument : options.set) {
    const std::string path = config::parse_override(argument).path;
    if (path != "parallel.data" && !path.starts_with("parallel.tensor")) {
      throw ConfigError(fmt::format(
          "--set {}: the layout of a verification has no such key. Allowed: parallel.data, parallel.tensor.",
          path));
    }
  }
  return train::verify_layout(options.model, options.set, world_size(options.num_ranks));
}

int verify(const VerifyCommand& options, const Invocation& invocation) {
  const train::VerifyOptions what = {
      .model = options.model, .reference = options.reference, .dtype = options.dtype};
  train::check_verify(what, world_size(options.num_ranks));  // before any rank starts
  const train::ParallelSection layout = layout_of(options);
  const train::LaunchOptions launch = {.world = {}, .axes = train::mesh_axes(layout)};
  return run_as_ranks(options.num_ranks, invocation, launch, [&](const train::Context& context) {
    const train::VerifyReport report =
        train::verify(what, context.mesh, [&](std::shared_ptr<nn::StepState> state) {
          return train::make_factory(layout, context.mesh, std::move(state), {.compute = options.dtype});
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
  add_set(command, options->set,
          "parallel.tensor.mode=2d, parallel.tensor.size=4: the layout, by default all ranks data-parallel");
  add_num_ranks(command, options->num_ranks);
  command->footer(
      "Example: colossal verify gpt2-tiny -n 4 --set parallel.tensor.mode=2d --set "
      "parallel.tensor.size=4\nExit code 1 where a difference is "
      "beyond the "
      "tolerance.");
  command->callback([=, &invocation] {
    invocation.action = [options, &invocation] { return verify(*options, invocation); };
  });
}

}  // namespace colossal::cli
