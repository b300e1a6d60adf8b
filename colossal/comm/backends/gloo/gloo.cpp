// SPDX-License-Identifier: Apache-2.0
// The backend over Gloo's send and recv: every member exchanges directly with every other, long broadcasts are relayed.
#include <ATen/core/Tensor.h>

#include <cstring>

#include "colossal/base/error.h"
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/backends/gloo/reductions.h"
#include "colossal/comm/backends/gloo/wire.h"
#include "colossal/comm/backends/sequencer.h"

namespace colossal::comm {

namespace {

// Of one message of a relayed broadcast: a member passes on one while it receives the next.
constexpr int64_t kRelayBytes = 1 << 20;
// Longer broadcasts go along a chain, where every link carries the tensor once; shorter ones down a tree, in the fewest hops.
constexpr int64_t kTreeBytes = 16 << 20;
// Up to here a broadcast travels in headers, without a rendezvous at each hop.
constexpr int64_t kWholeRelayBytes = 64 << 10;
static_assert(kWholeRelayBytes <= Wire::kInline);

class GlooBackend final : public Backend {
 public:
  explicit GlooBackend(const Endpoint& endpoint)
      : size_(endpoint.size()),
        index_(endpoint.index),
        rank_(endpoint.ranks[endpoint.index]),
        num_sent_(endpoint.size()),
        num_received_(endpoint.size()),
        wire_(endpoint),
        reductions_(wire_) {}
  std::string_view name() const override { return "gloo"; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override {
    return run(kAllReduce, x, [=, this](Header h) { reductions_.all_reduce(h, x, op); });
  }
  Pending all_gather(at::Tensor out, at::Tensor in) override {
    return run(kAllGather, in, [=, this](Header h) {
      const int64_t piece = in.nbytes();
      h.bytes = piece;
      exchange(
          h,
          [&](int) {
            return Part{in.data_ptr(), piece};
          },
          [&](int p) {
            return Part{at_byte(out, p * piece), piece};
          });
    });
  }
  Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) override {
    return run(kReduceScatter, in, [=, this](Header h) { reductions_.reduce_scatter(h, out, in, op); });
  }
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override {
    return run(kAllToAll, in, [=, this](Header h) {
      const std::vector<Part> to = parts(in, in_splits), from = parts(out, out_splits);
      exchange(
          h, [&](int p) { return to[p]; }, [&](int p) { return from[p]; });
    });
  }
  Pending broadcast(at::Tensor x, int root) override {
    return run(kBroadcast, x, [=, this](Header h) {
      h.root = root;
      h.bytes = x.nbytes();
      relay(h, x, root);
    });
  }
  Pending reduce(at::Tensor x, int root, ReduceOp op) override {
    return run(kReduce, x, [=, this](Header h) { reductions_.reduce(h, x, root, op); });
  }
  Pending gather(at::Tensor out, at::Tensor in, int root) override {
    return run(kGather, in, [=, this](Header h) {
      const int64_t piece = in.nbytes();
      h.root = root;
      h.bytes = piece;
      if (index_ != root) return wire_.exchange({{root, h, in.data_ptr(), piece}}, {});
      std::vector<Wire::Stream> streams;
      for (int peer : wire_.others()) streams.push_back({peer, h, at_byte(out, peer * piece), piece});
      wire_.exchange({}, streams, [&] {
        copy({in.data_ptr(), piece}, {at_byte(out, index_ * piece), piece});
      });
    });
  }
  Pending scatter(at::Tensor out, at::Tensor in, int root) override {
    return run(kScatter, out, [=, this](Header h) {
      const int64_t piece = out.nbytes();
      h.root = root;
      h.bytes = piece;
      if (index_ != root) return wire_.exchange({}, {{root, h, out.data_ptr(), piece}});
      std::vector<Wire::Stream> streams;
      for (int peer : wire_.others()) streams.push_back({peer, h, at_byte(in, peer * piece), piece});
      wire_.exchange(streams, {}, [&] {
        copy({at_byte(in, index_ * piece), piece}, {out.data_ptr(), piece});
      });
    });
  }
  Pending transfer(std::vector<Transfer> batch) override {
    return submit([batch = std::move(batch), this] {
      std::vector<Wire::Stream> out, in;
      for (const Transfer& t : batch) {
        const bool leaves = t.kind == Transfer::Kind::send;
        Header h{.sequence = ++(leaves ? num_sent_ : num_received_)[t.peer],
                 .bytes = t.tensor.nbytes(),
                 .op = kTransfer,
                 .dtype = static_cast<int32_t>(t.tensor.scalar_type())};
        (leaves ? out : in)
            .push_back({t.peer, h, t.tensor.data_ptr(), static_cast<int64_t>(t.tensor.nbytes())});
      }
      wire_.exchange(out, in);
    });
  }
  Pending barrier() override {
    return run(kBarrier, at::Tensor(), [this](Header h) {
      exchange(
          h, [](int) { return Part{}; }, [](int) { return Part{}; });
    });
  }
  void abort() noexcept override { wire_.abort(); }

