// SPDX-License-Identifier: Apache-2.0
// colossal doctor: what this machine has, what it reaches, and what is wrong with it.
#include "colossal/train/doctor.h"

#include <fmt/format.h>

#include "colossal/cli/command.h"
#include "colossal/cli/options.h"

namespace colossal::cli {

void add_doctor(CLI::App& app, Invocation& invocation) {
  auto num_ranks = std::make_shared<int>(1);
  CLI::App* command = app.add_subcommand(
      "doctor", "Show cores, memory, measured speeds, backends and versions, and warn of what is wrong");
  add_num_ranks(command, *num_ranks, "ranks per host to give advice for; starts none");
  command->footer("Example: colossal doctor -n 4");
  command->callback([=, &invocation] {
    invocation.action = [num_ranks] {
      fmt::print("{}", train::examine_machine(*num_ranks).text());
      return 0;
    };
  });
}

}  // namespace colossal::cli
