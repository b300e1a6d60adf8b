// SPDX-License-Identifier: Apache-2.0
// Images from IDX files and folders: the right pixels, the random moves, and what is said of damaged files.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <zlib.h>

#include <set>

#include "colossal/base/file.h"
#include "colossal/data/loader.h"
#include "tests/data/files.h"

using namespace colossal;
using namespace colossal::data;
using namespace colossal::testing;

namespace {

constexpr IdxSizes kSizes = {.count = 7, .height = 4, .width = 4, .classes = 3};

std::vector<int64_t> first_of(int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) all[static_cast<size_t>(i)] = i;
  return all;
}

DataOptions pictures(const std::filesystem::path& train) {
  return {.task = models::Task::image_classification, .train = {train.string()}, .seed = 3};
}

}  // namespace

TEST_CASE("IDX files hold the pixels and labels that were put in, packed or not") {
  const ScratchFolder folder;
  const auto plain = write_idx(folder.path(), "train", kSizes);
  const std::string bytes = read_file(plain);
  const std::string packed = (folder / "gz-images-idx3-ubyte.gz").string();
  gzFile out = gzopen(packed.c_str(), "wb");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
  std::filesystem::copy(folder / "train-labels-idx1-ubyte", folder / "gz-labels-idx1-ubyte");
  for (const std::filesystem::path& path : {plain, std::filesystem::path(packed)}) {
    CAPTURE(path.string());
    const ImageFacts facts = image_facts(path);
    CHECK(facts.size == 4);
    CHECK(facts.channels == 1);
    CHECK(facts.classes == std::vector<std::string>{"0", "1", "2"});
    const auto source = open_images(path);
    REQUIRE(source->size() == 7);
    for (int i = 0; i < 7; ++i) {
      CHECK(source->label(i) == i % 3);
      const at::Tensor x = source->pixels(i, 3);
      REQUIRE(x.sizes() == at::IntArrayRef({3, 4, 4}));
      for (int p = 0; p < 16; ++p) CHECK(x[2][p / 4][p % 4].item<uint8_t>() == idx_pixel(kSizes, i, p));
    }
  }
}

TEST_CASE("a folder of class folders: classes by name, colours in order, grey on request") {
  const ScratchFolder folder;
  write_file(folder / "pets/dog/2.ppm", pnm(3, 2, 1, {1, 2, 3, 4, 5, 6}));
  write_file(folder / "pets/dog/1.PPM", pnm(3, 2, 1, {255, 0, 0, 0, 255, 0}));
  write_file(folder / "pets/cat/a.pgm", pnm(1, 1, 2, {9, 200}));
  write_file(folder / "pets/cat/notes.txt", "not an image");
  write_file(folder / "pets/.cache/x.ppm", "hidden");
  write_file(folder / "pets/list.txt", "no folder");
  CHECK(image_facts(folder / "pets").classes == std::vector<std::string>{"cat", "dog"});
  CHECK(image_facts(folder / "pets").channels == 3);
  CHECK(image_facts(folder / "pets").size == 0);
  const auto source = open_images(folder / "pets");
  REQUIRE(source->size() == 3);
  CHECK(source->label(0) == 0);
  CHECK(source->label(2) == 1);
  const auto check = [&](int64_t image, int64_t channels, const at::Tensor& expected) {
    CHECK(at::equal(source->pixels(image, channels), expected.to(at::kByte)));
  };
  check(0, 1, at::tensor({9, 200}).view({1, 2, 1}));
  check(0, 3, at::tensor({9, 200, 9, 200, 9, 200}).view({3, 2, 1}));
  check(1, 3, at::tensor({255, 0, 0, 255, 0, 0}).view({3, 1, 2}));
  check(2, 3, at::tensor({1, 4, 2, 5, 3, 6}).view({3, 1, 2}));
  CHECK(source->pixels(1, 1)[0][0][0].item<int>() == 77 * 255 / 256);  // stb: (77 r + 150 g + 29 b) / 256
}