 private:
  struct Part {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  // A member's own part, which may lie there already.
  static void copy(const Part& from, const Part& to) {
    if (from.bytes > 0) std::memmove(to.data, from.data, from.bytes);
  }
  static void* at_byte(const at::Tensor& x, int64_t offset) {
    return static_cast<char*>(x.data_ptr()) + offset;
  }

  template <class Body>
  Pending submit(Body body) {
    return sequencer_.submit([this, body = std::move(body)] {
      try {
        body();
      } catch (const std::exception& error) {
        const std::string what = error.what();
        const std::string mine = what.substr(0, what.find('\n'));
        const std::string cause = wire_.cause_or(fmt::format("{} (noticed by rank {})", mine, rank_));
        wire_.close(cause);
        throw CommError(cause);
      }
    });
  }
  template <class Body>
  Pending run(OpCode op, const at::Tensor& x, Body body) {
    Header header{.sequence = ++sequence_, .op = op};
    if (x.defined()) header.dtype = static_cast<int32_t>(x.scalar_type());
    return submit([header, body = std::move(body)] { body(header); });
  }

  // The rows of x that belong to each member; no splits: equal parts.
  std::vector<Part> parts(const at::Tensor& x, const std::vector<int64_t>& splits) const {
    std::vector<Part> result;
    const int64_t total = x.nbytes();
    const int64_t row = splits.empty() || x.size(0) == 0 ? 0 : total / x.size(0);
    int64_t offset = 0;
    for (int i = 0; i < size_; ++i) {
      const int64_t bytes = splits.empty() ? total / size_ : splits[i] * row;
      result.push_back({at_byte(x, offset), bytes});
      offset += bytes;
    }
    return result;
  }

  template <class To, class From>
  void exchange(Header header, To to, From from) {
    std::vector<Wire::Stream> out, in;
    for (int peer : wire_.others()) {
      const Part give = to(peer), take = from(peer);
      header.bytes = give.bytes;
      out.push_back({peer, header, give.data, give.bytes});
      header.bytes = take.bytes;
      in.push_back({peer, header, take.data, take.bytes});
    }
    wire_.exchange(out, in, [&] { copy(to(index_), from(index_)); });
  }

  // Whom a member gets a broadcast from, and to whom it passes it on.
  struct Links {
    std::vector<int> from, to;
  };
  Links links(int root, bool chain) const {
    const int place = (index_ - root + size_) % size_;
    const auto member = [&](int p) { return (root + p) % size_; };
    if (chain) {
      return {place > 0 ? std::vector{member(place - 1)} : std::vector<int>{},
              place + 1 < size_ ? std::vector{member(place + 1)} : std::vector<int>{}};
    }
    // Binomial: in round k all of the first 2^k places pass it on, 2^k places further.
    Links result;
    for (int distance = 1; distance < size_; distance *= 2) {
      if (place >= distance && place < 2 * distance) result.from = {member(place - distance)};
      if (place < distance && place + distance < size_) result.to.push_back(member(place + distance));
    }
    return result;
  }

  void relay(const Header& header, const at::Tensor& x, int root) {
    const int64_t total = x.nbytes();
    const Links way = links(root, total > kTreeBytes);
    if (total <= kWholeRelayBytes) {
      const auto streams = [&](const std::vector<int>& peers) {
        std::vector<Wire::Stream> result;
        for (int peer : peers) result.push_back({peer, header, x.data_ptr(), total});
        return result;
      };
      wire_.exchange({}, streams(way.from));
      wire_.exchange(streams(way.to), {});
      return;
    }
    // Between two nobody relays.
    const int64_t each = size_ == 2 ? std::min(total, Wire::kMaxMessage) : kRelayBytes;
    Wire::Tickets arriving, leaving;
    const auto pass_on = [&](int64_t begin) {
      for (int peer : way.to)
        leaving.push_back(wire_.post_send(header, peer, at_byte(x, begin), std::min(each, total - begin)));
    };
    for (int64_t begin = 0; !way.from.empty() && begin < total; begin += each)
      arriving.push_back(
          wire_.post_recv(header, way.from[0], at_byte(x, begin), std::min(each, total - begin)));
    for (int64_t begin = 0; begin < total; begin += each) {
      if (!arriving.empty()) wire_.wait(arriving[begin / each]);
      pass_on(begin);
    }
    wire_.wait_all(leaving);
  }

  int size_;
  int index_;
  int rank_;
  uint64_t sequence_ = 0;                          // of collectives
  std::vector<uint64_t> num_sent_, num_received_;  // by send and recv, by peer
  Wire wire_;
  Reductions reductions_;
  Sequencer sequencer_;
};

}  // namespace

std::unique_ptr<Backend> make_gloo(const Endpoint& endpoint) {
  return std::make_unique<GlooBackend>(endpoint);
}

}  // namespace colossal::comm
