// SPDX-License-Identifier: Apache-2.0
// The programs in examples/ do what they promise, alone and on several ranks, stay short enough to be read, and are what the README shows.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

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

// With small sizes where the example's own are large.
std::vector<std::string> command_of(const fs::path& source) {
  if (source.stem() == "linear_2d") return {program_of(source), "32"};
  return {program_of(source)};
}

Finished run_under_torchrun(const fs::path& source, int num_ranks) {
  std::vector<std::string> command = {COLOSSAL_TORCHRUN,  "--no-python",
                                      "--nproc-per-node", std::to_string(num_ranks),
                                      "--master-port",    std::to_string(free_port())};
  for (const std::string& word : command_of(source)) command.push_back(word);
  return run_process(command);
}

std::vector<double> losses(const std::string& output) {
  std::vector<double> values;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);)
    if (const size_t at = line.find("  loss "); at != line.npos)
      values.push_back(std::stod(line.substr(at + 7)));
  return values;
}

TEST_CASE("every example reaches its aim on one rank") {
  for (const fs::path& source : sources()) {
    const Finished run = run_process(command_of(source));
    INFO(source, "\n", run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "loss ") >= 2);
  }
}

TEST_CASE("every example reaches its aim on several ranks of torchrun, and rank 0 alone speaks") {
  for (const fs::path& source : sources()) {
    const Finished run = run_under_torchrun(source, source.stem() == "linear_2d" ? 4 : 2);
    INFO(source, "\n", run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "step 100 ") == 1);
  }
}

TEST_CASE("linear_2d: four ranks learn what one learns") {
  const fs::path source = fs::path(COLOSSAL_SOURCE_DIR) / "examples/linear_2d.cpp";
  const std::vector<double> one = losses(run_process(command_of(source)).output),
                            four = losses(run_under_torchrun(source, 4).output);
  REQUIRE(one.size() == 4);
  REQUIRE(four.size() == 4);
  CHECK(one.front() > 2 * one.back());
  for (size_t i = 0; i < one.size(); ++i) CHECK(four[i] == doctest::Approx(one[i]).epsilon(0.01));
}

TEST_CASE("what an example cannot do is said, with what it can") {
  const auto refused = [](const std::vector<std::string>& command, const std::string& num_ranks,
                          const std::string& message) {
    const RunOptions options{.environment = {"RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=" + num_ranks,
                                             "LOCAL_WORLD_SIZE=" + num_ranks, "MASTER_ADDR=127.0.0.1",
                                             "MASTER_PORT=1"}};
    const Finished run = run_process(command, options);
    CHECK(run.exit_code == 2);
    CHECK(run.output == message);
  };
  const std::string program = program_of("linear_2d.cpp");
  refused({program}, "2", "linear_2d: 2 ranks are no square that shares 64 rows. Start 1, 4 or 16 ranks.\n");
  refused({program, "3"}, "4", "linear_2d: a width of 3 cannot be cut into 2. Nearest: 2.\n");
  refused({program, "wide"}, "1", "linear_2d: a width of wide cannot be cut into 1. Nearest: 1.\n");
}

std::string code_of(std::string line) {
  line = line.substr(0, line.find("  //"));
  line.erase(0, std::min(line.size(), line.find_first_not_of(' ')));
  return line.substr(0, line.find_last_not_of(' ') + 1);
}

std::vector<std::string> code_lines(std::istream& in, const std::string& end) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line) && (end.empty() || line != end);)
    if (const std::string code = code_of(line); !code.empty()) lines.push_back(code);
  return lines;
}

// Whether the lines of `part` stand in `whole` in their order; other lines may be between.
bool stand_in(const std::vector<std::string>& part, const std::vector<std::string>& whole) {
  auto at = whole.begin();
  for (const std::string& line : part) {
    at = std::find(at, whole.end(), line);
    if (at == whole.end()) return false;
    ++at;
  }
  return true;
}

TEST_CASE("the C++ in README.md is that of the examples, line by line") {
  std::ifstream readme(fs::path(COLOSSAL_SOURCE_DIR) / "README.md");
  int num_snippets = 0;
  for (std::string line; std::getline(readme, line);) {
    if (line != "```cpp") continue;
    ++num_snippets;
    const std::vector<std::string> snippet = code_lines(readme, "```");
    REQUIRE(snippet.size() > 5);
    CAPTURE(snippet.front());
    CHECK(std::ranges::any_of(sources(), [&](const fs::path& source) {
      std::ifstream file(source);
      return stand_in(snippet, code_lines(file, ""));
    }));
  }
  CHECK(num_snippets == 2);
}

}  // namespace
