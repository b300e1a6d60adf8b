// SPDX-License-Identifier: Apache-2.0
// What one rank sends, by the formulas of docs/tensor: test_tensor_volume.cpp compares them with what the flight recorder
// counts, and prints the tables of numbers in docs/tensor with them.
//
//   const Volume z(setup);                                     // sizes that the mesh just divides; or set b, s, h, f, v
//   z.linear(Role::expand, z.h, z.f).forward;                  // bytes of fp64; with unit = 1 elements
//
// b rows of s tokens, h features, f inside an MLP, v words; p ranks, q the side of a square or cube, d the depth.
#pragma once
#include <cmath>
#include <ostream>

#include "tests/parallel/tensor_modes.h"

namespace colossal::testing {

struct Sent {
  int64_t forward = 0, backward = 0;
  int64_t synchronised = 0;  // once per step
  Sent operator+(const Sent& s) const {
    return {forward + s.forward, backward + s.backward, synchronised + s.synchronised};
  }
  bool operator==(const Sent&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Sent& s) {
  return out << s.forward << " forward, " << s.backward << " backward, " << s.synchronised << " synchronised";
}

struct Volume {
  // A mesh with sizes that it just divides.
  explicit Volume(const Setup& setup)
      : mode(setup.how.mode),
        shards(setup.keep == Keep::shards),
        p(setup.how.size),
        d(setup.how.depth),
        q(one_d() ? p : std::lround(mode == TensorMode::three_d ? std::cbrt(p) : std::sqrt(p / d))) {
    const int64_t largest = mode == TensorMode::three_d ? q * q : q;
    b = one_d() ? 2 : mode == TensorMode::three_d ? q * q : d * q;
    s = mode == TensorMode::one_d_sequence ? 2 * p : 3;
    h = one_d() ? 6 : 2 * largest;
    f = 3 * largest;
    v = 5 * largest;
  }
  TensorMode mode;
  bool shards;  // operands are gathered again in backward
  int64_t p, d, q;
  int64_t b = 0, s = 0, h = 0, f = 0, v = 0;
  int64_t unit = 8;  // bytes of an element

  // What one rank of n sends for a payload of so many elements: summed everywhere; gathered, or summed and cut.
  int64_t reduced(int64_t n, int64_t elements) const { return 2 * (n - 1) * elements * unit / n; }
  int64_t gathered(int64_t n, int64_t elements) const { return (n - 1) * elements * unit / n; }

  bool one_d() const { return mode == TensorMode::one_d || mode == TensorMode::one_d_sequence; }
  int64_t tokens() const { return b * s; }
  // Ranks that share the tokens of the stream, and those between a linear that expands and one that contracts.
  int64_t stream_ways() const { return mode == TensorMode::one_d_sequence ? p : inner_ways(); }
  int64_t inner_ways() const { return one_d() ? 1 : mode == TensorMode::three_d ? q * q : d * q; }

