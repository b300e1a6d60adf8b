// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/data/open_data.h"
#include "colossal/data/text_source.h"
#include "colossal/data/tokenize_command.h"
#include "tests/data/files.h"

using namespace colossal;
using namespace colossal::data;
using colossal::testing::all_tokens;
using colossal::testing::error_in;
using colossal::testing::ScratchFolder;
using colossal::testing::write_file;

namespace {

std::string gzip(const std::string& text) {
  std::string packed(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string zstd(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

std::vector<std::string> documents(const std::filesystem::path& file) {
  std::vector<std::string> out(1);
  for_each_text(file, "text", RequireUtf8::yes, [&](const TextPart& part) {
    out.back() += part.text;
    if (part.ends_document) out.emplace_back();
  });
  out.pop_back();
  return out;
}

const std::string kLines =
    "{\"text\": \"one\"}\n{\"text\": \"two\\n\"}\n\n{\"id\": 3, \"text\": \"thr\\u00e9e\"}";

}  // namespace

TEST_CASE("every text format gives the same documents, packed or not") {
  const ScratchFolder folder;
  const std::vector<std::string> expected = {"one", "two\n", "thrée"};
  write_file(folder / "a.jsonl", kLines);
  write_file(folder / "b.jsonl.gz", gzip(kLines));
  write_file(folder / "c.jsonl.zst", zstd(kLines.substr(0, 20)) + zstd(kLines.substr(20)));  // two frames
  write_file(folder / "d.txt.gz", gzip(kLines));
  for (const char* name : {"a.jsonl", "b.jsonl.gz", "c.jsonl.zst"})
    CHECK(documents(folder / name) == expected);
  CHECK(documents(folder / "d.txt.gz") == std::vector<std::string>{kLines});
}

TEST_CASE("a long text comes in parts that are the text") {
  const ScratchFolder folder;
  std::string text;
  for (int64_t i = 0; text.size() < (size_t{70} << 20); ++i)
    text += fmt::format("line {}\n\n  indented {}\n", i, i * i);
  write_file(folder / "long.txt", text);
  std::string joined;
  std::vector<bool> ends;
  for_each_text(folder / "long.txt", "text", RequireUtf8::yes, [&](const TextPart& part) {
    if (!joined.empty()) CHECK(part.text.substr(0, 4) == "line");
    joined += part.text;
    ends.push_back(part.ends_document);
  });
  CHECK((joined == text));
  CHECK(ends == std::vector<bool>{false, true});
}

TEST_CASE("wrong text files name file and line") {
  const ScratchFolder folder;
  const auto error = [&](const std::string& name, const std::string& content) {
    write_file(folder / name, content);
    return error_in(folder, [&] { documents(folder / name); });
  };
  CHECK(error("a.txt", "fine\nfine\ncaf\xe9\n") ==
        "a.txt:3: byte 0xE9 is not valid UTF-8. Convert the file (for example `iconv -f latin1 -t utf-8`), "
        "or train with "
        "data.tokenizer = \"bytes\", which takes anything.");
  CHECK(error("b.txt", "") == "b.txt: is empty.");
  CHECK(error("b.jsonl", "") == "b.jsonl: is empty.");
  CHECK(error("b.jsonl", "\n\n") == "b.jsonl: is empty.");
  CHECK(error("c.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\", \"id\": 1}\n") ==
        "c.jsonl:2: has no key \"text\". Keys of this line: body, id. Set data.text_key to the one that "
        "holds the text.");
  CHECK(error("d.jsonl", "{\"text\": \"a\"}\n{\"text\": \n") == "d.jsonl:2: is not valid JSON.");
  CHECK(error("e.jsonl", "[1]\n") ==
        "e.jsonl:1: has no key \"text\". Keys of this line: none. Set data.text_key to the one that holds "
        "the text.");
  CHECK(error("f.jsonl", "{\"text\": 5}") == "f.jsonl:1: \"text\" is not a string.");
  CHECK(error("g.txt.gz", gzip(std::string(10'000, 'x')).substr(0, 30)) ==
        "g.txt.gz: damaged or truncated gzip file (ends early).");
  CHECK(error("h.txt.gz", "plain text") == "h.txt.gz: is not a gzip file.");
  CHECK(error("i.txt.zst", zstd(kLines).substr(0, 30)) ==
        "i.txt.zst: damaged or truncated zstd file (ends early).");
  CHECK(error("j.txt.zst", "plain text") ==
        "j.txt.zst: damaged or truncated zstd file (Unknown frame descriptor).");
  const std::vector<std::string> missing = {(folder / "none*.txt").string()};
  CHECK(error_in(folder, [&] { expand_sources(missing); }) ==
        fmt::format("none*.txt: no such file, folder or pattern. Relative paths start at {}.",
                    std::filesystem::current_path().string()));
}

TEST_CASE("sources: files, folders, patterns, token files") {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "sub/deep");
  for (const char* name :
       {"sub/b.txt", "sub/a.jsonl.zst", "sub/deep/c.md", "sub/skip.png", "x1.txt", "x2.txt"})
    write_file(folder / name, "x");
  const auto names = [&](const std::vector<std::string>& sources) {
    std::vector<std::string> out;
    for (const auto& file : expand_sources(sources))
      out.push_back(std::filesystem::relative(file, folder.path()).string());
    return out;
  };
  CHECK(names({(folder / "x?.txt").string(), (folder / "sub").string()}) ==
        std::vector<std::string>{"x1.txt", "x2.txt", "sub/a.jsonl.zst", "sub/b.txt", "sub/deep/c.md"});
  TokenFileWriter writer(folder / "tokens", 100);
  writer.add(std::vector<int32_t>{1});
  writer.finish();
  for (const char* name : {"tokens", "tokens.bin", "tokens.idx"}) {
    CHECK(names({(folder / name).string()}) == std::vector<std::string>{"tokens.idx"});
  }
}

TEST_CASE("tokenising is cached, keyed by what it was made from, and leaves nothing half-done") {
  const ScratchFolder folder;
  write_file(folder / "a.jsonl", kLines);
  write_file(folder / "b.txt", "b");
  const auto tokenizer = Tokenizer::load("bytes");
  std::vector<std::string> built;
  TokenizeOptions options{.cache = folder / "cache", .threads = 3};
  options.on_file = [&](const TokenizeProgress& progress) {
    built.push_back((progress.replaces_damaged ? "damaged " : "") + progress.file.filename().string());
  };
  const std::vector<std::string> sources = {(folder / "a.jsonl").string(), (folder / "b.txt").string()};
  const auto prefixes = tokenize_cached(sources, *tokenizer, options).prefixes;
  CHECK(built == std::vector<std::string>{"a.jsonl", "b.txt"});
  CHECK(all_tokens(TokenStream(prefixes)) == std::vector<int64_t>{'o', 'n', 'e', 256, 't', 'w', 'o', '\n',
                                                                  256, 't', 'h', 'r', 0xc3, 0xa9, 'e', 256,
                                                                  'b', 256});
  CHECK(TokenStream(prefixes).num_documents() == 4);
  CHECK(TokenStream(prefixes).fingerprint().starts_with("18 tokens "));
  const CachedTokens again = tokenize_cached(sources, *tokenizer, options);
  CHECK(again.prefixes == prefixes);
  CHECK(again.built.empty());
  CHECK(built.size() == 2);
  for (const char* ending : {".idx", ".bin"}) {
    std::filesystem::resize_file(prefixes[1].string() + ending, 1);
    CHECK(tokenize_cached(sources, *tokenizer, options).prefixes == prefixes);
    CHECK(all_tokens(TokenStream(std::vector{prefixes[1]})) == std::vector<int64_t>{'b', 256});
  }
  CHECK(built == std::vector<std::string>{"a.jsonl", "b.txt", "damaged b.txt", "damaged b.txt"});
  built.resize(2);
  write_file(folder / "b.txt", "bb");
  CHECK(tokenize_cached(sources, *tokenizer, options).prefixes[1] != prefixes[1]);
  CHECK(built == std::vector<std::string>{"a.jsonl", "b.txt", "b.txt"});
  const auto gpt2 = Tokenizer::load(std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel");
  CHECK(cached_prefix(folder / "a.jsonl", *gpt2, options) != prefixes[0]);
  write_file(folder / "b.txt", "caf\xe9");
  CHECK_THROWS_AS(tokenize_cached(sources, *gpt2, options), IoError);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "cache")) {
    CHECK(entry.path().string().find(".tmp.") == std::string::npos);
  }
  CHECK_NOTHROW(tokenize_cached(sources, *tokenizer, options));  // bytes: anything goes
}

TEST_CASE("a full disk is told with the key of the cache, what is needed and what is free") {
  const ScratchFolder folder;
  write_file(folder / "a.txt", "abc");
  const auto tokenizer = Tokenizer::load("bytes");
  const TokenizeOptions options{.cache = folder / "cache"};
  const std::string prefix = cached_prefix(folder / "a.txt", *tokenizer, options);
  const std::string file = std::filesystem::path(prefix).filename().string() + ".bin";
  const auto to_full_disk = [&] {  // where the writer writes aside
    std::filesystem::create_directories(options.cache);
    std::filesystem::create_symlink("/dev/full", fmt::format("{}.tmp.{}", prefix, getpid()));
  };
  const auto check_told = [](const std::string& told, const std::string& begin, const std::string& end) {
    CAPTURE(told);
    REQUIRE(told.starts_with(begin));
    REQUIRE(told.ends_with(end));
    const std::string room = told.substr(begin.size(), told.size() - begin.size() - end.size());
    CHECK(room.find_first_not_of("0123456789. KMGTPiB") == std::string::npos);
  };
  to_full_disk();
  const std::vector<std::string> sources = {(folder / "a.txt").string()};
  const std::string cached = colossal::testing::error_of<ConfigError>(
      [&] { tokenize_cached(sources, *tokenizer, options); }, ExitCode::config);
  check_told(
      cached,
      fmt::format("data.cache = \"{}\": the disk is full: {} takes at least 8 B, ", options.cache.string(),
                  file),
      " are free. Free space, or set data.cache (by default in run.output) to a folder on another disk.");
  to_full_disk();
  const std::string own = colossal::testing::error_of<IoError>(
      [&] { tokenize_file(sources[0], prefix, *tokenizer, options); }, ExitCode::data);
  check_told(own, prefix + ".bin: the disk is full: it takes at least 8 B, ",
             " are free. Free space, or name another folder.");
}

TEST_CASE("the ids do not depend on the number of threads") {
  const ScratchFolder folder;
  std::string lines;
  for (int i = 0; i < 500; ++i)
    lines += nlohmann::json{{"text", std::string(i % 90, 'a') + fmt::format(" the {}", i)}}.dump() + "\n";
  write_file(folder / "a.jsonl", lines);
  const auto tokenizer = Tokenizer::load(std::string(COLOSSAL_ORACLES) + "/tokenizers/llama2-bpe");
  tokenize_file(folder / "a.jsonl", folder / "one", *tokenizer, {.threads = 1});
  tokenize_file(folder / "a.jsonl", folder / "four", *tokenizer, {.threads = 4});
  CHECK((read_file(folder / "one.bin") == read_file(folder / "four.bin")));
  CHECK((read_file(folder / "one.idx") == read_file(folder / "four.idx")));
}

TEST_CASE("sequences are packed from the stream, every token a label once, validation kept apart") {
  const ScratchFolder folder;
  write_file(folder / "a.txt", "abcdefghij");
  write_file(folder / "b.txt", "klmnopqrst");
  DataOptions options{.train = {(folder / "a.txt").string(), (folder / "b.txt").string()},
                      .validation_fraction = 0.25,
                      .sequence_length = 4,
                      .tokenize = {.cache = folder / "cache"}};
  const Datasets data = open_data(options);
  CHECK(data.train->size() == 3);  // 22 tokens: 16 or 17 for training
  CHECK(data.validation->size() == 1);
  const std::vector<int64_t> samples = {2, 0};
  const Batch batch = data.train->fetch(samples, 0);
  const at::Tensor input =
      at::tensor(std::vector<int64_t>{'i', 'j', 256, 'k', 'a', 'b', 'c', 'd'}).view({2, 4});
  const at::Tensor label =
      at::tensor(std::vector<int64_t>{'j', 256, 'k', 'l', 'b', 'c', 'd', 'e'}).view({2, 4});
  CHECK(at::equal(batch.input(), input));
  CHECK(at::equal(batch.label(), label));
  const std::vector<int64_t> first = {0};
  CHECK(data.validation->fetch(first, 0).input()[0][0].item<int64_t>() == 'p');
  options.validation = {(folder / "a.txt").string()};
  CHECK(open_data(options).validation->size() == 2);
  CHECK(open_data(options).train->size() == 5);
  CHECK(open_data({.train = {"synthetic"}, .sizes = {.vocab_size = 10}, .sequence_length = 8})
            .train->fetch(first, 0)
            .input()
            .size(1) == 8);
}

TEST_CASE("wrong requests for data") {
  const ScratchFolder folder;
  write_file(folder / "a.txt", "abc");
  DataOptions options{
      .train = {(folder / "a.txt").string()}, .sequence_length = 4, .tokenize = {.cache = folder / "cache"}};
  CHECK(error_in(folder, [&] { open_data(options); }) ==
        "data.sequence_length = 4: the data holds 4 tokens, fewer than the 5 of one sequence and its last "
        "label. Use more text or "
        "a sequence length of at most 3.");
  options.sizes.vocab_size = 100;
  CHECK(error_in(folder, [&] { open_data(options); }) ==
        "model.vocab_size = 100 is smaller than the 257 ids of data.tokenizer = \"bytes\". Allowed: 257 or "
        "more.");
  options.sizes.vocab_size = 0;
  options.sequence_length = 1;
  options.validation_fraction = 1;
  CHECK(error_in(folder, [&] { open_data(options); }) ==
        "held-out fraction 1 of the data. Allowed: 0 to below 1, for example 0.01.");
  write_file(folder / "b.txt", std::string(999, 'x'));
  options = {
      .train = {(folder / "b.txt").string()}, .sequence_length = 16, .tokenize = {.cache = folder / "cache"}};
  options.validation_fraction = 0.01;
  CHECK(error_in(folder, [&] { open_data(options); }) ==
        "data.validation_fraction = 0.01: holds out 10 of 1000 tokens, fewer than the 17 of one sequence and "
        "its last "
        "label. Allowed for this text: at least 0.017.");
  options.validation_fraction = 0.017;
  CHECK(open_data(options).validation->size() == 1);
  options.validation_fraction = 0;
  options.train = {(folder / "bad.jsonl").string()};
  options.tokenize.cache = folder / "new" / "cache";
  write_file(folder / "bad.jsonl", "{");
  CHECK(error_in(folder, [&] { open_data(options); }) == "data.train: bad.jsonl:1: is not valid JSON.");
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
  options.validation = options.train;
  options.train = {(folder / "b.txt").string()};
  CHECK(error_in(folder, [&] { open_data(options); }) == "data.validation: bad.jsonl:1: is not valid JSON.");
  TokenFileWriter writer(folder / "foreign", 1000);
  writer.add(std::vector<int32_t>{1, 300, 2});
  writer.finish();
  const auto stream = std::make_shared<TokenStream>(std::vector<std::filesystem::path>{folder / "foreign"});
  const std::vector<int64_t> both = {0, 1};
  CHECK(error_in(folder,
                 [&] { TokenDataset(stream, 0, 3, {.length = 1, .vocab_size = 257}).fetch(both, 0); }) ==
        "foreign.bin, token 1: id 300 is not below model.vocab_size = 257. The file was made with another "
        "tokenizer, or the model "
        "needs a larger vocabulary.");
}

TEST_CASE("text that is too short leaves no trace, and takes nothing away that others have built") {
  const ScratchFolder folder;
  write_file(folder / "short.txt", "abc");
  write_file(folder / "long.txt", std::string(999, 'x'));
  const std::vector<std::string> too_short = {(folder / "short.txt").string()},
                                 enough = {(folder / "long.txt").string()};
  DataOptions options{
      .train = too_short, .sequence_length = 4, .tokenize = {.cache = folder / "run" / "tokens"}};
  const auto refused = [&] {
    CHECK_THROWS_AS(open_data(options), ConfigError);
    return !std::filesystem::exists(folder / "run");
  };
  CHECK(refused());
  options.train = enough;
  options.validation_fraction = 0.001;
  CHECK(refused());
  const auto tokenizer = Tokenizer::load("bytes");
  const auto is_cached = [&](const char* name) {
    const std::string prefix = cached_prefix(folder / name, *tokenizer, options.tokenize);
    const bool tokens = std::filesystem::exists(prefix + ".bin");
    CHECK(std::filesystem::exists(prefix + ".idx") == tokens);
    return tokens;
  };
  options.validation_fraction = 0;
  options.validation = too_short;
  CHECK_FALSE(refused());
  CHECK(is_cached("long.txt"));  // it is of use to the next run
  CHECK_FALSE(is_cached("short.txt"));
  options.train = too_short;
  options.sequence_length = 3;
  open_data(options);
  options.sequence_length = 4;
  CHECK_FALSE(refused());
  CHECK(is_cached("short.txt"));  // built by an earlier run
}

TEST_CASE("colossal tokenize --output") {
  const ScratchFolder folder;
  write_file(folder / "a.txt", "abc");
  write_file(folder / "b.jsonl.gz", gzip(kLines));
  std::ostringstream out;
  const std::vector<std::string> inputs = {(folder / "a.txt").string(), (folder / "b.jsonl.gz").string()};
  tokenize_files(inputs, folder / "out", *Tokenizer::load("bytes"), {}, out);
  CHECK(out.str().starts_with((folder / "out/a").string() +
                              ".bin: 1 documents, 4 tokens, 0.75 bytes per token, "));
  CHECK(TokenFile(folder / "out/b").num_documents() == 3);
  // What it wrote is training data, as a file of it or as a folder, and nothing is tokenised again.
  for (const auto& source : {folder / "out/b.bin", folder / "out/b", folder / "out"}) {
    CAPTURE(source);
    const Datasets opened = open_data(
        {.train = {source.string()}, .sequence_length = 4, .tokenize = {.cache = folder / "cache"}});
    const std::string text = source == folder / "out" ? "abc\xff"
                                                        "one\xff"
                                                        "two\n\xff"
                                                      : "one\xff"
                                                        "two\n\xff"
                                                        "thr";
    const std::vector<int64_t> samples = {0, 1};
    const Batch batch = opened.train->fetch(samples, 0);
    for (int64_t i = 0; i < 8; ++i) {
      const auto byte = [&](int64_t at) { return text[at] == '\xff' ? 256 : int64_t{text[at]}; };
      CHECK(batch.input()[i / 4][i % 4].item<int64_t>() == byte(i));
      CHECK(batch.label()[i / 4][i % 4].item<int64_t>() == byte(i + 1));
    }
    CHECK_FALSE(std::filesystem::exists(folder / "cache"));
  }
  write_file(folder / "b.txt", "x");
  const std::vector<std::string> twice = {(folder / "b.txt").string(), (folder / "b.jsonl.gz").string()};
  CHECK(error_in(folder, [&] {
          tokenize_files(twice, folder / "out", *Tokenizer::load("bytes"), {}, out);
        }) == "b.jsonl.gz: another input is named b too. Write them to different folders.");
}
