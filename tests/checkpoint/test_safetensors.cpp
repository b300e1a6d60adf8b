// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <fstream>

#include "colossal/base/error.h"
#include "colossal/checkpoint/safetensors.h"
#include "tests/support/error.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::checkpoint;
using colossal::testing::ScratchFolder;

namespace {

std::string file_of(const std::string& json, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t length = json.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json + std::string(data_bytes, '\1');
}

SafetensorsHeader parse(const std::string& bytes) {
  return parse_safetensors_header(std::as_bytes(std::span(bytes)), "m.safetensors");
}

std::string header_error(const std::string& bytes) {
  return colossal::testing::error_of<IoError>([&] { parse(bytes); }, ExitCode::checkpoint);
}

const std::vector<at::ScalarType> kAll = {
    at::kBool,   at::kByte,          at::kChar,        at::kUInt16,         at::kShort,       at::kUInt32,
    at::kInt,    at::kUInt64,        at::kLong,        at::kHalf,           at::kBFloat16,    at::kFloat,
    at::kDouble, at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kFloat8_e8m0fnu, at::kComplexFloat};

// Bytes 0, 1, 2, ... as a tensor of any dtype (booleans alternate).
at::Tensor pattern(at::ScalarType dtype, const Shape& shape) {
  at::Tensor out = at::empty(shape, at::dtype(dtype));
  uint8_t* bytes = static_cast<uint8_t*>(out.data_ptr());
  for (size_t i = 0; i < out.nbytes(); ++i)
    bytes[i] = static_cast<uint8_t>(dtype == at::kBool ? i % 2 : i * 7 + 3);
  return out;
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.is_contiguous() &&
         b.is_contiguous() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

}  // namespace

TEST_CASE("every dtype and odd shape survives writing and reading, bytes and metadata") {
  ScratchFolder temp;
  std::vector<TensorInfo> infos;
  std::map<std::string, at::Tensor> tensors;
  for (const at::ScalarType dtype : kAll) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 0, 5}, Shape{3, 5, 2}}) {
      const std::string name = fmt::format("{}/[{}] \"ü\"", c10::toString(dtype), fmt::join(shape, ","));
      infos.push_back({.name = name, .dtype = dtype, .shape = shape});
      tensors[name] = pattern(dtype, shape);
    }
  }
  SafetensorsWriter writer(temp / "all.safetensors", infos, {{"format", "pt"}, {"who", "a\nb"}});
  for (auto it = tensors.rbegin(); it != tensors.rend(); ++it) writer.write(it->first, it->second);
  CHECK(!std::filesystem::exists(temp / "all.safetensors"));
  writer.close();
  const SafetensorsReader reader(temp / "all.safetensors");
  CHECK(reader.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"who", "a\nb"}});
  CHECK(reader.tensors().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    CHECK(same_bytes(reader.read(name), tensor));
    CHECK(reinterpret_cast<uintptr_t>(reader.bytes(name).data()) % tensor.element_size() == 0);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(temp.path()), {}) == 1);
}

TEST_CASE("slices are read and written alone") {
  ScratchFolder temp;
  const at::Tensor full = at::arange(2 * 3 * 4 * 5, at::kFloat).view({2, 3, 4, 5});
  SafetensorsWriter writer(temp / "s.safetensors",
                           {{.name = "t", .dtype = at::kFloat, .shape = {2, 3, 4, 5}}});
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 2; ++j) {
      writer.write("t", Slice{{0, i, 2 * j, 0}, {2, 1, 2, 5}},
                   full.slice(1, i, i + 1).slice(2, 2 * j, 2 * j + 2));
    }
  }
  writer.close();
  const SafetensorsReader reader(temp / "s.safetensors");
  CHECK(at::equal(reader.read("t"), full));
  int checked = 0;
  for (int64_t a = 0; a < 2; ++a) {
    for (int64_t b = 0; b < 3; ++b) {
      for (int64_t c = 0; c < 4; ++c) {
        for (int64_t d = 0; d < 5; ++d) {
          const Slice slice{{a, b, c, d}, {2 - a, 3 - b, (4 - c + 1) / 2, 5 - d}};
          at::Tensor expected = full;
          for (int64_t dim = 0; dim < 4; ++dim)
            expected = expected.narrow(dim, slice.offset[dim], slice.size[dim]);
          checked += at::equal(reader.read("t", slice), expected);
        }
      }
    }
  }
  CHECK(checked == 2 * 3 * 4 * 5);
  CHECK_THROWS_WITH_AS(reader.read("t", Slice{{0, 0, 0, 3}, {2, 3, 4, 3}}),
                       "tensor \"t\": slice [2, 3, 4, 3] at [0, 0, 0, 3] does not lie within [2, 3, 4, 5]",
                       ShapeError);
}

