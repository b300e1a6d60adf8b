// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/safetensors_header.h"

#include <fmt/ranges.h>

#include <bit>
#include <cstring>
#include <unordered_set>

#include "colossal/base/error.h"
#include "colossal/base/json.h"

namespace colossal::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

struct DtypeName {
  std::string_view name;
  at::ScalarType dtype;
};

constexpr DtypeName kDtypes[] = {
    {"BOOL", at::kBool},
    {"U8", at::kByte},
    {"I8", at::kChar},
    {"U16", at::kUInt16},
    {"I16", at::kShort},
    {"U32", at::kUInt32},
    {"I32", at::kInt},
    {"U64", at::kUInt64},
    {"I64", at::kLong},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
    {"F8_E8M0", at::kFloat8_e8m0fnu},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"F32", at::kFloat},
    {"F64", at::kDouble},
    {"C64", at::kComplexFloat},
};

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr size_t kMaxDims = 64;  // what torch's iterators take

[[noreturn]] void broken_header(const std::filesystem::path& path, const std::string& what) {
  throw IoError(fmt::format("{}: {}", path.string(), what), ExitCode::checkpoint);
}

// Receives the header as a stream of JSON events, so that a hostile one cannot grow anything that it does not
// hold. nlohmann's SAX interface fixes the names of the member functions.
class HeaderEvents {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::filesystem::path& path) : header_(header), path_(path) {}

  bool null() { unexpected("null"); }
  bool boolean(bool) { unexpected("a boolean"); }
  bool number_integer(int64_t) { unexpected("a negative number"); }
  bool number_float(double, const std::string&) { unexpected("a fraction or a number beyond 64 bits"); }
  bool binary(std::vector<uint8_t>&) { unexpected("binary data"); }
  bool number_unsigned(uint64_t value);
  bool string(std::string& value);
  bool start_object(size_t);
  bool key(std::string& key);
  bool end_object();
  bool start_array(size_t);
  bool end_array();
  template <class Exception>
  bool parse_error(size_t position, const std::string&, const Exception&) {
    broken_header(path_, fmt::format("header is not valid JSON at byte {}", position));
  }

 private:
  enum class Place { start, root, metadata, tensor, shape, offsets };

  [[noreturn]] void unexpected(std::string_view what) const {
    if (place_ == Place::start || place_ == Place::root)
      broken_header(path_, fmt::format("header holds {} where an object is due", what));
    if (place_ == Place::metadata) {
      broken_header(path_, fmt::format("header: __metadata__ holds {}. Allowed: strings.", what));
    }
    fail_tensor(fmt::format("{} holds {}", key_.empty() ? "entry" : key_, what));
  }
  [[noreturn]] void fail_tensor(const std::string& what) const {
    broken_header(path_, fmt::format("tensor {}: {}", quoted_tensor_name(tensor_.name), what));
  }
  void finish_tensor();

  SafetensorsHeader& header_;
  const std::filesystem::path& path_;
  Place place_ = Place::start;
  std::unordered_set<std::string> names_;
  bool has_metadata_ = false;
  std::string key_;  // within the current tensor or the metadata
  TensorInfo tensor_;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  std::vector<uint64_t> offsets_;
  bool has_offsets_ = false;
};

bool HeaderEvents::number_unsigned(uint64_t value) {
  if (place_ == Place::shape) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail_tensor(fmt::format("shape holds {}, beyond 63 bits", value));
    }
    if (tensor_.shape.size() == kMaxDims) fail_tensor(fmt::format("shape has more than {} dims", kMaxDims));
    tensor_.shape.push_back(static_cast<int64_t>(value));
  } else if (place_ == Place::offsets) {
    if (offsets_.size() == 2) fail_tensor("data_offsets has more than 2 numbers");
    offsets_.push_back(value);
  } else {
    unexpected("a number");
  }
  return true;
}

