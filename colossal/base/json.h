// SPDX-License-Identifier: Apache-2.0
// JSON as used for manifests, metrics and object broadcast: nlohmann-json with the key order kept.
#pragma once
#include <nlohmann/json.hpp>

namespace colossal {
using Json = nlohmann::ordered_json;
}