TEST_CASE("pixels are normalised per channel and resized as area averages where they shrink") {
  const ScratchFolder folder;
  write_file(folder / "x/a/1.ppm", pnm(3, 2, 2, {0, 51, 102, 0, 51, 102, 255, 51, 102, 255, 51, 102}));
  write_file(folder / "x/b/1.ppm", pnm(3, 1, 1, {0, 0, 0}));
  const ImageDataset plain(open_images(folder / "x"),
                           {.size = 2, .mean = {0.5, 0.1, 0.4}, .std = {0.5, 0.1, 2}});
  const Batch batch = plain.fetch(first_of(2), 0);
  CHECK(at::equal(batch.label(), at::tensor({0, 1}, at::kLong)));
  REQUIRE(batch.inputs.at("pixel_values").sizes() == at::IntArrayRef({2, 3, 2, 2}));
  CHECK((batch.input().scalar_type() == at::kFloat));
  const at::Tensor expected = at::tensor({-1., -1., 1., 1., 1., 1., 1., 1., 0., 0., 0., 0.}).view({3, 2, 2});
  CHECK((batch.input()[0] - expected).abs().max().item<double>() < 1e-6);
  CHECK((batch.input()[1][0] + 1).abs().max().item<double>() < 1e-6);  // one pixel fills all four
  const ImageDataset small(open_images(folder / "x"), {.size = 1, .mean = {0}, .std = {1}});
  const at::Tensor means = small.fetch(first_of(1), 0).input().view({3});
  CHECK((means - at::tensor({0.5, 0.2, 0.4})).abs().max().item<double>() < 1e-6);
}

TEST_CASE("flips and shifts follow the position: each of them, evenly, and the same again") {
  const ScratchFolder folder;
  const auto source =
      open_images(write_idx(folder.path(), "train", {.count = 1, .height = 5, .width = 5, .classes = 1}));
  const ImageOptions plain{.size = 5, .channels = 1, .mean = {0}, .std = {1}, .seed = 8};
  const at::Tensor still = ImageDataset(source, plain).fetch(first_of(1), 0).input()[0][0];
  // What stands at (y, x) stood at (y - down, x - right), mirrored or not; black moves in.
  const auto moved = [&](bool mirrored, int64_t down, int64_t right) {
    at::Tensor out = at::zeros({5, 5});
    for (int64_t y = 0; y < 5; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        const int64_t from_y = y - down, from_x = mirrored ? 4 - (x - right) : x - right;
        if (from_y >= 0 && from_y < 5 && from_x >= 0 && from_x < 5) out[y][x] = still[from_y][from_x];
      }
    }
    return out;
  };
  ImageOptions options = plain;
  options.flip = true;
  options.shift = 1;
  const ImageDataset dataset(source, options);
  constexpr int kDraws = 1800;
  std::map<std::string, int> seen;
  const at::Tensor all = dataset.fetch(std::vector<int64_t>(kDraws, 0), 100).input();
  for (int i = 0; i < kDraws; ++i) {
    std::string found = "none";
    for (const bool mirrored : {false, true}) {
      for (int64_t down = -1; down <= 1; ++down) {
        for (int64_t right = -1; right <= 1; ++right) {
          if (at::equal(all[i][0], moved(mirrored, down, right)))
            found = fmt::format("{} {} {}", mirrored, down, right);
        }
      }
    }
    ++seen[found];
  }
  CHECK(seen.size() == 18);
  CHECK(seen.count("none") == 0);
  double chi2 = 0;
  for (const auto& [move, count] : seen) chi2 += (count - 100.0) * (count - 100.0) / 100;
  CHECK(chi2 < 40.8);  // 17 degrees of freedom, p = 0.001
  for (const int64_t i : {0, 17, 1799})
    CHECK(at::equal(dataset.fetch(first_of(1), 100 + i).input()[0], all[i]));
  options.seed = 9;
  CHECK_FALSE(
      at::equal(ImageDataset(source, options).fetch(std::vector<int64_t>(kDraws, 0), 100).input(), all));
}

TEST_CASE("every layout trains on the same moved images, and a restart goes on with them") {
  const ScratchFolder folder;
  const auto source =
      open_images(write_idx(folder.path(), "train", {.count = 11, .height = 6, .width = 6, .classes = 3}));
  const auto dataset = std::make_shared<ImageDataset>(
      source, ImageOptions{.size = 6, .channels = 1, .flip = true, .shift = 2, .seed = 5});
  const auto loader = [&](int64_t micro, int64_t rank, int64_t size) {
    return Loader(
        dataset,
        {.split = {.global_batch_size = 4, .microbatch_size = micro, .data_rank = rank, .data_size = size},
         .seed = 5});
  };
  Loader one = loader(4, 0, 1);
  std::vector<at::Tensor> whole;
  for (int step = 0; step < 6; ++step) whole.push_back(one.next_step()[0].input());
  std::set<std::vector<float>> distinct;
  for (const at::Tensor& batch : whole) {
    for (int64_t row = 0; row < 4; ++row) {
      const float* p = batch[row].const_data_ptr<float>();
      distinct.insert({p, p + 36});
    }
  }
  CHECK(distinct.size() > 20);  // 24 rows of 11 images: they look different in each epoch
  for (int64_t rank = 0; rank < 2; ++rank) {
    Loader half = loader(1, rank, 2);
    Json state = half.state();
    state["samples_consumed"] = 8;
    half.load_state(state);
    for (int step = 2; step < 6; ++step) {
      for (const Batch& batch : half.next_step())
        CHECK(at::equal(batch.input()[0], whole[step][batch.first_row]));
    }
  }
}

