// SPDX-License-Identifier: Apache-2.0
// Precompiled: cmake/pch_tensor.h, torch's modules and autograd functions.
#pragma once
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>

#include "pch_tensor.h"
