// SPDX-License-Identifier: Apache-2.0
// `colossal verify` on the oracles of Hugging Face models: passes on what is right, fails on what is not.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "colossal/base/file.h"
#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
using colossal::Json;

const std::string kModels = std::string(COLOSSAL_ORACLES) + "/models/";

TEST_CASE("a model under data parallelism") {
  const Finished run = run_colossal({"verify", kModels + "llama3", "-n", "2", "--set", "parallel.data=2"});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(run.output.starts_with(kModels + "llama3: float64, data 2, compared with " + kModels +
                               "llama3/reference.safetensors\n"));
  CHECK(count(run.output, "\n  logits ") == 1);
  CHECK(count(run.output, "\n  loss_after_step ") == 1);
  CHECK(count(run.output, "\nverified: ") == 1);
  CHECK(count(run.output, "FAILED") == 0);
}

TEST_CASE("models that are no language models") {
  for (const char* name : {"bert", "vit"}) {
    const Finished run = run_colossal({"verify", kModels + name, "-n", "2"});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, "\n  seq_relationship_logits ") == (std::string(name) == "bert" ? 1 : 0));
    CHECK(count(run.output, "\nverified: ") == 1);
  }
  const Finished text = run_colossal({"generate", kModels + "bert", "--tokenizer", "bytes"});
  CHECK(text.exit_code == 2);
  CHECK(text.output ==
        "a model of family bert fills in masked tokens, but one that predicts the next token is needed here. "
        "Families: gpt2, llama, qwen2, palm.\n");
}

TEST_CASE("one wrong number in a reference is found") {
  const ScratchFolder scratch;
  std::string bytes = colossal::read_file(kModels + "gpt2/reference.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const Json logits = Json::parse(bytes.substr(8, header)).at("logits");
  REQUIRE(logits.at("dtype") == "F64");
  const size_t at = 8 + header + logits.at("data_offsets")[0].get<size_t>() + 8 * 11;
  double value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  value += 1e-8;
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  const std::string reference = scratch / "reference.safetensors";
  std::ofstream(reference, std::ios::binary) << bytes;

  const Finished run = run_colossal({"verify", kModels + "gpt2", "--reference", reference, "-n", "2"});
  INFO(run.output);
  CHECK(run.exit_code == 1);
  CHECK(count(run.output, "(allowed 1.0e-09)  FAILED\n") == 1);
  CHECK(count(run.output, "\nNOT verified: 1 of 31 quantities differ\n") == 1);
  CHECK(count(run.output, "colossal:") == 0);  // all ranks say the same: nothing to explain

  std::ofstream(reference, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  const Finished torn = run_colossal({"verify", kModels + "gpt2", "--reference", reference, "-n", "2"});
  INFO(torn.output);
  CHECK(torn.exit_code != 0);
  CHECK(torn.exit_code < 128);
  CHECK(count(torn.output, "\n") == 1);
  CHECK(count(torn.output, reference) == 1);
}

// A folder with the model alone.
std::string bare_model(const ScratchFolder& scratch) {
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(kModels + "gpt2/" + file, scratch / file);
  return scratch.path().string();
}

TEST_CASE("without a reference two ranks are compared with one") {
  const ScratchFolder scratch;
  const std::string model = bare_model(scratch);
  for (const char* dtype : {"float64", "float32"}) {
    const Finished run = run_colossal({"verify", model, "-n", "2", "--dtype", dtype});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.output.starts_with(model + ": " + dtype +
                                 ", data 2, compared with one rank, as there is no reference.safetensors\n"));
    CHECK(count(run.output, "\nverified: 31 quantities within tolerance\n") == 1);
  }
}

TEST_CASE("what is missing is said once, with the way to make it") {
  const ScratchFolder scratch;
  const std::string model = bare_model(scratch), reference = model + "/reference.safetensors";
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& text) {
    const Finished run = run_colossal(arguments);
    CHECK(run.exit_code == 2);
    CHECK(run.output == text + "\n");
  };
  refused({"verify", model},
          "verify " + model + ": there is no " + reference +
              ", and one rank has nothing else to be compared with. `tools/make_reference.py " + model +
              "` makes it with transformers; -n 2 compares two ranks with one.");
  refused({"verify", "/nowhere", "-n", "2"},
          "/nowhere: no such folder. Name a Hugging Face folder (config.json and "
          "model.safetensors); `colossal checkpoint export RUN OUTPUT` makes one of a run.");
  const std::string run = scratch / "run", step = run + "/checkpoints/step-00000008";
  std::filesystem::create_directories(step);
  std::ofstream(step + "/manifest.json") << "{}";
  for (const std::string& named : {run, run + "/", run + "/checkpoints", step}) {
    refused({"verify", named}, "verify " + named +
                                   ": belongs to a run, and is no Hugging Face folder. `colossal checkpoint "
                                   "export " +
                                   named + " " + run + "-hf` makes one of it.");
  }
  refused({"verify", model, "-n", "2", "--reference", "/nowhere"},
          "--reference /nowhere: there is no such file. `tools/make_reference.py " + model +
              " --output /nowhere` makes it with transformers.");
  std::filesystem::copy_file(kModels + "gpt2/reference.safetensors", reference);
  refused({"verify", model, "-n", "2", "--dtype", "float32"},
          "verify " + model + ": float32 is judged by " + model +
              "/tolerance.json, which is not there. `tools/make_reference.py " + model + " --output " +
              reference + "` makes both; --dtype float64 needs none.");
  const Finished foreign =
      run_colossal({"verify", kModels + "gpt2-untied", "-n", "2", "--reference", reference});
  INFO(foreign.output);
  CHECK(foreign.exit_code == 3);
  CHECK(count(foreign.output, "\n") == 1);
  CHECK(count(foreign.output, reference) == 1);
}

