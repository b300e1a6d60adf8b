// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "colossal/base/text.h"

namespace colossal::train {
namespace {

constexpr size_t kRecentSteps = 20;
constexpr double kRedrawSeconds = 0.1;
constexpr int kLeastBar = 8, kLargestBar = 30;

// Columns of text that holds no wide characters: code points.
int columns(std::string_view text) {
  return static_cast<int>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string bar(double share, int width, Glyphs glyphs) {
  const bool ascii = glyphs == Glyphs::ascii;
  const int halves = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * width * 2));
  std::string text;
  for (int i = 0; i < width; ++i) {
    if (halves >= 2 * i + 2)
      text += ascii ? "#" : "━";
    else if (halves == 2 * i + 1)
      text += ascii ? "-" : "╸";
    else
      text += ascii ? "." : "─";
  }
  return text;
}

std::string loss_text(double loss) {
  if (!std::isfinite(loss)) return "nan";
  return std::abs(loss) < 1e4 ? fmt::format("{:.4f}", loss) : fmt::format("{:.3g}", loss);
}

std::string rate_text(double per_second, Load::Kind kind) {
  return human_count(per_second) + (kind == Load::Kind::images ? " img/s" : " tok/s");
}

struct Part {
  int rank;  // 0 stays longest
  std::string text;
};

std::vector<Part> parts_of(const ProgressState& s) {
  const StepMetrics& m = s.metrics;
  std::vector<Part> parts;
  parts.push_back({0, fmt::format("loss {}", loss_text(m.loss))});
  std::vector<std::string> losses;
  for (const auto& [name, part] : m.parts)
    losses.push_back(fmt::format("{} {}", readable(name), loss_text(part.loss)));
  if (!losses.empty()) parts.push_back({5, join(losses, "  ")});
  if (!m.applied) parts.push_back({1, "skipped"});
  if (std::isfinite(m.grad_norm)) parts.push_back({4, fmt::format("grad {:.3g}", m.grad_norm)});
  parts.push_back({6, fmt::format("lr {:.2e}", m.learning_rate)});
  if (s.load_per_second > 0) parts.push_back({2, rate_text(s.load_per_second, m.kind)});
  if (s.peak_share > 0) parts.push_back({7, fmt::format("{:.0f}% of peak", 100 * s.peak_share)});
  if (m.peak_memory_bytes > 0) parts.push_back({8, human_bytes(static_cast<double>(m.peak_memory_bytes))});
  if (m.step < s.total_steps && s.eta_seconds > 0) {
    parts.push_back({3, "ETA " + human_seconds(std::max(1.0, std::round(s.eta_seconds)))});
  }
  return parts;
}

std::string joined(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) text += "  " + part.text;
  return text;
}

bool wants_unicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view text(value);
    return text.find("UTF-8") != text.npos || text.find("utf8") != text.npos ||
           text.find("UTF8") != text.npos;
  }
  return false;
}

// About fifty lines for a whole run: 1, 2, 5, 10, 20, ... steps apart.
int64_t plain_interval(int64_t total_steps) {
  for (int64_t unit = 1;; unit *= 10) {
    for (const int64_t interval : {unit, 2 * unit, 5 * unit}) {
      if (total_steps / interval <= 50) return interval;
    }
  }
}

}  // namespace

std::string bar_line(const ProgressState& s, int width, Glyphs glyphs) {
  const double share =
      static_cast<double>(s.metrics.step) / static_cast<double>(std::max<int64_t>(1, s.total_steps));
  const std::string count =
      fmt::format("{:>{}}/{}", s.metrics.step, fmt::formatted_size("{}", s.total_steps), s.total_steps);
  const std::string percent = fmt::format(" {:.0f}%", std::floor(100 * share));
  std::vector<Part> parts = parts_of(s);
  const auto needed = [&](int bar_width) {
    return columns(count) + (bar_width > 0 ? 1 + bar_width + columns(percent) : 0) + columns(joined(parts));
  };
  // First the bar shrinks, then the least important parts go, then the bar.
  while (!parts.empty() && needed(kLeastBar) > width && parts.size() > 4) {
    parts.erase(std::ranges::max_element(parts, {}, &Part::rank));
  }
  int bar_width = std::min(kLargestBar, kLeastBar + width - needed(kLeastBar));
  if (bar_width < kLeastBar) bar_width = 0;
  while (!parts.empty() && needed(bar_width) > width)
    parts.erase(std::ranges::max_element(parts, {}, &Part::rank));
  std::string line = count;
  if (bar_width > 0) line += " " + bar(share, bar_width, glyphs) + percent;
  line += joined(parts);
  if (columns(line) > width) line = line.substr(0, static_cast<size_t>(std::max(0, width)));  // ASCII by now
  return line;
}

