// SPDX-License-Identifier: Apache-2.0
// How long training waits for data, and how fast data could come at most.
//
//   build/bench/bench_loader [--mib 64] [--steps 100] [--step-seconds 0.25]
//
// Text (.jsonl.gz) is made here, opened as a run opens it (tokens go to a file once), and read by the loader that a run uses: 16
// sequences of 256 tokens per step, shuffled. While the consumer "trains", matrix products keep all cores busy, so the prefetch
// thread has to find its time beside them. "Most" is the rate without a consumer. JSON lines.
#include "colossal/data/loader.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>
#include <zlib.h>

#include "bench/timing.h"
#include "colossal/data/open_data.h"

using namespace colossal;
namespace fs = std::filesystem;

namespace {

struct Options {
  int64_t mib = 64;
  int64_t steps = 100;
  double step_seconds = 0.25;
};

constexpr int64_t kSequence = 256, kBatch = 16;

// Documents of about 4 KiB: words of a small vocabulary, as regular as text for gzip.
void write_text(const fs::path& path, int64_t bytes) {
  gzFile file = gzopen(path.c_str(), "wb1");
  uint64_t state = 1;
  const auto random = [&] { return (state = state * 6364136223846793005ull + 1442695040888963407ull) >> 33; };
  for (int64_t written = 0; written < bytes;) {
    std::string line = "{\"text\": \"";
    while (line.size() < 4096) {
      for (uint64_t n = 1 + random() % 8, seed = random() % 5000; n > 0; --n, seed /= 3)
        line += static_cast<char>('a' + (seed + n) % 26);
      line += ' ';
    }
    line += "\"}\n";
    gzwrite(file, line.data(), static_cast<unsigned>(line.size()));
    written += static_cast<int64_t>(line.size());
  }
  gzclose(file);
}

data::Loader make_loader(const data::Datasets& datasets) {
  return data::Loader(datasets.train,
                      {.split = {.global_batch_size = kBatch, .microbatch_size = kBatch}, .seed = 1});
}

void drain(const std::string& source, const data::Datasets& datasets, int64_t steps) {
  bench::Samples seconds;
  for (int r = 0; r < 5; ++r) {
    data::Loader loader = make_loader(datasets);
    loader.next_step();
    seconds.add(bench::seconds_of([&] {
      for (int64_t i = 0; i < steps; ++i) loader.next_step();
    }));
  }
  const auto tokens = static_cast<double>(steps * kBatch * kSequence);
  fmt::print("{}\n", Json{{"benchmark", "loader"},
                          {"measure", "most"},
                          {"source", source},
                          {"seconds", seconds.json()},
                          {"tokens_per_second", tokens / seconds.median()}}
                         .dump());
}

// Matrix products on all cores until the time of a step is over.
void compute(double seconds, const at::Tensor& a, at::Tensor& out) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) at::mm_out(out, a, a);
}

void train(const std::string& source, const data::Datasets& datasets, const Options& options) {
  const at::Tensor a = at::ones({512, 512});
  at::Tensor out = at::empty({512, 512});
  data::Loader loader = make_loader(datasets);
  bench::Samples waits, steps;
  for (int64_t i = 0; i < options.steps; ++i) {
    steps.add(bench::seconds_of([&] {
      loader.next_step();
      compute(options.step_seconds, a, out);
    }));
    waits.add(loader.take_wait_seconds());
  }
  fmt::print("{}\n", Json{{"benchmark", "loader"},
                          {"measure", "stall"},
                          {"source", source},
                          {"step_seconds", steps.json()},
                          {"tokens_per_second", kBatch * kSequence / steps.median()},
                          {"wait_seconds", waits.json()},
                          {"mean_wait_seconds", waits.mean()},
                          {"share_of_step", waits.mean() / steps.mean()}}
                         .dump());
}

void measure(const fs::path& folder, const Options& options) {
  const std::string text = folder / "text.jsonl.gz";
  write_text(text, options.mib << 20);
  data::DataOptions data_options{.train = {text}, .sequence_length = kSequence};
  data_options.tokenize.cache = folder / "tokens";
  data_options.tokenize.threads = at::get_num_threads();
  data_options.tokenize.on_file = [](const data::TokenizeProgress& p) {
    fmt::print("{}\n", Json{{"benchmark", "loader"},
                            {"measure", "tokenize"},
                            {"source", "jsonl.gz"},
                            {"text_bytes", p.text_bytes},
                            {"seconds", p.seconds},
                            {"tokens_per_second", static_cast<double>(p.tokens) / p.seconds}}
                           .dump());
  };
  const data::Datasets from_text = data::open_data(data_options);
  const data::Datasets synthetic = data::open_data({.train = {"synthetic"}, .sequence_length = kSequence});
  for (const auto& [name, datasets] : {std::pair{"jsonl.gz", from_text}, std::pair{"synthetic", synthetic}}) {
    drain(name, datasets, 1000);
    train(name, datasets, options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view arg = argv[i];
    if (arg == "--mib") options.mib = std::stoll(argv[i + 1]);
    if (arg == "--steps") options.steps = std::stoll(argv[i + 1]);
    if (arg == "--step-seconds") options.step_seconds = std::stod(argv[i + 1]);
  }
  const fs::path folder = fs::temp_directory_path() / fmt::format("bench-loader-{}", ::getpid());
  fs::create_directories(folder);
  measure(folder, options);
  fs::remove_all(folder);
}
