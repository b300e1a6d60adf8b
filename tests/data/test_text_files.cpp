// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
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
#include "tests/support/error.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::data;
using colossal::testing::ScratchFolder;

namespace {

void write(const std::filesystem::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

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

// The message, with the folder of the test taken away.
template <typename F>
std::string error_in(const ScratchFolder& folder, F&& f) {
  std::string message = colossal::testing::error_of(f);
  const std::string prefix = folder.path().string() + "/";
  for (size_t at = message.find(prefix); at != std::string::npos; at = message.find(prefix))
    message.erase(at, prefix.size());
  return message;
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

std::vector<int64_t> all_tokens(const TokenStream& stream) {
  std::vector<int64_t> tokens(stream.num_tokens());
  stream.read(0, tokens);
  return tokens;
}

const std::string kLines =
    "{\"text\": \"one\"}\n{\"text\": \"two\\n\"}\n\n{\"id\": 3, \"text\": \"thr\\u00e9e\"}";

}  // namespace

TEST_CASE("every text format gives the same documents, packed or not") {
  const ScratchFolder folder;
  const std::vector<std::string> expected = {"one", "two\n", "thrée"};
  write(folder / "a.jsonl", kLines);
  write(folder / "b.jsonl.gz", gzip(kLines));
  write(folder / "c.jsonl.zst", zstd(kLines.substr(0, 20)) + zstd(kLines.substr(20)));  // two frames
  write(folder / "d.txt.gz", gzip(kLines));
  for (const char* name : {"a.jsonl", "b.jsonl.gz", "c.jsonl.zst"})
    CHECK(documents(folder / name) == expected);
  CHECK(documents(folder / "d.txt.gz") == std::vector<std::string>{kLines});
}

TEST_CASE("a long text comes in parts that are the text") {
  const ScratchFolder folder;
  std::string text;
  for (int64_t i = 0; text.size() < (size_t{70} << 20); ++i)
    text += fmt::format("line {}\n\n  indented {}\n", i, i * i);
  write(folder / "long.txt", text);
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
    write(folder / name, content);
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
    write(folder / name, "x");
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

TEST_CASE("token files come back, in 16 and in 32 bits, with Megatron's bytes") {
  const ScratchFolder folder;
  for (int64_t vocab : {65'499, 65'500}) {
    TokenFileWriter writer(folder / "t", vocab);
    writer.add(std::vector<int32_t>{1, 2, 65'000});
    writer.end_document();
    writer.end_document();  // an empty document
    writer.add(std::vector<int32_t>{4});
    writer.add(std::vector<int32_t>{5});
    writer.end_document();
    CHECK_FALSE(std::filesystem::exists(folder / "t.idx"));
    writer.finish();
    const TokenFile file(folder / "t.bin");
    CHECK(file.type() == (vocab < 65'500 ? TokenType::u16 : TokenType::i32));
    CHECK(file.num_tokens() == 5);
    CHECK(file.num_documents() == 3);
    std::vector<int64_t> begins;
    for (int64_t i = 0; i <= 3; ++i) begins.push_back(file.document_begin(i));
    CHECK(begins == std::vector<int64_t>{0, 3, 3, 5});
    std::vector<int64_t> tokens(3);
    file.read(2, tokens);
    CHECK(tokens == std::vector<int64_t>{65'000, 4, 5});
    std::filesystem::remove(folder / "t.idx");
  }
  // What Megatron-LM's IndexedDatasetBuilder writes for documents [7, 8] and [9] in int32.
  std::string index("MMIDIDX\0\0", 9);
  const auto put = [&](auto value) { index.append(reinterpret_cast<const char*>(&value), sizeof value); };
  put(uint64_t{1}), put(uint8_t{4}), put(uint64_t{2}), put(uint64_t{3});
  put(int32_t{2}), put(int32_t{1}), put(int64_t{0}), put(int64_t{8}), put(int64_t{0}), put(int64_t{1}),
      put(int64_t{2});
  write(folder / "m.idx", index);
  write(folder / "m.bin", std::string("\7\0\0\0\10\0\0\0\11\0\0\0", 12));
  CHECK(all_tokens(TokenStream(std::vector<std::filesystem::path>{folder / "m"})) ==
        std::vector<int64_t>{7, 8, 9});
  TokenFileWriter same(folder / "n", 70'000);
  same.add(std::vector<int32_t>{7, 8});
  same.end_document();
  same.add(std::vector<int32_t>{9});
  same.end_document();
  same.finish();
  CHECK((read_file(folder / "n.idx") == index));
}

TEST_CASE("damaged token files name file and fact") {
  const ScratchFolder folder;
  TokenFileWriter writer(folder / "t", 100);
  for (int i = 0; i < 3; ++i) {
    writer.add(std::vector<int32_t>{1, 2});
    writer.end_document();
  }
  writer.finish();
  const std::string index = read_file(folder / "t.idx");
  const auto error = [&](const std::string& changed) {
    write(folder / "t.idx", changed);
    return error_in(folder, [&] { TokenFile file(folder / "t"); });
  };
  CHECK(error(index.substr(0, 80)) ==
        "t.idx: truncated or damaged: its header promises 3 sequences and 4 document marks, which do not "
        "make 80 bytes. Write "
        "it again with `colossal tokenize`.");
  CHECK(error("") == "t.idx: is not an index of tokens (Megatron .idx). Write one with `colossal tokenize`.");
  std::string changed = index;
  changed[17] = 7;
  CHECK(error(changed) == "t.idx: type code 7 of the tokens. Allowed: integers, codes 1 to 5 and 8.");
  changed = index;
  changed[9] = 2;
  CHECK(error(changed) == "t.idx: version 2 of the index. Allowed: 1.");
  changed = index;
  changed[34] = 3;
  CHECK(error(changed) ==
        "t.idx: sequence 1 (length 2, offset 4) does not follow the one before it, at 6. Only streams "
        "without gaps are supported.");
  changed = index;
  changed[18 + 7] = 0x7f;
  CHECK(error(changed).starts_with("t.idx: truncated or damaged"));
  for (size_t size = 0; size < index.size(); ++size) CHECK(error(index.substr(0, size)) != "no error");
  changed = index;
  changed[index.size() - 16] = 9;
  CHECK(error(changed) == "t.idx: document mark 2 is 9, not between 1 and 3 sequences.");
  CHECK(error(index) == "no error");
  write(folder / "t.bin", "12345");
  CHECK(error(index) == "t.bin: 5 bytes, but t.idx promises 6 tokens of 2 bytes. One of the two is damaged.");
  std::filesystem::remove(folder / "t.bin");
  CHECK(error(index).starts_with("t.bin: "));
}

TEST_CASE("tokenising is cached, keyed by what it was made from, and leaves nothing half-done") {
  const ScratchFolder folder;
  write(folder / "a.jsonl", kLines);
  write(folder / "b.txt", "b");
  const auto tokenizer = Tokenizer::load("bytes");
  std::vector<std::string> built;
  TokenizeOptions options{.cache = folder / "cache", .threads = 3};
  options.on_file = [&](const TokenizeProgress& progress) {
    built.push_back(progress.file.filename().string());
  };
  const std::vector<std::string> sources = {(folder / "a.jsonl").string(), (folder / "b.txt").string()};
  const auto prefixes = tokenize_cached(sources, *tokenizer, options).prefixes;
  CHECK(built == std::vector<std::string>{"a.jsonl", "b.txt"});
  CHECK(all_tokens(TokenStream(prefixes)) == std::vector<int64_t>{'o', 'n', 'e', 256, 't', 'w', 'o', '\n',
                                                                  256, 't', 'h', 'r', 0xc3, 0xa9, 'e', 256,
                                                                  'b', 256});
  CHECK(TokenStream(prefixes).num_documents() == 4);
  const CachedTokens again = tokenize_cached(sources, *tokenizer, options);
  CHECK(again.prefixes == prefixes);
  CHECK(again.built.empty());
  CHECK(built.size() == 2);
  write(folder / "b.txt", "bb");
  CHECK(tokenize_cached(sources, *tokenizer, options).prefixes[1] != prefixes[1]);
  CHECK(built == std::vector<std::string>{"a.jsonl", "b.txt", "b.txt"});
  const auto gpt2 = Tokenizer::load(std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel");
  CHECK(cached_prefix(folder / "a.jsonl", *gpt2, options) != prefixes[0]);
  write(folder / "b.txt", "caf\xe9");
  CHECK_THROWS_AS(tokenize_cached(sources, *gpt2, options), IoError);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "cache")) {
    CHECK(entry.path().string().find(".tmp.") == std::string::npos);
  }
  CHECK_NOTHROW(tokenize_cached(sources, *tokenizer, options));  // bytes: anything goes
}

TEST_CASE("the ids do not depend on the number of threads") {
  const ScratchFolder folder;
  std::string lines;
  for (int i = 0; i < 500; ++i)
    lines += nlohmann::json{{"text", std::string(i % 90, 'a') + fmt::format(" the {}", i)}}.dump() + "\n";
  write(folder / "a.jsonl", lines);
  const auto tokenizer = Tokenizer::load(std::string(COLOSSAL_ORACLES) + "/tokenizers/llama2-bpe");
  tokenize_file(folder / "a.jsonl", folder / "one", *tokenizer, {.threads = 1});
  tokenize_file(folder / "a.jsonl", folder / "four", *tokenizer, {.threads = 4});
  CHECK((read_file(folder / "one.bin") == read_file(folder / "four.bin")));
  CHECK((read_file(folder / "one.idx") == read_file(folder / "four.idx")));
}

TEST_CASE("sequences are packed from the stream, every token a label once, validation kept apart") {
  const ScratchFolder folder;
  write(folder / "a.txt", "abcdefghij");
  write(folder / "b.txt", "klmnopqrst");
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
  write(folder / "a.txt", "abc");
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
  write(folder / "b.txt", std::string(999, 'x'));
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
  write(folder / "bad.jsonl", "{");
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
  write(folder / "short.txt", "abc");
  write(folder / "long.txt", std::string(999, 'x'));
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
  write(folder / "a.txt", "abc");
  write(folder / "b.jsonl.gz", gzip(kLines));
  std::ostringstream out;
  const std::vector<std::string> inputs = {(folder / "a.txt").string(), (folder / "b.jsonl.gz").string()};
  tokenize_files(inputs, folder / "out", *Tokenizer::load("bytes"), {}, out);
  CHECK(out.str().starts_with((folder / "out/a").string() +
                              ".bin: 1 documents, 4 tokens, 0.75 bytes per token, "));
  CHECK(TokenFile(folder / "out/b").num_documents() == 3);
  write(folder / "b.txt", "x");
  const std::vector<std::string> twice = {(folder / "b.txt").string(), (folder / "b.jsonl.gz").string()};
  CHECK(error_in(folder, [&] {
          tokenize_files(twice, folder / "out", *Tokenizer::load("bytes"), {}, out);
        }) == "b.jsonl.gz: another input is named b too. Write them to different folders.");
}
