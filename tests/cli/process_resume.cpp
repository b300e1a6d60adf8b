// SPDX-License-Identifier: Apache-2.0
// Runs that are interrupted in every way, and go on bit for bit.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <fstream>

#include "colossal/base/file.h"
#include "colossal/base/json.h"
#include "colossal/checkpoint/directory.h"
#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
namespace fs = std::filesystem;

const std::string kEndless = "train.steps=1000000";

std::string steps(int64_t n) { return fmt::format("train.steps={}", n); }

// Dropout, shuffling and accumulation are on in all of these runs.
struct Run {
  fs::path output;
  std::string file;
  std::string ranks;

  Run(const fs::path& where, std::string num_ranks, const std::vector<std::string>& changes = {})
      : output(where), ranks(std::move(num_ranks)) {
    std::vector<std::string> all = {"train.microbatch_size = 1"};
    all.insert(all.end(), changes.begin(), changes.end());
    file = write_run_file(output, all);
  }
  Finished train(const std::string& set, const RunOptions& options = {}) const {
    return run_colossal({"train", file, "-n", ranks, "--set", set}, options);
  }
  Finished resume(const std::string& set) const {
    return run_colossal({"train", file, "-n", ranks, "--resume", "--set", set});
  }
};

// What an uninterrupted run of as many steps computes, number by number.
void check_as_uninterrupted(const Run& run, const fs::path& where) {
  const Run whole(where, run.ranks);
  const std::vector<double> losses = curve(run.output, "loss"), norms = curve(run.output, "grad_norm");
  REQUIRE(whole.train(steps(static_cast<int64_t>(losses.size()))).exit_code == 0);
  CHECK(curve(whole.output, "loss") == losses);
  CHECK(curve(whole.output, "grad_norm") == norms);
}

TEST_CASE("SIGUSR1 saves and goes on, SIGTERM saves and stops, --resume continues bit for bit") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "2");
  const Finished stopped = run.train(kEndless, {.signals = {{SIGUSR1, "step 2/"}, {SIGTERM, ": saved "}}});
  INFO(stopped.output);
  CHECK(stopped.exit_code == 143);
  CHECK(count(stopped.output, ": saved ") == 2);
  CHECK(count(stopped.output, "stopped after step ") == 1);
  CHECK(count(stopped.output, "colossal:") == 0);
  const int64_t reached = newest_checkpoint(run.output);
  CHECK(curve(run.output, "loss").size() == static_cast<size_t>(reached));

  const Finished resumed = run.resume(steps(reached + 3));
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(count(resumed.output,
              fmt::format("resume: from {}/checkpoints/step-{:08}\n", run.output.string(), reached)) == 1);
  CHECK(count(resumed.output, fmt::format("goes on after step {}\n", reached)) == 1);
  CHECK(curve(run.output, "loss").size() == static_cast<size_t>(reached + 3));
  CHECK(count(resumed.output, "done: 3 steps in ") == 1);
  CHECK(count(resumed.output, fmt::format(" ({} in all, {} before), loss ", reached + 3, reached)) == 1);
  check_as_uninterrupted(run, scratch / "whole");
}

TEST_CASE("a run that has all its steps says so, and what to raise; so it does of another text") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "1");
  REQUIRE(count(run.train(steps(1)).output, "done: 1 step in ") == 1);
  for (const int64_t wanted : {1, 2}) {
    // As long as before, so the run can go on.
    if (wanted == 2) std::fstream(run.output.string() + ".txt", std::ios::in | std::ios::out) << 'X';
    const Finished resumed = run.resume(steps(wanted));
    INFO(resumed.output);
    CHECK(resumed.exit_code == 0);
    CHECK(count(resumed.output, fmt::format("warning: data.train holds another text than the one that "
                                            "{}/checkpoints/step-00000001 was trained on\n",
                                            run.output.string())) == (wanted == 2 ? 1 : 0));
    CHECK(count(resumed.output, "nothing to do") == (wanted == 1 ? 1 : 0));
    if (wanted == 2) continue;
    CHECK(
        resumed.output.ends_with("nothing to do: the run is at step 1 already, and train.steps = 1 is the "
                                 "number of steps in all. To train on, raise "
                                 "train.steps, for example --set train.steps=2\n"));
    CHECK(count(resumed.output, "done: ") == 0);
    CHECK(count(resumed.output, "goes on after") == 0);
  }
  CHECK(curve(run.output, "loss").size() == 2);
}

