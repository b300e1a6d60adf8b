// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/attention.h"

#include "colossal/base/error.h"
#include "colossal/nn/functional/attention.h"
#include "colossal/tensor/random.h"

namespace colossal::nn {
namespace {

void check(const AttentionOptions& o) {
  const bool sizes = o.hidden >= 1 && o.num_heads >= 1 && o.num_kv_heads >= 1 && o.head_dim >= 1;
  if (!sizes || o.num_heads % o.num_kv_heads != 0 || (o.fused_qkv && o.num_heads != o.num_kv_heads)) {
    throw ShapeError(fmt::format(
        "attention: {} heads of {} over {} kv heads, hidden size {}. Allowed: sizes of at least 1, kv heads "
        "a divisor of heads{}.",
        o.num_heads, o.head_dim, o.num_kv_heads, o.hidden,
        o.fused_qkv ? " (and equal to it where q, k and v are fused)" : ""));
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

DenseAttention::DenseAttention(DenseContextPtr context, const AttentionOptions& options,
                               std::shared_ptr<RotaryCache> rotary)
    : context_(std::move(context)), options_(options), rotary_(std::move(rotary)) {
  check(options);
  const int64_t heads = options.num_heads;
  const int64_t dim = options.head_dim;
  const auto project_to = [&](const char* name, tensor::Shape out) {
    tensor::Shape weight = out;
    weight.push_back(options.hidden);
    const auto bias = options.qkv_bias ? std::optional(out) : std::nullopt;
    return register_module(
        name, std::make_shared<DenseLinear>(context_, weight, options.hidden, bias, options.init_std));
  };
  if (options.fused_qkv) {
    qkv_ = project_to("qkv", {3, heads, dim});
  } else {
    query_ = project_to("query", {heads, dim});
    key_value_ = project_to("key_value", {2, options.num_kv_heads, dim});
  }
  const auto bias = options.out_bias ? std::optional(tensor::Shape{options.hidden}) : std::nullopt;
  out_ = register_module(
      "out", std::make_shared<DenseLinear>(context_, tensor::Shape{options.hidden, heads, dim}, heads * dim,
                                           bias, options.out_init_std));
}

DenseAttention::Projected DenseAttention::project(const at::Tensor& x) const {
  const int64_t b = x.size(0);
  const int64_t s = x.size(1);
  if (qkv_) {
    const auto parts = qkv_->forward(x).view({b, s, 3, options_.num_heads, options_.head_dim}).unbind(2);
    return {parts[0], parts[1], parts[2]};
  }
  const auto parts =
      key_value_->forward(x).view({b, s, 2, options_.num_kv_heads, options_.head_dim}).unbind(2);
  return {query_->forward(x).view({b, s, options_.num_heads, options_.head_dim}), parts[0], parts[1]};
}

// The key is fixed now: by the time of backward the state may have moved on to another microbatch.
std::function<at::Tensor()> DenseAttention::dropout_mask(const Projected& p) const {
  const StepState& state = *context_->state;
  if (options_.dropout == 0 || !state.training) return {};
  const auto key =
      tensor::RandomKey(state.seed).named(options_.site).at_step(static_cast<uint64_t>(state.step));
  const int64_t queries = p.query.size(1);
  const int64_t keys = p.key.size(1);
  const tensor::Shape shape = {state.global_rows, options_.num_heads, queries, keys};
  const tensor::Slice slice = {{state.first_row, 0, 0, 0},
                               {p.query.size(0), options_.num_heads, queries, keys}};
  return [key, shape, slice, rate = options_.dropout, dtype = p.query.scalar_type(),
          device = p.query.device()] { return tensor::dropout_mask(rate, key, shape, slice, dtype, device); };
}

at::Tensor DenseAttention::forward(const at::Tensor& x, const AttentionContext& context) {
  Projected p = project(x);
  const int64_t offset = context.cache ? context.cache->length : 0;
  if (rotary_) {
    const functional::RotaryTable& table = rotary_->table(offset + x.size(1));
    p.query = functional::apply_rotary(p.query, table, offset);
    p.key = functional::apply_rotary(p.key, table, offset);
  }
  if (context.cache) std::tie(p.key, p.value) = append(*context.cache, p.key, p.value);
  const at::Tensor y = functional::attention(
      p.query, p.key, p.value,
      {.causal = options_.causal, .key_mask = context.key_mask, .scale = 0, .dropout_mask = dropout_mask(p)});
  return out_->forward(y.reshape({x.size(0), x.size(1), options_.num_heads * options_.head_dim}));
}

}  // namespace colossal::nn
