// SPDX-License-Identifier: Apache-2.0
// The command line itself: what a person reads who asks for help, and what one is told who has mistyped something.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cctype>
#include <fstream>
#include <sstream>

#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
namespace fs = std::filesystem;

struct Mistyped {
  std::vector<std::string> arguments;
  std::string answer;
};

void check_answers(const std::vector<Mistyped>& table) {
  for (const Mistyped& line : table) {
    CAPTURE(line.arguments);
    const Finished run = run_colossal(line.arguments);
    CHECK(run.exit_code == 2);
    CHECK(run.output == "command line: " + line.answer + "\n");
  }
}

TEST_CASE("commands that do not exist, or are missing") {
  check_answers({
      {{"tarin", "run.toml"},
       "there is no command \"tarin\". Did you mean \"train\"? See `colossal --help`."},
      {{"help", "infer"},
       "there is no command \"infer\". Commands: train, generate, verify, tokenize, checkpoint, config, "
       "layout, report, doctor. "
       "See `colossal --help`."},
      {{"checkpoint", "lsit", "run"},
       "there is no command \"lsit\". Did you mean \"list\"? See `colossal checkpoint --help`."},
      {{"checkpoint"},
       "a command is missing. Commands: list, verify, export. See `colossal checkpoint --help`."},
  });
}

TEST_CASE("options that do not exist: the nearest one, or the key of the run file that was meant") {
  check_answers({
      {{"--hlep"}, "there is no option \"--hlep\". Did you mean \"--help\"? See `colossal --help`."},
      {{"train", "run.toml", "--resum"},
       "there is no option \"--resum\". Did you mean \"--resume\"? See `colossal train --help`."},
      {{"train", "run.toml", "--steps=10"},
       "there is no option \"--steps\". Did you mean \"--set train.steps=...\"? See `colossal train "
       "--help`."},
      {{"train", "run.toml", "--lr", "0.1"},
       "there is no option \"--lr\". Did you mean \"--set optimizer.learning_rate=...\"? See `colossal train "
       "--help`."},
      {{"layout", "run.toml", "--mode", "2d"},
       "there is no option \"--mode\". Did you mean \"--set parallel.tensor.mode=...\"? See `colossal layout "
       "--help`."},
      {{"layout", "run.toml", "--ranks", "2"},
       "there is no option \"--ranks\". Did you mean \"--rank\"? See `colossal layout --help`."},
      {{"train", "run.toml", "-np", "2"},
       "there is no option \"-np\". Did you mean \"-n\"? See `colossal train --help`."},
      {{"checkpoint", "export", "run", "hf", "--force"},
       "there is no option \"--force\". Options: --help, --overwrite. See `colossal checkpoint export "
       "--help`."},
  });
}

TEST_CASE("values that are missing, too many, or wrong") {
  check_answers({
      {{"train"},
       "FILE is missing: the run file (TOML), for example configs/quickstart.toml. See `colossal train "
       "--help`."},
      {{"config"},
       "FILE is missing: the run file (TOML), for example configs/quickstart.toml. See `colossal config "
       "--help`."},
      {{"train", "run.toml", "train.steps=3"},
       "\"train.steps=3\" is one argument too many. Did you mean \"--set train.steps=3\"? See `colossal "
       "train --help`."},
      {{"train", "run.toml", "-n"},
       "-n needs a value: ranks (processes) to start on this host. See `colossal train --help`."},
      {{"train", "run.toml", "-n", "99999999999999999999"},
       "-n: \"99999999999999999999\" is not allowed. Allowed: whole numbers from 1 to 65536. See `colossal "
       "train --help`."},
      {{"train", "run.toml", "-n", "0"},
       "-n: \"0\" is not allowed. Allowed: whole numbers of at least 1. See `colossal train --help`."},
      {{"generate", "run", "--dtype", "bfloat"},
       "--dtype: \"bfloat\" is not allowed. Allowed: float32, bfloat16. Did you mean \"bfloat16\"? See "
       "`colossal "
       "generate --help`."},
      {{"generate", "run", "--seed", "-1"},
       "--seed: \"-1\" is not allowed. Allowed: whole numbers of at least 0. See `colossal generate "
       "--help`."},
      {{"generate", "run", "--top-p", "1.5"},
       "--top-p: \"1.5\" is not allowed. Allowed: numbers from 0 to 1. See `colossal generate --help`."},
      {{"generate", "run", "--top-p", "7", "--seed", "3", "--top-k", "-4", "--temperature", "1e30"},
       "--temperature: \"1e30\" is not allowed. Allowed: numbers from 0 to 100. --top-k: \"-4\" is not "
       "allowed. Allowed: "
       "whole numbers of at least 0. --top-p: \"7\" is not allowed. Allowed: numbers from 0 to 1. See "
       "`colossal generate "
       "--help`."},
      {{"generate", "run", "--tokens", "3", "--tokens", "4"},
       "--tokens is given more than once. See `colossal generate --help`."},
  });
}

