// SPDX-License-Identifier: Apache-2.0
// Copies what a rank writes to one of our own descriptors, whole lines at a time, with a prefix in front.
//
//   LinePrefixer out(pipe_end, STDOUT_FILENO, "[rank 1] ");
//   while (poll says readable) if (!out.pump()) break;   // end of file
//
// Thread safety: one thread at a time.
#pragma once
#include <string>
#include <string_view>

#include "colossal/comm/launch/socket.h"

namespace colossal::comm {

class LinePrefixer {
 public:
  LinePrefixer(Socket from, int to, std::string prefix);

  int fd() const { return from_.fd(); }
  bool open() const { return static_cast<bool>(from_); }
  // Copies what can be read without blocking. At end of file flushes the last line, closes, and returns
  // false.
  bool pump();
  // Last words of a rank that is gone: everything still in the pipe, then closes.
  void finish();

 private:
  void write_line(std::string_view line);
  void take(std::string_view bytes);

  Socket from_;
  int to_;
  bool terminal_;
  std::string prefix_;
  std::string partial_;
};

// Writes all of `text`; gives up silently when the reader is gone.
void write_all(int fd, std::string_view text);

}  // namespace colossal::comm
