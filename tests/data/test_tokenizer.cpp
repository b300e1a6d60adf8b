// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "colossal/base/error.h"
#include "colossal/data/tokenize_command.h"
#include "colossal/data/tokenizer.h"
#include "colossal/data/tokenizers/pre_tokenizer.h"
#include "colossal/data/tokenizers/regex.h"
#include "colossal/data/tokenizers/unicode.h"
#include "colossal/data/tokenizers/utf8.h"
#include "tests/data/files.h"

using namespace colossal;
using namespace colossal::data;

namespace {

std::string oracle(const std::string& kind) {
  return fmt::format("{}/tokenizers/{}", COLOSSAL_ORACLES, kind);
}

// The error of a tokenizer.json, with its folder taken away.
std::string tokenizer_error(const std::string& content) {
  const colossal::testing::ScratchFolder folder;
  const auto file = folder.path() / "t.json";
  std::ofstream(file) << content;
  return colossal::testing::error_in(folder, [&] { Tokenizer::load(file.string()); });
}

std::vector<std::string> pieces(const std::string& json, const std::string& text) {
  const auto parsed = nlohmann::json::parse(json);
  std::vector<std::string> out;
  read_pre_tokenizer(JsonNode("t.json", parsed)).split({text, true}, [&](Piece piece) {
    out.emplace_back(piece.text);
  });
  return out;
}

}  // namespace

TEST_CASE("the bytes tokenizer takes anything and needs no file") {
  const auto tokenizer = Tokenizer::load("bytes");
  CHECK(tokenizer->vocab_size() == 257);
  CHECK(tokenizer->end_of_text() == 256);
  CHECK(tokenizer->encode("a\xff") == std::vector<int32_t>{97, 255});
  const std::vector<int32_t> ids = {104, 105, 256, 0xc3, 0xa9, 0xc3};
  CHECK(tokenizer->decode(ids) == "hié\ufffd");
  CHECK(tokenizer->decode(ids, SpecialTokens::keep) == "hi<|endoftext|>é\ufffd");
  CHECK(tokenizer->decode(std::vector<int64_t>{104, 1'000'000'000'000, 105}) == "hi");
}

TEST_CASE("vocabulary, special tokens and fingerprints") {
  const auto gpt2 = Tokenizer::load(oracle("gpt2-bytelevel"));
  CHECK(gpt2->vocab_size() == 2000);
  CHECK(gpt2->end_of_text() == 0);
  CHECK(gpt2->id_to_token(0) == "<|endoftext|>");
  CHECK(gpt2->token_to_id("Ġ").has_value());
  CHECK_FALSE(gpt2->token_to_id("no such token").has_value());
  CHECK_FALSE(gpt2->id_to_token(2000).has_value());
  const auto llama3 = Tokenizer::load(oracle("llama3-bytelevel"));
  CHECK(llama3->vocab_size() == 2005);
  CHECK(llama3->end_of_text() == 2001);
  CHECK(Tokenizer::load(oracle("bert-wordpiece"))->end_of_text() == 3);
  CHECK(gpt2->fingerprint() != llama3->fingerprint());
  CHECK(gpt2->fingerprint() == Tokenizer::load(oracle("gpt2-bytelevel"))->fingerprint());
  CHECK(gpt2->decode(std::vector<int32_t>{-5, 99999}) == "");
}

TEST_CASE("the end of text comes from tokenizer_config.json when there is one") {
  const colossal::testing::ScratchFolder folder;
  std::filesystem::copy_file(oracle("llama3-bytelevel") + "/tokenizer.json",
                             folder.path() / "tokenizer.json");
  std::ofstream(folder.path() / "tokenizer_config.json") << R"({"eos_token": {"content": "<|eot_id|>"}})";
  CHECK(Tokenizer::load(folder.path().string())->end_of_text() == 2004);
}

TEST_CASE("many threads encode at the same time") {
  const auto tokenizer = Tokenizer::load(oracle("gpt2-bytelevel"));
  const std::string text = "It was the best of times, it was the worst of times.";
  const auto expected = tokenizer->encode(text);
  std::atomic<int> equal = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) equal += tokenizer->encode(text) == expected ? 1 : 0;
      });
    }
  }
  CHECK(equal == 800);
}

