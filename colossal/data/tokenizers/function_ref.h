// SPDX-License-Identifier: Apache-2.0
// A borrowed callable, two pointers wide: a callback parameter that never allocates.
//
//   void visit(FunctionRef<void(int)> f);
//   visit([&](int i) { sum += i; });
//
// Thread-safe as the callable is. It must not outlive the call.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace colossal::data {

template <typename Signature>
class FunctionRef;

template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit by design
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  Result operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

}  // namespace colossal::data
