// SPDX-License-Identifier: Apache-2.0
// The local backend against Open MPI's shared memory: the same processes, the same buffers, taking turns.
//
//   mpirun -n 2 build/bench/bench_local_vs_mpi [--staged] [--op NAME] [--max-bytes N]
//
// fp32; `bytes` is the full tensor of each rank. A sample is the time per call over a batch, of the slowest rank; JSON lines
// in microseconds.
#include <ATen/Parallel.h>
#include <mpi.h>

#include <cstring>
#include <iostream>
#include <numeric>

#include "bench/timing.h"
#include "colossal/comm/backends/local/local_backend.h"

using namespace colossal;
using namespace colossal::comm;

namespace {

struct Sides {
  std::string op;
  std::function<void()> mpi;
  std::function<void()> local;
};

local::LocalBackend connect(int rank, int size, local::Reach::Way best) {
  std::vector<char> ticket(256);
  local::Place place;
  place.group = "world";
  place.index = rank;
  place.ranks.resize(size);
  std::iota(place.ranks.begin(), place.ranks.end(), 0);
  place.tell = [&](const std::string& text) {
    std::strncpy(ticket.data(), text.c_str(), ticket.size() - 1);
    MPI_Bcast(ticket.data(), 256, MPI_CHAR, 0, MPI_COMM_WORLD);
  };
  place.hear = [&] {
    MPI_Bcast(ticket.data(), 256, MPI_CHAR, 0, MPI_COMM_WORLD);
    return std::string(ticket.data());
  };
  return local::LocalBackend(place, best);
}

// Seconds per call of the slowest rank over a batch.
double sample(const std::function<void()>& call, int calls) {
  MPI_Barrier(MPI_COMM_WORLD);
  double seconds = bench::seconds_of([&] {
                     for (int i = 0; i < calls; ++i) call();
                   }) /
                   calls;
  MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return seconds;
}

// x and y are of the same size. Pairs of ranks 2k and 2k + 1 send to and fro.
std::vector<Sides> sides(local::LocalBackend& backend, int rank, int n, const at::Tensor& x,
                         const at::Tensor& y) {
  const int count = static_cast<int>(x.numel());
  float* a = x.data_ptr<float>();
  float* b = y.data_ptr<float>();
  const at::Tensor part = x.narrow(0, 0, count / n);
  const int peer = rank ^ 1;
  const auto to_and_fro = [rank](auto give, auto take) {
    return [=] {
      if (rank % 2 == 0) give();
      take();
      if (rank % 2 == 1) give();
    };
  };
  return {
      {"all_reduce", [=] { MPI_Allreduce(a, b, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
       [=, &backend] { backend.all_reduce(y, ReduceOp::sum)->wait(); }},
      {"all_reduce in place",
       [=] { MPI_Allreduce(MPI_IN_PLACE, b, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
       [=, &backend] { backend.all_reduce(y, ReduceOp::sum)->wait(); }},
      {"all_gather", [=] { MPI_Allgather(a, count / n, MPI_FLOAT, b, count / n, MPI_FLOAT, MPI_COMM_WORLD); },
       [=, &backend] { backend.all_gather(y, part)->wait(); }},
      {"reduce_scatter",
       [=] { MPI_Reduce_scatter_block(b, a, count / n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
       [=, &backend] { backend.reduce_scatter(part, y, ReduceOp::sum)->wait(); }},
      {"all_to_all", [=] { MPI_Alltoall(a, count / n, MPI_FLOAT, b, count / n, MPI_FLOAT, MPI_COMM_WORLD); },
       [=, &backend] { backend.all_to_all(y, x, {}, {})->wait(); }},
      {"broadcast", [=] { MPI_Bcast(b, count, MPI_FLOAT, 0, MPI_COMM_WORLD); },
       [=, &backend] { backend.broadcast(y, 0)->wait(); }},
      {"reduce", [=] { MPI_Reduce(a, b, count, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD); },
       [=, &backend] { backend.reduce(y, 0, ReduceOp::sum)->wait(); }},
      {"gather", [=] { MPI_Gather(a, count / n, MPI_FLOAT, b, count / n, MPI_FLOAT, 0, MPI_COMM_WORLD); },
       [=, &backend] { backend.gather(y, part, 0)->wait(); }},
      {"scatter", [=] { MPI_Scatter(b, count / n, MPI_FLOAT, a, count / n, MPI_FLOAT, 0, MPI_COMM_WORLD); },
       [=, &backend] { backend.scatter(part, y, 0)->wait(); }},
      {"send and recv",
       to_and_fro([=] { MPI_Send(a, count, MPI_FLOAT, peer, 0, MPI_COMM_WORLD); },
                  [=] { MPI_Recv(b, count, MPI_FLOAT, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE); }),
       to_and_fro(
           [=, &backend] {
             backend.transfer({{Transfer::Kind::send, x, peer}})->wait();
           },
           [=, &backend] {
             backend.transfer({{Transfer::Kind::recv, y, peer}})->wait();
           })},
  };
}

Json measure(const Sides& side, int ranks, int64_t bytes, int64_t repeats) {
  side.mpi();
  side.local();
  const int calls = static_cast<int>(std::clamp<int64_t>((int64_t{2} << 20) / bytes, 1, 100));
  bench::Samples mpi, local;
  for (int64_t i = 0; i < repeats; ++i) {
    mpi.add(sample(side.mpi, calls));
    local.add(sample(side.local, calls));
  }
  return {{"benchmark", "local_vs_mpi"},
          {"op", side.op},
          {"ranks", ranks},
          {"bytes", bytes},
          {"repeats", repeats},
          {"mpi_us", mpi.json(1e6)},
          {"local_us", local.json(1e6)},
          {"speedup", mpi.median() / local.median()},
          {"speedup_of_min", mpi.min() / local.min()}};
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  at::set_num_threads(1);
  auto best = local::Reach::Way::processes;
  int64_t max_bytes = 64 << 20;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--staged") {
      best = local::Reach::Way::none;
    } else if (arg == "--max-bytes" && i + 1 < argc) {
      max_bytes = std::stoll(argv[++i]);
    } else if (arg == "--op" && i + 1 < argc) {
      only = argv[++i];
    }
  }
  {
    local::LocalBackend backend = connect(rank, size, best);
    for (int64_t bytes = 4096; bytes <= max_bytes; bytes *= 4) {
      const at::Tensor x = at::zeros({bytes / 4}), y = at::zeros({bytes / 4});
      for (const Sides& side : sides(backend, rank, size, x, y)) {
        if (only.empty() || side.op == only) {
          const Json row = measure(side, size, bytes, bytes >= (16 << 20) ? 9 : 41);
          if (rank == 0) std::cout << row.dump() << std::endl;
        }
      }
    }
  }
  MPI_Finalize();
}
