// SPDX-License-Identifier: Apache-2.0
// The wheel ships Gloo inside libtorch_cpu.so but not its headers: these five declare what
// ProcessGroupGloo.hpp needs.
#pragma once