TEST_CASE("a config.json that was cut off") {
  const ScratchFolder scratch;
  const std::string model = bare_model(scratch);
  const uintmax_t size = std::filesystem::file_size(model + "/config.json") / 2;
  std::filesystem::resize_file(model + "/config.json", size);
  const Finished run = run_colossal({"verify", model, "-n", "2"});
  CHECK(run.exit_code == 3);
  CHECK(run.output ==
        fmt::format("colossal: {0}/config.json: is not valid JSON: damaged near byte {1} of {2}.\n", model,
                    size + 1, size));
}

TEST_CASE("weights that were cut off have one exit code in all commands") {
  const ScratchFolder scratch;
  const std::string model = bare_model(scratch);
  std::filesystem::resize_file(model + "/model.safetensors", 5000);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"verify", model, "-n", "2"}, {"generate", model, "--tokenizer", "bytes"}}) {
    const Finished run = run_colossal(arguments);
    CHECK(run.exit_code == 4);
    CHECK(run.output.starts_with("colossal: " + model + "/model.safetensors: "));
    CHECK(count(run.output, "\n") == 1);
  }
}

TEST_CASE("tools/make_reference.py says what it does where torch is not installed") {
  const std::string tool = std::filesystem::path(COLOSSAL_SOURCE_DIR) / "tools/make_reference.py";
  const Finished help = run_process({"python3", "-S", tool, "--help"});  // -S: no installed packages
  CHECK(help.exit_code == 0);
  CHECK(help.output.starts_with("usage: make_reference.py [-h] "));
}

TEST_CASE("every tensor mode") {
  struct Mode {
    const char *name, *size, *depth;
  };
  for (const auto& [name, size, depth] : {Mode{"1d", "2", "1"},
                                          {"1d-sequence", "2", "1"},
                                          {"2d", "4", "1"},
                                          {"2.5d", "8", "2"},
                                          {"3d", "8", "1"}}) {
    const Finished run = run_colossal({"verify", kModels + "llama3", "-n", size, "--set",
                                       std::string("parallel.tensor.mode=") + name, "--set",
                                       std::string("parallel.tensor.size=") + size, "--set",
                                       std::string("parallel.tensor.depth=") + depth});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(count(run.output, kModels + "llama3/reference.safetensors\n") == 1);
    CHECK(count(run.output, "\nverified: ") == 1);
    CHECK(count(run.output, "FAILED") == 0);
  }
}

TEST_CASE("layouts that cannot be") {
  const Finished three = run_colossal({"verify", kModels + "gpt2", "-n", "2", "--set", "parallel.data=3"});
  CHECK(three.exit_code == 2);
  CHECK(three.output ==
        "--set parallel.data: parallel.data = 3 does not fill 2 ranks. Set parallel.data = 2, or start 3 "
        "ranks.\n");
  const Finished square = run_colossal({"verify", kModels + "gpt2", "-n", "2", "--set",
                                        "parallel.tensor.mode=2d", "--set", "parallel.tensor.size=2"});
  CHECK(square.exit_code == 2);
  CHECK(square.output ==
        "--set parallel.tensor.size: parallel.tensor.size = 2 is not a square. Nearest sizes that are: 1 and "
        "4.\n");
  const Finished heads = run_colossal({"verify", kModels + "gpt2", "-n", "3", "--set",
                                       "parallel.tensor.mode=1d", "--set", "parallel.tensor.size=3"});
  CHECK(heads.exit_code == 2);
  CHECK(heads.output ==
        "--set parallel.tensor.size: model.num_heads = 4 cannot be cut into 3 by parallel.tensor.mode = "
        "\"1d\" of 3 "
        "ranks. Sizes of this mode that fit this model: 2 or 4.\n");
  const Finished foreign = run_colossal({"verify", kModels + "gpt2", "--set", "train.steps=3"});
  CHECK(foreign.exit_code == 2);
  CHECK(foreign.output ==
        "--set train.steps: the layout of a verification has no such key. Allowed: parallel.data, "
        "parallel.tensor.\n");
}

}  // namespace