TEST_CASE("opened: sizes from the data, held-out images, and validation without moves") {
  const ScratchFolder folder;
  const auto train = write_idx(folder.path(), "train", {.count = 20, .height = 6, .width = 6, .classes = 4});
  const auto test = write_idx(folder.path(), "test", {.count = 5, .height = 6, .width = 6, .classes = 4});
  DataOptions options = pictures(train);
  options.image = {.flip = true, .shift = 3};
  options.validation = {test.string()};
  Datasets data = open_data(options);
  CHECK(data.tokenizer == nullptr);
  CHECK(data.sizes.image_size == 6);
  CHECK(data.sizes.channels == 1);
  CHECK(data.sizes.num_classes == 4);
  CHECK(data_sizes(options).num_classes == 4);
  CHECK(data.train->size() == 20);
  CHECK(data.validation->size() == 5);
  CHECK(at::equal(data.validation->fetch(first_of(5), 0).input(),
                  data.validation->fetch(first_of(5), 77).input()));
  CHECK_FALSE(
      at::equal(data.train->fetch(first_of(5), 0).input(), data.train->fetch(first_of(5), 77).input()));

  options.validation.clear();
  options.validation_fraction = 0.25;
  options.sizes = {.image_size = 3, .channels = 3, .num_classes = 9};
  options.image = {};
  data = open_data(options);
  CHECK(data.sizes.num_classes == 9);
  REQUIRE(data.train->size() == 15);
  REQUIRE(data.validation->size() == 5);
  CHECK(data.train->fetch(first_of(1), 0).input().sizes() == at::IntArrayRef({1, 3, 3, 3}));
  std::set<std::vector<float>> all;  // no two images are alike
  for (const auto& part : {data.train, data.validation}) {
    const at::Tensor x = part->fetch(first_of(part->size()), 0).input();
    for (int64_t i = 0; i < x.size(0); ++i) {
      const float* p = x[i].const_data_ptr<float>();
      all.insert({p, p + 27});
    }
  }
  CHECK(all.size() == 20);
  options.seed = 4;
  CHECK(at::equal(open_data(options).validation->fetch(first_of(5), 0).label(),
                  data.validation->fetch(first_of(5), 0).label()));
}

TEST_CASE("synthetic images are a pure function of seed and number") {
  DataOptions options{.task = models::Task::image_classification,
                      .train = {"synthetic"},
                      .seed = 1,
                      .sizes = {.image_size = 8, .channels = 1, .num_classes = 5}};
  const Datasets data = open_data(options);
  const std::vector<int64_t> some = {3, 9, 3};
  const Batch batch = data.train->fetch(some, 0);
  CHECK(batch.input().sizes() == at::IntArrayRef({3, 1, 8, 8}));
  CHECK(at::equal(batch.input()[0], batch.input()[2]));
  CHECK_FALSE(at::equal(batch.input()[0], batch.input()[1]));
  CHECK_FALSE(at::equal(data.validation->fetch(some, 0).input(), batch.input()));
  const at::Tensor labels = data.train->fetch(first_of(500), 0).label();
  CHECK(at::bincount(labels).min().item<int64_t>() > 60);
  CHECK(labels.max().item<int64_t>() == 4);
}

