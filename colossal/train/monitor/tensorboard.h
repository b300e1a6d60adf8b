// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files, written without protobuf: scalars only.
//
//   EventWriter events("runs/first/tensorboard", /*first_step=*/1);
//   events.scalar("train/loss", 10.8, /*step=*/1, /*wall_time=*/1.7e9);
//
// Not thread-safe. Format: TFRecord framing (length, masked CRC-32C of it, payload, masked CRC-32C of that) around
// serialized tensorflow.Event messages (tensorflow/core/util/event.proto).
#pragma once
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace colossal::train {

class EventWriter {
 public:
  // Starts a new file in `folder`. When a run resumes at `first_step`, TensorBoard is told to forget what older
  // files say from there on. IoError names the path.
  EventWriter(const std::filesystem::path& folder, int64_t first_step, double wall_time);

  // Buffered; NaN and Inf are shown as such.
  void scalar(std::string_view tag, double value, int64_t step, double wall_time);
  void flush();
  const std::filesystem::path& path() const { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void record(std::string_view payload);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), and the rotated and shifted form of TFRecord.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace colossal::train
