// SPDX-License-Identifier: Apache-2.0
// A whole file as JSON.
//
//   const Json json = read_json(folder / "config.json");
//
// Thread-safe: a pure function of the file.
#pragma once
#include <filesystem>

#include "colossal/base/json.h"

namespace colossal {

// IoError when the file cannot be read, or near which byte it stops being JSON.
Json read_json(const std::filesystem::path& path);

}  // namespace colossal
