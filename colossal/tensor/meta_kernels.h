// SPDX-License-Identifier: Apache-2.0
// Meta kernels that the layers need and libtorch has in Python only. Internal to tensor; count_meta_memory calls it.
//
//   register_meta_kernels();      // once
#pragma once

namespace colossal::tensor {

void register_meta_kernels();

}  // namespace colossal::tensor
