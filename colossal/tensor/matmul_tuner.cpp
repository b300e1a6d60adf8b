// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/matmul_tuner.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/file.h>
#include <torch/version.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <fstream>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include "colossal/base/error.h"
#include "colossal/base/file.h"

namespace colossal::tensor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSmallFlops = 5e7;     // below: the default, unasked
constexpr double kMeasuredFlops = 6e9;  // larger products are measured on fewer rows
constexpr double kMargin = 1.08;        // a kernel must be this much faster than the default
constexpr double kHopeless = 1.3;       // candidates this much slower than the best are measured once
constexpr double kBudgetSeconds = 6.0;  // measuring per process; after that the default is recorded
constexpr auto kLockPatience = std::chrono::seconds(20);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double flops(const MatmulCase& c, int64_t rows) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(c.in) * static_cast<double>(c.out);
}

// What a measurement is valid for: kernels to choose from, processor and library.
std::string machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string text = "2, " + at::get_cpu_capability() + " torch " + std::to_string(TORCH_VERSION_MAJOR) +
                     "." + std::to_string(TORCH_VERSION_MINOR) + "." + std::to_string(TORCH_VERSION_PATCH);
  for (std::string line; std::getline(cpuinfo, line) && !line.empty();) {
    for (const char* field : {"model name", "cpu family", "model\t", "stepping"}) {
      if (line.starts_with(field)) text += "; " + line.substr(line.find(':') + 2);
    }
  }
  return text;
}

uint64_t fnv1a(std::string_view text) {
  uint64_t h = 14695981039346656037ull;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

std::filesystem::path cache_folder() {
  if (const char* dir = std::getenv("COLOSSAL_CACHE_DIR")) return dir;
  if (const char* dir = std::getenv("XDG_CACHE_HOME")) return std::filesystem::path(dir) / "colossal";
  if (const char* dir = std::getenv("HOME")) return std::filesystem::path(dir) / ".cache" / "colossal";
  return {};
}

// An advisory lock on a file, released when the process dies.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    const auto start = Clock::now();
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (Clock::now() - start > kLockPatience) {
        ::close(fd_);
        fd_ = -1;
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    }
  }
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  bool held() const { return fd_ >= 0; }

 private:
  int fd_;
};

struct Key {
  MatmulOp op;
  c10::ScalarType dtype;
  int threads;
  int64_t rows, in, out;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  size_t operator()(const Key& k) const {
    uint64_t h = static_cast<uint64_t>(k.op) + 8 * static_cast<uint64_t>(k.dtype) +
                 1024 * static_cast<uint64_t>(k.threads);
    for (const int64_t n : {k.rows, k.in, k.out}) h = (h ^ static_cast<uint64_t>(n)) * 0x9e3779b97f4a7c15ull;
    return h ^ (h >> 32);
  }
};

class Tuner {
 public:
  static Tuner& process() {
    // Never destroyed: ranks may still multiply while the process ends.
    static auto* tuner = new Tuner;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
    return *tuner;
  }

