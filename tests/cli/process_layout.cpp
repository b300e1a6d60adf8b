// SPDX-License-Identifier: Apache-2.0
// `colossal layout`: who holds what, as a table, JSON and a picture; and docs/tensor, which shows what the command prints.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "colossal/base/file.h"
#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
using colossal::Json;
namespace fs = std::filesystem;

const std::string kSource = COLOSSAL_SOURCE_DIR "/", kExample = kSource + "docs/tensor/example.toml";

struct Mode {
  const char* name;
  int size, depth;
};
constexpr Mode kModes[] = {{"1d", 4, 1}, {"1d-sequence", 4, 1}, {"2d", 4, 1}, {"2.5d", 8, 2}, {"3d", 8, 1}};

std::vector<std::string> layout_of(const Mode& mode, int num_ranks, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"layout", kExample,
                                        "-n",     std::to_string(num_ranks),
                                        "--set",  fmt::format("parallel.tensor.mode={}", mode.name),
                                        "--set",  fmt::format("parallel.tensor.size={}", mode.size),
                                        "--set",  fmt::format("parallel.tensor.depth={}", mode.depth)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

TEST_CASE("the table: alike blocks and ranks that hold the same are one line") {
  const Finished run = run_colossal(layout_of(
      {"1d", 2, 1}, 4,
      {"--set", "model.num_layers=3", "--set", "model.family=llama", "--set", "model.ffn_size=512"}));
  CHECK(run.exit_code == 0);
  const std::string expected =
      "llama 3 x 256, 4 heads, vocabulary 257: 2.1M parameters\n"
      "4 ranks (data 2 x tensor 2), each with 1.1M parameters, 50.1% of all\n"
      "\n"
      "parameter                        layout                   ranks  slice that they hold\n"
      "embedding.weight                 [257 (258)/tensor, 256]  0, 2   [0:129, 0:256]\n"
      "                                                          1, 3   [129:257, 0:256]\n"
      "blocks.0-2.norm1.weight          [256]                    0-3    [0:256]\n"
      "blocks.0-2.attention.qkv.weight  [3, 4/tensor, 64, 256]   0, 2   [0:3, 0:2, 0:64, 0:256]\n"
      "                                                          1, 3   [0:3, 2:4, 0:64, 0:256]\n"
      "blocks.0-2.attention.out.weight  [256, 256/tensor]        0, 2   [0:256, 0:128]\n"
      "                                                          1, 3   [0:256, 128:256]\n"
      "blocks.0-2.norm2.weight          [256]                    0-3    [0:256]\n"
      "blocks.0-2.mlp.gate_up.weight    [2, 512/tensor, 256]     0, 2   [0:2, 0:256, 0:256]\n"
      "                                                          1, 3   [0:2, 256:512, 0:256]\n"
      "blocks.0-2.mlp.down.weight       [256, 512/tensor]        0, 2   [0:256, 0:256]\n"
      "                                                          1, 3   [0:256, 256:512]\n"
      "norm.weight                      [256]                    0-3    [0:256]\n"
      "head.weight                      [257 (258)/tensor, 256]  0, 2   [0:129, 0:256]\n"
      "                                                          1, 3   [129:257, 0:256]\n";
  INFO(run.output);
  CHECK(run.output == expected);
}

TEST_CASE("--rank shows one rank and where it stands") {
  const Finished run = run_colossal(layout_of({"3d", 8, 1}, 16, {"--rank", "13"}));
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(count(run.output, "\nrank 13: data 1, cube_k 1, cube_j 0, cube_i 1\n") == 1);
  // Outputs lie over cube_k, inputs over (cube_j, cube_i).
  CHECK(count(run.output,
              "\nblocks.0.mlp.up.weight         [1024/cube_k, 256/cube_j/cube_i]       13     "
              "[512:1024, 64:128]\n") == 1);
  const Finished none = run_colossal(layout_of({"3d", 8, 1}, 16, {"--rank", "16"}));
  CHECK(none.exit_code == 2);
  CHECK(none.output == "--rank = 16 is none of the 16 ranks of this run. Allowed: 0 to 15.\n");
}

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (const int64_t size : sizes) n *= size;
  return n;
}

// Adds one to every element of a tensor of `shape` that lies in the slice.
void mark(std::vector<int>& elements, const std::vector<int64_t>& shape, const Json& slice) {
  const std::vector<int64_t> offset = slice["offset"], size = slice["size"];
  for (int64_t i = 0; i < product(size); ++i) {
    int64_t rest = i, element = 0, stride = 1;
    for (size_t dim = shape.size(); dim-- > 0;) {
      element += (offset[dim] + rest % size[dim]) * stride;
      rest /= size[dim];
      stride *= shape[dim];
    }
    elements.at(element) += 1;
  }
}

