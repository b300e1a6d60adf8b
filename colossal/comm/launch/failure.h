// SPDX-License-Identifier: Apache-2.0
// How a program of many ranks ends with an error: every message once over all ranks, and the right exit code.
//
//   std::shared_ptr<World> world;
//   try { world = World::connect(environment_from_launcher()); train(*world); }
//   catch (const std::exception& error) { return report_failure(error, world.get()); }
//
// Thread safety: main thread only.
#pragma once
#include <exception>
#include <string>

#include "colossal/base/error.h"
#include "colossal/comm/world.h"

namespace colossal::comm {

// Prints the message on stderr, unless another rank has said it, and returns the exit code for main(). Tells the other ranks,
// which then stop. Without a world (it has failed while starting) the first rank of each host prints.
int report_failure(const std::exception& error, World* world) noexcept;

// The rank whose words stand for all: rank 0.
bool speaks(const RankEnvironment& environment);

// Code and message of any exception: those of Error; out_of_memory for failed allocations; else `failure`, without the C++
// backtrace that torch appends.
struct Failure {
  ExitCode code;
  std::string message;
};
Failure describe_failure(const std::exception& error);

}  // namespace colossal::comm
