// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/program.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>

namespace colossal::testing {
namespace fs = std::filesystem;

Finished run_colossal(std::vector<std::string> arguments, const RunOptions& options) {
  arguments.insert(arguments.begin(), COLOSSAL_BINARY);
  return run_process(arguments, options);
}

std::string write_run_file(const fs::path& output, const std::vector<std::string>& changes) {
  const fs::path text = output.string() + ".txt";
  std::ofstream words(text);
  for (int i = 0; i < 300; i++) words << fmt::format("{} times {} makes {}.\n", i, i + 3, i * (i + 3));

  std::string path = output.string() + ".toml";
  std::ofstream file(path);
  file << fmt::format("run.output = \"{}\"\nrun.log_every = 1\n", output.string())
       << "model = { family = \"gpt2\", num_layers = 2, hidden_size = 32, num_heads = 2, dropout = 0.1 }\n"
       << fmt::format("data.train = [\"{}\"]\ndata.sequence_length = 16\n", text.string())
       << "train.global_batch_size = 4\ntrain.precision = \"fp64\"\n"
       << "optimizer.learning_rate = 1e-2\nschedule.name = \"constant\"\n";
  for (const std::string& change : changes) file << change << "\n";
  return path;
}

std::vector<Json> metrics_of(const fs::path& output) {
  std::ifstream file(output / "metrics.jsonl");
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<double> curve(const fs::path& output, const std::string& key) {
  std::vector<double> values;
  for (const Json& line : metrics_of(output)) {
    values.push_back(line.at(key).get<double>());
    REQUIRE(line.at("step").get<size_t>() == values.size());
  }
  return values;
}

int64_t newest_checkpoint(const fs::path& output) {
  int64_t newest = 0;
  for (const auto& entry : fs::directory_iterator(output / "checkpoints")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("step-")) newest = std::max<int64_t>(newest, std::stoll(name.substr(5)));
  }
  return newest;
}

}  // namespace colossal::testing