  MatmulKernel choose(const MatmulCase& c, const std::function<std::vector<MatmulCandidate>()>& candidates,
                      MatmulKernel fallback) {
    if (flops(c, c.rows) == 0) return fallback;  // not every kernel takes empty matrices
    if (flops(c, c.rows) < kSmallFlops) return forced_ ? pick_forced(candidates(), fallback) : fallback;
    const Key key{c.op,
                  c.dtype,
                  at::get_num_threads(),
                  static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(c.rows))),
                  c.in,
                  c.out};
    {
      std::shared_lock lock(mutex_);
      if (const auto it = chosen_.find(key); it != chosen_.end()) return it->second;
    }
    std::unique_lock lock(mutex_);
    if (const auto it = chosen_.find(key); it != chosen_.end()) return it->second;
    const MatmulKernel kernel = decide(key, c, candidates(), fallback);
    chosen_.emplace(key, kernel);
    return kernel;
  }

  std::vector<MatmulChoice> choices() {
    std::shared_lock lock(mutex_);
    std::vector<MatmulChoice> out;
    for (const auto& [text, choice] : used_) out.push_back(choice);
    return out;
  }

 private:
  Tuner() : machine_(machine()) {
    if (const char* forced = std::getenv("COLOSSAL_MATMUL");
        forced != nullptr && std::string_view(forced) != "auto") {
      for (const MatmulKernel k : {MatmulKernel::aten, MatmulKernel::onednn, MatmulKernel::mkl,
                                   MatmulKernel::widen, MatmulKernel::blocks}) {
        if (std::string_view(forced) == name(k)) forced_ = k;
      }
    }
    const std::filesystem::path folder = cache_folder();
    std::error_code error;
    if (folder.empty() || (std::filesystem::create_directories(folder, error), error)) return;
    path_ = folder / fmt::format("matmul-{:016x}.json", fnv1a(machine_));
    load();
  }

  MatmulKernel pick_forced(const std::vector<MatmulCandidate>& candidates, MatmulKernel fallback) const {
    for (const auto& c : candidates) {
      if (c.kernel == *forced_) return c.kernel;
    }
    return fallback;
  }

  MatmulKernel decide(const Key& key, const MatmulCase& c, const std::vector<MatmulCandidate>& candidates,
                      MatmulKernel fallback) {
    const std::string text = fmt::format("{} {} {}x{}->{}, {} threads", name(c.op), c10::toString(c.dtype),
                                         key.rows, key.in, key.out, key.threads);
    MatmulChoice choice{text, name(fallback), {}};
    if (forced_) {
      choice.kernel = name(pick_forced(candidates, fallback));
    } else if (candidates.size() > 1 && !known_.contains(text) && !path_.empty()) {
      FileLock lock(path_.string() + ".lock");
      if (lock.held()) {
        load();  // another process may have measured it while we waited
        if (!known_.contains(text)) {
          measure(key, c, candidates, choice);
          known_[text] = choice;
          save();
        }
      }
    }
    if (const auto it = known_.find(text); !forced_ && it != known_.end()) choice = it->second;
    used_[text] = choice;
    for (const auto& candidate : candidates) {
      if (choice.kernel == name(candidate.kernel)) return candidate.kernel;
    }
    return fallback;
  }

  void measure(const Key& key, const MatmulCase& c, const std::vector<MatmulCandidate>& candidates,
               MatmulChoice& choice) {
    if (spent_seconds_ > kBudgetSeconds) return;
    const auto start = Clock::now();
    const double per_row = flops(c, 1);
    const int64_t rows = std::clamp<int64_t>(static_cast<int64_t>(kMeasuredFlops / per_row),
                                             std::min<int64_t>(64, c.rows), c.rows);
    std::vector<double> best(candidates.size(), INFINITY);
    for (int round = 0; round < 4; ++round) {  // interleaved; the first round warms up
      for (size_t i = 0; i < candidates.size(); ++i) {
        const double least = *std::min_element(best.begin(), best.end());
        if (round > 1 && best[i] > kHopeless * least) continue;
        const auto begin = Clock::now();
        candidates[i].multiply(rows);
        if (round > 0) best[i] = std::min(best[i], seconds_since(begin));
      }
    }
    size_t winner = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      choice.gflops.emplace_back(name(candidates[i].kernel), flops(c, rows) / best[i] * 1e-9);
      if (best[i] < best[winner] && best[i] * kMargin < best[0]) winner = i;
    }
    choice.kernel = name(candidates[winner].kernel);
    spent_seconds_ += seconds_since(start);
  }

  void load() {
    std::error_code error;
    if (!std::filesystem::exists(path_, error)) return;
    try {
      const auto json = nlohmann::json::parse(read_file(path_));
      if (json.at("machine") != machine_) return;
      for (const auto& [text, entry] : json.at("choices").items()) {
        MatmulChoice choice{text, entry.at("kernel").get<std::string>(), {}};
        for (const auto& [kernel, rate] : entry.at("gflops").items())
          choice.gflops.emplace_back(kernel, rate.get<double>());
        known_[text] = std::move(choice);
      }
    } catch (const std::exception&) {
      known_.clear();  // unreadable or foreign: measured afresh and overwritten
    }
  }

  void save() {
    nlohmann::json json{{"machine", machine_}, {"choices", nlohmann::json::object()}};
    for (const auto& [text, choice] : known_) {
      auto& entry = json["choices"][text] = {{"kernel", choice.kernel}, {"gflops", nlohmann::json::object()}};
      for (const auto& [kernel, rate] : choice.gflops) entry["gflops"][kernel] = rate;
    }
    try {
      write_file_durably(path_, json.dump(1));
    } catch (const IoError&) {
      known_.clear();  // not kept, so no other process could know: back to the default for all
      path_.clear();
    }
  }

  const std::string machine_;
  std::filesystem::path path_;  // empty: nothing can be kept
  std::optional<MatmulKernel> forced_;
  std::shared_mutex mutex_;
  std::unordered_map<Key, MatmulKernel, KeyHash> chosen_;
  std::map<std::string, MatmulChoice> known_;  // content of the file
  std::map<std::string, MatmulChoice> used_;
  double spent_seconds_ = 0;
};

}  // namespace

const char* name(MatmulOp op) {
  switch (op) {
    case MatmulOp::forward: return "forward";
    case MatmulOp::forward_wide: return "forward_wide";
    case MatmulOp::input_grad: return "input_grad";
    case MatmulOp::weight_grad: return "weight_grad";
    case MatmulOp::weight_grad_wide: return "weight_grad_wide";
  }
  return "";
}

const char* name(MatmulKernel kernel) {
  switch (kernel) {
    case MatmulKernel::aten: return "aten";
    case MatmulKernel::onednn: return "onednn";
    case MatmulKernel::mkl: return "mkl";
    case MatmulKernel::widen: return "widen";
    case MatmulKernel::blocks: return "blocks";
  }
  return "";
}

MatmulKernel choose_matmul(const MatmulCase& c,
                           const std::function<std::vector<MatmulCandidate>()>& candidates,
                           MatmulKernel fallback) {
  return Tuner::process().choose(c, candidates, fallback);
}

std::vector<MatmulChoice> matmul_choices() { return Tuner::process().choices(); }

}  // namespace colossal::tensor
