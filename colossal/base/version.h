// SPDX-License-Identifier: Apache-2.0
// The version of Colossal, its one source: CMake reads it here.
#pragma once

namespace colossal {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace colossal
