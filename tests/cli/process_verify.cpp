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
  CHECK(run.output.starts_with(kModels + "llama3: Double, data 2\n"));
  CHECK(count(run.output, "\n  logits ") == 1);
  CHECK(count(run.output, "\n  loss_after_step ") == 1);
  CHECK(count(run.output, "\nverified: ") == 1);
  CHECK(count(run.output, "FAILED") == 0);
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
  const Finished torn = run_colossal({"verify", kModels + "gpt2", "--reference", reference});
  INFO(torn.output);
  CHECK(torn.exit_code != 0);
  CHECK(torn.exit_code < 128);
  CHECK(count(torn.output, reference) == 1);
}

TEST_CASE("layouts that cannot be") {
  const Finished three = run_colossal({"verify", kModels + "gpt2", "-n", "2", "--set", "parallel.data=3"});
  CHECK(three.exit_code == 2);
  CHECK(three.output ==
        "--set parallel.data: parallel.data = 3 does not fill 2 ranks. Set parallel.data = 2, or start with "
        "-n 3.\n");
  const Finished foreign = run_colossal({"verify", kModels + "gpt2", "--set", "train.steps=3"});
  CHECK(foreign.exit_code == 2);
  CHECK(foreign.output ==
        "--set train.steps: the layout of a verification has no such key. Allowed: parallel.data.\n");
}

}  // namespace
