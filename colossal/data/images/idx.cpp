// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/images/idx.h"

#include <algorithm>

#include "colossal/base/error.h"
#include "colossal/data/byte_source.h"

namespace colossal::data {
namespace {

constexpr size_t kImagesHeader = 16, kLabelsHeader = 8;

// The first `enough` bytes of a file or a little more, all of it where it has fewer.
std::string read_start(const std::filesystem::path& path, size_t enough) {
  const auto source = ByteSource::open(path);
  std::string bytes;
  while (bytes.size() < enough && source->read(bytes)) {
  }
  return bytes;
}

int64_t big_endian(const std::string& bytes, size_t at) {
  int64_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Unsigned bytes of so many dims.
void check_magic(const std::filesystem::path& path, const std::string& bytes, char dims, size_t header) {
  if (bytes.size() >= header && bytes.compare(0, 4, std::string{0, 0, 8, dims}) == 0) return;
  std::string found;
  for (size_t i = 0; i < std::min<size_t>(4, bytes.size()); ++i)
    found += fmt::format("{}{:02x}", i == 0 ? "" : " ", static_cast<unsigned char>(bytes[i]));
  throw IoError(fmt::format(
      "{}: no IDX file of {}. It begins with {}, not with 00 00 08 {:02x} and {} sizes of 4 bytes.",
      path.string(), dims == 3 ? "images" : "labels", found.empty() ? "nothing" : found, dims,
      static_cast<int>(dims)));
}

struct ImagesHeader {
  int64_t count, height, width;
  size_t bytes() const { return kImagesHeader + static_cast<size_t>(count * height * width); }
};

ImagesHeader parse_images(const std::filesystem::path& path, const std::string& bytes) {
  check_magic(path, bytes, 3, kImagesHeader);
  const ImagesHeader header{big_endian(bytes, 4), big_endian(bytes, 8), big_endian(bytes, 12)};
  // The sizes are 32 bits each: their product may be anything where they are damaged.
  constexpr int64_t kMostSide = 1 << 16;
  if (header.count >= 1 && header.height >= 1 && header.width >= 1 && header.height <= kMostSide &&
      header.width <= kMostSide)
    return header;
  throw IoError(fmt::format(
      "{}: says that it holds {} images of {} x {}. Allowed: at least one, of 1 to {} pixels a side.",
      path.string(), header.count, header.height, header.width, kMostSide));
}

void check_length(const std::filesystem::path& path, const std::string& bytes, size_t wanted) {
  if (bytes.size() == wanted) return;
  throw IoError(fmt::format("{}: has {} bytes, but its first ones ask for {}. It is damaged or was cut off.",
                            path.string(), bytes.size(), wanted));
}

std::filesystem::path labels_beside(const std::filesystem::path& images) {
  std::string name = images.filename().string();
  const auto replace = [&](std::string_view from, std::string_view to) {
    if (const size_t at = name.find(from); at != name.npos) name.replace(at, from.size(), to);
  };
  replace("images", "labels");
  replace("idx3", "idx1");
  const std::filesystem::path folder = images.parent_path();
  const std::string plain = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
  for (const std::string& candidate : {name, plain, plain + ".gz"}) {
    if (std::filesystem::exists(folder / candidate)) return folder / candidate;
  }
  throw IoError(
      fmt::format("{}: has no {} beside it, with the classes of the images.", images.string(), name));
}

std::string read_labels(const std::filesystem::path& images, int64_t count) {
  const std::filesystem::path path = labels_beside(images);
  const std::string bytes = read_start(path, std::string::npos);
  check_magic(path, bytes, 1, kLabelsHeader);
  check_length(path, bytes, kLabelsHeader + static_cast<size_t>(big_endian(bytes, 4)));
  if (big_endian(bytes, 4) == count) return bytes.substr(kLabelsHeader);
  throw IoError(fmt::format("{}: holds {} labels, and {} holds {} images.", path.string(),
                            big_endian(bytes, 4), images.string(), count));
}

class IdxImages final : public ImageSource {
 public:
  explicit IdxImages(const std::filesystem::path& path)
      : bytes_(read_start(path, std::string::npos)), header_(parse_images(path, bytes_)) {
    check_length(path, bytes_, header_.bytes());
    labels_ = read_labels(path, header_.count);
  }
  int64_t size() const override { return header_.count; }
  int64_t label(int64_t image) const override {
    return static_cast<unsigned char>(labels_[static_cast<size_t>(image)]);
  }
  at::Tensor pixels(int64_t image, int64_t channels) const override {
    const int64_t each = header_.height * header_.width;
    const at::Tensor grey = at::empty({1, header_.height, header_.width}, at::kByte);
    std::copy_n(bytes_.data() + kImagesHeader + image * each, each,
                static_cast<char*>(grey.mutable_data_ptr()));
    return grey.expand({channels, header_.height, header_.width});
  }

 private:
  std::string bytes_;
  ImagesHeader header_;
  std::string labels_;
};

}  // namespace

ImageFacts idx_facts(const std::filesystem::path& images) {
  const ImagesHeader header = parse_images(images, read_start(images, kImagesHeader));
  ImageFacts facts{.size = header.height == header.width ? header.height : 0, .channels = 1};
  const std::string labels = read_labels(images, header.count);
  const auto most = static_cast<unsigned char>(
      *std::ranges::max_element(labels, {}, [](char c) { return static_cast<unsigned char>(c); }));
  for (int label = 0; label <= most; ++label) facts.classes.push_back(std::to_string(label));
  return facts;
}

std::shared_ptr<const ImageSource> open_idx(const std::filesystem::path& images) {
  return std::make_shared<IdxImages>(images);
}

}  // namespace colossal::data