TEST_CASE("a writer that is not finished leaves nothing, one with gaps refuses") {
  ScratchFolder temp;
  const std::filesystem::path path = temp / "w.safetensors";
  {
    SafetensorsWriter writer(path, {{.name = "a", .dtype = at::kInt, .shape = {4}}});
    writer.write("a", Slice{{0}, {3}}, at::ones({3}, at::kInt));
    CHECK_THROWS_WITH_AS(writer.close(),
                         fmt::format("{}: tensor \"a\": 12 of 16 bytes were written", path.string()).c_str(),
                         IoError);
    CHECK_THROWS_WITH_AS(
        writer.write("a", at::ones({4})),
        fmt::format("{}: tensor \"a\": got Float [4], declared Int [4]", path.string()).c_str(), ShapeError);
    CHECK_THROWS_WITH_AS(writer.write("b", at::ones({4})),
                         fmt::format("{}: tensor \"b\": not declared", path.string()).c_str(), IoError);
  }
  CHECK(std::filesystem::is_empty(temp.path()));
  CHECK_THROWS_WITH_AS(SafetensorsWriter(path, {{.name = "a"}, {.name = "a"}}),
                       fmt::format("{}: tensor \"a\": named twice", path.string()).c_str(), IoError);
  CHECK(std::filesystem::is_empty(temp.path()));
}

TEST_CASE("a missing tensor is named with its neighbour") {
  ScratchFolder temp;
  SafetensorsWriter writer(temp / "n.safetensors",
                           {{.name = "layer.weight", .dtype = at::kInt, .shape = {}}});
  writer.write("layer.weight", at::scalar_tensor(5, at::kInt));
  writer.close();
  const SafetensorsReader reader(temp / "n.safetensors");
  CHECK_THROWS_WITH_AS(reader.read("layer.wieght"),
                       fmt::format("{}: no tensor \"layer.wieght\" among 1. Did you mean \"layer.weight\"?",
                                   (temp / "n.safetensors").string())
                           .c_str(),
                       IoError);
}

TEST_CASE("every damage to the header has its own message") {
  const auto one = [](const std::string& fields) { return "{\"t\":{" + fields + "}}"; };
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  CHECK(header_error(file_of(one(good), 8)) == "no error");
  CHECK(header_error(file_of(one(good) + "   ", 8)) == "no error");
  CHECK(header_error(file_of("{}", 0)) == "no error");
  struct Case {
    std::string bytes, message;
  };
  const std::string allowed =
      "Allowed: BOOL, U8, I8, U16, I16, U32, I32, U64, I64, F8_E4M3, F8_E5M2, F8_E8M0, F16, BF16, F32, F64, "
      "C64.";
  std::string bomb = file_of("{}", 0);
  bomb[7] = '\x7f';
  const Case cases[] = {
      {"", "0 bytes are too few for a safetensors file"},
      {"1234567", "7 bytes are too few for a safetensors file"},
      {bomb, "header of 9151314442816847874 bytes. Allowed: at most 100000000. Is it a safetensors file?"},
      {file_of(one(good), 8).substr(0, 20), "header of 54 bytes in a file of 20: the file is truncated"},
      {file_of("", 0), "header does not start with \"{\""},
      {file_of("[]", 0), "header does not start with \"{\""},
      {file_of(" {}", 0), "header does not start with \"{\""},
      {file_of("{", 0), "header is not valid JSON at byte 2"},
      {file_of("{} x", 0), "header is not valid JSON at byte 4"},
      {file_of("{\"t\":{\"dtype\":\"\xff\"}}", 0), "header is not valid JSON at byte 16"},
      {file_of("{\"t\":[]}", 0), "header holds a list where an object is due"},
      {file_of("{\"t\":null}", 0), "header holds null where an object is due"},
      {file_of("{\"__metadata__\":{\"a\":1}}", 0), "header: __metadata__ holds a number. Allowed: strings."},
      {file_of("{\"__metadata__\":{\"a\":{}}}", 0),
       "header: __metadata__ holds an object. Allowed: strings."},
      {file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0), "header: __metadata__ names \"a\" twice"},
      {file_of("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
       "tensor \"__metadata__\": named twice in the header"},
      {file_of("{\"t\":{" + good + "},\"t\":{" + good + "}}", 8), "tensor \"t\": named twice in the header"},
      {file_of(one(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8),
       "tensor \"t\": dtype \"F31\" is not supported. " + allowed},
      {file_of(one(R"("dtype":7)"), 8), "tensor \"t\": dtype holds a number"},
      {file_of(one(R"("shape":[2],"data_offsets":[0,8])"), 8), "tensor \"t\": has no dtype"},
      {file_of(one(R"("dtype":"F32","data_offsets":[0,8])"), 8), "tensor \"t\": has no shape"},
      {file_of(one(R"("dtype":"F32","shape":[2])"), 8), "tensor \"t\": has no data_offsets [begin, end]"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[8])"), 8),
       "tensor \"t\": has no data_offsets [begin, end]"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])"), 8),
       "tensor \"t\": data_offsets has more than 2 numbers"},
      {file_of(one(good + R"(,"strides":[1])"), 8),
       "tensor \"t\": unknown key \"strides\". Allowed: dtype, shape, data_offsets."},
      {file_of(one(good + R"(,"shape":[2])"), 8), "tensor \"t\": key shape given twice"},
      {file_of(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8),
       "tensor \"t\": shape holds a negative number"},
      {file_of(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), 8),
       "tensor \"t\": shape holds a fraction or a number beyond 64 bits"},
      {file_of(one(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), 8),
       "tensor \"t\": shape holds a list"},
      {file_of(one(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])"), 8),
       "tensor \"t\": shape holds 9223372036854775808, beyond 63 bits"},
      {file_of(one(R"("dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,0])"), 0),
       "tensor \"t\": shape [4611686018427387904, 2] overflows 64 bits"},
      {file_of(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), 8),
       "tensor \"t\": shape [3] of F32 needs 12 bytes, data_offsets [0, 8] hold 8"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8),
       "tensor \"t\": data_offsets [8, 0] run backwards"},
      {file_of(one(good), 7), "tensor \"t\": ends at byte 8 of 7 data bytes: the file is truncated"},
      {file_of(one(good), 9), "1 bytes after the last tensor belong to no tensor"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"), 12),
       "tensor \"t\": 4 bytes before it belong to no tensor"},
      {file_of("{\"a\":{" + good + R"(},"b":{"dtype":"U8","shape":[3],"data_offsets":[6,9]}})", 9),
       "tensor \"b\": overlaps \"a\" by 2 bytes"},
  };
  for (const Case& damaged : cases) CHECK(header_error(damaged.bytes) == "m.safetensors: " + damaged.message);
}