TEST_CASE("long pieces give the same ids as the words that they are made of") {
  // Here all of a text is one piece: merged by the heap, its words alone by the scan.
  const auto tokenizer = Tokenizer::load(oracle("llama2-bpe"));
  std::string text;
  std::vector<int32_t> parts;
  for (int i = 0; i < 300; ++i) {
    const std::string word = i % 7 == 0 ? "unto" : "the";
    text += (i == 0 ? "" : " ") + word;
    const auto ids = tokenizer->encode(word);
    CHECK(ids.size() < 4);
    parts.insert(parts.end(), ids.begin(), ids.end());
  }
  CHECK(tokenizer->encode(text) == parts);
  CHECK(tokenizer->decode(parts) == text);
  const std::string same(5000, 'a');
  CHECK(tokenizer->decode(tokenizer->encode(same)) == same);
}

TEST_CASE("text that is not UTF-8 is refused with its place") {
  const auto tokenizer = Tokenizer::load(oracle("gpt2-bytelevel"));
  CHECK(colossal::testing::error_of([&] { tokenizer->encode("abc\xe9 def"); }) ==
        "tokenizer: byte 3 of the text (0xE9) is not valid UTF-8.");
  for (const char* bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    CHECK(find_invalid_utf8(bad) == 0);
  }
  CHECK(repair_utf8("a\xf0\x9f\x98z\xff\xe2\x82") == "a\ufffdz\ufffd\ufffd");
}

TEST_CASE("behaviours of Split") {
  const auto split = [](const std::string& behavior, const std::string& invert = "false") {
    return pieces(R"({"type":"Split","pattern":{"String":"-"},"behavior":")" + behavior + R"(","invert":)" +
                      invert + "}",
                  "a--b-c");
  };
  using Strings = std::vector<std::string>;
  CHECK(split("Isolated") == Strings{"a", "-", "-", "b", "-", "c"});
  CHECK(split("Removed") == Strings{"a", "b", "c"});
  CHECK(split("Removed", "true") == Strings{"-", "-", "-"});
  CHECK(split("MergedWithPrevious") == Strings{"a-", "-", "b-", "c"});
  CHECK(split("MergedWithNext") == Strings{"a", "-", "-b", "-c"});
  CHECK(split("Contiguous") == Strings{"a", "--", "b", "-", "c"});
  CHECK(pieces(R"({"type":"Whitespace"})", "Hi, you_2!\n") == Strings{"Hi", ",", "you_2", "!"});
  CHECK(pieces(R"({"type":"Digits","individual_digits":true})", "a12b") == Strings{"a", "1", "2", "b"});
  CHECK(pieces(R"({"type":"Digits","individual_digits":false})", "a12b") == Strings{"a", "12", "b"});
  CHECK(pieces(R"({"type":"CharDelimiterSplit","delimiter":"|"})", "a|b") == Strings{"a", "b"});
}