bool HeaderEvents::string(std::string& value) {
  if (place_ == Place::metadata) {
    header_.metadata[key_] = value;
    return true;
  }
  if (place_ != Place::tensor || key_ != "dtype") unexpected("a string");
  for (const DtypeName& known : kDtypes) {
    if (known.name == value) {
      tensor_.dtype = known.dtype;
      return true;
    }
  }
  std::string allowed;
  for (const DtypeName& known : kDtypes)
    allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", known.name);
  fail_tensor(fmt::format("dtype {} is not supported. Allowed: {}.", quoted_tensor_name(value), allowed));
}

bool HeaderEvents::start_object(size_t) {
  if (place_ == Place::start) {
    place_ = Place::root;
  } else if (place_ == Place::root && key_ == kMetadataKey) {
    place_ = Place::metadata;
  } else if (place_ == Place::root) {
    tensor_ = TensorInfo{.name = key_};
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_.clear();
    key_.clear();
    place_ = Place::tensor;
  } else {
    unexpected("an object");
  }
  return true;
}

bool HeaderEvents::key(std::string& key) {
  if (place_ == Place::root) {
    const bool repeated =
        key == kMetadataKey ? std::exchange(has_metadata_, true) : !names_.insert(key).second;
    if (repeated)
      broken_header(path_, fmt::format("tensor {}: named twice in the header", quoted_tensor_name(key)));
  } else if (place_ == Place::metadata) {
    if (header_.metadata.contains(key)) {
      broken_header(path_, fmt::format("header: __metadata__ names {} twice", quoted_tensor_name(key)));
    }
  } else {
    bool* seen = key == "dtype"          ? &has_dtype_
                 : key == "shape"        ? &has_shape_
                 : key == "data_offsets" ? &has_offsets_
                                         : nullptr;
    if (!seen) {
      fail_tensor(
          fmt::format("unknown key {}. Allowed: dtype, shape, data_offsets.", quoted_tensor_name(key)));
    }
    if (std::exchange(*seen, true)) fail_tensor(fmt::format("key {} given twice", key));
  }
  key_ = key;
  return true;
}

bool HeaderEvents::end_object() {
  if (place_ == Place::tensor) finish_tensor();
  place_ = place_ == Place::root ? Place::start : Place::root;
  return true;
}

bool HeaderEvents::start_array(size_t) {
  if (place_ == Place::tensor && key_ == "shape") {
    place_ = Place::shape;
  } else if (place_ == Place::tensor && key_ == "data_offsets") {
    place_ = Place::offsets;
  } else {
    unexpected("a list");
  }
  return true;
}

bool HeaderEvents::end_array() {
  place_ = Place::tensor;
  return true;
}

void HeaderEvents::finish_tensor() {
  if (!has_dtype_) fail_tensor("has no dtype");
  if (!has_shape_) fail_tensor("has no shape");
  if (!has_offsets_ || offsets_.size() != 2) fail_tensor("has no data_offsets [begin, end]");
  tensor_.begin = offsets_[0];
  tensor_.end = offsets_[1];
  if (tensor_.begin > tensor_.end) {
    fail_tensor(fmt::format("data_offsets [{}, {}] run backwards", tensor_.begin, tensor_.end));
  }
  uint64_t bytes = c10::elementSize(tensor_.dtype);
  for (const int64_t size : tensor_.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
      fail_tensor(fmt::format("shape [{}] overflows 64 bits", fmt::join(tensor_.shape, ", ")));
    }
  }
  if (bytes != tensor_.end - tensor_.begin) {
    fail_tensor(fmt::format("shape [{}] of {} needs {} bytes, data_offsets [{}, {}] hold {}",
                            fmt::join(tensor_.shape, ", "), safetensors_dtype_name(tensor_.dtype), bytes,
                            tensor_.begin, tensor_.end, tensor_.end - tensor_.begin));
  }
  header_.tensors.push_back(std::move(tensor_));
  key_.clear();
}

