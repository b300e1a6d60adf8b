// SPDX-License-Identifier: Apache-2.0
// A run from the run file to the report, on one rank and on two, and every command that reads what it left.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "colossal/base/file.h"
#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
using colossal::Json;
namespace fs = std::filesystem;

constexpr int kSteps = 8;

// The same run on one rank and on two; the cases below look at what it left.
struct Runs {
  ScratchFolder scratch;
  fs::path one = scratch / "one", two = scratch / "two";
  Finished first = start(one, "1"), second = start(two, "2");

  static std::string file(const fs::path& output) {
    return write_run_file(output, {fmt::format("train.steps = {}", kSteps), "data.validation_fraction = 0.1",
                                   "train.evaluate_every = 4", "train.sample_every = 8",
                                   "train.sample_tokens = 4", "checkpoint.every = 4"});
  }
  static Finished start(const fs::path& output, const std::string& ranks) {
    return run_colossal({"train", file(output), "-n", ranks});
  }
};

const Runs& runs() {
  static const Runs done;
  return done;
}

TEST_CASE("trains, evaluates, samples and saves") {
  for (const Finished* run : {&runs().first, &runs().second}) {
    INFO(run->output);
    CHECK(run->exit_code == 0);
    CHECK(count(run->output, "step 8/8  loss ") == 1);
    CHECK(count(run->output, "step 4: validation loss ") == 1);
    CHECK(count(run->output, "step 8: saved ") == 1);
    CHECK(count(run->output, "done: 8 steps in ") == 1);
    CHECK(count(run->output, "[rank") == 0);  // only rank 0 speaks
  }
}

TEST_CASE("metrics.jsonl has every key in every step") {
  for (const fs::path& output : {runs().one, runs().two}) {
    const std::vector<Json> steps = metrics_of(output);
    REQUIRE(steps.size() == kSteps);
    for (int i = 0; i < kSteps; i++) {
      INFO(steps[i].dump());
      CHECK(steps[i].at("step") == i + 1);
      for (const char* key : {"loss", "grad_norm", "learning_rate", "tokens_per_second", "step_seconds"})
        CHECK(steps[i].at(key).get<double>() > 0);
      CHECK(steps[i].at("peak_memory_bytes").get<int64_t>() > 100'000);
      for (const char* key : {"data_wait_seconds", "communication_seconds"}) {
        CHECK(steps[i].at(key).get<double>() >= 0);
        CHECK(steps[i].at(key).get<double>() < steps[i].at("step_seconds").get<double>());
      }
    }
    double communication = 0;
    for (const Json& step : steps) communication += step.at("communication_seconds").get<double>();
    CHECK((communication > 0) == (output == runs().two));
    CHECK(steps.back().at("loss").get<double>() < steps.front().at("loss").get<double>() - 0.1);
    CHECK(steps[3].at("validation_loss").get<double>() > 0);
  }
}

TEST_CASE("two ranks compute what one computes, dropout on") {
  for (const char* key : {"loss", "grad_norm"}) {
    const std::vector<double> one = curve(runs().one, key), two = curve(runs().two, key);
    REQUIRE(one.size() == kSteps);
    REQUIRE(two.size() == kSteps);
    for (int i = 0; i < kSteps; i++) {
      CAPTURE(i);
      CHECK(std::abs(one[i] - two[i]) < 1e-10);
    }
  }
  const double one = metrics_of(runs().one)[7].at("validation_loss"),
               two = metrics_of(runs().two)[7].at("validation_loss");
  CHECK(std::abs(one - two) < 1e-10);
}

TEST_CASE("torchrun and mpirun start the ranks: the numbers of -n 2, said once") {
  const std::vector<std::pair<std::string, std::vector<std::string>>> launchers = {
      {"torchrun",
       {COLOSSAL_TORCHRUN, "--no-python", "--nproc-per-node", "2", "--master-port",
        std::to_string(free_port())}},
      {"mpirun", {"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"}},
  };
  for (const auto& [name, launcher] : launchers) {
    CAPTURE(name);
    const fs::path output = runs().scratch / name;
    std::vector<std::string> command = launcher;
    command.insert(command.end(), {COLOSSAL_BINARY, "train", Runs::file(output), "--set", "train.steps=4"});
    const Finished run = run_process(command);
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "step 4/4  loss ") == 1);
    for (const char* key : {"loss", "grad_norm"}) {
      const std::vector<double> theirs = curve(output, key), ours = curve(runs().two, key);
      REQUIRE(theirs.size() == 4);
      for (int i = 0; i < 4; i++) CHECK(std::abs(theirs[i] - ours[i]) < 1e-12);
    }
    fs::remove_all(output);  // other cases list the runs of this folder
  }
}

