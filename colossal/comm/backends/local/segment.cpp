// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <new>
#include <random>
#include <sstream>

#include "colossal/base/error.h"

namespace colossal::comm::local {

struct Segment::Head {
  uint64_t nonce = 0;
  std::atomic<uint32_t> attached;
  std::atomic<uint32_t> users;  // members that may still use the creator's mapping
};

namespace {

constexpr size_t kHeadBytes = 4096;

size_t page_up(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

size_t members_at() { return kHeadBytes; }
size_t mails_at(size_t n) { return members_at() + page_up(n * sizeof(Member)); }
size_t stages_at(size_t n) { return mails_at(n) + page_up(n * n * sizeof(Mail)); }
size_t rings_at(size_t n) { return stages_at(n) + n * 2 * kStageBytes; }
size_t total_bytes(size_t n) { return rings_at(n) + n * n * kMailBytes; }

// Pages are allocated when first touched: the address space of unused rings costs nothing.
std::byte* map(int fd, size_t bytes) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  return base == MAP_FAILED ? nullptr : static_cast<std::byte*>(base);
}

CommError system_error(const std::string& what) {
  return CommError(fmt::format("local backend: {}: {}", what, std::strerror(errno)));
}

}  // namespace

uint64_t process_started(int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(file, text) || text.rfind(") ") == std::string::npos) {
    return 0;
  }
  std::istringstream fields(text.substr(text.rfind(") ") + 2));  // the name before it may hold anything
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") {
    return 0;
  }
  for (int i = 4; i <= 22; ++i) {  // starttime is field 22 of proc(5)
    fields >> field;
  }
  return std::stoull(field);
}

Segment Segment::create(int size) {
  Segment segment;
  segment.size_ = size;
  const size_t bytes = total_bytes(size);
  segment.fd_ = memfd_create("colossal-local", MFD_CLOEXEC);
  if (segment.fd_ < 0 || ftruncate(segment.fd_, static_cast<off_t>(bytes)) != 0) {
    throw system_error(fmt::format("cannot make {} bytes of shared memory", bytes));
  }
  segment.base_ = map(segment.fd_, bytes);
  if (segment.base_ == nullptr) {
    throw system_error(fmt::format("cannot map {} bytes of shared memory", bytes));
  }
  Head* head = new (segment.base_) Head();
  std::random_device random;
  head->nonce = (uint64_t{random()} << 32) | random();
  head->users.store(size);
  for (int i = 0; i < size; ++i) {
    new (&segment.member(i)) Member();  // the rest of a fresh memfd is zero, as everything else wants it
  }
  segment.shared_mapping_ = true;
  segment.ticket_ = fmt::format("{} {} {} {} {}", getpid(), process_started(getpid()), segment.fd_,
                                reinterpret_cast<uintptr_t>(segment.base_), head->nonce);
  return segment;
}

Segment Segment::attach(const std::string& ticket, int size) {
  std::istringstream fields(ticket);
  int64_t pid = 0;
  uint64_t started = 0;
  uintptr_t address = 0;
  uint64_t nonce = 0;
  int fd = -1;
  fields >> pid >> started >> fd >> address >> nonce;
  Segment segment;
  segment.size_ = size;
  if (pid == getpid() && started == process_started(pid)) {
    segment.base_ = reinterpret_cast<std::byte*>(address);
    segment.shared_mapping_ = true;
    return segment;
  }
  const std::string path = fmt::format("/proc/{}/fd/{}", pid, fd);
  segment.fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status {};
  const bool opened = segment.fd_ >= 0 && fstat(segment.fd_, &status) == 0;
  if (opened && static_cast<size_t>(status.st_size) == total_bytes(size)) {
    segment.base_ = map(segment.fd_, total_bytes(size));
  }
  segment.close_ticket();
  if (segment.base_ == nullptr || segment.nonce() != nonce) {
    throw CommError(
        fmt::format("local backend: {} of process {} cannot be opened as the group's shared memory ({}). "
                    "Ranks in separate containers or of separate users need comm.backend = \"gloo\".",
                    path, pid, opened ? "it is something else" : std::strerror(errno)));
  }
  segment.head().users.fetch_sub(1);
  return segment;
}

Segment::~Segment() {
  close_ticket();
  // The creator's mapping is shared by all threads of its process: the last of them removes it.
  if (base_ != nullptr && (!shared_mapping_ || head().users.fetch_sub(1) == 1)) {
    munmap(base_, total_bytes(size_));
  }
}

void Segment::close_ticket() {
  if (fd_ >= 0) {
    close(fd_);
  }
  fd_ = -1;
}

void Segment::swap(Segment& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(shared_mapping_, other.shared_mapping_);
  std::swap(fd_, other.fd_);
  std::swap(ticket_, other.ticket_);
}

uint64_t Segment::nonce() const { return head().nonce; }
std::atomic<uint32_t>& Segment::attached() const { return head().attached; }

Member& Segment::member(int index) const { return reinterpret_cast<Member*>(base_ + members_at())[index]; }

std::byte* Segment::stage(int index, uint64_t half) const {
  return base_ + stages_at(size_) + (static_cast<size_t>(index) * 2 + half) * kStageBytes;
}

Mail& Segment::mail(int from, int to) const {
  return reinterpret_cast<Mail*>(base_ + mails_at(size_))[static_cast<size_t>(from) * size_ + to];
}

std::byte* Segment::ring(int from, int to) const {
  return base_ + rings_at(size_) + (static_cast<size_t>(from) * size_ + to) * kMailBytes;
}

}  // namespace colossal::comm::local
