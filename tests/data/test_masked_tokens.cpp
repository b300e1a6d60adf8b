// SPDX-License-Identifier: Apache-2.0
// Masked-language samples: what is chosen and how often, pairs of sentences, and that nothing but seed and position matters.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "colossal/data/loader.h"
#include "colossal/data/masked_tokens.h"
#include "colossal/data/open_data.h"
#include "tests/support/error.h"
#include "tests/support/images.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::data;
using namespace colossal::testing;

namespace {

constexpr int64_t kWords = 1000, kStretch = 61;
constexpr MaskingTokens kSpecial = {.begin = 1001, .separator = 1002, .mask = 1003};

// Stretch i counts up from 7 i, modulo kWords: which stretch a token is of, and from where, can be told.
std::shared_ptr<const Dataset> stretches(int64_t count, int64_t length = kStretch) {
  const at::Tensor first = 7 * at::arange(count, at::kLong).unsqueeze(1);
  return std::make_shared<TensorDataset>(
      models::Inputs{{"input_ids", (first + at::arange(length, at::kLong)).remainder(kWords)}});
}

MaskingOptions masking_of(bool pairs, uint64_t seed = 4) {
  return {.tokens = kSpecial, .num_words = kWords, .next_sentence = pairs, .seed = seed};
}

std::vector<int64_t> range(int64_t begin, int64_t end) {
  std::vector<int64_t> all;
  for (int64_t i = begin; i < end; ++i) all.push_back(i);
  return all;
}

// The sample before anything was hidden.
at::Tensor revealed(const Batch& batch) {
  const at::Tensor &ids = batch.inputs.at("input_ids"), &labels = batch.inputs.at("labels");
  return at::where(labels == kIgnoredLabel, ids, labels);
}

bool near(double count, double expected_share, double of) {  // 4.5 standard deviations
  return std::abs(count - expected_share * of) < 4.5 * std::sqrt(of * expected_share * (1 - expected_share));
}

}  // namespace

TEST_CASE(
    "15 % of the tokens are chosen: 80 % of them hidden, 10 % replaced, 10 % kept; special tokens never") {
  for (const bool pairs : {false, true}) {
    CAPTURE(pairs);
    MaskingOptions chosen_by = masking_of(pairs);
    chosen_by.end_of_text = 5;
    const MaskedTokens dataset(stretches(200), chosen_by);
    const int64_t rows = 2000, special = pairs ? 3 : 2, width = kStretch + special;
    const Batch batch = dataset.fetch(std::vector<int64_t>(rows, 100), 0);  // 700, 701, ..
    const at::Tensor &ids = batch.inputs.at("input_ids"), &labels = batch.inputs.at("labels");
    REQUIRE(ids.sizes() == at::IntArrayRef({rows, width}));
    const at::Tensor chosen = labels.ne(kIgnoredLabel), text = revealed(batch);
    const auto count = [](const at::Tensor& which) {
      return static_cast<double>(which.sum().item<int64_t>());
    };
    const double words = static_cast<double>(rows * kStretch), n = count(chosen);
    CHECK(count(text >= kWords) == rows * special);  // none was chosen, none is missing
    CHECK(near(n, 0.15, words - count(text == 5)));
    CHECK(near(count(chosen.logical_and(ids == kSpecial.mask)), 0.8, n));
    const at::Tensor replaced = chosen.logical_and(ids != kSpecial.mask).logical_and(ids != labels);
    CHECK(near(count(replaced), 0.1 * (1 - 1.0 / kWords), n));
    CHECK(count(chosen.logical_and(ids == labels)) + count(replaced) +
              count(chosen.logical_and(ids == kSpecial.mask)) ==
          n);
    // Random words are uniform.
    const at::Tensor tenths =
        at::bincount(ids.masked_select(replaced).div(kWords / 10, "floor"), {}, 10).to(at::kDouble);
    const double each = count(replaced) / 10;
    REQUIRE(tenths.size(0) == 10);
    CHECK(((tenths - each).square() / each).sum().item<double>() < 27.9);  // 9 degrees of freedom, p = 0.001
    // No place is preferred.
    const at::Tensor places = chosen.to(at::kDouble).sum(0).narrow(0, 1, kStretch);
    if (!pairs)
      CHECK(((places - n / kStretch).square() / (0.15 * 0.85 * rows)).sum().item<double>() <
            100.0);  // 60 degrees, 0.001
  }
  MaskingOptions all = masking_of(false);
  all.probability = 1;
  all.end_of_text = 7;
  const at::Tensor labels = MaskedTokens(stretches(9), all).fetch(range(0, 1), 0).inputs.at("labels");
  CHECK(labels.ne(kIgnoredLabel).sum().item<int64_t>() == kStretch - 1);  // all but the end of a text
}