TEST_CASE("--set takes one change, so that the run file may stand behind it") {
  const ScratchFolder scratch;
  const std::string file = write_run_file(scratch / "run");
  const Finished run = run_colossal({"config", "--set", "train.steps=5", file, "--short"});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(count(run.output, "\nsteps = 5\n") == 1);
}

// The lines of `help` that show an option, "  -n N   ranks ... (default: 1)" joined to one space.
std::vector<std::string> option_lines(const std::string& help) {
  std::vector<std::string> lines;
  std::istringstream in(help);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string text;
    for (std::string word; words >> word;) text += (text.empty() ? "" : " ") + word;
    if (line.starts_with("  -"))
      lines.push_back(text);
    else if (!lines.empty() && line.starts_with("          "))
      lines.back() += " " + text;
  }
  return lines;
}

TEST_CASE("help: what the program is, its commands, and for every option that takes a value its default") {
  const Finished help = run_colossal({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.output.starts_with(
      "Trains models of text and images in parallel: one program, one TOML file per run.\n"
      "Usage: colossal [OPTIONS] COMMAND\n"));
  CHECK(run_colossal({}).output == help.output);
  CHECK(run_colossal({"help"}).output == help.output);
  for (const std::string command :
       {"train", "generate", "verify", "tokenize", "checkpoint", "config", "layout", "report", "doctor"}) {
    CAPTURE(command);
    CHECK(count(help.output, fmt::format("\n  {} ", command)) == 1);
    const Finished run = run_colossal({"help", command});
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, fmt::format("Usage: colossal {} ", command)) == 1);
    CHECK(count(run.output, "Example") == 1);
    for (const std::string& line : option_lines(run.output)) {
      CAPTURE(line);
      const std::string name = line.substr(0, line.find(' ')), rest = line.substr(line.find(' ') + 1);
      const bool takes_value = !rest.empty() && std::isupper(static_cast<unsigned char>(rest[0])) != 0;
      const bool without = name == "--set" || (command == "tokenize" && name == "--output");
      CHECK((count(line, "(default: ") == 1) == (takes_value && !without));
    }
  }
}

TEST_CASE("help of generate, word for word") {
  const std::vector<std::string> expected = {
      "-h,--help show this help",
      "--prompt TEXT text to continue (default: none: the model begins a text)",
      ("--tokens N most tokens to write; fewer where the text ends (default: 128, or as many as the model "
       "has "
       "room for)"),
      "--temperature X below 1 is safer, above 1 wilder; 0 takes the likeliest (default: 0.8)",
      "--top-k K choose among the K likeliest tokens; 0: all (default: 0)",
      "--top-p P choose among the likeliest tokens that together have this probability (default: 1)",
      "--seed N of the random choice: the same seed writes the same text (default: 1)",
      "--tokenizer FILE tokenizer.json, a folder that holds one, or \"bytes\" (default: that of the model)",
      "--dtype TYPE precision of the arithmetic: float32 or bfloat16 (default: float32)"};
  CHECK(option_lines(run_colossal({"generate", "--help"}).output) == expected);
}

TEST_CASE("things that are not what a command takes") {
  const ScratchFolder scratch;
  const std::string file = scratch / "notes.txt", nowhere = scratch / "nowhere", folder = scratch.path();
  std::ofstream(file) << "not a run\n";
  const auto check = [](std::vector<std::string> arguments, int code, const std::string& message) {
    CAPTURE(arguments);
    const Finished run = run_colossal(std::move(arguments));
    CHECK(run.exit_code == code);
    CHECK(run.output == message + "\n");
  };
  check({"train", folder}, 2,
        folder + ": is a folder. Name a run file, for example configs/quickstart.toml.");
  check({"train", "/dev/null"}, 2,
        "/dev/null: is no file that every rank can read again. Name a run file, for example "
        "configs/quickstart.toml.");
  check({"checkpoint", "list", file}, 2,
        file + ": is a file. Name the output folder of a run (run.output), or one of its checkpoints.");
  check({"generate", file}, 2,
        file +
            ": is a file. Name the output folder of a run (run.output), a checkpoint, or a Hugging Face "
            "folder.");
  check({"verify", file, "-n", "2"}, 2,
        file +
            ": is a file. Name a Hugging Face folder (config.json and model.safetensors); `colossal "
            "checkpoint export "
            "RUN OUTPUT` makes one of a run.");
  check({"report", file}, 2, file + ": is a file. Name the output folder of a run (run.output).");
  check({"report", nowhere}, 2, nowhere + ": no such folder. Name the output folder of a run (run.output).");
  check({"generate", folder, "--tokenizer", nowhere}, 2,
        "tokenizer " + nowhere +
            ": no such file. Allowed: \"bytes\", a tokenizer.json, or a folder that holds one.");
  check({"tokenize", nowhere, "--output", folder}, 2,
        fmt::format("{}: no such file, folder or pattern. Relative paths start at {}.", nowhere,
                    fs::current_path().string()));
}

}  // namespace
