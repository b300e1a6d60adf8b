// SPDX-License-Identifier: Apache-2.0
// Objects as collectives: a length first, then the text as bytes.
#include <cstring>

#include "colossal/comm/checks.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/group_state.h"

namespace colossal::comm {

namespace {

at::Tensor to_bytes(const std::string& text, int64_t size) {
  at::Tensor bytes = at::zeros({size}, at::kByte);
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

std::string to_text(const at::Tensor& bytes, int64_t begin, int64_t size) {
  return std::string(static_cast<const char*>(bytes.const_data_ptr()) + begin, static_cast<size_t>(size));
}

at::Tensor length_of(const std::string& text) {
  return at::full({1}, static_cast<int64_t>(text.size()), at::TensorOptions().dtype(at::kLong));
}

// Text lives on the host; a group of a planner's meta device has no values to exchange, so everyone is taken
// to say the same.
bool has_values(const Group& group) { return group.size() > 1 && group.state().device.type() != at::kMeta; }

}  // namespace

Json broadcast_json(const Json& value, const Group& group, int root) {
  Checker("broadcast_json", group).member(root, "root");
  if (!has_values(group)) return value;
  const at::Device device = group.state().device;
  const bool is_root = group.index() == root;
  const std::string text = is_root ? value.dump() : "";
  const at::Tensor length = length_of(text).to(device);
  broadcast(length, group, root);
  const int64_t size = length.item<int64_t>();
  const at::Tensor bytes = (is_root ? to_bytes(text, size) : at::empty({size}, at::kByte)).to(device);
  broadcast(bytes, group, root);
  return is_root ? value : Json::parse(to_text(bytes.cpu(), 0, size));
}

std::vector<Json> all_gather_json(const Json& value, const Group& group) {
  if (!has_values(group)) return std::vector<Json>(group.size(), value);
  const at::Device device = group.state().device;
  const std::string text = value.dump();
  const at::Tensor lengths = all_gather(length_of(text).to(device), group).cpu();
  const int64_t longest = lengths.max().item<int64_t>();
  const at::Tensor bytes = all_gather(to_bytes(text, longest).to(device), group).cpu();
  std::vector<Json> values;
  for (int64_t i = 0; i < group.size(); ++i) {
    values.push_back(Json::parse(to_text(bytes, i * longest, lengths[i].item<int64_t>())));
  }
  return values;
}

}  // namespace colossal::comm
