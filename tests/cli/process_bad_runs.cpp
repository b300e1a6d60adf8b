// SPDX-License-Identifier: Apache-2.0
// Requests that cannot be met: told at once, where they stand, before anything has started.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>

#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
namespace fs = std::filesystem;

// Refused with exit code 2 in under a second of work, one message for all ranks, and no trace on the disk.
void check_refused(const Finished& run, const std::string& message, const fs::path& output) {
  CHECK(run.exit_code == 2);
  CHECK(run.cpu_seconds < 1.0);
  CHECK(run.output == message);
  CHECK_FALSE(fs::exists(output));
}

TEST_CASE("a wrong key is refused with file and line, and so for four ranks") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output, {"optimizer.lerning_rate = 3"});
  const std::string message = fmt::format(
      "{}:10: unknown key \"optimizer.lerning_rate\". Did you mean \"optimizer.learning_rate\"?\n", file);
  check_refused(run_colossal({"train", file}), message, output);
  check_refused(run_colossal({"train", file, "-n", "4"}), message, output);
  check_refused(run_colossal({"config", file}), message, output);
}

TEST_CASE("data that does not exist") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output);
  fs::remove(scratch / "run.txt");
  check_refused(
      run_colossal({"train", file, "-n", "2"}),
      fmt::format("{}:4: data.train = \"{}\" does not exist. Write \"synthetic\" for random tokens.\n", file,
                  (scratch / "run.txt").string()),
      output);
}

TEST_CASE("ranks that do not divide the batch") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output);
  check_refused(
      run_colossal({"train", file, "-n", "3"}),
      fmt::format("{}:6: train.global_batch_size = 4 cannot be shared evenly by 3 data-parallel ranks. "
                  "Nearest: 3 or 6.\n",
                  file),
      output);
}

TEST_CASE("all problems are told at once") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output);
  const Finished run =
      run_colossal({"train", file, "-n", "3", "--set", "train.steps=-1", "--set", "modle.dropout=2"});
  INFO(run.output);
  CHECK(run.exit_code == 2);
  CHECK(count(run.output, "\n") == 3);
  CHECK(count(run.output, "--set train.steps: ") == 1);
  CHECK(count(run.output, "Did you mean \"model.dropout\"?") == 1);
  CHECK(count(run.output, ":6: train.global_batch_size = 4 ") == 1);
}

TEST_CASE("files that are no run file") {
  const ScratchFolder scratch;
  const std::string missing = scratch / "missing.toml";
  const Finished none = run_colossal({"train", missing});
  INFO(none.output);
  CHECK(none.exit_code == 2);
  CHECK(count(none.output, missing) == 1);
  const std::string broken = scratch / "broken.toml";
  std::ofstream(broken) << "[run]\nseed = = 3\n";
  const Finished torn = run_colossal({"train", broken, "-n", "2"});
  INFO(torn.output);
  CHECK(torn.exit_code == 2);
  CHECK(count(torn.output, broken + ":2: not valid TOML: ") == 1);
}

TEST_CASE("the command line itself") {
  const Finished wrong = run_colossal({"tarin", "run.toml"});
  CHECK(wrong.exit_code == 2);
  CHECK(wrong.output ==
        "command line: there is no command \"tarin\". Did you mean \"train\"? See `colossal --help`.\n");
  const Finished alone = run_colossal({"train"});
  CHECK(alone.exit_code == 2);
  CHECK(alone.output == "command line: file is required. See `colossal --help`.\n");
  const Finished none = run_colossal({"train", "run.toml", "-n", "0"});
  INFO(none.output);
  CHECK(none.exit_code == 2);
  CHECK(count(none.output, "command line: -n: ") == 1);
}

}  // namespace