TEST_CASE("checkpoint list, verify and export") {
  const std::string run = runs().two;
  const Finished list = run_colossal({"checkpoint", "list", run});
  INFO(list.output);
  CHECK(list.exit_code == 0);
  CHECK(count(list.output, "\n") == 2);
  CHECK(count(list.output, "written by 2 ranks (data 2)") == 2);
  CHECK(count(list.output, run + "/checkpoints/step-00000008\n") == 1);

  const Finished verify = run_colossal({"checkpoint", "verify", run});
  CHECK(verify.exit_code == 0);
  CHECK(verify.output ==
        fmt::format("{0}/checkpoints/step-00000004: good\n{0}/checkpoints/step-00000008: good\n", run));

  const std::string folder = runs().scratch / "hf";
  const Finished exported = run_colossal({"checkpoint", "export", run, folder});
  CHECK(exported.exit_code == 0);
  CHECK(exported.output == fmt::format("{}/checkpoints/step-00000008: exported to {}\n", run, folder));
  CHECK(Json::parse(colossal::read_file(fs::path(folder) / "config.json")).at("model_type") == "gpt2");

  const Finished twice = run_colossal({"checkpoint", "export", run, folder});
  CHECK(twice.exit_code == 2);
  CHECK(twice.output ==
        folder +
            ": holds a Hugging Face model already. Name another folder, or add --overwrite to replace it.\n");
  CHECK(run_colossal({"checkpoint", "export", run, folder, "--overwrite"}).output == exported.output);
  const Finished foreign = run_colossal({"checkpoint", "export", run, run, "--overwrite"});
  CHECK(foreign.exit_code == 2);
  CHECK(foreign.output == run + ": holds files, but no earlier export (config.json). Name another folder.\n");

  // The run and its export say the same.
  const std::vector<std::string> greedy = {"--prompt", "3 times", "--tokens", "8", "--temperature", "0"};
  std::vector<std::string> from_run = {"generate", run}, from_export = {"generate", folder};
  from_run.insert(from_run.end(), greedy.begin(), greedy.end());
  from_export.insert(from_export.end(), greedy.begin(), greedy.end());
  const Finished a = run_colossal(from_run), b = run_colossal(from_export);
  INFO(a.output);
  CHECK(a.exit_code == 0);
  CHECK(a.output.starts_with("3 times"));
  CHECK(a.output.size() > std::string("3 times\n").size());
  CHECK(a.output == b.output);

  fs::remove(fs::path(folder) / "tokenizer.json");
  const Finished bare = run_colossal(from_export);
  CHECK(bare.exit_code == 2);
  CHECK(bare.output ==
        folder +
            ": has no tokenizer.json. Name one with --tokenizer FILE, or write --tokenizer bytes: the model "
            "knows 257 tokens, as many as there are bytes and an end of text.\n");
  from_export.insert(from_export.end(), {"--tokenizer", "bytes"});
  CHECK(run_colossal(from_export).output == a.output);

  const std::string above = runs().scratch.path(), nowhere = runs().scratch / "nodir";
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& what) {
    const Finished nothing = run_colossal(arguments);
    CHECK(nothing.exit_code == 2);
    CHECK(nothing.output ==
          fmt::format("{} Runs with checkpoints: {}, {}.\n", what, runs().one.string(), runs().two.string()));
  };
  const std::string
      name = " Name the output folder of a run (run.output), or one of its checkpoints.",
      any = " Name the output folder of a run (run.output), a checkpoint, or a Hugging Face folder.",
      foreign_name =
          " Name a Hugging Face folder (config.json and model.safetensors); `colossal checkpoint "
          "export RUN OUTPUT` makes one of a run.";
  refused({"checkpoint", "list", above}, above + ": holds no checkpoint." + name);
  refused({"checkpoint", "export", above, folder}, above + ": holds no checkpoint." + name);
  refused({"checkpoint", "verify", nowhere}, nowhere + ": no such folder." + name);
  refused({"generate", nowhere}, nowhere + ": no such folder." + any);
  refused({"generate", above},
          above + ": holds neither config.json (a Hugging Face folder) nor a checkpoint." + any);
  refused({"verify", nowhere, "-n", "2"}, nowhere + ": no such folder." + foreign_name);
  refused({"verify", above}, above + ": holds no config.json." + foreign_name);
}

