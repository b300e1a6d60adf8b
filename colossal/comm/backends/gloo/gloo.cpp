// SPDX-License-Identifier: Apache-2.0
// Collectives over Gloo's send and recv: every member exchanges directly with every other, which moves the fewest bytes (c10d's own
// reduce_scatter is a full all-reduce) in the fewest steps, and reduces in index order.
#include <ATen/ATen.h>

#include "colossal/base/error.h"
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/backends/fold.h"
#include "colossal/comm/backends/gloo/wire.h"
#include "colossal/comm/backends/sequencer.h"

namespace colossal::comm {

namespace {

using Ticket = std::shared_ptr<Wire::Ticket>;

// A piece of a tensor's memory, in elements, as a tensor.
at::Tensor slice(const at::Tensor& x, int64_t begin, int64_t count) {
  return at::from_blob(static_cast<char*>(x.data_ptr()) + begin * x.element_size(), {count}, x.scalar_type());
}

class GlooBackend final : public Backend {
 public:
  explicit GlooBackend(const Endpoint& endpoint)
      : size_(endpoint.size()),
        index_(endpoint.index),
        rank_(endpoint.ranks[endpoint.index]),
        wire_(endpoint) {}
  std::string_view name() const override { return "gloo"; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override {
    return run(kAllReduce, x, [=, this](Header h) {
      h.reduce = static_cast<int32_t>(op);
      h.bytes = x.nbytes();
      if (static_cast<int64_t>(x.nbytes()) <= Wire::kInline) {
        reduce_whole(h, x, op);
      } else {
        reduce_in_blocks(h, x, op);
      }
    });
  }
  Pending all_gather(at::Tensor out, at::Tensor in) override {
    return run(kAllGather, in, [=, this](Header h) {
      const int64_t piece = in.nbytes();
      h.bytes = piece;
      if (piece > 0) std::memmove(at_byte(out, index_ * piece), in.data_ptr(), piece);
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
    return run(kReduceScatter, in, [=, this](Header h) {
      h.reduce = static_cast<int32_t>(op);
      h.bytes = out.nbytes();
      scatter_reduced(h, out, in, op);
    });
  }
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override {
    return run(kAllToAll, in, [=, this](Header h) {
      const std::vector<Part> to = parts(in, in_splits), from = parts(out, out_splits);
      if (to[index_].bytes > 0) std::memmove(from[index_].data, to[index_].data, to[index_].bytes);
      exchange(
          h, [&](int p) { return to[p]; }, [&](int p) { return from[p]; });
    });
  }
  Pending broadcast(at::Tensor x, int root) override {
    return run(kBroadcast, x, [=, this](Header h) {
      h.root = root;
      h.bytes = x.nbytes();
      send_along_chain(h, x, root);
    });
  }
  Pending reduce(at::Tensor x, int root, ReduceOp op) override {
    return run(kReduce, x, [=, this](Header h) {
      h.root = root;
      h.reduce = static_cast<int32_t>(op);
      h.bytes = x.nbytes();
      std::vector<Wire::Stream> out, in;
      std::vector<at::Tensor> arrived(size_);
      arrived[index_] = x.view(-1);
      if (index_ != root) {
        out.push_back({root, h, x.data_ptr(), static_cast<int64_t>(x.nbytes())});
      } else {
        for (int peer : others()) {
          arrived[peer] = at::empty({x.numel()}, x.options());
          in.push_back({peer, h, arrived[peer].data_ptr(), static_cast<int64_t>(x.nbytes())});
        }
      }
      wire_.exchange(out, in);
      if (index_ == root) fold(x.view(-1), arrived, op, size_);
    });
  }
  Pending gather(at::Tensor out, at::Tensor in, int root) override {
    return run(kGather, in, [=, this](Header h) {
      const int64_t piece = in.nbytes();
      h.root = root;
      h.bytes = piece;
      if (index_ != root) return wire_.exchange({{root, h, in.data_ptr(), piece}}, {});
      if (piece > 0) std::memmove(at_byte(out, index_ * piece), in.data_ptr(), piece);
      std::vector<Wire::Stream> streams;
      for (int peer : others()) streams.push_back({peer, h, at_byte(out, peer * piece), piece});
      wire_.exchange({}, streams);
    });
  }
  Pending scatter(at::Tensor out, at::Tensor in, int root) override {
    return run(kScatter, out, [=, this](Header h) {
      const int64_t piece = out.nbytes();
      h.root = root;
      h.bytes = piece;
      if (index_ != root) return wire_.exchange({}, {{root, h, out.data_ptr(), piece}});
      if (piece > 0) std::memmove(out.data_ptr(), at_byte(in, index_ * piece), piece);
      std::vector<Wire::Stream> streams;
      for (int peer : others()) streams.push_back({peer, h, at_byte(in, peer * piece), piece});
      wire_.exchange(streams, {});
    });
  }
  Pending transfer(std::vector<Transfer> batch) override {
    return submit([batch = std::move(batch), this] {
      std::vector<Wire::Stream> out, in;
      for (const Transfer& t : batch) {
        Header h{.bytes = t.tensor.nbytes(),
                 .op = kTransfer,
                 .dtype = static_cast<int32_t>(t.tensor.scalar_type())};
        (t.kind == Transfer::Kind::send ? out : in)
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
  static void* at_byte(const at::Tensor& x, int64_t offset) {
    return static_cast<char*>(x.data_ptr()) + offset;
  }

  // The other members, nearest first: no two members begin with the same one.
  std::vector<int> others() const {
    std::vector<int> peers;
    for (int step = 1; step < size_; ++step) peers.push_back((index_ + step) % size_);
    return peers;
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
    for (int peer : others()) {
      const Part give = to(peer), take = from(peer);
      header.bytes = give.bytes;
      out.push_back({peer, header, give.data, give.bytes});
      header.bytes = take.bytes;
      in.push_back({peer, header, take.data, take.bytes});
    }
    wire_.exchange(out, in);
  }
  void exchange_headers(const Header& header) {
    std::vector<Wire::Stream> streams;
    for (int peer : others()) streams.push_back({peer, header, nullptr, 0});
    wire_.exchange(streams, streams);
  }

  // Short tensors: everyone gets everything and folds it.
  void reduce_whole(const Header& header, const at::Tensor& x, ReduceOp op) {
    const at::Tensor all = at::empty({size_, x.numel()}, x.options());
    std::vector<at::Tensor> rows = all.unbind(0);
    std::vector<Wire::Stream> out, in;
    for (int peer : others()) {
      out.push_back({peer, header, x.data_ptr(), static_cast<int64_t>(x.nbytes())});
      in.push_back({peer, header, rows[peer].data_ptr(), static_cast<int64_t>(x.nbytes())});
    }
    rows[index_] = x.view(-1);
    wire_.exchange(out, in);
    fold(x.view(-1), rows, op, size_);
  }

  // One block of a long tensor on its way: this member's piece comes in from all, and goes out reduced to all.
  struct Block {
    int64_t begin = 0;  // of the block, in elements
    int64_t length = 0;
    int64_t piece = 0;                // of one member; the last pieces may be shorter
    std::vector<at::Tensor> arrived;  // by member
    std::vector<Ticket> tickets;
    int64_t begin_of(int member) const { return begin + std::min(length, member * piece); }
    int64_t count_of(int member) const {
      return std::min(length, (member + 1) * piece) - std::min(length, member * piece);
    }
  };
  static constexpr int64_t kSegment =
      512 << 10;  // bytes per message: stays in a core's cache between arrival and sum

  void expect_pieces(Block& block, const at::Tensor& x) {
    const int64_t mine = block.count_of(index_);
    block.arrived.resize(size_);
    for (int peer : others()) {
      if (mine == 0) continue;
      block.arrived[peer] = at::empty({mine}, x.options());
      block.tickets.push_back(
          wire_.post_recv(peer, block.arrived[peer].data_ptr(), block.arrived[peer].nbytes()));
    }
  }
  void send_pieces(Block& block, const at::Tensor& x) {
    for (int peer : others()) {
      const at::Tensor theirs = slice(x, block.begin_of(peer), block.count_of(peer));
      if (theirs.numel() > 0)
        block.tickets.push_back(wire_.post_send(peer, theirs.data_ptr(), theirs.nbytes()));
    }
  }
  void wait_all(std::vector<Ticket>& tickets) {
    for (const Ticket& ticket : tickets) wire_.wait(ticket);
    tickets.clear();
  }
  void fold_block(Block& block, const at::Tensor& x, const at::Tensor& out, ReduceOp op) {
    wait_all(block.tickets);
    if (block.count_of(index_) == 0) return;
    block.arrived[index_] = slice(x, block.begin_of(index_), block.count_of(index_));
    fold(out, block.arrived, op, size_);
    block.arrived.clear();
  }
  void post_results(Block& block, const at::Tensor& x) {
    const at::Tensor mine = slice(x, block.begin_of(index_), block.count_of(index_));
    for (int peer : others()) {
      const at::Tensor theirs = slice(x, block.begin_of(peer), block.count_of(peer));
      if (theirs.numel() > 0)
        block.tickets.push_back(wire_.post_recv(peer, theirs.data_ptr(), theirs.nbytes()));
      if (mine.numel() > 0) block.tickets.push_back(wire_.post_send(peer, mine.data_ptr(), mine.nbytes()));
    }
  }

  // Long tensors, block by block: pieces to their member, summed, back to all. Two blocks are under way at any time.
  void reduce_in_blocks(const Header& header, const at::Tensor& x, ReduceOp op) {
    const int64_t per_member = std::max<int64_t>(1, kSegment / x.element_size());
    std::vector<Block> blocks;
    for (int64_t begin = 0; begin < x.numel(); begin += per_member * size_) {
      Block block;
      block.begin = begin;
      block.length = std::min(per_member * size_, x.numel() - begin);
      block.piece = (block.length + size_ - 1) / size_;
      blocks.push_back(std::move(block));
    }
    expect_pieces(blocks[0], x);
    exchange_headers(header);
    send_pieces(blocks[0], x);
    for (size_t b = 0; b < blocks.size(); ++b) {
      if (b + 1 < blocks.size()) {
        expect_pieces(blocks[b + 1], x);
        send_pieces(blocks[b + 1], x);
      }
      fold_block(blocks[b], x, slice(x, blocks[b].begin_of(index_), blocks[b].count_of(index_)), op);
      post_results(blocks[b], x);
      if (b > 0) wait_all(blocks[b - 1].tickets);
    }
    wait_all(blocks.back().tickets);
  }

  // Pieces go straight to the member that keeps them, segment by segment.
  void scatter_reduced(const Header& header, const at::Tensor& out, const at::Tensor& in, ReduceOp op) {
    const int64_t piece = out.numel();
    const int64_t segment = std::max<int64_t>(1, kSegment / in.element_size());
    struct Round {
      std::vector<at::Tensor> arrived;
      std::vector<Ticket> tickets;
    };
    const auto expect = [&](int64_t begin) {
      Round round;
      const int64_t count = std::min(segment, piece - begin);
      round.arrived.resize(size_);
      round.arrived[index_] = slice(in, index_ * piece + begin, count);
      for (int peer : others()) {
        round.arrived[peer] = at::empty({count}, in.options());
        round.tickets.push_back(
            wire_.post_recv(peer, round.arrived[peer].data_ptr(), round.arrived[peer].nbytes()));
      }
      return round;
    };
    const auto send = [&](Round& round, int64_t begin) {
      for (int peer : others()) {
        const at::Tensor theirs = slice(in, peer * piece + begin, std::min(segment, piece - begin));
        round.tickets.push_back(wire_.post_send(peer, theirs.data_ptr(), theirs.nbytes()));
      }
    };
    if (static_cast<int64_t>(out.nbytes()) <= Wire::kInline)
      return scatter_reduced_short(header, out, in, op);
    Round now = expect(0);
    exchange_headers(header);
    send(now, 0);
    for (int64_t begin = 0; begin < piece; begin += segment) {
      Round next;
      if (begin + segment < piece) {
        next = expect(begin + segment);
        send(next, begin + segment);
      }
      wait_all(now.tickets);
      fold(slice(out, begin, std::min(segment, piece - begin)), now.arrived, op, size_);
      now = std::move(next);
    }
  }
  void scatter_reduced_short(const Header& header, const at::Tensor& out, const at::Tensor& in, ReduceOp op) {
    const int64_t piece = out.numel();
    std::vector<at::Tensor> arrived(size_);
    arrived[index_] = slice(in, index_ * piece, piece);
    for (int peer : others()) arrived[peer] = at::empty({piece}, in.options());
    const auto part = [](const at::Tensor& t) {
      return Part{t.data_ptr(), static_cast<int64_t>(t.nbytes())};
    };
    exchange(
        header, [&](int p) { return part(slice(in, p * piece, piece)); },
        [&](int p) { return part(arrived[p]); });
    fold(out.view(-1), arrived, op, size_);
  }

  // From the root to the next member and on, in segments that follow each other: every link carries the tensor once.
  void send_along_chain(const Header& header, const at::Tensor& x, int root) {
    const int place = (index_ - root + size_) % size_;
    const int before = (index_ - 1 + size_) % size_, after = (index_ + 1) % size_;
    const bool takes = place > 0, gives = place < size_ - 1;
    const int64_t total = x.nbytes();
    if (total <= Wire::kInline) {
      if (takes) wire_.exchange({}, {{before, header, x.data_ptr(), total}});
      if (gives) wire_.exchange({{after, header, x.data_ptr(), total}}, {});
      return;
    }
    std::vector<Ticket> receiving, sending;
    for (int64_t begin = 0; takes && begin < total; begin += kSegment) {
      receiving.push_back(wire_.post_recv(before, at_byte(x, begin), std::min(kSegment, total - begin)));
    }
    std::vector<Wire::Stream> links;
    if (takes) links.push_back({before, header, nullptr, 0});
    if (gives) links.push_back({after, header, nullptr, 0});
    wire_.exchange(links, links);
    for (int64_t begin = 0; begin < total; begin += kSegment) {
      if (takes) wire_.wait(receiving[begin / kSegment]);
      if (gives)
        sending.push_back(wire_.post_send(after, at_byte(x, begin), std::min(kSegment, total - begin)));
    }
    wait_all(sending);
  }

  int size_;
  int index_;
  int rank_;
  uint64_t sequence_ = 0;
  Wire wire_;
  Sequencer sequencer_;
};

}  // namespace

std::unique_ptr<Backend> make_gloo(const Endpoint& endpoint) {
  return std::make_unique<GlooBackend>(endpoint);
}

}  // namespace colossal::comm