TEST_CASE("truncated and flipped files raise an error or give the declared tensors, never anything else") {
  std::vector<TensorInfo> infos = {{.name = "w", .dtype = at::kBFloat16, .shape = {3, 4}},
                                   {.name = "ids", .dtype = at::kLong, .shape = {2}},
                                   {.name = "mask", .dtype = at::kBool, .shape = {}}};
  std::string good = format_safetensors_header(infos, {{"format", "pt"}});
  good.append(infos.back().end, '\5');
  REQUIRE(header_error(good) == "no error");
  for (size_t length = 0; length < good.size(); ++length)
    CHECK(header_error(good.substr(0, length)) != "no error");
  int rejected = 0;
  int accepted = 0;
  const size_t head = good.size() - infos.back().end;
  for (size_t byte = 0; byte < head; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[byte] = static_cast<char>(bad[byte] ^ (1 << bit));
      const std::string error = header_error(bad);
      (error == "no error" ? accepted : rejected) += 1;
      if (error == "no error") {
        uint64_t end = 0;
        for (const TensorInfo& tensor : parse(bad).tensors) end = tensor.end;
        CHECK(end == infos.back().end);  // whatever the names now are, the data is covered exactly
      }
    }
  }
  CHECK(rejected > 5 * accepted);
  uint64_t state = 88172645463325252ull;  // xorshift
  const auto random = [&state] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    for (uint64_t n = random() % 8 + 1; n > 0; --n) bad[random() % bad.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bad.resize(random() % (bad.size() + 1));
    header_error(bad);
  }
  const std::string deep = std::string(200000, '[');
  CHECK(header_error(file_of("{\"t\":{\"shape\":" + deep, 0)) ==
        "m.safetensors: tensor \"t\": shape holds a list");
}

TEST_CASE("a damaged file on disk names itself") {
  ScratchFolder temp;
  const std::filesystem::path path = temp / "cut.safetensors";
  std::ofstream(path, std::ios::binary)
      << file_of(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 6);
  CHECK_THROWS_WITH_AS(
      SafetensorsReader{path},
      fmt::format("{}: tensor \"t\": ends at byte 8 of 6 data bytes: the file is truncated", path.string())
          .c_str(),
      IoError);
}
