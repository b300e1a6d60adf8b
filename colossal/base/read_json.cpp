// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/read_json.h"

#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/base/file.h"

namespace colossal {

Json read_json(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw IoError(fmt::format("{}: is not valid JSON: damaged near byte {} of {}.", path.string(), error.byte,
                              text.size()));
  }
}

}  // namespace colossal