TEST_CASE("Ctrl-C saves and stops, and says what a second one would do") {
  const ScratchFolder scratch;
  for (const std::string ranks : {"1", "2"}) {
    const Run run(scratch / ranks, ranks);
    const Finished stopped = run.train(kEndless, {.signals = {{SIGINT, "step 2/"}}});
    INFO(stopped.output);
    CHECK(stopped.exit_code == 143);
    CHECK(count(stopped.output, "colossal: interrupted: ") == 1);
    CHECK(count(stopped.output,
                ranks == "1"
                    ? "stopping in order after this step. Ctrl-C again ends the run at once.\n"
                    : "waiting for the ranks to stop in order. Ctrl-C again ends them at once.\n") == 1);
    CHECK(count(stopped.output, ": saved ") == 1);
    CHECK(count(stopped.output, "stopped after step ") == 1);
  }
}

TEST_CASE("a lost terminal: SIGHUP saves and stops, unless nohup ignores it") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "1");
  const Finished stopped = run.train(kEndless, {.signals = {{SIGHUP, "step 2/"}}});
  INFO(stopped.output);
  CHECK(stopped.exit_code == 143);
  CHECK(count(stopped.output, ": saved ") == 1);
  CHECK(newest_checkpoint(run.output) >= 2);
  const Finished ignored = run_process(
      {"nohup", COLOSSAL_BINARY, "train", run.file, "-n", "2", "--set", steps(200), "--overwrite"},
      {.signals = {{SIGHUP, "step 2/"}}});
  INFO(ignored.output);
  CHECK(ignored.exit_code == 0);
  CHECK(count(ignored.output, "done: 200 steps in ") == 1);
}

TEST_CASE("kill -9 of the whole run: it goes on from its last checkpoint") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "2", {"checkpoint.every = 3"});
  const Finished killed = run.train(kEndless, {.signals = {{SIGKILL, "step 8/"}}});
  CHECK(killed.exit_code == 128 + SIGKILL);
  CHECK(shared_memory_named("colossal").empty());
  const int64_t reached = newest_checkpoint(run.output);
  CHECK(reached >= 6);
  const Finished resumed = run.resume(steps(reached + 3));
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(curve(run.output, "loss").size() == static_cast<size_t>(reached + 3));
  check_as_uninterrupted(run, scratch / "whole");
}

TEST_CASE(
    "a damaged newest checkpoint is left aside with a message that names it, damaged tokens are made again") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "1", {"checkpoint.every = 3"});
  REQUIRE(run.train(steps(6)).exit_code == 0);
  const fs::path damaged = run.output / "checkpoints/step-00000006";
  fs::resize_file(damaged / "rank-00000.safetensors", 4000);
  const Finished verified = run_colossal({"checkpoint", "verify", run.output});
  const std::string good = run.output / "checkpoints/step-00000003";
  CHECK(verified.exit_code == 4);
  CHECK(verified.output.starts_with(good + ": good\n" + damaged.string() +
                                    "/rank-00000.safetensors: holds 4000 bytes, "));
  CHECK(
      verified.output.ends_with(" were written.\nThe newest good one, which --resume takes: " + good + "\n"));
  for (const auto& file : fs::directory_iterator(run.output / "tokens")) fs::resize_file(file.path(), 100);
  const Finished resumed = run.resume(steps(8));
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(count(resumed.output,
              fmt::format("data: the tokens of {}.txt in data.cache were damaged and are written anew\n",
                          run.output.string())) == 1);
  CHECK(count(resumed.output, "resume: skipped " + damaged.string()) == 1);
  CHECK(count(resumed.output, "resume: from " + (run.output / "checkpoints/step-00000003").string() + "\n") ==
        1);
  CHECK(curve(run.output, "loss").size() == 8);
  check_as_uninterrupted(run, scratch / "whole");
}