TEST_CASE("damaged IDX files") {
  const ScratchFolder folder;
  const auto images = write_idx(folder.path(), "train", kSizes);
  const auto labels = folder / "train-labels-idx1-ubyte";
  const std::string good_images = read_file(images), good_labels = read_file(labels);
  const auto open = [&] { open_images(images); };
  const auto with_images = [&](const std::string& bytes) {
    write_file(images, bytes);
    std::string text = error_in(folder, open);
    write_file(images, good_images);
    return text;
  };
  const auto with_labels = [&](const std::string& bytes) {
    write_file(labels, bytes);
    std::string text = error_in(folder, open);
    CHECK(error_in(folder, [&] { image_facts(images); }) == text);
    write_file(labels, good_labels);
    return text;
  };
  CHECK(error_in(folder, open) == "no error");
  CHECK(with_images("") ==
        "train-images-idx3-ubyte: no IDX file of images. It begins with nothing, not with 00 00 08 03 and 3 "
        "sizes of 4 bytes.");
  CHECK(with_images(good_labels) ==
        "train-images-idx3-ubyte: no IDX file of images. It begins with 00 00 08 01, not with 00 00 08 03 "
        "and 3 sizes of 4 bytes.");
  CHECK(with_images(good_images.substr(0, 100)) ==
        "train-images-idx3-ubyte: has 100 bytes, but its first ones ask for 128. It is damaged or was cut "
        "off.");
  CHECK(with_images(good_images + "x") ==
        "train-images-idx3-ubyte: has 129 bytes, but its first ones ask for 128. It is damaged or was cut "
        "off.");
  CHECK(with_images(idx_header({0, 4, 4})) ==
        "train-images-idx3-ubyte: says that it holds 0 images of 4 x 4. Allowed: at least one, of 1 to 65536 "
        "pixels a side.");
  CHECK(with_images(idx_header({1, 0xffffffff, 0xffffffff})) ==
        "train-images-idx3-ubyte: says that it holds 1 images of 4294967295 x 4294967295. Allowed: at least "
        "one, of 1 to 65536 pixels a "
        "side.");
  CHECK(with_labels(good_images) ==
        "train-labels-idx1-ubyte: no IDX file of labels. It begins with 00 00 08 03, not with 00 00 08 01 "
        "and 1 sizes of 4 bytes.");
  CHECK(
      with_labels(good_labels.substr(0, 10)) ==
      "train-labels-idx1-ubyte: has 10 bytes, but its first ones ask for 15. It is damaged or was cut off.");
  CHECK(with_labels(idx_header({2}) + std::string{0, 1}) ==
        "train-labels-idx1-ubyte: holds 2 labels, and train-images-idx3-ubyte holds 7 images.");
  std::filesystem::remove(labels);
  CHECK(error_in(folder, open) ==
        "train-images-idx3-ubyte: has no train-labels-idx1-ubyte beside it, with the classes of the images.");
  write_file(folder / "gz-images-idx3-ubyte.gz", "not packed");
  CHECK(error_in(folder, [&] { open_images(folder / "gz-images-idx3-ubyte.gz"); }) ==
        "gz-images-idx3-ubyte.gz: is not a gzip file.");
}

TEST_CASE("folders and files that are no images") {
  const ScratchFolder folder;
  const auto open = [&](const char* name) { return error_in(folder, [&] { open_images(folder / name); }); };
  write_file(folder / "text.txt", "x");
  CHECK(open("text.txt") ==
        "text.txt: no images. Allowed: a folder that holds a folder of images for each class, or an IDX "
        "file, which is named like "
        "train-images-idx3-ubyte or train-images-idx3-ubyte.gz.");
  write_file(folder / "flat/1.png", "x");
  CHECK(open("flat") == "flat: holds no folder. Expected: a folder of images for each class, two or more.");
  write_file(folder / "one/cat/1.png", "x");
  CHECK(open("one") ==
        "one: holds one folder, cat. Expected: a folder of images for each class, two or more.");
  write_file(folder / "empty/cat/1.png", "x");
  write_file(folder / "empty/dog/1.txt", "x");
  CHECK(open("empty") ==
        "empty/dog: holds no image. Known are .png, .jpg, .jpeg, .bmp, .gif, .pgm, .ppm, .tga.");
  write_file(folder / "bad/cat/1.png", "x");
  write_file(folder / "bad/dog/1.png", "x");
  CHECK(error_in(folder, [&] { open_images(folder / "bad")->pixels(1, 3); }) ==
        "bad/dog/1.png: cannot be decoded (unknown image type).");
}

TEST_CASE("wrong requests for images") {
  const ScratchFolder folder;
  const auto train = write_idx(folder.path(), "train", kSizes);
  const auto other = write_idx(folder.path(), "other", {.count = 4, .height = 4, .width = 4, .classes = 4});
  DataOptions options = pictures(train);
  const auto told_of = [&] { return error_in(folder, [&] { open_data(options); }); };
  options.sizes.num_classes = 2;
  CHECK(told_of() ==
        "model.num_classes = 2 is fewer than the 3 classes of data.train = \"train-images-idx3-ubyte\". "
        "Allowed: 3 or more.");
  options.sizes.num_classes = 0;
  options.validation = {other.string()};
  CHECK(told_of() ==
        "data.validation = \"other-images-idx3-ubyte\": class 3 is \"3\" there, and none in data.train = "
        "\"train-images-idx3-ubyte\". "
        "Both need the same classes.");
  options.validation.clear();
  options.validation_fraction = 0.01;
  CHECK(told_of() ==
        "data.validation_fraction = 0.01: holds out 0 of 7 images. Allowed: at least one, and not all.");
  options.validation_fraction = 0;
  options.train.emplace_back("more");
  CHECK(told_of() == "data.train names 2 sources of images. Allowed: one folder or one IDX file.");
  options.train = {(folder / "nothing").string()};
  CHECK(told_of().starts_with("data.train: nothing: no images. Allowed: "));
}
