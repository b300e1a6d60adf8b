// SPDX-License-Identifier: Apache-2.0
// How the tensors of a foreign checkpoint lie within our parameters.
//
//   // Rows of the query in our fused [3, heads, head_dim, hidden] are "q_proj.weight" [heads * head_dim, hidden]:
//   weights.add("q_proj.weight", {h, h}, "blocks.0.attention.qkv.weight", 0);
//
// Thread-safe: values.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace colossal::models {

// One tensor of the file: a parameter, or one part of it along its first logical dim.
struct ForeignTensor {
  std::string name = {};
  std::vector<int64_t> shape = {};  // in the file
  std::string parameter = {};
  int64_t part = -1;  // index along dim 0 of the logical shape, -1: all of it
  // Logical dims of the part, rotated left by this many, are the order in the file (then flattened to `shape`). 0: the same order.
  // A transposed [in, out] of our [out, in] is 1; GPT-2's fused [in, 3 * heads * head_dim] of our [3, heads, head_dim, in] is 3.
  int64_t rotation = 0;
};

struct ForeignWeights {
  std::vector<ForeignTensor> tensors = {};
  std::string optional_prefix = {};  // some files leave it out of all names ("transformer.")
  // Endings of names that files may hold and that carry nothing ("attn.bias", a causal mask of old GPT-2 files).
  std::vector<std::string> ignored_endings = {};
  // Today's ending of a name, and what old files have in its place ("LayerNorm.weight", "LayerNorm.gamma"). Written as today.
  std::vector<std::pair<std::string, std::string>> old_endings = {};
  // Names that repeat a tensor that is already there (a tied head): accepted when the bytes are the same.
  std::vector<std::pair<std::string, std::string>> repeated = {};

  void add(const std::string& name, std::vector<int64_t> shape, const std::string& parameter,
           int64_t part = -1) {
    tensors.push_back({.name = name, .shape = std::move(shape), .parameter = parameter, .part = part});
  }
  // "<name>.weight" of this shape and "<name>.bias" of its first dim.
  void add_both(const std::string& name, const std::vector<int64_t>& shape, const std::string& parameter,
                int64_t part = -1) {
    add(name + ".weight", shape, parameter + ".weight", part);
    add(name + ".bias", {shape.front()}, parameter + ".bias", part);
  }
};

}  // namespace colossal::models