std::string plain_line(const ProgressState& s) {
  return fmt::format("step {}/{}{}", s.metrics.step, s.total_steps, joined(parts_of(s)));
}

Progress::Progress(ProgressOptions options, Clock clock)
    : options_(options),
      clock_(std::move(clock)),
      lines_every_(options.lines_every > 0 ? options.lines_every : plain_interval(options.total_steps)) {
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  bar_ = options_.style == ProgressStyle::bar ||
         (options_.style == ProgressStyle::automatic && isatty(options_.fd) == 1 && !dumb);
  if (!wants_unicode()) glyphs_ = Glyphs::ascii;
}

Progress::~Progress() { finish(); }

double Progress::steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ProgressState Progress::state(const StepMetrics& metrics) const {
  ProgressState s{metrics, options_.total_steps, metrics.load_per_second, 0, 0};
  const auto items = static_cast<double>(options_.load.items());
  if (!recent_seconds_.empty()) {
    // The median: an evaluation or a save between two steps does not shake the estimate.
    std::vector<double> sorted(recent_seconds_.begin(), recent_seconds_.end());
    std::ranges::nth_element(sorted, sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2));
    const double typical = sorted[sorted.size() / 2];
    s.eta_seconds = typical * static_cast<double>(options_.total_steps - metrics.step);
    if (items > 0 && typical > 0) s.load_per_second = items / typical;
  }
  if (options_.peak_flops > 0 && items > 0)
    s.peak_share = options_.load.flops / items * s.load_per_second / options_.peak_flops;
  return s;
}

void Progress::step(const StepMetrics& metrics) {
  if (options_.style == ProgressStyle::none) return;
  // The first step warms caches up; it says nothing about the others.
  if (!first_ && metrics.step_seconds > 0) recent_seconds_.push_back(metrics.step_seconds);
  if (recent_seconds_.size() > kRecentSteps) recent_seconds_.pop_front();
  state_ = state(metrics);
  const bool last = metrics.step >= options_.total_steps;
  if (bar_) {
    const double now = clock_();
    if (first_ || last || now - drawn_at_ >= kRedrawSeconds) {
      drawn_at_ = now;
      draw();
    }
  } else if (first_ || last || metrics.step % lines_every_ == 0) {
    write(plain_line(state_) + "\n");
  }
  first_ = false;
}

void Progress::note(std::string_view text) {
  if (options_.style == ProgressStyle::none) return;
  if (!bar_) {
    write(std::string(text) + "\n");
    return;
  }
  if (on_screen_) write("\r\033[K");
  write(std::string(text) + "\n");
  if (on_screen_) draw();
}

void Progress::finish() {
  if (!on_screen_) return;
  draw();
  write("\n");
  on_screen_ = false;
}

void Progress::draw() {
  write("\r" + bar_line(state_, width(), glyphs_) + "\033[K");
  on_screen_ = true;
}

// One column less than the terminal has: a full line would wrap on some.
int Progress::width() const {
  winsize size{};
  if (ioctl(options_.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col - 1;
  return 99;
}

void Progress::write(const std::string& text) const {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(options_.fd, text.data() + written, text.size() - written);
    if (count <= 0) return;  // a closed terminal must not end a run
    written += static_cast<size_t>(count);
  }
}

}  // namespace colossal::train
