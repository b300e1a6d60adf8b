// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/text.h"

using namespace colossal;

TEST_CASE("nearest_spelling proposes near spellings only") {
  const std::vector<std::string> keys = {"model.num_layers", "model.num_heads", "train.steps"};
  CHECK(nearest_spelling("modle.num_layers", keys) == "model.num_layers");
  CHECK(nearest_spelling("model.num_head", keys) == "model.num_heads");
  CHECK_FALSE(nearest_spelling("checkpoint", keys).has_value());
  CHECK(allowed_instead("train.stesp", std::span(keys).last(1)) ==
        "Allowed: train.steps. Did you mean \"train.steps\"?");
  CHECK(allowed_instead("checkpoint", std::span(keys).last(1)) == "Allowed: train.steps.");
}

TEST_CASE("human units") {
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(12) == "12 B");
  CHECK(human_count(124'439'808) == "124.4M");
  CHECK(human_seconds(3723) == "1h 02m 03s");
  CHECK(human_seconds(0.31) == "310 ms");
}

TEST_CASE("split and trim") {
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(trim("  x y \n") == "x y");
  CHECK(edit_distance("abcd", "abdc") == 1);
}