TEST_CASE("where every checkpoint is damaged, --resume says so and starts nothing") {
  const ScratchFolder scratch;
  for (const std::string ranks : {"1", "2"}) {
    const Run run(scratch / ranks, ranks, {"checkpoint.every = 2"});
    REQUIRE(run.train(steps(4)).exit_code == 0);
    const std::string folder = run.output / "checkpoints";
    fs::resize_file(folder + "/step-00000004/rank-00000.safetensors", 4000);
    fs::remove(folder + "/step-00000002/manifest.json");
    const uintmax_t written =
        colossal::Json::parse(colossal::read_file(folder + "/step-00000004/manifest.json"))
            .at("files")[0]
            .at("bytes")
            .get<uintmax_t>();
    const Finished resumed = run.resume(steps(8));
    INFO(resumed.output);
    CHECK(resumed.exit_code == 4);
    CHECK(count(resumed.output,
                fmt::format("{0}: no checkpoint to resume from, every one is damaged:\n"
                            "  {0}/step-00000002: has no manifest.json, so it is not a complete "
                            "checkpoint.\n"
                            "  {0}/step-00000004/rank-00000.safetensors: holds 4000 bytes, {1} were "
                            "written.\n"
                            "Put a copy of one in its place, or start anew: with --overwrite instead of "
                            "--resume, or in another run.output.\n",
                            folder, written)) == 1);
    CHECK(curve(run.output, "loss").size() == 4);
    if (ranks == "2") continue;
    const Finished verified = run_colossal({"checkpoint", "verify", run.output});
    CHECK(verified.exit_code == 4);
    CHECK(verified.output ==
          fmt::format("{0}/step-00000004/rank-00000.safetensors: holds 4000 bytes, {1} were written.\n"
                      "{0}/step-00000002: has no manifest.json, so it is not a complete checkpoint.\n"
                      "No checkpoint is good. Put a copy of one in its place, or train anew.\n",
                      folder, written));
  }
}

TEST_CASE("another model than the checkpoint's is refused once, with both values, and nothing is touched") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "2");
  REQUIRE(run.train(steps(2)).exit_code == 0);
  const Finished refused = run_colossal(
      {"train", run.file, "-n", "2", "--resume", "--set", "model.num_layers=1", "--set", steps(4)});
  CHECK(refused.exit_code == 2);
  const std::string checkpoint = run.output / "checkpoints/step-00000002";
  CHECK(refused.output ==
        fmt::format(
            "resume: from {0}\nmodel.num_layers = 1, but the checkpoint {0} was trained with 2. Set it to 2, "
            "or start anew in another run.output.\n",
            checkpoint));
  CHECK(curve(run.output, "loss").size() == 2);
}

TEST_CASE("--resume without a checkpoint starts at the beginning") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "1");
  const Finished resumed = run.resume(steps(2));
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(count(resumed.output,
              fmt::format("resume: {}/checkpoints holds no checkpoint yet, starting from step 0\n",
                          run.output.string())) == 1);
  CHECK(curve(run.output, "loss").size() == 2);
}

TEST_CASE("a second run in the same folder is refused") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "2");
  const colossal::checkpoint::FolderLock first(run.output / "checkpoints");
  const Finished second = run.train(steps(2));
  INFO(second.output);
  CHECK(second.exit_code == 2);
  CHECK(count(second.output,
              fmt::format("{}/checkpoints: another run (process {}) is using this folder. Wait for it, "
                          "or set another run.output.\n",
                          run.output.string(), getpid())) == 1);
  CHECK_FALSE(fs::exists(run.output / "metrics.jsonl"));
}

TEST_CASE("a rank that is killed takes the others along, with one line that names it and the step") {
  const ScratchFolder scratch;
  const Run run(scratch / "run", "3", {});
  const Finished killed =
      run_colossal({"train", run.file, "-n", "3", "--set", kEndless, "--set", "train.global_batch_size=6"},
                   {.signals = {{SIGKILL, "step 3/", 1}}});
  INFO(killed.output);
  CHECK(killed.exit_code == 128 + SIGKILL);
  CHECK(killed.seconds < 30);
  CHECK(count(killed.output, "rank 1 died at step ") == 1);
  CHECK(count(killed.output, "colossal: rank 1 was killed by signal 9 (SIGKILL") == 1);
  CHECK(count(killed.output, "; ranks 0 and 2 stopped after it.") == 1);
  CHECK(killed.output.ends_with(
      "colossal: this run has written no checkpoint, so it can only start over. checkpoint.every = 100, for "
      "example, writes one every 100 steps.\n"));
  CHECK(shared_memory_named("colossal").empty());
}

TEST_CASE("after a rank was killed or hung, the last line is the command that goes on") {
  const ScratchFolder scratch;
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const Run run(scratch / std::to_string(signal), "2",
                  {"checkpoint.every = 2", "comm.timeout_seconds = 5"});
    const Finished broken = run.train(kEndless, {.signals = {{signal, "step 5/", 1}}});
    INFO(broken.output);
    CHECK(broken.exit_code == (signal == SIGKILL ? 128 + SIGKILL : 11));
    const int64_t step = newest_checkpoint(run.output);
    CHECK(step >= 4);
    CHECK(broken.output.ends_with(fmt::format(
        "colossal: to go on from step {0} ({1}/checkpoints/step-{0:08}): {2} train {3} -n 2 --set {4} "
        "--resume\n",
        step, run.output.string(), COLOSSAL_BINARY, run.file, kEndless)));
  }
}

}  // namespace
