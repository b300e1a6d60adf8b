// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/meta.h"

#include <c10/core/Allocator.h>

#include <mutex>

#include "colossal/tensor/meta_kernels.h"

namespace colossal::tensor {
namespace {

constexpr uintptr_t kNowhere = uintptr_t{1}
                               << 62;  // no processor maps it: reading there is a segmentation fault
constexpr uintptr_t kMetaAlignment = 64;

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t n) override {
    const c10::Device device(c10::DeviceType::Meta);
    if (n == 0) return {nullptr, nullptr, &forget, device};
    counter_.add(static_cast<int64_t>(n));
    const uintptr_t room = (n + kMetaAlignment - 1) / kMetaAlignment * kMetaAlignment;
    auto* const address = reinterpret_cast<void*>(next_.fetch_add(room, std::memory_order_relaxed));
    return {address, reinterpret_cast<void*>(n), &forget, device};  // the context is the size
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, std::size_t) const override {}
  MemoryCounter& counter() { return counter_; }

 private:
  static void forget(void* size);

  MemoryCounter counter_;
  std::atomic<uintptr_t> next_{kNowhere};
};

// libtorch knows one allocator per device and process, and tensors may outlive every static object.
std::atomic<CountingAllocator*>& counting_allocator() {
  static std::atomic<CountingAllocator*> allocator{nullptr};
  return allocator;
}

void CountingAllocator::forget(void* size) {
  counting_allocator()
      .load(std::memory_order_relaxed)
      ->counter_.remove(static_cast<int64_t>(reinterpret_cast<uintptr_t>(size)));
}

}  // namespace

void count_meta_memory() {
  static std::once_flag once;
  std::call_once(once, [] {
    counting_allocator() = new CountingAllocator;
    c10::SetAllocator(c10::DeviceType::Meta, counting_allocator().load(), 200);
    register_meta_kernels();
  });
}

MemoryCounter* meta_memory() {
  CountingAllocator* const allocator = counting_allocator().load();
  return allocator == nullptr ? nullptr : &allocator->counter();
}

double number_in(const at::Tensor& x, double assumed) { return x.is_meta() ? assumed : x.item<double>(); }

std::vector<double> numbers_in(const at::Tensor& x, double assumed) {
  std::vector<double> numbers(static_cast<size_t>(x.numel()), assumed);
  if (x.is_meta()) return numbers;
  const at::Tensor here = x.to(at::kCPU, at::kDouble).contiguous();
  std::copy_n(here.const_data_ptr<double>(), numbers.size(), numbers.begin());
  return numbers;
}

}  // namespace colossal::tensor
