// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/embedding.h"

#include <ATen/record_function.h>

#include "colossal/comm/saved.h"
#include "colossal/nn/functional/aten.h"
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

struct CopyRow {
  template <class From, class To>
  COLOSSAL_INLINE static void run(const From* from, To* to, int64_t n) {
    if constexpr (std::is_same_v<simd::Wide<From>, simd::Wide<To>>) {
      for (int64_t i = 0; i < n; i += simd::kLanes<From>)
        simd::store_up_to(to + i, simd::load_up_to(from + i, n - i), n - i);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(from[i]);
    }
  }
};

struct AddRow {
  template <class From, class To>
  COLOSSAL_INLINE static void run(const From* from, To* to, int64_t n) {
    if constexpr (std::is_same_v<simd::Wide<From>, simd::Wide<To>>) {
      for (int64_t i = 0; i < n; i += simd::kLanes<From>) {
        simd::store_up_to(to + i, simd::load_up_to(to + i, n - i) + simd::load_up_to(from + i, n - i), n - i);
      }
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] += static_cast<To>(from[i]);
    }
  }
};

void check_ids(const at::Tensor& ids, int64_t rows) {
  if (ids.scalar_type() != at::kLong) {
    throw ShapeError(
        fmt::format("embedding: ids are {}. They must be int64.", at::toString(ids.scalar_type())));
  }
  if (ids.is_meta()) return;
  const int64_t* id = ids.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    if (id[i] < 0 || id[i] >= rows) {
      throw ShapeError(fmt::format("embedding: id {} (element {}) is outside the table of {} rows (0 to {}).",
                                   id[i], i, rows, rows - 1));
    }
  }
}

// dtable[id] += dy. Each task owns a range of rows of the table and adds what belongs there in the order of the ids.
void add_rows(const at::Tensor& ids, const at::Tensor& dy, const at::Tensor& dtable, bool zero_first) {
  const int64_t h = dy.size(-1);
  with_type(dy, [&](auto from) {
    with_type(dtable, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      const From* source = dy.const_data_ptr<From>();
      To* target = dtable.mutable_data_ptr<To>();
      const int64_t* id = ids.const_data_ptr<int64_t>();
      at::parallel_for(0, dtable.size(0), row_grain(h), [&](int64_t begin, int64_t end) {
        if (zero_first) std::fill(target + begin * h, target + end * h, To{});
        for (int64_t i = 0; i < ids.numel(); ++i) {
          if (id[i] >= begin && id[i] < end) simd::run<AddRow>(source + i * h, target + id[i] * h, h);
        }
      });
    });
  });
}

struct Embedding : ag::Function<Embedding> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& table_in,
                            int64_t dtype, const DeferredRowsPtr& deferred) {
    RECORD_FUNCTION("colossal::embedding", {});
    const at::Tensor table = table_in.contiguous();
    std::vector<int64_t> shape = ids.sizes().vec();
    shape.push_back(table.size(1));
    at::Tensor out = at::empty(shape, table.options().dtype(static_cast<at::ScalarType>(dtype)));
    const int64_t h = table.size(1), rows = table.size(0);
    with_type(table, [&](auto from) {
      with_type(out, [&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        const From* source = table.const_data_ptr<From>();
        To* target = out.mutable_data_ptr<To>();
        const int64_t* id = ids.const_data_ptr<int64_t>();
        at::parallel_for(0, ids.numel(), row_grain(h), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            if (id[i] >= 0 && id[i] < rows) {
              simd::run<CopyRow>(source + id[i] * h, target + i * h, h);
            } else {
              std::fill_n(target + i * h, h, To{});
            }
          }
        });
      });
    });
    ctx->save_for_backward({ids});
    comm::save(*ctx, "deferred", deferred);
    ctx->saved_data["rows"] = table.size(0);
    ctx->saved_data["type"] = static_cast<int64_t>(table.scalar_type());
    return out;
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const at::Tensor ids = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const auto& deferred = comm::saved<DeferredRowsPtr>(*ctx, "deferred");
    if (deferred && deferred->take(ids, dy)) {
      return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    const at::Tensor dtable =
        at::empty({ctx->saved_data["rows"].toInt(), dy.size(-1)}, dy.options().dtype(wide_type(type)));
    add_rows(ids, dy, dtable, true);
    return {at::Tensor(), dtable.to(type), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

void DeferredRows::attach(const at::Tensor& table) {
  table.register_hook([self = shared_from_this()](const at::Tensor& dense) { return self->add_to(dense); });
}

void DeferredRows::expect_dense_from(const at::Tensor& output) {
  if (!output.requires_grad() || output.is_leaf()) return;
  output.register_hook([self = shared_from_this()](const at::Tensor&) { self->expected_ = true; });
}

bool DeferredRows::take(const at::Tensor& ids, const at::Tensor& dy) {
  if (expected_) rows_.emplace_back(ids, dy);
  return expected_;
}

// The leaf's gradient is complete: all that reads the table has run.
at::Tensor DeferredRows::add_to(const at::Tensor& dense) {
  expected_ = false;
  const auto rows = std::exchange(rows_, {});
  if (rows.empty()) return dense;
  if (!dense.defined())
    throw InternalError("embedding: rows were deferred to a dense gradient that never came");
  // The engine's reference and the hook's own: anybody else's (a graph that is kept) must not see the sum.
  const bool ours = dense.use_count() <= 2 && dense.storage().use_count() == 1 && dense.is_contiguous();
  at::Tensor sum = ours ? dense : dense.clone(at::MemoryFormat::Contiguous);
  for (const auto& [ids, dy] : rows) add_rows(ids, dy, sum, false);
  return sum;
}

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, std::optional<at::ScalarType> dtype,
                     const DeferredRowsPtr& deferred, Outside outside) {
  const at::ScalarType type = dtype.value_or(table.scalar_type());
  if (!has_kernel(table) || !has_kernel(type) || ids.device() != table.device()) {
    if (outside == Outside::error) return aten::embedding(ids, table, type);
    const at::Tensor others = ids.lt(0).logical_or_(ids.ge(table.size(0)));
    return aten::embedding(ids.masked_fill(others, 0), table, type).masked_fill(others.unsqueeze(-1), 0);
  }
  const at::Tensor dense = ids.contiguous();
  if (outside == Outside::error) check_ids(dense, table.size(0));
  return Embedding::apply(dense, table, static_cast<int64_t>(type), deferred);
}

}  // namespace colossal::nn::functional