TEST_CASE("without pairs a sample is the stretch between its special tokens") {
  const MaskedTokens dataset(stretches(9), masking_of(false));
  CHECK(dataset.size() == 9);
  const Batch batch = dataset.fetch(range(2, 4), 0);
  CHECK(batch.inputs.size() == 2);
  const at::Tensor text = revealed(batch);
  CHECK((text.select(1, 0) == kSpecial.begin).all().item<bool>());
  CHECK((text.select(1, kStretch + 1) == kSpecial.separator).all().item<bool>());
  CHECK(at::equal(text.narrow(1, 1, kStretch), stretches(9)->fetch(range(2, 4), 0).inputs.at("input_ids")));
}

TEST_CASE("half of the second sentences follow the first; the others are of any other stretch") {
  const MaskedTokens dataset(stretches(20), masking_of(true));
  const int64_t rows = 4000;
  const Batch batch = dataset.fetch(std::vector<int64_t>(rows, 3), 50);
  CHECK(batch.inputs.size() == 4);
  const at::Tensor text = revealed(batch), &types = batch.inputs.at("token_type_ids");
  std::vector<int> of(20, 0), borders(kStretch, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t* t = text[row].const_data_ptr<int64_t>();
    const int64_t* const separator = std::find(t, t + kStretch + 3, kSpecial.separator);
    const int64_t border = separator - t - 1;
    REQUIRE(t[0] == kSpecial.begin);
    REQUIRE(t[kStretch + 2] == kSpecial.separator);
    REQUIRE(border >= 1);
    REQUIRE(border < kStretch);
    bool right = true;
    for (int64_t i = 0; i < border; ++i) right = right && t[1 + i] == 21 + i;
    const int64_t shift = separator[1] - border;  // 7 times the stretch that B is of
    for (int64_t i = border; i < kStretch; ++i) right = right && t[2 + i] == shift + i;
    CHECK(right);
    CHECK(types[row].sum().item<int64_t>() == kStretch - border + 1);
    CHECK(types[row].narrow(0, 0, border + 2).sum().item<int64_t>() == 0);
    ++of.at(static_cast<size_t>(shift / 7));
    ++borders.at(static_cast<size_t>(border));
    CHECK(batch.inputs.at("next_sentence_label")[row].item<int64_t>() == (shift == 21 ? 0 : 1));
  }
  CHECK(near(of[3], 0.5, rows));
  double chi2 = 0, spread = 0;
  for (int i = 0; i < 20; ++i)
    chi2 += i == 3 ? 0 : std::pow(of[i] - (rows - of[3]) / 19.0, 2) / ((rows - of[3]) / 19.0);
  CHECK(chi2 < 42.3);  // 18 degrees of freedom, p = 0.001
  for (int i = 1; i < kStretch; ++i) spread += std::pow(borders[i] - rows / 60.0, 2) / (rows / 60.0);
  CHECK(spread < 98.3);  // 59 degrees
}

