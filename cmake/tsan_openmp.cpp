// SPDX-License-Identifier: Apache-2.0
// For builds with ThreadSanitizer, which does not see how threads of libgomp wait for each other: says at the begin and end of every
// parallel region what happens before what. Stands in front of libgomp's function of this name.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char begin = 0, end = 0;  // only their addresses matter
};

void run(void* argument) {
  auto* region = static_cast<Region*>(argument);
  __tsan_acquire(&region->begin);
  region->body(region->data);
  __tsan_release(&region->end);
}

}  // namespace

extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  using Real = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data};
  __tsan_release(&region.begin);
  real(run, &region, threads, flags);
  __tsan_acquire(&region.end);
}
