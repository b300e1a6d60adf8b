// SPDX-License-Identifier: Apache-2.0
// colossal verify: does this build compute what a reference computed?
#include "colossal/train/verify.h"

#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/cli/command.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/train/context.h"

namespace colossal::cli {
namespace {

struct Options {
  std::string model;
  std::string reference;
  std::string dtype = "float64";
  int num_ranks = 1;
};

int verify_as_rank(const Options& options) {
  train::Context context;
  try {
    context = train::launch();
    const at::ScalarType dtype = options.dtype == "float64" ? at::kDouble : at::kFloat;
    const train::VerifyReport report =
        train::verify({.model = options.model, .reference = options.reference, .dtype = dtype}, context.mesh,
                      [&](std::shared_ptr<nn::StepState> state) {
                        return std::make_unique<nn::DenseFactory>(context.mesh, std::move(state),
                                                                  nn::DenseOptions{.compute = dtype});
                      });
    if (context.speaks()) fmt::print("{}", report.text());
    return report.passed() ? 0 : static_cast<int>(ExitCode::failure);
  } catch (const std::exception& error) {
    return comm::report_failure(error, context.world.get());
  }
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "verify", "Compare a Hugging Face model with a reference: logits, loss, gradients, ten steps");
  command->add_option("model", options->model, "Hugging Face folder")->required();
  command->add_option("--reference", options->reference, "reference.safetensors (default: in the folder)");
  command->add_option("--dtype", options->dtype, "precision of the arithmetic")
      ->check(CLI::IsMember({"float64", "float32"}));
  command->add_option("-n", options->num_ranks, "number of ranks")->check(CLI::PositiveNumber);
  command->callback([=, &invocation] {
    invocation.action = [options, &invocation] {
      return run_as_ranks(options->num_ranks, invocation, [&] { return verify_as_rank(*options); });
    };
  });
}

}  // namespace colossal::cli
