// SPDX-License-Identifier: Apache-2.0
// The programs in examples/ do what they promise, alone and on two ranks, and stay short enough to be read.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
namespace fs = std::filesystem;

std::vector<fs::path> sources() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fs::path(COLOSSAL_SOURCE_DIR) / "examples"))
    if (entry.path().extension() == ".cpp") found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

std::string program_of(const fs::path& source) {
  return fs::path(COLOSSAL_BINARY).parent_path() / "examples" / ("examples_" + source.stem().string());
}

TEST_CASE("examples have fewer than 100 lines") {
  REQUIRE(sources().size() >= 2);
  for (const fs::path& source : sources()) {
    CAPTURE(source);
    std::ifstream file(source);
    int num_lines = 0;
    for (std::string line; std::getline(file, line);) num_lines++;
    CHECK(num_lines > 10);
    CHECK(num_lines < 100);
  }
}

TEST_CASE("every example reaches its aim on one rank") {
  for (const fs::path& source : sources()) {
    const Finished run = run_process({program_of(source)});
    INFO(source, "\n", run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "loss ") >= 2);
  }
}

TEST_CASE("every example reaches its aim on two ranks of torchrun, and rank 0 alone speaks") {
  for (const fs::path& source : sources()) {
    const Finished run = run_process({COLOSSAL_TORCHRUN, "--no-python", "--nproc-per-node", "2",
                                      "--master-port", std::to_string(free_port()), program_of(source)});
    INFO(source, "\n", run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "step 100 ") == 1);
  }
}

}  // namespace
