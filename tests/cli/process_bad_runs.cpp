// SPDX-License-Identifier: Apache-2.0
// Requests that cannot be met: told at once, where they stand, before anything has started.
#include <ATen/Context.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <map>

#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
namespace fs = std::filesystem;

#ifdef __SANITIZE_THREAD__
constexpr double kSecond = 3.0;  // instrumented code takes twice to three times as long
#else
constexpr double kSecond = 1.0;
#endif

// Refused with exit code 2 in under a second of work, one message for all ranks, and no trace on the disk.
void check_refused(const Finished& run, const std::string& message, const fs::path& output) {
  CHECK(run.exit_code == 2);
  CHECK(run.cpu_seconds < kSecond);
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
                  "Nearest: 3 or 6. Ranks that can share 4: 1, 2, 4.\n",
                  file),
      output);
}

TEST_CASE("data that holds nothing: the key, the file, and no trace") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output), text = scratch / "run.txt",
                    packed = scratch / "blank.jsonl";
  std::ofstream(text, std::ios::trunc).flush();
  check_refused(run_colossal({"train", file, "-n", "2"}),
                fmt::format("{}:4: data.train: {} is empty. Name a file with text.\n", file, text), output);
  // What only a reader can find.
  std::ofstream(packed) << "{\"txt\": \"x\"}\n";
  const Finished late = run_colossal({"train", file, "-n", "2", "--set", "data.train=" + packed});
  CHECK(late.exit_code == 3);
  CHECK(count(late.output,
              fmt::format(
                  "colossal: rank 0: data.train: {}:1: has no key \"text\". Keys of this line: txt. Set "
                  "data.text_key to the one that holds the text.\n",
                  packed)) == 1);
  CHECK_FALSE(fs::exists(output));
}

TEST_CASE("what only the data shows: said once, by rank 0, on as many ranks as there are, and no trace") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output), few = scratch / "few.txt";
  std::ofstream(few) << "too short";
  const std::string tokenizer = std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel";
  const uintmax_t tokens = fs::file_size(scratch / "run.txt") + 1;
  for (const char* num_ranks : {"1", "4"}) {
    const auto refused = [&](const std::vector<std::string>& changes, const std::string& message) {
      std::vector<std::string> arguments = {"train", file, "-n", num_ranks};
      for (const std::string& change : changes) arguments.insert(arguments.end(), {"--set", change});
      const Finished run = run_colossal(arguments);
      CHECK(run.exit_code == 2);
      CHECK(run.output == message);
      CHECK_FALSE(fs::exists(output));
    };
    refused({"data.train=" + few},
            "data.sequence_length = 16: the data holds 10 tokens, fewer than the 17 of one sequence and its "
            "last label. Use more text or a sequence length of at most 9.\n");
    refused({"data.validation_fraction=0.001"},
            fmt::format("data.validation_fraction = 0.001: holds out 8 of {} tokens, fewer than the 17 of "
                        "one sequence and its last label. Allowed for this text: at least 0.0022.\n",
                        tokens));
    refused({"data.tokenizer=" + tokenizer, "model.vocab_size=300"},
            fmt::format("model.vocab_size = 300 is smaller than the 2000 ids of data.tokenizer = \"{}\". "
                        "Allowed: 2000 or more.\n",
                        tokenizer));
  }
}

TEST_CASE("a prompt that leaves no room for a sample is found before the start") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output, {"train.sample_every = 2"}),
                    tokenizer = std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel";
  const Finished run =
      run_colossal({"train", file, "-n", "2", "--set", "train.sample_prompt=" + std::string(16, 'a')});
  check_refused(
      run,
      "--set train.sample_prompt: train.sample_prompt has 16 tokens, and the model takes 16 with those to "
      "come (model.max_positions). Allowed: at most 15.\n",
      output);
  const auto config = [&](const std::string& prompt) {
    return run_colossal({"config", file, "--set", "data.tokenizer=" + tokenizer, "--set",
                         "model.vocab_size=2000", "--set", "train.sample_prompt=" + prompt});
  };
  CHECK(config("the end of the world as").exit_code == 0);  // more bytes than positions, but fewer tokens
  CHECK(config("0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9").exit_code == 2);
}

