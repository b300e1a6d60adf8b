// SPDX-License-Identifier: Apache-2.0
// colossal report: the curves of one run or several as one HTML page.
#include "colossal/train/monitor/report.h"

#include <fmt/format.h>

#include "colossal/cli/command.h"

namespace colossal::cli {

void add_report(CLI::App& app, Invocation& invocation) {
  auto runs = std::make_shared<std::vector<std::filesystem::path>>();
  auto page = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("report", "Write one HTML page with the curves of one run or several");
  command->add_option("runs", *runs, "folders that runs wrote (run.output)")->required();
  command->add_option("--output", *page, "the page to write")
      ->type_name("FILE")
      ->default_str(
          "report.html in the folder of the run; of several runs comparison.html in that of the first");
  command->footer("Example: colossal report runs/a runs/b --output compared.html");
  command->callback([=, &invocation] {
    invocation.action = [runs, page] {
      const auto path = train::write_report(
          *runs, page->empty() ? std::nullopt : std::optional<std::filesystem::path>(*page));
      fmt::print("{}\n", path.string());
      return 0;
    };
  });
}

}  // namespace colossal::cli
