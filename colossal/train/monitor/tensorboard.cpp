// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/tensorboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "colossal/base/error.h"

namespace colossal::train {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

// Protocol buffer fields: (number << 3 | wire type), then the value.
enum class Wire : uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
std::string field(uint64_t number, Wire wire) { return varint(number << 3 | static_cast<uint64_t>(wire)); }
std::string bytes_field(uint64_t number, std::string_view bytes) {
  return field(number, Wire::bytes) + varint(bytes.size()) + std::string(bytes);
}

// Event: wall_time = 1 (double), step = 2 (int64); then one of file_version = 3, summary = 5, session_log = 7.
std::string event(double wall_time, int64_t step, const std::string& what) {
  return field(1, Wire::fixed64) + little_endian(wall_time) + field(2, Wire::varint) +
         varint(static_cast<uint64_t>(step)) + what;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

EventWriter::EventWriter(const std::filesystem::path& folder, int64_t first_step, double wall_time) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  // TensorBoard reads the files of a folder in the order of their names.
  path_ = folder / fmt::format("events.out.tfevents.{:.6f}.{}.{}", wall_time, host.data(), getpid());
  file_.reset(std::fopen(path_.c_str(), "wb"));
  if (!file_)
    throw IoError(fmt::format("{}: cannot be opened for writing: {}.", path_.string(), std::strerror(errno)));
  record(event(wall_time, 0, bytes_field(3, "brain.Event:2")));
  if (first_step > 1) {
    const std::string start = field(1, Wire::varint) + varint(1);  // SessionLog.status = START
    record(event(wall_time, first_step, bytes_field(7, start)));
  }
  flush();
}

void EventWriter::scalar(std::string_view tag, double value, int64_t step, double wall_time) {
  const std::string entry =
      bytes_field(1, tag) + field(2, Wire::fixed32) + little_endian(static_cast<float>(value));
  record(event(wall_time, step, bytes_field(5, bytes_field(1, entry))));
}

void EventWriter::flush() {
  if (std::fflush(file_.get()) != 0) {
    throw IoError(fmt::format("{}: cannot be written: {}.", path_.string(), std::strerror(errno)));
  }
}

void EventWriter::record(std::string_view payload) {
  const std::string length = little_endian(static_cast<uint64_t>(payload.size()));
  const std::string bytes = length + little_endian(masked_crc32c(length)) + std::string(payload) +
                            little_endian(masked_crc32c(payload));
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    throw IoError(fmt::format("{}: cannot be written: {}.", path_.string(), std::strerror(errno)));
  }
}

}  // namespace colossal::train
