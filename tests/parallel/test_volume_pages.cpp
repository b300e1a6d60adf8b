// SPDX-License-Identifier: Apache-2.0
// The numbers in docs/tensor, printed by the formulas that test_tensor_volume.cpp compares with what ranks send.
#include <cstdlib>

#include "colossal/base/file.h"
#include "tests/parallel/volume.h"

using namespace colossal;
using namespace colossal::testing;
using nn::Role;

namespace {

constexpr std::string_view kBegin = "<!-- printed by tests/parallel/test_volume_pages.cpp -->\n",
                           kEnd = "<!-- end -->\n";

struct Page {
  const char* name = nullptr;
  TensorParallel how = {};
  const char* sides = nullptr;
};
const Page kPages[] = {{"1d", {TensorMode::one_d, 64}, "p = 64"},
                       {"1d-sequence", {TensorMode::one_d_sequence, 64}, "p = 64"},
                       {"2d", {TensorMode::two_d, 64}, "q = 8"},
                       {"2.5d", {TensorMode::two_and_half_d, 64, 4}, "q = 4, d = 4"},
                       {"3d", {TensorMode::three_d, 64}, "q = 4"}};

// 64 ranks, in elements.
Volume example(const TensorParallel& how, int64_t rows) {
  Volume z(Setup{how});
  z.unit = 1;
  z.b = rows;
  z.s = 512;
  z.h = 8192;
  z.f = 4 * z.h;
  z.v = 51200;
  return z;
}

Sent mlp(const Volume& z, int64_t projections) {
  return z.linear(Role::expand, z.h, projections * z.f) + z.linear(Role::contract, z.f, z.h) +
         z.weight(projections * z.h * z.f) + z.weight(z.f * z.h);
}

std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t i = static_cast<int64_t>(text.size()) - 3; i > 0; i -= 3) text.insert(i, ",");
  return text;
}

std::string millions(int64_t elements) {
  return elements == 0            ? "0"
         : elements >= 99'500'000 ? grouped((elements + 500'000) / 1'000'000)
                                  : fmt::format("{:.3g}", static_cast<double>(elements) / 1e6);
}

std::string layer_table(const Page& page) {
  const Volume z = example(page.how, 64);
  const int64_t few = 2 * 8 * 128;  // keys and values of 8 heads
  const bool whole = 8 % z.q == 0;
  const Sent attention = z.attention(z.h, 2 * z.h, true), grouped_heads = z.attention(z.h, few, whole);
  const Sent gpt_biases = z.vector(Role::expand, 3 * z.h + z.f) + z.vector(Role::contract, 2 * z.h);
  const std::pair<std::string, Sent> rows[] = {
      {"linear h → 4h", z.linear(Role::expand, z.h, z.f) + z.weight(z.h * z.f) + z.vector(Role::expand, z.f)},
      {"linear 4h → h",
       z.linear(Role::contract, z.f, z.h) + z.weight(z.h * z.f) + z.vector(Role::contract, z.h)},
      {"attention of 64 heads", attention},
      {"attention, keys and values of 8 heads", grouped_heads},
      {"layer norm", z.norm(2)},
      {"embedding", z.embedding()},
      {"head with loss", z.head_loss()},
      {"**a GPT layer**", attention + mlp(z, 1) + gpt_biases + z.norm(2) + z.norm(2)},
      {"**a Llama layer**, 8 heads of keys and values", grouped_heads + mlp(z, 2) + z.norm(1) + z.norm(1)}};
  std::string text = fmt::format(
      "In numbers: millions of elements that one of 64 ranks ({}) sends for a micro-batch of 64 rows of 512 "
      "tokens; h = 8192, "
      "an MLP of 4h, V = 51,200.\n\n| | forward | backward | once per step |\n|---|---|---|---|\n",
      page.sides);
  for (const auto& [name, sent] : rows) {
    text += fmt::format("| {} | {} | {} | {} |\n", name, millions(sent.forward), millions(sent.backward),
                        millions(sent.synchronised));
  }
  return text;
}

std::string comparison() {
  std::string text =
      "| micro-batch | `1d` | `1d-sequence` | `2d` | `2.5d` | `3d` |\n|---|---|---|---|---|---|\n";
  for (const int64_t rows : {8, 64, 384}) {
    text += fmt::format("| {} |", rows);
    for (const Page& page : kPages) {
      const Volume z = example(page.how, rows);
      const Sent sent = z.attention(z.h, 2 * z.h, true) + mlp(z, 1);
      text += fmt::format(" {} |", millions(sent.forward + sent.backward + sent.synchronised));
    }
    text += "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("docs/tensor has the numbers that the formulas give") {
  const bool update = std::getenv("COLOSSAL_UPDATE_DOCS") != nullptr;
  INFO("renew them: make docs");
  const auto check_page = [&](const std::string& name, const std::string& numbers) {
    CAPTURE(name);
    const std::filesystem::path path = std::string(COLOSSAL_SOURCE_DIR "/docs/tensor/") + name + ".md";
    std::string text = read_file(path);
    const size_t begin = text.find(kBegin), end = text.find(kEnd);
    REQUIRE(begin != text.npos);
    REQUIRE(end != text.npos);
    text.replace(begin + kBegin.size(), end - begin - kBegin.size(), numbers);
    if (update) write_file_durably(path, text);
    CHECK(read_file(path) == text);
  };
  for (const Page& page : kPages) check_page(page.name, layer_table(page));
  check_page("README", comparison());
}
