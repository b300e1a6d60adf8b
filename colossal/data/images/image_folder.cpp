// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/images/image_folder.h"

#include <fmt/ranges.h>
#include <stb_image.h>

#include <algorithm>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/text.h"

namespace colossal::data {
namespace {

constexpr const char* kKinds[] = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tga"};
constexpr int64_t kChannels = 3;

bool is_image(const std::filesystem::path& path) {
  const std::string kind = path.extension().string();
  return std::ranges::any_of(kKinds, [&](const char* known) { return iequals(known, kind); });
}

// What is in a folder, by name.
std::vector<std::filesystem::path> entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with('.')) all.push_back(entry.path());
  }
  std::ranges::sort(all);
  return all;
}

std::vector<std::filesystem::path> class_folders(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> classes = entries(folder);
  std::erase_if(classes, [](const auto& path) { return !std::filesystem::is_directory(path); });
  if (classes.size() >= 2) return classes;
  throw IoError(fmt::format("{}: holds {}. Expected: a folder of images for each class, two or more.",
                            folder.string(),
                            classes.empty() ? "no folder" : "one folder, " + classes[0].filename().string()));
}

class ImageFolder final : public ImageSource {
 public:
  explicit ImageFolder(const std::filesystem::path& folder) {
    int64_t label = 0;
    for (const auto& each : class_folders(folder)) {
      const size_t before = files_.size();
      for (auto& file : entries(each)) {
        if (is_image(file)) files_.push_back({std::move(file), label});
      }
      ++label;
      if (files_.size() > before) continue;
      throw IoError(fmt::format("{}: holds no image. Known are {}.", each.string(), fmt::join(kKinds, ", ")));
    }
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t label(int64_t image) const override { return files_[static_cast<size_t>(image)].label; }
  at::Tensor pixels(int64_t image, int64_t channels) const override {
    const std::filesystem::path& path = files_[static_cast<size_t>(image)].path;
    const std::string bytes = read_file(path);
    int width = 0, height = 0, found = 0;
    const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
        stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()),
                              &width, &height, &found, static_cast<int>(channels)),
        stbi_image_free);
    if (!decoded)
      throw IoError(fmt::format("{}: cannot be decoded ({}).", path.string(), stbi_failure_reason()));
    return at::from_blob(decoded.get(), {height, width, channels}, at::kByte)
        .permute({2, 0, 1})
        .clone(at::MemoryFormat::Contiguous);
  }

 private:
  struct File {
    std::filesystem::path path;
    int64_t label;
  };
  std::vector<File> files_;
};

}  // namespace

ImageFacts folder_facts(const std::filesystem::path& folder) {
  ImageFacts facts{.size = 0, .channels = kChannels};
  for (const auto& path : class_folders(folder)) facts.classes.push_back(path.filename().string());
  return facts;
}

std::shared_ptr<const ImageSource> open_folder(const std::filesystem::path& folder) {
  return std::make_shared<ImageFolder>(folder);
}

}  // namespace colossal::data
