// SPDX-License-Identifier: Apache-2.0
// The error families of Colossal. Every message says: where, what was asked, what is allowed, nearest fix.
//
//   throw ShapeError(fmt::format("all_gather: dim = {} of a {}-d tensor. Allowed: 0 to {}.", dim, n, n - 1));
//
// Thread-safe: error objects are values.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

namespace colossal {

// Process exit codes, one per family (docs/errors.md).
enum class ExitCode : int {
  ok = 0,
  failure = 1,     // a check that the user asked for did not hold (`colossal verify`), or an internal error
  config = 2,      // the request is wrong: nothing was started
  data = 3,        // an input file is missing or damaged
  checkpoint = 4,  // a checkpoint is missing or damaged
  peer_lost = 10,  // another rank died
  hang = 11,       // the watchdog fired
  numerics = 12,   // NaN or Inf with the policy "stop"
  out_of_memory = 13,
  preempted = 143,  // SIGTERM: saved, then left
};

// Every rank of a run ends with this code by itself and for the same reason, so that rank 0 can say it for all.
bool found_by_all_ranks(ExitCode code);

// Base of all errors that Colossal throws on purpose.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failure)
      : std::runtime_error(message), code_(code) {}
  ExitCode exit_code() const { return code_; }

 private:
  ExitCode code_;
};

// The user's request is wrong. Holds every problem found, not only the first; what() joins them with newlines.
class ConfigError : public Error {
 public:
  explicit ConfigError(std::string problem) : ConfigError(std::vector<std::string>{std::move(problem)}) {}
  explicit ConfigError(std::vector<std::string> problems);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

// A tensor that a caller handed in has the wrong shape, dtype, device or memory layout.
class ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& message) : Error(message) {}
};

// A collective failed or timed out: message names group, op, sequence number and rank.
class CommError : public Error {
 public:
  explicit CommError(const std::string& message, ExitCode code = ExitCode::peer_lost)
      : Error(message, code) {}
};

// A file is missing, damaged or not writable: message names path and, where there is one, the tensor.
class IoError : public Error {
 public:
  explicit IoError(const std::string& message, ExitCode code = ExitCode::data) : Error(message, code) {}
};

// NaN or Inf where the run was told to stop on it.
class NumericsError : public Error {
 public:
  explicit NumericsError(const std::string& message) : Error(message, ExitCode::numerics) {}
};

// A broken invariant of Colossal itself: never caused by user input.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error("internal error, please report: " + message) {}
};

}  // namespace colossal
