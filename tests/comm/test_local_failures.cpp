// SPDX-License-Identifier: Apache-2.0
// What the members of a local group say when something is wrong, and that every one of them says it.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "colossal/base/error.h"
#include "local_cases.h"

using namespace colossal;
using namespace colossal::comm;
using namespace colossal::comm::local;

namespace {

at::Tensor ones(int64_t count, at::ScalarType dtype = at::kFloat) {
  return filled(count, dtype, [](int64_t) { return 1.0; });
}

void check_all(const std::vector<std::string>& errors, const std::string& text) {
  for (const std::string& error : errors) {
    CHECK(error == text);
  }
}

}  // namespace

TEST_CASE("different requests") {
  check_all(
      local_threads(2,
                    [](LocalBackend& backend, int index) {
                      if (index == 0) {
                        backend.all_reduce(ones(16), ReduceOp::sum)->wait();
                      } else {
                        backend.broadcast(ones(16), 1)->wait();
                      }
                    }),
      "#3 on \"data\": the members ask for different things: rank 0 all_reduce(sum) of 16 x Float, rank 1 "
      "broadcast of 16 x Float with root 1. All must call the same operation with the same dtype and sizes.");
  check_all(
      local_threads(
          3,
          [](LocalBackend& backend, int index) {
            backend.all_reduce(ones(100'000, index == 1 ? at::kInt : at::kFloat), ReduceOp::max)->wait();
          }),
      "#3 on \"data\": the members ask for different things: rank 0 all_reduce(max) of 100000 x Float, rank "
      "1 "
      "all_reduce(max) of 100000 x Int, rank 2 all_reduce(max) of 100000 x Float. All must call the same "
      "operation with the same dtype and sizes.");
}

TEST_CASE("splits and messages that do not fit") {
  check_all(
      local_threads(
          2,
          [](LocalBackend& backend, int index) {
            const std::vector<int64_t> in =
                index == 0 ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{1, 1};
            backend.all_to_all(at::empty({2, 5}), at::empty({in[0] + in[1], 5}), {1, 1}, in)->wait();
          }),
      "all_to_all #3 on \"data\": rank 0 sends 2 rows to rank 1, which expects 1. Both sides must agree.");
  check_all(
      local_threads(2,
                    [](LocalBackend& backend, int index) {
                      const auto kind = index == 0 ? Transfer::Kind::send : Transfer::Kind::recv;
                      backend.transfer({{kind, ones(index == 0 ? 200'000 : 12), 1 - index}})->wait();
                    }),
      "recv #1 on \"data\": rank 0 sends 200000 x Float, rank 1 expects 12 x Float. Both sides must agree.");
}

TEST_CASE("reductions that do not exist") {
  const std::string allowed =
      "Allowed: sum, max, min of Double, Float, Half, BFloat16, Long, Int, Short, Char, Byte and Bool; avg "
      "of the first "
      "four.";
  check_all(local_threads(2, [](LocalBackend& backend,
                                int) { backend.all_reduce(ones(4, at::kLong), ReduceOp::avg)->wait(); }),
            "reduction: no avg of Long. " + allowed);
}

TEST_CASE("a member that leaves, is late, gives up") {
  CHECK(local_threads(2, [](LocalBackend& backend, int index) {
          if (index == 0) {
            backend.barrier()->wait();
          }
        }).front() == "barrier #3 on \"data\": rank 1 left the group.");
  std::atomic<bool> over{false};
  std::vector<std::string> errors =
      local_threads(2,
                    [&](LocalBackend& backend, int index) {
                      if (index == 0) {
                        try {
                          backend.all_reduce(ones(100'000), ReduceOp::sum)->wait();
                        } catch (...) {
                          over = true;
                          over.notify_all();
                          throw;
                        }
                      } else {
                        over.wait(false);
                      }
                    },
                    {.timeout = std::chrono::milliseconds(200)});
  CHECK(errors[0] == "all_reduce #3 on \"data\": rank 0 waited 0.2 s for rank 1.");
  // abort() from another thread ends a wait, and every later call; the peer hears of it.
  errors = local_threads(2, [&](LocalBackend& backend, int index) {
    if (index == 0) {
      std::thread other([&] { backend.abort(); });
      try {
        backend.barrier()->wait();
      } catch (const CommError&) {
      }
      other.join();
      backend.all_reduce(ones(1), ReduceOp::sum)->wait();
    } else {
      backend.barrier()->wait();
      backend.barrier()->wait();
    }
  });
  CHECK(errors[0].ends_with("the group has failed: group \"data\": rank 0 gave up."));
  CHECK(errors[1] == "group \"data\": rank 0 gave up.");
}

TEST_CASE("who does not join is named") {
  const std::vector<std::string> errors = local_threads(
      1, [](LocalBackend&, int) {}, {.connect_timeout = std::chrono::milliseconds(50), .absent = 2});
  CHECK(errors[0] == "local backend: group \"data\": rank 1, rank 2 did not join within 0.1 s.");
}

TEST_CASE("sums of half precision are rounded once and are the same bits everywhere") {
  // 256 + 1 + 1 in bf16: rounding after every step would stay at 256.
  for (const int n : {3, 6}) {
    check_all(local_threads(n,
                            [&](LocalBackend& backend, int index) {
                              for (const int64_t count : {5, 40'000}) {
                                at::Tensor x = filled(count, at::kBFloat16,
                                                      [&](int64_t) { return index == 0 ? 256.0 : 1.0; });
                                backend.all_reduce(x, ReduceOp::sum)->wait();
                                const double wanted = n == 3 ? 258 : 260;  // 261 lies between 260 and 262
                                if (x[count - 1].item<double>() != wanted) {
                                  throw Error(fmt::format("{}", x[count - 1].item<double>()));
                                }
                              }
                            }),
              "");
  }
}
