// SPDX-License-Identifier: Apache-2.0
// Signals as requests that a training loop reads between steps.
//
//   SignalFlags signals;                       // SIGUSR1: save; SIGTERM, SIGHUP, SIGINT: save and stop
//   if (signals.take_save_request()) save();
//   if (signals.stop_requested()) break;
//
// A SIGHUP that is ignored when the first object is made (nohup) stays ignored.
// Ranks receive signals at different steps: decide together (all_reduce max of the flags) before acting.
// The first SIGINT says that a second one ends the process at once, without saving, and a second one says that it did (under our
// own launcher the launcher says so, elsewhere rank 0). Once the last object is gone signals have their default action.
// Thread safety: usable from any thread. Signal handlers belong to the process, so all objects in it (ranks that are threads) see
// the same requests, and whichever takes one takes it for all.
#pragma once

namespace colossal::comm {

class SignalFlags {
 public:
  SignalFlags();   // the first one installs the handlers
  ~SignalFlags();  // the last one restores those found
  SignalFlags(const SignalFlags&) = delete;
  SignalFlags& operator=(const SignalFlags&) = delete;

  bool take_save_request();     // reads and clears
  bool stop_requested() const;  // stays set
};

}  // namespace colossal::comm
