// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/attention.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/index_select.h>

#include "colossal/base/error.h"
#include "colossal/comm/autograd.h"
#include "colossal/nn/functional/attention.h"
#include "colossal/tensor/random.h"

namespace colossal::nn {
namespace {

void check(const AttentionOptions& o, int ranks) {
  const bool sizes = o.hidden >= 1 && o.num_heads >= 1 && o.num_kv_heads >= 1 && o.head_dim >= 1;
  if (!sizes || o.num_heads % o.num_kv_heads != 0 || (o.fused_qkv && o.num_heads != o.num_kv_heads)) {
    throw ShapeError(fmt::format(
        "attention: {} heads of {} over {} kv heads, hidden size {}. Allowed: sizes of at least 1, kv heads "
        "a divisor of heads{}.",
        o.num_heads, o.head_dim, o.num_kv_heads, o.hidden,
        o.fused_qkv ? " (and equal to it where q, k and v are fused)" : ""));
  }
  if (o.num_heads % ranks != 0) {
    throw ShapeError(fmt::format(
        "attention: {} heads cannot be shared by {} tensor-parallel ranks. Allowed: a multiple of {}.",
        o.num_heads, ranks, ranks));
  }
  if (o.num_kv_heads % ranks != 0 && o.head_dim % ranks != 0) {  // shared whole, or in pieces of each
    throw ShapeError(fmt::format(
        "attention: {} kv heads of {} cannot be shared by {} tensor-parallel ranks. Allowed: as many, or of "
        "a size, that is a multiple of {}.",
        o.num_kv_heads, o.head_dim, ranks, ranks));
  }
}

}  // namespace

const functional::RotaryTable& RotaryCache::table(int64_t positions) {
  if (!table_.cos.defined() || table_.cos.size(0) < positions) {
    const int64_t room =
        std::max<int64_t>(256, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions))));
    table_ = functional::rotary_table(inverse_frequencies_, room, dtype_, device_);
  }
  return table_;
}

std::pair<at::Tensor, at::Tensor> append(KeyValueCache& cache, const at::Tensor& key,
                                         const at::Tensor& value) {
  const int64_t length = cache.length + key.size(1);
  if (length > cache.capacity) {
    throw ShapeError(fmt::format("key-value cache: {} positions were asked for. Allowed: {}, its capacity.",
                                 length, cache.capacity));
  }
  if (!cache.key.defined()) {
    cache.key = at::empty({key.size(0), key.size(2), cache.capacity, key.size(3)},
                          key.options().requires_grad(false));
    cache.value = at::empty_like(cache.key);
  }
  const auto put = [&](const at::Tensor& into, const at::Tensor& x) {
    into.narrow(2, cache.length, x.size(1)).copy_(x.detach().transpose(1, 2));
    return into.narrow(2, 0, length).transpose(1, 2);
  };
  std::pair<at::Tensor, at::Tensor> all = {put(cache.key, key), put(cache.value, value)};
  cache.length = length;
  return all;
}

Attention::Attention(LayerFactory& make, LayerContextPtr context, const AttentionOptions& options,
                     std::shared_ptr<RotaryCache> rotary)
    : context_(std::move(context)),
      options_(options),
      group_(context_->mesh.group(context_->inner.hidden)),
      num_heads_(options.num_heads / group_.size()),
      whole_kv_heads_(options.num_kv_heads % group_.size() == 0),
      rotary_(std::move(rotary)) {
  check(options, group_.size());
  const int64_t heads = options.num_heads, dim = options.head_dim;
  const auto projection = [&](tensor::Shape out, int64_t split) {
    return LinearOptions{.in = options.hidden,
                         .out = std::move(out),
                         .split = split,
                         .bias = options.qkv_bias,
                         .role = Role::expand,
                         .init_std = options.init_std};
  };
  if (options.fused_qkv) {
    projections_ = make.linears({projection({3, heads, dim}, 1)});
    register_module("qkv", projections_.layers[0]);
  } else {
    projections_ = make.linears(
        {projection({heads, dim}, 0), projection({2, options.num_kv_heads, dim}, whole_kv_heads_ ? 1 : 2)});
    register_module("query", projections_.layers[0]);
    register_module("key_value", projections_.layers[1]);
  }
  out_ = register_module("out", make.linear({.in = heads * dim,
                                             .out = {options.hidden},
                                             .bias = options.out_bias,
                                             .role = Role::contract,
                                             .init_std = options.out_init_std}));
}

