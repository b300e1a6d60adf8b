// SPDX-License-Identifier: Apache-2.0
// Bad configurations and, word for word, what a person is told about them.
//
//   check({{"[train]\nsteps = 0", "run.toml:2: train.steps = 0 is too small. Allowed: at least 1."}});
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "colossal/base/error.h"
#include "colossal/train/config.h"
#include "colossal/train/trainer.h"
#include "tests/support/scratch.h"

namespace colossal::testing {

struct BadConfig {
  std::string toml;
  std::string message;
  int64_t world_size = 1;
};

// What the user is told about `toml`, to which random tokens are added as data unless it names some.
inline std::string told(const BadConfig& bad, const std::vector<std::string>& changes = {}) {
  std::string toml = bad.toml;
  if (toml.find("[data]") == toml.npos && !bad.message.starts_with("run.toml: data.train")) {
    toml += "\n[data]\ntrain = \"synthetic\"\n";
  }
  try {
    launch_options(train::parse_run_config(toml, "run.toml", changes, bad.world_size));
  } catch (const ConfigError& error) {
    CHECK(error.exit_code() == ExitCode::config);
    return error.what();
  }
  return "accepted";
}

// A few files to name, right and wrong.
inline void make_files(const ScratchFolder& folder) {
  std::ofstream(folder / "corpus.txt") << "text";
  std::ofstream(folder / "tokens.bin") << "1234";
  std::ofstream(folder / "nothing.txt").flush();
  std::filesystem::create_directory(folder / "empty");
  std::filesystem::create_directory(folder / "t5");
  std::ofstream(folder / "t5/config.json") << R"({"model_type": "t5"})";
  std::filesystem::create_directory(folder / "broken");
  std::ofstream(folder / "broken/config.json") << "{";
  std::filesystem::create_directory(folder / "untyped");
  std::ofstream(folder / "untyped/config.json") << "{}";
  std::filesystem::create_directory(folder / "odd");
  std::ofstream(folder / "odd/config.json")
      << R"({"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 512, "vocab_size": 300,
             "scale_attn_by_inverse_layer_idx": true})";
  std::filesystem::create_directory(folder / "small");
  std::ofstream(folder / "small/config.json")
      << R"({"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 512, "vocab_size": 300})";
}

inline void check(const std::vector<BadConfig>& table) {
  for (const BadConfig& bad : table) {
    CAPTURE(bad.toml);
    CHECK(told(bad) == bad.message);
  }
}

}  // namespace colossal::testing
