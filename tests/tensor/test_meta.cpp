// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/tensor/allocator.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/meta.h"

using namespace colossal::tensor;

namespace {

at::Tensor nothing(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
  return at::empty(sizes, at::device(at::kMeta).dtype(dtype));
}

int64_t live_meta() { return memory_stats(at::kMeta).live_bytes; }

}  // namespace

TEST_CASE("meta tensors are counted to the byte and apart from those of the CPU") {
  count_meta_memory();
  install_caching_allocator();
  const int64_t before = live_meta(), on_cpu = memory_stats().live_bytes;
  reset_peak(at::kMeta);
  at::Tensor x = nothing({1 << 20, 1 << 20});  // 4 TiB
  CHECK(live_meta() - before == int64_t{4} << 40);
  const at::Tensor rows = x.narrow(0, 7, 3);
  CHECK(live_meta() - before == int64_t{4} << 40);  // a view
  at::Tensor y = rows.to(at::kBFloat16);
  CHECK(live_meta() - before == (int64_t{4} << 40) + 3 * (2 << 20));
  CHECK(nothing({0, 5}).numel() == 0);
  x.reset();
  CHECK(live_meta() - before == (int64_t{4} << 40) + 3 * (2 << 20));  // rows keep all of it
  const_cast<at::Tensor&>(rows).reset();
  CHECK(live_meta() - before == 3 * (2 << 20));
  CHECK(memory_stats(at::kMeta).peak_bytes - before == (int64_t{4} << 40) + 3 * (2 << 20));
  reset_peak(at::kMeta);
  CHECK(memory_stats(at::kMeta).peak_bytes == live_meta());
  CHECK(memory_stats().live_bytes == on_cpu);
}

TEST_CASE("meta tensors have addresses of their own, so that casts and buckets tell them apart") {
  count_meta_memory();
  const at::Tensor x = nothing({3}), y = nothing({3});
  CHECK(x.const_data_ptr() != y.const_data_ptr());
  CHECK(x.const_data_ptr() != nullptr);
  CHECK(x.narrow(0, 1, 1).const_data_ptr() == static_cast<const char*>(x.const_data_ptr()) + 4);
  const at::Tensor cast = cached_cast(x, at::kBFloat16);
  CHECK(cached_cast(x, at::kBFloat16).is_same(cast));
  CHECK(!cached_cast(y, at::kBFloat16).is_same(cast));
}

TEST_CASE("a number on meta is what the caller assumes") {
  CHECK(number_in(nothing({}), 7) == 7);
  CHECK(number_in(at::scalar_tensor(3.5), 7) == 3.5);
  CHECK((numbers_in(nothing({2}), 7) == std::vector<double>{7, 7}));
  CHECK((numbers_in(at::arange(6).view({2, 3}).select(1, 1), 7) == std::vector<double>{1, 4}));
}
