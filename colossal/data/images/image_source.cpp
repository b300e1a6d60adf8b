// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/images/image_source.h"

#include "colossal/base/error.h"
#include "colossal/data/images/idx.h"
#include "colossal/data/images/image_folder.h"

namespace colossal::data {
namespace {

void require_folder(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return;
  throw IoError(
      fmt::format("{}: no images. Allowed: a folder that holds a folder of images for each class, or an IDX "
                  "file, which is named "
                  "like train-images-idx3-ubyte or train-images-idx3-ubyte.gz.",
                  path.string()));
}

}  // namespace

bool is_idx(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.find("images") != name.npos && name.find("idx3") != name.npos &&
         !std::filesystem::is_directory(path);
}

ImageFacts image_facts(const std::filesystem::path& path) {
  if (is_idx(path)) return idx_facts(path);
  require_folder(path);
  return folder_facts(path);
}

std::shared_ptr<const ImageSource> open_images(const std::filesystem::path& path) {
  if (is_idx(path)) return open_idx(path);
  require_folder(path);
  return open_folder(path);
}

}  // namespace colossal::data
