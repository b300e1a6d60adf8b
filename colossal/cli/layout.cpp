// SPDX-License-Identifier: Apache-2.0
// colossal layout: who holds what of the model of a run.
#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/cli/command.h"
#include "colossal/cli/layout_picture.h"
#include "colossal/cli/layout_table.h"
#include "colossal/cli/options.h"
#include "colossal/models/family.h"

namespace colossal::cli {
namespace {

struct LayoutCommand {
  RunFile run;
  std::optional<int> rank;
  bool json = false;
  std::string picture;
};

int layout(const LayoutCommand& options) {
  const train::RunConfig config = options.run.load();
  const train::Outline outline = train::outline_of(config);
  if (options.rank && *options.rank >= outline.mesh.size()) {
    throw ConfigError(fmt::format("--rank = {} is none of the {} rank{} of this run. Allowed: 0 to {}.",
                                  *options.rank, outline.mesh.size(), outline.mesh.size() == 1 ? "" : "s",
                                  outline.mesh.size() - 1));
  }
  if (!options.picture.empty()) {
    const bool images = models::family(outline.model.family).task == models::Task::image_classification;
    const MlpSizes sizes{.batch = config.train.microbatch_size.value(),
                         .sequence = images ? outline.model.max_positions : config.data.sequence_length,
                         .hidden = outline.model.hidden_size,
                         .ffn = outline.model.ffn_size};
    write_file_durably(options.picture, mlp_picture(config.parallel, sizes));
  }
  if (options.json) {
    fmt::print("{}\n", layout_json(outline).dump());
  } else {
    fmt::print("{}", layout_table(outline, options.rank));
  }
  return 0;
}

}  // namespace

void add_layout(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<LayoutCommand>();
  CLI::App* command =
      app.add_subcommand("layout", "Show which slice of every parameter each rank of a run holds");
  options->run.add_to(command, "ranks that the run will have; starts none")->required();
  command->add_option("--rank", options->rank, "show what one rank holds")
      ->type_name("R")
      ->default_str("all")
      ->check(whole_number(0));
  command->add_flag("--json", options->json, "every parameter, slice and rank, for tools");
  command->add_option("--svg", options->picture, "also draw who holds what of an MLP of the model")
      ->type_name("FILE")
      ->default_str("no picture");
  command->footer(
      "Example: colossal layout run.toml -n 4 --set parallel.tensor.mode=2d --set parallel.tensor.size=4\n"
      "Starts no rank and takes no memory for weights. docs/tensor explains the modes.");
  command->callback([=, &invocation] { invocation.action = [options] { return layout(*options); }; });
}

}  // namespace colossal::cli
