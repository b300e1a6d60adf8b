// SPDX-License-Identifier: Apache-2.0
// Saving and loading a checkpoint against the bandwidth of the disk in the same run.
//
//   build/bench/bench_checkpoint [--folder DIR = .] [--mib 1024] [--repeats 5]
//
// fp32 tensors of 16 MiB on one rank. The disk's side is a plain loop: write() of the same bytes and fsync; read() into the same
// tensors. Cold reads come after the pages were dropped from the cache (posix_fadvise), warm ones find them there. Everything that
// is dirty is written back before each sample, and old files are removed outside of the clock. Sides take turns; JSON lines.
#include <ATen/Parallel.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench/timing.h"
#include "colossal/base/error.h"
#include "colossal/checkpoint/store.h"
#include "colossal/tensor/allocator.h"

using namespace colossal;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kTensorBytes = int64_t{16} << 20;

using Tensors = std::vector<checkpoint::NamedTensor>;

Tensors make_tensors(int64_t count) {
  Tensors tensors;
  for (int64_t i = 0; i < count; ++i) {
    const tensor::Shape shape{4096, kTensorBytes / 4 / 4096};
    const at::Tensor x = at::arange(kTensorBytes / 4, at::kFloat).add_(static_cast<double>(i)).view(shape);
    tensors.push_back({"w" + std::to_string(i), x, tensor::Layout::replicated(shape, {})});
  }
  return tensors;
}

class File {
 public:
  File(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    check(fd_ >= 0, "open");
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  int fd() const { return fd_; }
  static void check(bool good, const char* what) {
    if (!good) throw IoError(fmt::format("{}: {}", what, std::strerror(errno)));
  }

 private:
  int fd_;
};

void write_plainly(const fs::path& path, const Tensors& tensors) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  for (const auto& t : tensors) {
    File::check(::write(file.fd(), t.local.const_data_ptr(), kTensorBytes) == kTensorBytes, "write");
  }
  File::check(::fsync(file.fd()) == 0, "fsync");
}

void read_plainly(const fs::path& path, const Tensors& tensors) {
  const File file(path, O_RDONLY);
  for (const auto& t : tensors) {
    File::check(::read(file.fd(), t.local.data_ptr(), kTensorBytes) == kTensorBytes, "read");
  }
}

// Not even root can drop pages that are dirty or mapped; here none is.
void drop_pages(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const File file(entry.path(), O_RDONLY);
    File::check(::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
  }
}

struct Side {
  std::string name;
  bench::Samples seconds = {};
};

void print(const std::string& what, int64_t bytes, const Side& disk, const Side& ours) {
  const auto rate = [&](const Side& side) {
    return static_cast<double>(bytes) / side.seconds.median() / (1 << 20);
  };
  fmt::print("{}\n", Json{{"benchmark", "checkpoint"},
                          {"operation", what},
                          {"bytes", bytes},
                          {"threads", at::get_num_threads()},
                          {disk.name, disk.seconds.json()},
                          {ours.name, ours.seconds.json()},
                          {"disk_mib_per_second", rate(disk)},
                          {"mib_per_second", rate(ours)},
                          {"times_the_disk", ours.seconds.median() / disk.seconds.median()}}
                         .dump());
}

void measure(const fs::path& folder, int64_t mib, int repeats) {
  const Tensors tensors = make_tensors(mib * (1 << 20) / kTensorBytes);
  const int64_t bytes = static_cast<int64_t>(tensors.size()) * kTensorBytes;
  const fs::path plain = folder / "plain";
  Side write{"write_seconds"}, save{"save_seconds"};
  fs::path saved;
  for (int r = 0; r < repeats; ++r) {
    fs::remove(plain);
    ::sync();
    write.seconds.add(bench::seconds_of([&] { write_plainly(plain, tensors); }));
    fs::remove_all(folder / "checkpoints");
    ::sync();
    save.seconds.add(bench::seconds_of([&] {
      saved =
          checkpoint::save({.folder = folder / "checkpoints", .step = r, .tensors = tensors}, comm::Group());
    }));
  }
  print("save", bytes, write, save);

  for (const bool cold : {true, false}) {
    Side read{"read_seconds"}, load{"load_seconds"};
    const auto prepare = [&] {
      if (cold) drop_pages(folder);
    };
    for (int r = cold ? 0 : -1; r < repeats; ++r) {  // the first round fills the cache for the warm ones
      prepare();
      const double reading = bench::seconds_of([&] { read_plainly(plain, tensors); });
      prepare();
      const double loading = bench::seconds_of([&] {
        const checkpoint::Checkpoint opened(saved);
        for (const auto& t : tensors) opened.read_into(t, 0);
      });
      if (r < 0) continue;
      read.seconds.add(reading);
      load.seconds.add(loading);
    }
    print(cold ? "load, cold" : "load, warm", bytes, read, load);
  }
}

}  // namespace

int main(int argc, char** argv) {
  fs::path parent = ".";
  int64_t mib = 1024;
  int repeats = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view arg = argv[i];
    if (arg == "--folder") parent = argv[i + 1];
    if (arg == "--mib") mib = std::stoll(argv[i + 1]);
    if (arg == "--repeats") repeats = std::stoi(argv[i + 1]);
  }
  tensor::install_caching_allocator();
  const fs::path folder = parent / fmt::format("bench-checkpoint-{}", ::getpid());
  fs::create_directories(folder);
  measure(folder, mib, repeats);
  fs::remove_all(folder);
}