// Sorted by offset, the tensors must follow each other without a gap up to the end of the file.
void check_cover(SafetensorsHeader& header, uint64_t data_bytes, const std::filesystem::path& path) {
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t position = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : header.tensors) {
    const std::string name = quoted_tensor_name(tensor.name);
    if (tensor.end > data_bytes) {
      broken_header(path, fmt::format("tensor {}: ends at byte {} of {} data bytes: the file is truncated",
                                      name, tensor.end, data_bytes));
    }
    if (tensor.begin < position) {
      broken_header(path, fmt::format("tensor {}: overlaps {} by {} bytes", name,
                                      quoted_tensor_name(previous->name), position - tensor.begin));
    }
    if (tensor.begin > position) {
      broken_header(path, fmt::format("tensor {}: {} bytes before it belong to no tensor", name,
                                      tensor.begin - position));
    }
    position = tensor.end;
    previous = &tensor;
  }
  if (position != data_bytes)
    broken_header(path,
                  fmt::format("{} bytes after the last tensor belong to no tensor", data_bytes - position));
}

}  // namespace

std::string_view safetensors_dtype_name(at::ScalarType dtype) {
  for (const DtypeName& known : kDtypes) {
    if (known.dtype == dtype) return known.name;
  }
  throw IoError(fmt::format("safetensors: no name for dtype {}", c10::toString(dtype)), ExitCode::checkpoint);
}

std::string quoted_tensor_name(std::string_view name) {
  constexpr size_t kLongest = 200;
  const bool cut = name.size() > kLongest;
  std::string text =
      Json(std::string(name.substr(0, kLongest))).dump(-1, ' ', true, Json::error_handler_t::replace);
  if (cut) text += "...";
  return text;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::filesystem::path& path) {
  uint64_t length = 0;
  if (file.size() < sizeof(length))
    broken_header(path, fmt::format("{} bytes are too few for a safetensors file", file.size()));
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeaderBytes) {
    broken_header(path, fmt::format("header of {} bytes. Allowed: at most {}. Is it a safetensors file?",
                                    length, kMaxHeaderBytes));
  }
  if (length > file.size() - sizeof(length)) {
    broken_header(
        path, fmt::format("header of {} bytes in a file of {}: the file is truncated", length, file.size()));
  }
  SafetensorsHeader header;
  header.data_begin = sizeof(length) + length;
  const char* text = reinterpret_cast<const char*>(file.data()) + sizeof(length);
  if (length == 0 || *text != '{') broken_header(path, "header does not start with \"{\"");
  // The parser would take it for the end.
  if (const size_t zero = std::string_view(text, length).find('\0'); zero != std::string_view::npos)
    broken_header(path, fmt::format("header is not valid JSON at byte {}", zero + 1));
  HeaderEvents events(header, path);
  nlohmann::json::sax_parse(text, text + length, &events);
  check_cover(header, file.size() - header.data_begin, path);
  return header;
}

std::string format_safetensors_header(std::vector<TensorInfo>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return c10::elementSize(a.dtype) > c10::elementSize(b.dtype);
  });
  Json json = Json::object();
  if (!metadata.empty()) json[std::string(kMetadataKey)] = metadata;
  uint64_t position = 0;
  for (TensorInfo& tensor : tensors) {
    uint64_t bytes = c10::elementSize(tensor.dtype);
    for (const int64_t size : tensor.shape) bytes *= static_cast<uint64_t>(size);
    tensor.begin = position;
    tensor.end = position += bytes;
    Json entry = {{"dtype", safetensors_dtype_name(tensor.dtype)},
                  {"shape", tensor.shape},
                  {"data_offsets", {tensor.begin, tensor.end}}};
    json.get_ref<Json::object_t&>().emplace_back(tensor.name,
                                                 std::move(entry));  // [] would search all of them
  }
  std::string text = json.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + text;
}

}  // namespace colossal::checkpoint