  // Linears of one input together: `out` of all. Without the sums over replicas.
  Sent linear(nn::Role role, int64_t in, int64_t out) const {
    const int64_t x = tokens() * in, y = tokens() * out, w = in * out;
    const bool expands = role == nn::Role::expand;
    switch (mode) {
      case TensorMode::one_d: return expands ? Sent{0, reduced(p, x)} : Sent{reduced(p, y), 0};
      case TensorMode::one_d_sequence:
        return expands ? Sent{gathered(p, x), (shards ? 2 : 1) * gathered(p, x)}
                       : Sent{gathered(p, y), gathered(p, y)};
      case TensorMode::three_d: return {cubed(x + w + y), cubed(x + w + y) + (shards ? cubed(x + w) : 0)};
      default: return {squared(x / d + w), 2 * squared(x / d + w)};
    }
  }
  // What a weight and a vector of the stream (Role::contract) or of what is inside (expand) add once per step.
  Sent weight(int64_t elements) const {
    return {0, 0, mode == TensorMode::two_and_half_d ? reduced(d, elements / (q * q)) : 0};
  }
  Sent vector(nn::Role role, int64_t elements) const {
    switch (mode) {
      case TensorMode::one_d: return {};
      case TensorMode::one_d_sequence: return {0, 0, role == nn::Role::contract ? reduced(p, elements) : 0};
      case TensorMode::three_d: return {0, 0, reduced(q * q, elements / q)};
      default: return {0, 0, reduced(d * q, elements / q)};
    }
  }
  // Vectors of both places, of so many elements in all: one sum where the same ranks take it.
  Sent vectors(int64_t inner, int64_t stream) const {
    if (mode == TensorMode::two_d || mode == TensorMode::two_and_half_d)
      return vector(nn::Role::contract, inner + stream);
    return vector(nn::Role::expand, inner) + vector(nn::Role::contract, stream);
  }
  // Numbers per token: layer norm 2, RMS norm 1; as many vectors.
  Sent norm(int64_t numbers) const {
    const int64_t sums = one_d() ? 0 : numbers * reduced(q, tokens() / stream_ways());
    return Sent{sums, sums} + vector(nn::Role::contract, numbers * h);
  }
  // Queries, and keys and values together, of so many features in all; without biases. Keys and values of heads that the ranks cannot
  // share are made in pieces and gathered.
  Sent attention(int64_t query, int64_t key_value, bool whole_heads) const {
    const int64_t pieces = whole_heads ? 0 : gathered(q, tokens() / inner_ways() * key_value);
    return linear(nn::Role::expand, h, query + key_value) + linear(nn::Role::contract, query, h) +
           Sent{pieces, pieces} + weight(h * query) + weight(h * key_value) + weight(query * h);
  }
  // A linear from the stream to the stream, with bias: each rank forms its columns from the whole of its tokens.
  Sent keep() const {
    const int64_t w = h * h, own = gathered(q, tokens() * h / (q * q));
    switch (mode) {
      case TensorMode::one_d: return {};
      case TensorMode::one_d_sequence: return {0, 0, reduced(p, w + h)};
      case TensorMode::three_d: return {own, (shards ? 2 : 1) * own, reduced(q * q, (w + h) / q)};
      default: return linear(nn::Role::contract, h, h) + weight(w) + vector(nn::Role::contract, h);
    }
  }
  // The first token of each row is made whole; so many parameters are, on every rank.
  Sent classifier(int64_t parameters) const {
    const int64_t token = mode == TensorMode::one_d            ? 0
                          : mode == TensorMode::one_d_sequence ? gathered(p, p * b * h)
                                                               : gathered(q, b * h / inner_ways());
    return {token + reduced(inner_ways(), 1), 0, reduced(inner_ways(), parameters)};
  }
  Sent embedding() const {
    const int64_t x = tokens() * h;
    switch (mode) {
      case TensorMode::one_d: return {reduced(p, x), 0};
      case TensorMode::one_d_sequence: return {gathered(p, x), gathered(p, x)};
      case TensorMode::three_d: return {gathered(q * q, x / q), gathered(q * q, x / q)};
      default: return Sent{gathered(q, x / (d * q)), gathered(q, x / (d * q))} + weight(v * h);
    }
  }
  // What the product of the head moves forward, and the part of it that is not its result.
  int64_t logits() const {
    const int64_t x = tokens() * h, w = v * h, z = tokens() * v;
    switch (mode) {
      case TensorMode::one_d: return 0;
      case TensorMode::one_d_sequence: return gathered(p, x);
      case TensorMode::three_d: return cubed(x + w + z);
      default: return squared(w + z / d);
    }
  }
  int64_t logit_operands() const {
    const int64_t x = tokens() * h, w = v * h;
    if (one_d()) return 0;
    return mode == TensorMode::three_d ? cubed(x + w) : squared(w);
  }
  // Three numbers per token.
  int64_t softmax() const {
    const int64_t own = tokens() / inner_ways();
    return reduced(q, own) + reduced(q, 2 * own);
  }
  // The gradients are formed along with the loss.
  Sent head_loss() const {
    const int64_t dx = mode == TensorMode::one_d ? reduced(p, tokens() * h) : 2 * logits();
    return Sent{dx + softmax() + reduced(inner_ways(), 1), 0} + weight(v * h);
  }
  // Cut like the rows of its table; a rank takes the numbers of its columns.
  Sent head_bias() const {
    if (one_d()) return {};
    const bool cube = mode == TensorMode::three_d;
    const int64_t own = gathered(q, cube ? v / q : v);
    return {own, own, cube ? reduced(q, v / (q * q)) : reduced(d * q, v / q)};
  }

 private:
  int64_t cubed(int64_t elements) const { return (q - 1) * elements * unit / (q * q * q); }
  int64_t squared(int64_t elements) const { return (q - 1) * elements * unit / (q * q); }
};

}  // namespace colossal::testing