TEST_CASE("a sample follows from seed and position alone") {
  const MaskedTokens dataset(stretches(50), masking_of(true));
  const Batch all = dataset.fetch(range(0, 50), 1000);
  for (const int64_t i : {0, 13, 49}) {
    const Batch one = dataset.fetch(range(i, i + 1), 1000 + i);
    for (const auto& [name, tensor] : one.inputs) CHECK(at::equal(tensor[0], all.inputs.at(name)[i]));
  }
  const Batch later = dataset.fetch(range(0, 50), 1050);  // the next epoch
  const Batch other = MaskedTokens(stretches(50), masking_of(true, 5)).fetch(range(0, 50), 1000);
  for (const Batch* batch : {&later, &other}) {
    int64_t same = 0;
    for (int64_t i = 0; i < 50; ++i)
      same += at::equal(batch->inputs.at("input_ids")[i], all.inputs.at("input_ids")[i]);
    CHECK(same == 0);
  }
}

TEST_CASE("every layout fills in the same masks, and a restart goes on with them") {
  const auto dataset = std::make_shared<MaskedTokens>(stretches(23), masking_of(true));
  const auto loader = [&](int64_t micro, int64_t rank, int64_t size) {
    return Loader(
        dataset,
        {.split = {.global_batch_size = 8, .microbatch_size = micro, .data_rank = rank, .data_size = size},
         .seed = 2});
  };
  Loader one = loader(8, 0, 1);
  std::vector<Batch> whole;
  for (int step = 0; step < 7; ++step) whole.push_back(one.next_step()[0]);
  for (const auto& [micro, size] : {std::pair{2, 1}, {2, 2}, {4, 2}, {1, 4}}) {
    for (int64_t rank = 0; rank < size; ++rank) {
      Loader part = loader(micro, rank, size);
      part.seek(16);
      for (int step = 2; step < 7; ++step) {
        for (const Batch& batch : part.next_step()) {
          for (const auto& [name, tensor] : batch.inputs)
            CHECK(at::equal(tensor, whole[step].inputs.at(name).narrow(0, batch.first_row, micro)));
        }
      }
    }
  }
}

TEST_CASE("one pass has the same masks each time; rows behind the end have no labels of either kind") {
  const auto dataset = std::make_shared<MaskedTokens>(stretches(5), masking_of(true));
  Loader loader(
      dataset,
      {.split = {.global_batch_size = 4, .microbatch_size = 4}, .shuffle = Shuffle::no, .pass = Pass::once});
  std::vector<std::vector<Batch>> passes;
  for (int pass = 0; pass < 2; ++pass) {
    auto& batches = passes.emplace_back();
    for (const Batch& batch : loader) batches.push_back(batch);
    loader.seek(0);
  }
  REQUIRE(passes[0].size() == 2);
  for (int i = 0; i < 2; ++i) {
    for (const auto& [name, tensor] : passes[0][i].inputs)
      CHECK(at::equal(tensor, passes[1][i].inputs.at(name)));
  }
  const models::Inputs& last = passes[0][1].inputs;
  CHECK((last.at("labels").narrow(0, 1, 3) == kIgnoredLabel).all().item<bool>());
  CHECK(at::equal(last.at("next_sentence_label").narrow(0, 1, 3), at::full({3}, kIgnoredLabel, at::kLong)));
  CHECK(last.at("next_sentence_label")[0].item<int64_t>() >= 0);
}