TEST_CASE("JSON: in every mode the slices of each parameter make it whole, and every rank holds one") {
  for (const Mode& mode : kModes) {
    CAPTURE(mode.name);
    const Finished run = run_colossal(layout_of(mode, 2 * mode.size, {"--json"}));
    REQUIRE(run.exit_code == 0);
    const Json json = Json::parse(run.output);
    CHECK(json["ranks"] == 2 * mode.size);
    int64_t total = 0;
    for (const Json& p : json["parameters"]) {
      CAPTURE(p["name"]);
      std::vector<int> covered(product(p["shape"]));  // how often each element is
      std::set<int> ranks;
      for (const Json& slice : p["slices"]) {
        mark(covered, p["shape"], slice);
        for (const Json& rank : slice["ranks"]) CHECK(ranks.insert(rank.get<int>()).second);
      }
      CHECK(std::ranges::all_of(covered, [](int times) { return times == 1; }));
      CHECK(static_cast<int>(ranks.size()) == 2 * mode.size);
      total += static_cast<int64_t>(covered.size());
    }
    CHECK(json["numel"] == total);
  }
}

TEST_CASE("a model of 70B parameters on 512 ranks: its weights are counted, never made") {
  const ScratchFolder scratch;
  std::ofstream(scratch / "run.toml") << "model = { family = \"llama\", preset = \"llama2-70b\" }\n"
                                         "data.train = [\"synthetic\"]\ntrain.global_batch_size = 64\n"
                                         "parallel.tensor = { mode = \"3d\", size = 512 }\n";
  const Finished run = run_colossal({"layout", scratch / "run.toml", "-n", "512"});
  INFO(run.output.substr(0, 3000));
  CHECK(run.exit_code == 0);
  CHECK(run.output.starts_with(
      "llama 80 x 8192, 64 heads, vocabulary 32000: 69.0B parameters\n"
      "512 ranks (data 1 x cube_k 8 x cube_j 8 x cube_i 8), each with 134.9M parameters, 0.2% of all\n"));
  CHECK(count(run.output, "\nblocks.0-79.attention.query.weight ") == 1);
  CHECK(count(run.output, " 509 more: --rank R or --json\n") == 7);
}

TEST_CASE("a picture has a block for every slice and copy, and ranks up to eight in a legend") {
  const ScratchFolder scratch;
  const auto blocks = [&](const Mode& mode) {
    const std::string file = scratch / "picture.svg";
    CHECK(run_colossal(layout_of(mode, mode.size, {"--svg", file})).exit_code == 0);
    return count(colossal::read_file(file), "<rect ");
  };
  // Five matrices and the legend, in the pictures of the pages, which are compared below with what is drawn now.
  for (const Mode& mode : kModes) {
    const std::string kept = colossal::read_file(kSource + "docs/tensor/" + mode.name + ".svg");
    CHECK(count(kept, "<rect ") == 6 * mode.size);
  }
  CHECK(blocks({"2d", 16, 1}) == 5 * 16);
  CHECK(blocks({"none", 1, 1}) == 5);
  CHECK(blocks({"1d", 1, 1}) == 5);
}

// `page` with the answers that the program gives now behind every "$ colossal ..." of its console blocks.
std::string renewed(const std::string& page) {
  std::istringstream lines(page);
  std::string text;
  bool console = false, answer = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      console = line == "```console";
      answer = false;
    }
    if (console && line.starts_with("$ colossal ")) {
      std::istringstream words(line.substr(11));
      std::vector<std::string> arguments;
      for (std::string word; words >> word;)
        arguments.push_back(word.starts_with("docs/") ? kSource + word : word);
      text += line + "\n" + replaced(run_colossal(arguments).output, kSource, "");
      answer = true;
    } else if (!answer) {
      text += line + "\n";
    }
  }
  return text;
}

TEST_CASE("docs/tensor shows what the program says and draws") {
  const ScratchFolder scratch;
  const bool update = std::getenv("COLOSSAL_UPDATE_DOCS") != nullptr;
  INFO("renew them: make docs");
  const fs::path folder = kSource + "docs/tensor";
  int num_pages = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".md") continue;
    CAPTURE(entry.path());
    const std::string text = renewed(colossal::read_file(entry.path()));
    if (update) colossal::write_file_durably(entry.path(), text);
    CHECK(colossal::read_file(entry.path()) == text);
    CHECK(count(text, "$ colossal layout ") >= 1);
    ++num_pages;
  }
  CHECK(num_pages == 6);
  for (const Mode& mode : kModes) {
    const fs::path kept = folder / (std::string(mode.name) + ".svg"), drawn = scratch / "drawn.svg";
    CAPTURE(kept);
    REQUIRE(run_colossal(layout_of(mode, mode.size, {"--svg", drawn})).exit_code == 0);
    if (update) fs::copy_file(drawn, kept, fs::copy_options::overwrite_existing);
    CHECK(colossal::read_file(kept) == colossal::read_file(drawn));
  }
}

}  // namespace