TEST_CASE("generate: what the model has room for, and no more") {
  const std::string run = runs().one;
  const Finished fits = run_colossal({"generate", run, "--prompt", "3 times", "--temperature", "0"});
  INFO(fits.output);
  CHECK(fits.exit_code == 0);  // 16 positions; 128 tokens are the default elsewhere
  const Finished many = run_colossal({"generate", run, "--prompt", "3 times", "--tokens", "10"});
  CHECK(many.exit_code == 2);
  CHECK(many.output ==
        "--tokens 10: the prompt has 7 tokens, and the model takes 16 in all (model.max_positions). Allowed: "
        "at most 9.\n");
  const Finished longer = run_colossal({"generate", run, "--prompt", "sixteen letters."});
  CHECK(longer.exit_code == 2);
  CHECK(longer.output ==
        "--prompt: has 16 tokens, and the model takes 16 with those to come (model.max_positions). Allowed: "
        "at most 15.\n");
  const std::string gpt2 = std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel";
  const Finished foreign = run_colossal({"generate", run, "--tokenizer", gpt2});
  INFO(foreign.output);
  CHECK(foreign.exit_code == 2);
  CHECK(foreign.output.starts_with(fmt::format("--tokenizer {}: has ", gpt2)));
  CHECK(foreign.output.ends_with(fmt::format(
      " ids, but {} knows only 257. Name the tokenizer that the model was trained with.\n", run)));
}

TEST_CASE("report: one page that needs nothing else") {
  const Finished report = run_colossal({"report", runs().two, runs().one});
  CHECK(report.exit_code == 0);
  CHECK(report.output == runs().two.string() + "/comparison.html\n");
  const std::string page = colossal::read_file(runs().two / "comparison.html");
  CHECK(count(page, "<html") == 1);
  CHECK(count(page, "src=\"") == 0);
  CHECK(count(page, "<link") == 0);
  CHECK(count(page, "@import") == 0);
  CHECK(count(page, fmt::format("{:.6}", curve(runs().two, "loss")[2]).substr(0, 5)) >= 1);
}

TEST_CASE("config: the resolved run file is itself a run file with the same meaning") {
  const std::string file = runs().one.string() + ".toml";
  const Finished config = run_colossal({"config", file, "-n", "2", "--set", "train.steps=5", "--short"});
  CHECK(config.exit_code == 0);
  CHECK(count(config.output, "microbatch_size = 2") == 1);
  CHECK(count(config.output, "\nsteps = 5") == 1);
  const std::string again = runs().scratch / "again.toml";
  std::ofstream(again) << config.output;
  CHECK(run_colossal({"config", again, "-n", "2", "--short"}).output == config.output);
}

TEST_CASE("tokenize --jsonl equals the oracles") {
  const std::string folder = std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel";
  const Finished run = run_process(
      {"/bin/sh", "-c", "exec \"$0\" tokenize --tokenizer \"$1/tokenizer.json\" --jsonl < \"$1/cases.jsonl\"",
       COLOSSAL_BINARY, folder});
  CHECK(run.exit_code == 0);
  std::istringstream got(run.output);
  std::ifstream cases(folder + "/cases.jsonl");
  int num_cases = 0;
  for (std::string line, answer; std::getline(cases, line); num_cases++) {
    const Json expected = Json::parse(line);
    REQUIRE(std::getline(got, answer));
    const Json actual = Json::parse(answer);
    CHECK(actual.at("ids") == expected.at("ids"));
    CHECK(actual.at("decoded") == expected.at("decoded"));
  }
  CHECK(num_cases == 300);
}

TEST_CASE("doctor") {
  const Finished doctor = run_colossal({"doctor", "-n", "4096"});
  INFO(doctor.output);
  CHECK(doctor.exit_code == 0);
  for (const char* line : {"libtorch ", "\ncores ", "\nthreads per rank ", "\nmemory    ",
                           "\nmatrix products, fp32 ", "\nmemory bandwidth ", "\nbackends "})
    CHECK(count(doctor.output, line) == 1);
  CHECK(count(doctor.output, "\nmatrix product library   ") >= 1);
  CHECK(count(doctor.output, " (rows x inputs->outputs): ") ==
        count(doctor.output, "\nmatrix product library   "));
  const auto cores = std::thread::hardware_concurrency();
  CHECK(doctor.output.ends_with(
      fmt::format("\nwarning: 4096 ranks on {0} cores wait for one another: start at most {0}\n", cores)));
}

}  // namespace
