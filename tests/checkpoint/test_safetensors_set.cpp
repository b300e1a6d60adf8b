// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/checkpoint/safetensors_set.h"
#include "tests/support/error.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::checkpoint;
using colossal::testing::ScratchFolder;

namespace {

const std::vector<TensorInfo> kInfos = {{.name = "a", .dtype = at::kFloat, .shape = {4}},
                                        {.name = "b", .dtype = at::kLong, .shape = {1, 2}},
                                        {.name = "c", .dtype = at::kHalf, .shape = {100}},
                                        {.name = "d", .dtype = at::kByte, .shape = {8}}};

void save(const std::filesystem::path& folder, uint64_t max_file_bytes) {
  SafetensorsSetWriter writer(folder, kInfos, {.max_file_bytes = max_file_bytes});
  for (const TensorInfo& info : kInfos)
    writer.write(info.name, at::full(info.shape, info.name[0], at::dtype(info.dtype)));
  writer.close();
}

void check(const std::filesystem::path& folder) {
  const SafetensorsSet set(folder);
  CHECK(set.names() == std::vector<std::string>{"a", "b", "c", "d"});
  for (const TensorInfo& info : kInfos) {
    CHECK(set.info(info.name).shape == info.shape);
    CHECK(at::equal(set.read(info.name), at::full(info.shape, info.name[0], at::dtype(info.dtype))));
  }
  CHECK(at::equal(set.read("c", Slice{{98}, {2}}), at::full({2}, 'c', at::kHalf)));
}

std::string set_error(const std::filesystem::path& folder) {
  return colossal::testing::error_of<IoError>([&] { SafetensorsSet set(folder); }, ExitCode::checkpoint)
      .substr(folder.string().size());
}

}  // namespace

TEST_CASE("one file when it fits, several with an index when not") {
  ScratchFolder temp;
  save(temp.path(), 1000);
  CHECK(std::filesystem::exists(temp / "model.safetensors"));
  check(temp.path());
  check(temp / "model.safetensors");

  ScratchFolder sharded;
  save(sharded.path(), 32);  // a b | c (larger than a file may be) | d
  CHECK(std::distance(std::filesystem::directory_iterator(sharded.path()), {}) == 4);
  CHECK(std::filesystem::exists(sharded / "model-00003-of-00003.safetensors"));
  check(sharded.path());
  CHECK(read_file(sharded / "model.safetensors.index.json").find("\"total_size\": 240") != std::string::npos);
}

TEST_CASE("an index that disagrees with its files names file and tensor") {
  ScratchFolder temp;
  CHECK(set_error(temp.path()) == ": holds neither model.safetensors nor model.safetensors.index.json");
  save(temp.path(), 32);
  const std::filesystem::path index = temp / "model.safetensors.index.json";
  const std::string good = read_file(index);
  const auto replace = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    write_file_durably(index, text);
    return set_error(temp.path());
  };
  CHECK(replace("\"a\": \"model-00001", "\"z\": \"model-00001") ==
        "/model-00001-of-00003.safetensors: tensor \"z\": is missing, model.safetensors.index.json says it "
        "is here");
  CHECK(replace("\"a\": \"model-00001-of-00003.safetensors\",", "") ==
        "/model-00001-of-00003.safetensors: tensor \"a\": is not in model.safetensors.index.json");
  CHECK(
      replace("\"model-00001-of-00003.safetensors\"", "\"../x\"") ==
      "/model.safetensors.index.json: tensor \"a\": file \"../x\" is not the name of a file in this folder");
  CHECK(replace("\"model-00001-of-00003.safetensors\"", "3") ==
        "/model.safetensors.index.json: tensor \"a\": its file is not a string");
  CHECK(replace("weight_map", "weights") == "/model.safetensors.index.json: has no object weight_map");
  CHECK(replace("{", "") == "/model.safetensors.index.json: is not a JSON object");
  write_file_durably(index, good);
  std::filesystem::copy_file(temp / "model-00002-of-00003.safetensors",
                             temp / "model-00001-of-00003.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(set_error(temp.path()) ==
        "/model-00001-of-00003.safetensors: tensor \"a\": is missing, model.safetensors.index.json says it "
        "is here");
}
