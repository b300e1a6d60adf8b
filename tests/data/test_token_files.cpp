// SPDX-License-Identifier: Apache-2.0
// Token files: what is written comes back, what Megatron writes is read, what is damaged is told.
#include <doctest/doctest.h>

#include "colossal/base/file.h"
#include "tests/data/files.h"

using namespace colossal;
using namespace colossal::data;
using colossal::testing::all_tokens;
using colossal::testing::error_in;
using colossal::testing::ScratchFolder;
using colossal::testing::write_file;

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
  write_file(folder / "m.idx", index);
  write_file(folder / "m.bin", std::string("\7\0\0\0\10\0\0\0\11\0\0\0", 12));
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
    write_file(folder / "t.idx", changed);
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
  write_file(folder / "t.bin", "12345");
  CHECK(error(index) ==
        "t.bin: 5 bytes, but t.idx promises 6 tokens of 2 bytes. One of the two is damaged. Copy or "
        "write both again (`colossal tokenize`).");
  std::filesystem::remove(folder / "t.bin");
  CHECK(error(index).starts_with("t.bin: "));
}