TEST_CASE("NaN with train.on_nonfinite = \"stop\": one message, by no rank, and no word of skipping") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output, {"train.steps = 20", "optimizer.weight_decay = 100"});
  const Finished run = run_colossal(
      {"train", file, "-n", "2", "--set", "optimizer.learning_rate=1000", "--set", "train.precision=fp32"});
  INFO(run.output);
  CHECK(run.exit_code == 12);
  const std::string last = fmt::format("step {}", metrics_of(output).size());
  CHECK(count(run.output, "\ncolossal: " + last + ": NaN or Inf in the loss and the gradient of ") == 1);
  CHECK(run.output.ends_with(
      " on at least one rank. Nothing was updated in this step. Lower optimizer.learning_rate, or "
      "skip such steps with train.on_nonfinite = \"skip\".\n"));
  for (const std::string& word : {std::string("left out"), std::string("skipped"), std::string("rank 0"),
                                  std::string("rank 1"), last + "/"})
    CHECK(count(run.output, word) == 0);
}

TEST_CASE("a device that is not there, a folder that cannot be, a number that makes no sense") {
  if (at::hasCUDA()) {
    MESSAGE("left out: comm.backend = \"nccl\", since this machine has a GPU");
  } else {
    const ScratchFolder scratch;
    const fs::path output = scratch / "run";
    const std::string file = write_run_file(output, {"comm.backend = \"nccl\""});
    const std::string message = fmt::format(
        "{}:10: comm.backend = \"nccl\" needs GPUs, but this build or this machine has none (`colossal "
        "doctor` lists the backends). Allowed here: auto, local, gloo.\n",
        file);
    check_refused(run_colossal({"train", file}), message, output);
    check_refused(run_colossal({"train", file, "-n", "2"}), message, output);
  }
  const ScratchFolder scratch;
  const std::string file = write_run_file(scratch / "run");
  const Finished nowhere = run_colossal({"train", file, "--set", "run.output=/proc/run"});
  INFO(nowhere.output);
  CHECK(nowhere.exit_code == 2);
  CHECK(count(nowhere.output,
              "/proc/run/checkpoints: cannot create this folder: No such file or directory. Set another "
              "run.output.") == 1);
}

TEST_CASE("a model that no memory holds") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output);
  const Finished run = run_colossal({"train", file, "-n", "2", "--set", "train.precision=fp32", "--set",
                                     "model.hidden_size=65536", "--set", "model.num_heads=512", "--set",
                                     "model.num_layers=96"});
  check_refused(run, run.output, output);
  CHECK(
      run.output.starts_with("model: weights, gradients and the state of adamw need 72.0 TiB for each of 2 "
                             "ranks, and the process of each "));
  CHECK(count(run.output, " MiB; this host has ") == 1);
  CHECK(
      run.output.ends_with(" One of its 96 layers alone needs 768.3 GiB. Take a smaller model, or share it "
                           "among more hosts with parallel.tensor.\n"));
}

TEST_CASE("a folder that holds a run's checkpoints is refused and stays as it is; --overwrite begins anew") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  const std::string file = write_run_file(output, {"train.steps = 3", "checkpoint.every = 2"});
  REQUIRE(
      run_colossal({"train", file, "--set", "checkpoint.save_at_end=false", "--set", "checkpoint.every=0"})
          .exit_code == 0);
  // Metrics without a checkpoint are no run to go on with.
  REQUIRE(run_colossal({"train", file}).exit_code == 0);
  const auto files = [&] {
    std::map<std::string, int64_t> times;
    for (const auto& entry : fs::recursive_directory_iterator(output))
      times[entry.path()] = entry.last_write_time().time_since_epoch().count();
    return times;
  };
  const auto before = files();
  const auto refused = [&](std::vector<std::string> options, const std::string& message) {
    options.insert(options.begin(), {"train", file, "-n", "2"});
    const Finished run = run_colossal(options);
    CHECK(run.exit_code == 2);
    CHECK(run.cpu_seconds < kSecond);
    CHECK(run.output == message);
    CHECK(files() == before);
  };
  refused({},
          fmt::format("{}: holds the checkpoints of a run, up to step 3. Add --resume to go on from there, "
                      "--overwrite to remove them and begin anew, or set another run.output.\n",
                      output.string()));
  refused(
      {"--resume", "--overwrite"},
      "command line: --resume goes on with the run that run.output holds, --overwrite removes it. Give one "
      "of them. See `colossal train --help`.\n");
  const Finished anew = run_colossal({"train", file, "--overwrite", "--set", "train.steps=2"});
  INFO(anew.output);
  CHECK(anew.exit_code == 0);
  CHECK(
      count(anew.output,
            fmt::format("overwrite: {} held a run with checkpoints up to step 3; this run takes its place\n",
                        output.string())) == 1);
  CHECK(newest_checkpoint(output) == 2);
  CHECK(std::distance(fs::directory_iterator(output / "checkpoints"), {}) == 2);  // the lock is the other
  CHECK(curve(output, "loss").size() == 2);
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

}  // namespace
