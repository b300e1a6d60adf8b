// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <fstream>

#include "colossal/data/tokenizer.h"

using namespace colossal::data;

namespace {

// Every case of one kind: ids with and without special tokens, text with and without.
void check_all(const std::string& kind) {
  const std::string folder = std::string(COLOSSAL_ORACLES) + "/tokenizers/" + kind;
  const auto tokenizer = Tokenizer::load(folder);
  std::ifstream cases(folder + "/cases.jsonl");
  int64_t num_cases = 0;
  for (std::string line; std::getline(cases, line); ++num_cases) {
    const auto expected = nlohmann::json::parse(line);
    const auto text = expected["text"].get<std::string>();
    const auto ids = expected["ids"].get<std::vector<int32_t>>();
    CAPTURE(num_cases);
    CAPTURE(expected["text"].dump(-1, ' ', true));
    // Twice: from the merges, then from the word cache.
    for (int round = 0; round < 2; ++round) {
      CHECK(tokenizer->encode(text, SpecialTokens::keep) == ids);
      CHECK(tokenizer->encode(text, SpecialTokens::skip) ==
            expected["ids_plain"].get<std::vector<int32_t>>());
    }
    CHECK(tokenizer->decode(ids, SpecialTokens::skip) == expected["decoded"].get<std::string>());
    CHECK(tokenizer->decode(ids, SpecialTokens::keep) == expected["decoded_all"].get<std::string>());
  }
  CHECK(num_cases == 300);
}

}  // namespace

TEST_CASE("gpt2-bytelevel") { check_all("gpt2-bytelevel"); }
TEST_CASE("llama3-bytelevel") { check_all("llama3-bytelevel"); }
TEST_CASE("bert-wordpiece") { check_all("bert-wordpiece"); }
TEST_CASE("llama2-bpe") { check_all("llama2-bpe"); }
TEST_CASE("llama2-bpe-legacy") { check_all("llama2-bpe-legacy"); }
TEST_CASE("unigram") { check_all("unigram"); }
