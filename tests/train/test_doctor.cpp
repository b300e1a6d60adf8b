// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/train/doctor.h"

using namespace colossal::train;

TEST_CASE("doctor warns of more ranks than cores, of more threads than cores, and of two OpenMP runtimes") {
  using Warnings = std::vector<std::string>;
  const std::set<std::string> one = {"/torch/lib/libgomp.so.1"};
  CHECK(machine_warnings(4, 2, 8, one) == Warnings{});
  CHECK(machine_warnings(9, 1, 8, one) ==
        Warnings{"9 ranks on 8 cores wait for one another: start at most 8"});
  CHECK(machine_warnings(1, 9, 8, one) ==
        Warnings{"1 rank x 9 threads on 8 cores: set OMP_NUM_THREADS to 8"});
  CHECK(machine_warnings(3, 4, 8, one) ==
        Warnings{"3 ranks x 4 threads on 8 cores: set OMP_NUM_THREADS to 2"});
  CHECK(machine_warnings(16, 4, 8, {"/torch/lib/libgomp.so.1", "/usr/lib/libiomp5.so"}) ==
        Warnings{"2 OpenMP runtimes are loaded (/torch/lib/libgomp.so.1, /usr/lib/libiomp5.so); there must "
                 "be one, or threads fight for cores",
                 "16 ranks on 8 cores wait for one another: start at most 8"});
  CHECK(cores_warning(2, 4096, 8, "run.threads") ==
        "2 ranks x 4096 threads on 8 cores: set run.threads to 4");
  CHECK(cores_warning(2, 4, 8, "run.threads") == std::nullopt);
  CHECK(MachineReport{{{"cores", "8"}}, {"too many ranks"}}.text() ==
        "cores                    8\nwarning: too many ranks\n");
  CHECK(MachineReport{{{"cores", "8"}}, {}}.text() == "cores                    8\nnothing is wrong\n");
}