TEST_CASE("the tokenizer of bytes has three more tokens for masking, and is else the same") {
  const auto plain = Tokenizer::load("bytes"), masking = Tokenizer::load("bytes", Purpose::masking);
  CHECK(plain->vocab_size() == 257);
  CHECK(masking->vocab_size() == 260);
  CHECK(plain->fingerprint() == masking->fingerprint());  // they share token files
  CHECK(plain->encode("a[MASK]b") == masking->encode("a[MASK]b"));
  CHECK_FALSE(plain->token_to_id("[MASK]").has_value());
  const MaskingTokens tokens = masking_tokens(*masking, "bytes");
  CHECK(tokens.begin == 257);
  CHECK(tokens.separator == 258);
  CHECK(tokens.mask == 259);
  CHECK(masking->id_to_token(259).value() == "[MASK]");
  CHECK(masking->decode(std::vector<int32_t>{257, 'h', 259, 258, 256}, SpecialTokens::keep) ==
        "[CLS]h[MASK][SEP]<|endoftext|>");
  CHECK(masking->decode(std::vector<int32_t>{257, 'h', 259}) == "h");
  const ScratchFolder scratch;
  write_file(scratch / "tokenizer.json", bytes_tokenizer_json(Purpose::masking));
  const auto written = Tokenizer::load((scratch / "tokenizer.json").string());
  CHECK(written->vocab_size() == 260);
  CHECK(masking_tokens(*written, "written").mask == 259);
  CHECK(masking_tokens(*Tokenizer::load(COLOSSAL_ORACLES "/tokenizers/bert-wordpiece"), "bert").mask > 0);
  CHECK(error_of<ConfigError>([&] {
          masking_tokens(*Tokenizer::load(COLOSSAL_ORACLES "/tokenizers/gpt2-bytelevel"), "gpt2");
        }) ==
        "data.tokenizer = \"gpt2\" has no [CLS], [SEP] and [MASK] (nor <s>, </s> and <mask>), which a model "
        "that fills in masked tokens "
        "needs. Take the tokenizer.json of a BERT model, or \"bytes\".");
}

TEST_CASE("opened: text becomes masked samples of the asked length") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += static_cast<char>('a' + i % 26);
  write_file(folder / "a.txt", text);
  DataOptions options{.task = models::Task::masked_language,
                      .train = {(folder / "a.txt").string()},
                      .validation_fraction = 0.25,
                      .sequence_length = 23,
                      .tokenize = {.cache = folder / "cache"},
                      .next_sentence = true};
  const Datasets data = open_data(options);
  CHECK(data.sizes.vocab_size == 260);
  CHECK(data.train->size() == 15);  // 301 of 401 tokens in stretches of 20, and a label behind
  CHECK(data.validation->size() == 4);
  const Batch batch = data.train->fetch(range(0, 15), 0);
  CHECK(batch.inputs.at("input_ids").sizes() == at::IntArrayRef({15, 23}));
  CHECK(batch.inputs.at("input_ids").eq(257).sum().item<int64_t>() == 15);
  options.next_sentence = false;
  CHECK(open_data(options).train->fetch(range(0, 2), 0).inputs.size() == 2);
  options.train = {"synthetic"};
  CHECK(open_data(options).train->fetch(range(0, 2), 0).inputs.at("input_ids").size(1) == 23);
}

TEST_CASE("what cannot be masked is said") {
  CHECK(error_of<ConfigError>([] { MaskedTokens(stretches(1), masking_of(true)); }) ==
        "data.sequence_length = 64: the data makes 1 sequence with 61 tokens of text. Pairs of sentences "
        "need 2 or more of both: use more "
        "text, another data.sequence_length, or model.next_sentence = false.");
  CHECK(error_of<ConfigError>([] { MaskedTokens(stretches(5, 1), masking_of(true)); }) ==
        "data.sequence_length = 4: the data makes 5 sequences with 1 token of text. Pairs of sentences need "
        "2 or more of both: use more "
        "text, another data.sequence_length, or model.next_sentence = false.");
  const ScratchFolder folder;
  write_file(folder / "a.txt", "abc");
  CHECK(error_of<ConfigError>([&] {
          open_data({.task = models::Task::masked_language,
                     .train = {(folder / "a.txt").string()},
                     .sequence_length = 10,
                     .tokenize = {.cache = folder / "cache"}});
        }) ==
        "data.sequence_length = 10: the data holds 4 tokens, fewer than the 9 of one sequence and its last "
        "label. Use more text or a "
        "sequence length of at most 5.");
  const Batch batch = MaskedTokens(stretches(5), masking_of(true)).fetch(range(0, 1), 0);
  CHECK(error_of<ShapeError>([&] { batch.label(); }) ==
        "Batch::label(): the batch has 2 labels (labels, next_sentence_label). Take them by name: "
        "batch.inputs.at(..).");
  CHECK(error_of<ShapeError>([&] { batch.input(); }) ==
        "Batch::input(): the batch has 2 inputs (input_ids, token_type_ids). Take them by name: "
        "batch.inputs.at(..).");
}
