// SPDX-License-Identifier: Apache-2.0
// Event files, read back by a decoder that shares no code with the writer.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <tuple>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/train/monitor/run_folder.h"
#include "colossal/train/monitor/tensorboard.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;
using colossal::testing::ScratchFolder;

namespace {

// CRC-32C by its definition: polynomial division of the reflected bits.
uint32_t slow_crc(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const unsigned char byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t top = ((crc ^ (static_cast<uint32_t>(byte) >> bit)) & 1);
      crc >>= 1;
      if (top == 1) crc ^= 0x82f63b78;
    }
  }
  return crc ^ 0xffffffff;
}

uint32_t slow_mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8; }

template <class T>
T load(std::string_view& bytes) {
  REQUIRE(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

uint64_t load_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = load<unsigned char>(bytes);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string file_version, tag;
  float value = 0;
  bool starts_session = false;
};

std::string_view take(std::string_view& bytes) {
  const uint64_t size = load_varint(bytes);
  REQUIRE(bytes.size() >= size);
  const std::string_view part = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return part;
}

Event parse_event(std::string_view bytes) {
  Event event;
  while (!bytes.empty()) {
    switch (load_varint(bytes)) {
      case 1 << 3 | 1: event.wall_time = load<double>(bytes); break;
      case 2 << 3 | 0: event.step = static_cast<int64_t>(load_varint(bytes)); break;
      case 3 << 3 | 2: event.file_version = take(bytes); break;
      case 7 << 3 | 2: event.starts_session = take(bytes) == std::string_view("\x08\x01"); break;
      case 5 << 3 | 2: {
        std::string_view summary = take(bytes);
        REQUIRE(load_varint(summary) == (1 << 3 | 2));
        std::string_view value = take(summary);
        CHECK(summary.empty());
        REQUIRE(load_varint(value) == (1 << 3 | 2));
        event.tag = take(value);
        REQUIRE(load_varint(value) == (2 << 3 | 5));
        event.value = load<float>(value);
        CHECK(value.empty());
        break;
      }
      default: FAIL("a field that no event has");
    }
  }
  return event;
}

std::vector<Event> read_events(const std::filesystem::path& path) {
  const std::string content = read_file(path);
  std::string_view bytes = content;
  std::vector<Event> events;
  while (!bytes.empty()) {
    const std::string_view length_bytes = bytes.substr(0, 8);
    const auto length = load<uint64_t>(bytes);
    CHECK(load<uint32_t>(bytes) == slow_mask(slow_crc(length_bytes)));
    const std::string_view payload = bytes.substr(0, length);
    bytes.remove_prefix(length);
    CHECK(load<uint32_t>(bytes) == slow_mask(slow_crc(payload)));
    events.push_back(parse_event(payload));
  }
  return events;
}

}  // namespace

TEST_CASE("CRC-32C has its published values") {
  CHECK(crc32c("123456789") == 0xe3069283);            // the check value of the catalogue of CRCs
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(crc32c("") == 0);
  CHECK(slow_crc("123456789") == 0xe3069283);
}

TEST_CASE("scalars come back with tag, value, step and time") {
  const ScratchFolder folder;
  EventWriter writer(folder / "tb", 1, 1.7e9);
  writer.scalar("train/loss", 10.5, 1, 1.7e9 + 1);
  writer.scalar("train/loss", -0.25, 300, 1.7e9 + 2.5);  // a varint of two bytes
  writer.scalar(std::string(200, 't'), NAN, int64_t{1} << 40, 0);
  writer.flush();
  const std::vector<Event> events = read_events(writer.path());
  REQUIRE(events.size() == 4);
  CHECK(events[0].file_version == "brain.Event:2");
  CHECK(events[0].wall_time == 1.7e9);
  CHECK(events[1].tag == "train/loss");
  CHECK(events[1].value == 10.5f);
  CHECK(events[1].step == 1);
  CHECK(events[2].value == -0.25f);
  CHECK(events[2].step == 300);
  CHECK(events[2].wall_time == 1.7e9 + 2.5);
  CHECK(events[3].tag == std::string(200, 't'));
  CHECK(std::isnan(events[3].value));
  CHECK(events[3].step == int64_t{1} << 40);
  CHECK(writer.path().filename().string().starts_with("events.out.tfevents.1700000000.000000."));
}

TEST_CASE("a resumed run tells TensorBoard where it starts") {
  const ScratchFolder folder;
  const EventWriter writer(folder.path(), 501, 5);
  const std::vector<Event> events = read_events(writer.path());
  REQUIRE(events.size() == 2);
  CHECK(events[1].starts_session);
  CHECK(events[1].step == 501);
}

TEST_CASE("a folder that cannot be written is named") {
  CHECK_THROWS_WITH_AS(EventWriter("/proc/nowhere", 1, 0),
                       doctest::Contains("/proc/nowhere/events.out.tfevents.0.000000."), IoError);
}

TEST_CASE("a run writes every number of metrics.jsonl under its tag, step by step") {
  const ScratchFolder scratch;
  const RunConfig config = testing::small_run(
      scratch.path(), 1,
      {"train.steps=2", "run.tensorboard=true", "data.validation_fraction=0.3", "train.evaluate_every=2"});
  testing::run_trainer(config, Start::anew);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(RunFolder{config.run.output}.tensorboard()))
    files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  std::vector<std::tuple<int64_t, std::string, float>> expected, found;
  for (const StepMetrics& m : testing::outcome_of(config).steps) {
    const auto add = [&](const char* tag, double value) {
      expected.emplace_back(m.step, tag, static_cast<float>(value));
    };
    add("train/loss", m.loss);
    add("train/grad_norm", m.grad_norm);
    add("train/learning_rate", m.learning_rate);
    add("speed/step_seconds", m.step_seconds);
    add("speed/data_wait_seconds", m.data_wait_seconds);
    add("speed/communication_seconds", m.communication_seconds);
    add("memory/peak_bytes", static_cast<double>(m.peak_memory_bytes));
    if (m.step == 2) add("validation/loss", m.validation_loss.value());
  }
  std::vector<int64_t> speeds;
  const std::vector<Event> events = read_events(files[0]);
  CHECK(events.front().file_version == "brain.Event:2");
  for (size_t i = 1; i < events.size(); ++i) {
    const Event& event = events[i];
    CHECK(event.wall_time >= events[i - 1].wall_time);
    if (event.tag == "speed/tokens_per_second") {  // rounded in metrics.jsonl
      CHECK(event.value > 0);
      speeds.push_back(event.step);
    } else {
      found.emplace_back(event.step, event.tag, event.value);
    }
  }
  CHECK(speeds == std::vector<int64_t>{1, 2});
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(std::get<1>(expected[i]));
    const auto& [step, tag, value] = expected[i];
    CHECK(std::get<0>(found[i]) == step);
    CHECK(std::get<1>(found[i]) == tag);
    CHECK(std::get<2>(found[i]) ==
          doctest::Approx(value).epsilon(1e-6));  // metrics.jsonl rounds seconds to 7 digits
  }
}
