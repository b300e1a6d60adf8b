// SPDX-License-Identifier: Apache-2.0
// The memory that the members of one group share: who is there, how far each one is, and room to pass data.
//
//   Segment segment = Segment::create(size);             // index 0; segment.ticket() goes to the others
//   Segment segment = Segment::attach(ticket, size);     // the others, same host
//
// It is a memfd that the others open through /proc/<pid>/fd, so nothing is left behind when every member is killed.
// Threads of one process share one mapping. Only the atomics may be touched without the protocol of lockstep.h and mail.h.
#pragma once
#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace colossal::comm::local {

constexpr size_t kLine = 64;                       // bytes of a cache line
constexpr size_t kStageBytes = size_t{256} << 10;  // per member and half: two of them stay in an L2 cache
constexpr size_t kMailBytes = size_t{128} << 10;   // ring of one ordered pair
constexpr int kMaxMembers = 512;

enum class Status : uint32_t { absent, present, left, failing, failed };

// What one member is doing in one round; the first round of an operation carries all fields.
struct OpHeader {
  uint8_t op = 0;
  int8_t dtype = 0;
  uint8_t reduce_op = 0;
  uint8_t flags = 0;
  int32_t root = -1;
  uint64_t sequence = 0;
  int64_t count = 0;  // elements
  uint64_t in = 0;    // address in the owner's process
  uint64_t out = 0;
};

struct alignas(kLine) Post {
  std::atomic<uint64_t> round;  // the last round of this parity that the owner has posted
  OpHeader header;
};

// One thread that may sleep: a member has its own thread and one for overlapped operations.
struct alignas(kLine) Sleeper {
  std::atomic<uint32_t> bell;  // futex word, changes at every ring
  std::atomic<uint32_t> asleep;
  std::atomic<int32_t> waits_for;  // index of a member, kAnyMember
};
constexpr int kSleepers = 2;
constexpr int32_t kAnyMember = -1;

struct alignas(2 * kLine) Member {
  int64_t pid = 0;
  uint64_t started = 0;    // of the process, in clock ticks since boot: with pid it names a process for good
  uint64_t probe = 0;      // address of a word that holds the segment's nonce
  cpu_set_t cores = {};    // that it may run on
  int32_t host_ranks = 0;  // Place::host_ranks
  std::atomic<uint32_t> status;
  std::atomic<uint32_t> touching;  // it reads memory of other threads directly
  char reason[448];                // why it failed; valid once status is failed
  Post posts[2];
  Sleeper sleepers[kSleepers];
};

// State of the messages from one member to another; a message is read to its end before the next begins.
struct Mail {
  struct alignas(kLine) {
    std::atomic<uint64_t> posted;    // messages announced
    std::atomic<uint64_t> produced;  // bytes put into the ring, over all messages
    int64_t bytes;                   // of the message under way
    uint64_t address;                // not 0: to be read there instead of from the ring
    int8_t dtype;
  } sender;
  struct alignas(kLine) {
    std::atomic<uint64_t> finished;  // messages read to the end
    std::atomic<uint64_t> consumed;  // bytes taken from the ring
  } receiver;
};

class Segment {
 public:
  Segment() = default;
  Segment(Segment&& other) noexcept { swap(other); }
  Segment& operator=(Segment&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Segment();

  static Segment create(int size);
  // CommError when the creator's process cannot be reached from here.
  static Segment attach(const std::string& ticket, int size);
  // Identifies the segment on this host until close_ticket(), which the creator calls when all have attached.
  const std::string& ticket() const { return ticket_; }
  void close_ticket();

  int size() const { return size_; }
  uint64_t nonce() const;
  std::atomic<uint32_t>& attached() const;
  Member& member(int index) const;
  // Half `half` of the staging room of a member.
  std::byte* stage(int index, uint64_t half) const;
  Mail& mail(int from, int to) const;
  std::byte* ring(int from, int to) const;

 private:
  struct Head;
  void swap(Segment& other) noexcept;
  Head& head() const { return *reinterpret_cast<Head*>(base_); }

  std::byte* base_ = nullptr;
  int size_ = 0;
  bool shared_mapping_ = false;  // with other threads of this process
  int fd_ = -1;
  std::string ticket_;
};

// Start time of a running process in clock ticks since boot; 0 when it is gone or has ended.
uint64_t process_started(int64_t pid);

}  // namespace colossal::comm::local