TEST_CASE("patterns follow Unicode 16 and Oniguruma where PCRE2 does not") {
  const auto matches = [](const std::string& pattern, std::string_view text) {
    std::vector<std::string> found;
    Regex(pattern).for_each_match(
        text, [&](size_t begin, size_t end) { found.emplace_back(text.substr(begin, end - begin)); });
    return found;
  };
  using Strings = std::vector<std::string>;
  CHECK(matches("\\p{L}+", "a\U00010D50\U0001E900z") ==
        Strings{"a\U00010D50\U0001E900z"});                                     // U+10D50: Unicode 16
  CHECK(matches("[^\\s\\p{L}]+", "a\U00010D50\u180e1") == Strings{"\u180e1"});  // U+180E is no space
  CHECK(matches("\\S+", "a\u3000b") == Strings{"a", "b"});
  CHECK(matches("\\h+", "x1F") == Strings{"1F"});
  CHECK(matches("x*", "axx") == Strings{"xx"});
  const std::string spaces(100'000, ' ');  // more than the JIT's stack takes would go on in the interpreter
  CHECK(matches("\\s+(?!\\S)|\\s+", spaces + "a").size() == 2);
  CHECK(colossal::testing::error_of([] { Regex("[a[bc]]"); }) ==
        "nested character classes and \"&&\" are not supported (offset 2)");
}

TEST_CASE("normalization keeps the Unicode version of the format") {
  CHECK(normalize("ﬁ e\u0301 Ⅷ", NormalForm::nfkc) == "fi é VIII");
  CHECK(normalize("\u32ff", NormalForm::nfkc) == "\u32ff");  // Unicode 12.1
  CHECK(normalize("é", NormalForm::nfd) == "e\u0301");
  CHECK_FALSE(is_bert_punctuation(0x2e52));  // Unicode 14
  CHECK(is_bert_punctuation('$'));
  std::string lower;
  append_lowercase(lower, 0x130);
  CHECK(lower == "i\u0307");
}

TEST_CASE("damaged and unsupported files name the place") {
  CHECK(tokenizer_error("{\"model\": ") == "t.json: is not valid JSON: damaged near byte 11 of 10.");
  CHECK(tokenizer_error("[]") == "t.json: expected an object, found [].");
  CHECK(tokenizer_error("{}") == "t.json: the key \"model\" is missing.");
  CHECK(tokenizer_error(R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})") ==
        "t.json: model.type: model \"WordLevel\" is not supported. Supported: BPE, WordPiece, Unigram.");
  CHECK(tokenizer_error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}})") ==
        "t.json: model.merges[0]: the token \"b\" is not in model.vocab.");
  CHECK(tokenizer_error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [7]}})") ==
        "t.json: model.merges[0]: expected two tokens, [\"a\", \"b\"] or \"a b\", found 7.");
  CHECK(tokenizer_error(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})") ==
        "t.json: model.vocab.b: id 0 is taken by the token \"a\" already. Ids must be unique.");
  CHECK(tokenizer_error(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})") ==
        "t.json: model.vocab.a: expected a token id, found -1.");
  CHECK(tokenizer_error(R"({"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}})") ==
        "t.json: model.dropout: random merges are not supported: the same text must give the same ids. Set "
        "it to null.");
  CHECK(tokenizer_error(R"({"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]}})") ==
        "t.json: model.unk_id: 5 is not an id. Allowed: 0 to 0.");
  CHECK(tokenizer_error(
            R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFX"}]}, "model": {}})") ==
        "t.json: normalizer.normalizers[0].type: normalizer \"NFX\" is not supported. Supported: Sequence, "
        "NFC, NFD, NFKC, "
        "NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, BertNormalizer, Nmt.");
  CHECK(
      tokenizer_error(
          R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}, "model": {}})") ==
      "t.json: pre_tokenizer.pattern.Regex: cannot use this pattern: missing closing parenthesis near "
      "\"(a\".");
  CHECK(colossal::testing::error_of([] { Tokenizer::load("/nowhere/tokenizer.json"); }) ==
        "tokenizer /nowhere/tokenizer.json: no such file. Allowed: \"bytes\", a tokenizer.json, or a folder "
        "that holds one.");
}

TEST_CASE("every truncation of a tokenizer.json is an error, never a crash") {
  const colossal::testing::ScratchFolder folder;
  std::ifstream in(oracle("bert-wordpiece") + "/tokenizer.json");
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  for (size_t size = 0; size < whole.size(); size += whole.size() / 40)
    CHECK(tokenizer_error(whole.substr(0, size)) != "no error");
}

TEST_CASE("colossal tokenize --jsonl") {
  std::istringstream in("{\"text\": \"hi\"}\n\n{\"text\": \"\\u00e9\", \"id\": 3}\n");
  std::ostringstream out;
  tokenize_lines(*Tokenizer::load("bytes"), "text", in, out);
  CHECK(out.str() == "{\"ids\":[104,105],\"decoded\":\"hi\"}\n{\"ids\":[195,169],\"decoded\":\"é\"}\n");
  std::istringstream wrong("{\"text\": \"hi\"}\n{\"txt\": \"hi\"}\n");
  CHECK(colossal::testing::error_of([&] { tokenize_lines(*Tokenizer::load("bytes"), "text", wrong, out); }) ==
        "stdin:2: expected an object with a string \"text\", for example {\"text\": \"Hello\"}.");
}