Attention::Projected Attention::project(const at::Tensor& x) const {
  const int64_t dim = options_.head_dim;
  const auto heads_of = [&](const at::Tensor& y, at::IntArrayRef sizes) {
    std::vector<int64_t> shape = {y.size(0), y.size(1)};
    shape.insert(shape.end(), sizes.begin(), sizes.end());
    return y.view(shape);
  };
  const std::vector<at::Tensor> projected = projections_.forward(x);
  if (options_.fused_qkv) {
    const auto parts = heads_of(projected[0], {3, num_heads_, dim}).unbind(2);
    return {parts[0], parts[1], parts[2]};
  }
  const at::Tensor query = heads_of(projected[0], {num_heads_, dim}), &both = projected[1];
  if (!whole_kv_heads_) {
    const auto [key, value] = gathered_heads(heads_of(both, {2, options_.num_kv_heads, dim / group_.size()}));
    return {query, key, value};
  }
  const auto parts = heads_of(both, {2, options_.num_kv_heads / group_.size(), dim}).unbind(2);
  return {query, parts[0], parts[1]};
}

// Pieces [b, s, 2, kv_heads, d / n] of every kv head -> the heads that this rank's query heads read, whole.
std::pair<at::Tensor, at::Tensor> Attention::gathered_heads(const at::Tensor& pieces) const {
  const at::Tensor all = comm::gather_from(pieces, group_, 4);
  const int64_t shared_by = options_.num_heads / options_.num_kv_heads, first = group_.index() * num_heads_;
  if (num_heads_ % shared_by == 0 || shared_by % num_heads_ == 0) {
    const auto parts =
        all.narrow(3, first / shared_by, std::max<int64_t>(1, num_heads_ / shared_by)).unbind(2);
    return {parts[0], parts[1]};
  }
  const at::Tensor index =
      at::arange(first, first + num_heads_, at::TensorOptions(at::kLong).device(all.device()))
          .floor_divide(shared_by);
  const auto parts = at::index_select(all, 3, index).unbind(2);  // one per query head
  return {parts[0], parts[1]};
}

// The rows of a mask [batch, keys] that are this rank's; padded rows see everything.
at::Tensor Attention::local_mask(const at::Tensor& mask, int64_t rows) const {
  const comm::Axes& axes = context_->inner.batch;
  if (!mask.defined() || context_->mesh.shape().axes_size(axes) == 1) return mask;
  const Part part = part_of(mask.size(0), axes, context_->mesh.shape(), context_->mesh.rank());
  const at::Tensor own = mask.narrow(0, std::min(part.begin, mask.size(0)), part.valid);
  return part.valid == rows ? own : at::constant_pad_nd(own, {0, 0, 0, rows - part.valid}, 1);
}

// The key is fixed now: by the time of backward the state may have moved on to another microbatch.
std::function<at::Tensor()> Attention::dropout_mask(const Projected& p) const {
  const StepState& state = *context_->state;
  if (options_.dropout == 0 || !state.training) return {};
  const auto key =
      tensor::RandomKey(state.seed).named(options_.site).at_step(static_cast<uint64_t>(state.step));
  const int64_t rows = p.query.size(0), queries = p.query.size(1), keys = p.key.size(1);
  const int64_t first = first_global_row(*context_, context_->inner, rows);
  const tensor::Shape shape = {std::max(state.global_rows, first + rows), options_.num_heads, queries, keys};
  const tensor::Slice slice = {{first, group_.index() * num_heads_, 0, 0}, {rows, num_heads_, queries, keys}};
  return [key, shape, slice, rate = options_.dropout, dtype = p.query.scalar_type(),
          device = p.query.device()] { return tensor::dropout_mask(rate, key, shape, slice, dtype, device); };
}

at::Tensor Attention::forward(const at::Tensor& x, const AttentionContext& context) {
  Projected p = project(x);
  const int64_t positions = p.query.size(1),
                length = context_->stream.sequence.empty() ? positions : context_->state->sequence_length;
  if (length < positions) {  // the sequence was padded to be sharded
    for (at::Tensor* t : {&p.query, &p.key, &p.value}) *t = t->narrow(1, 0, length);
  }
  const int64_t offset = context.cache ? context.cache->length : 0;
  if (rotary_) {
    const functional::RotaryTable& table = rotary_->table(offset + length);
    p.query = functional::apply_rotary(p.query, table, offset);
    p.key = functional::apply_rotary(p.key, table, offset);
  }
  if (context.cache) std::tie(p.key, p.value) = append(*context.cache, p.key, p.value);
  const at::Tensor y = functional::attention(p.query, p.key, p.value,
                                             {.causal = options_.causal,
                                              .key_mask = local_mask(context.key_mask, p.query.size(0)),
                                              .scale = 0,
                                              .dropout_mask = dropout_mask(p)});
  const at::Tensor rows = y.reshape({y.size(0), length, num_heads_ * options_.head_dim});
  return out_->forward(length == positions ? rows : at::constant_pad_nd(rows, {0, 0, 0, positions - length}));
}

}  // namespace colossal::nn
