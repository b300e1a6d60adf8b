// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "colossal/base/text.h"
#include "colossal/train/monitor/progress.h"

using namespace colossal;
using namespace colossal::train;

namespace {

int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

ProgressState full_state() {
  ProgressState s;
  s.metrics = {.step = 412, .loss = 3.21449, .grad_norm = 0.8123, .learning_rate = 2.9e-4};
  s.metrics.peak_memory_bytes = int64_t{1288490189};
  s.total_steps = 1000;
  s.load_per_second = 12345;
  s.peak_share = 0.381;
  s.eta_seconds = 130.2;
  return s;
}

// What a program that writes to `fd` of a pipe or terminal leaves there to read.
std::string drain(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string all;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = read(fd, buffer.data(), buffer.size())) > 0;)
    all.append(buffer.data(), static_cast<size_t>(n));
  return all;
}

}  // namespace

TEST_CASE("the bar says everything where there is room") {
  CHECK(bar_line(full_state(), 140, Glyphs::unicode) ==
        " 412/1000 ━━━━━━━━━━━━────────────────── 41%  loss 3.2145  grad 0.812  lr 2.90e-04  12.3k tok/s  "
        "38% of peak  "
        "1.2 GiB  ETA 2m 10s");
  CHECK(bar_line(full_state(), 107, Glyphs::ascii) ==
        " 412/1000 ###..... 41%  loss 3.2145  grad 0.812  lr 2.90e-04  12.3k tok/s  38% of peak  1.2 GiB  "
        "ETA 2m 10s");
}

TEST_CASE("narrow terminals get the essentials, never a longer line") {
  for (int width = 0; width <= 160; ++width) {
    for (const Glyphs glyphs : {Glyphs::unicode, Glyphs::ascii}) {
      CAPTURE(width);
      CHECK(columns(bar_line(full_state(), width, glyphs)) <= width);
    }
  }
  CHECK(bar_line(full_state(), 80, Glyphs::ascii) ==
        " 412/1000 ######-......... 41%  loss 3.2145  grad 0.812  12.3k tok/s  ETA 2m 10s");
  CHECK(bar_line(full_state(), 40, Glyphs::ascii) == " 412/1000  loss 3.2145  12.3k tok/s");
  CHECK(bar_line(full_state(), 24, Glyphs::ascii) == " 412/1000  loss 3.2145");
}

TEST_CASE("parts of the loss stand behind it, all or none") {
  ProgressState s = full_state();
  s.metrics.parts["masked_lm"].loss = 2.52;
  s.metrics.parts["next_sentence"].loss = 0.69449;
  CHECK(
      plain_line(s).starts_with("step 412/1000  loss 3.2145  masked lm 2.5200  next sentence 0.6945  grad "));
  CHECK(bar_line(s, 111, Glyphs::ascii).ends_with(" 41%  loss 3.2145  grad 0.812  12.3k tok/s  ETA 2m 10s"));
  CHECK(bar_line(s, 112, Glyphs::ascii)
            .ends_with(" 41%  loss 3.2145  masked lm 2.5200  next sentence 0.6945  grad 0.812  12.3k tok/s  "
                       "ETA 2m 10s"));
}

TEST_CASE("unknown numbers are left out, a bad loss is not") {
  ProgressState s;
  s.metrics = {.step = 1000, .loss = NAN, .learning_rate = 1e-3};
  s.metrics.applied = false;
  s.total_steps = 1000;
  CHECK(plain_line(s) == "step 1000/1000  loss nan  skipped  lr 1.00e-03");
  CHECK(bar_line(s, 60, Glyphs::ascii).find(" 100%  loss nan  skipped") != std::string::npos);
}

TEST_CASE("a pipe gets plain lines, about fifty of them") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  {
    Progress progress({.total_steps = 1000, .load = {.samples = 100}, .fd = ends[1]});
    for (int64_t step = 1; step <= 1000; ++step) {
      StepMetrics m{.step = step, .loss = 2.0};
      m.step_seconds = step == 1 ? 60.0 : 0.1;  // the slow first step does not spoil the estimate
      progress.step(m);
      if (step == 20) progress.note("checkpoint saved");
    }
  }
  const std::string text = drain(ends[0]);
  const auto lines = split(text, '\n');
  CHECK(lines.size() == 1 + 50 + 1 + 1);  // step 1, every 20th, the note, and the empty end
  CHECK(lines[1] == "step 20/1000  loss 2.0000  lr 0.00e+00  1.0k tok/s  ETA 1m 38s");
  CHECK(lines[2] == "checkpoint saved");
  CHECK(text.find('\033') == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("lines come as often as asked for, the first and the last always") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  {
    Progress progress({.total_steps = 10, .lines_every = 4, .fd = ends[1]});
    for (int64_t step = 1; step <= 10; ++step) progress.step({.step = step, .loss = 1});
  }
  const auto lines = split(drain(ends[0]), '\n');
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].starts_with("step 1/10 "));
  CHECK(lines[1].starts_with("step 4/10 "));
  CHECK(lines[2].starts_with("step 8/10 "));
  CHECK(lines[3].starts_with("step 10/10 "));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("a terminal gets one line that keeps to its width, redrawn at most ten times a second") {
  int outer = -1, inner = -1;
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 50;
  REQUIRE(openpty(&outer, &inner, nullptr, nullptr, &size) == 0);
  double now = 0;
  {
    Progress progress({.total_steps = 100, .style = ProgressStyle::bar, .fd = inner}, [&] { return now; });
    for (int64_t step = 1; step <= 100; ++step) {
      now += 0.01;
      StepMetrics m{.step = step, .loss = 1.0, .grad_norm = 1.0};
      progress.step(m);
    }
    progress.note("saved");
  }
  const std::string text = drain(outer);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);  // behind the note and at the end
  int draws = 0;
  for (const std::string& part : split(text, '\r')) {
    const size_t end = part.find("\033[K");
    if (end == std::string::npos || end == 0) continue;
    ++draws;
    CHECK(columns(part.substr(0, end)) <= 49);
  }
  CHECK(draws >= 10);
  CHECK(draws <= 14);
  CHECK(text.find("100/100") != std::string::npos);
  close(outer);
  close(inner);
}

TEST_CASE("style none is silent") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  {
    Progress progress({.total_steps = 1, .style = ProgressStyle::none, .fd = ends[1]});
    progress.step({.step = 1, .loss = 1});
    progress.note("nothing");
  }
  CHECK(drain(ends[0]).empty());
  close(ends[0]);
  close(ends[1]);
}
