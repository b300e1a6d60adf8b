// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/tensor/redistribute.h"
#include "tests/support/error.h"
#include "tests/support/scratch.h"

using namespace colossal;
using checkpoint::NamedTensor;
using comm::Mesh;
using comm::MeshShape;
using tensor::Layout;
namespace fs = std::filesystem;

namespace {

at::Tensor logical(int64_t seed, at::IntArrayRef shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return (at::arange(n, at::kDouble) * 0.37 + static_cast<double>(seed)).sin().view(shape);
}

// Two tensors, laid out as a mesh of `axes` suggests: the first sharded over "tensor" along `dim`, the second replicated.
std::vector<NamedTensor> tensors_on(const Mesh& mesh, int64_t dim, double factor) {
  std::vector<comm::Axes> dims(2);
  if (mesh.has("tensor")) dims[dim] = {"tensor"};
  const Layout w({8, 12}, mesh.shape(), dims);
  const Layout b = Layout::replicated({5}, mesh.shape());
  return {{"model.w", (tensor::local_piece(logical(1, {8, 12}), w, mesh.rank()) * factor).contiguous(), w},
          {"model.b", (logical(2, {5}) * factor).contiguous(), b}};
}

fs::path save_on(const fs::path& folder, std::vector<comm::Axis> axes, int64_t dim, int64_t step = 1,
                 double factor = 1, int64_t keep = 0) {
  const MeshShape shape(std::move(axes));
  fs::path saved;
  comm::run_ranks(shape.size(), [&](std::shared_ptr<comm::World> world) {
    const Mesh mesh(world, shape);
    const fs::path path = checkpoint::save({.folder = folder,
                                            .step = step,
                                            .tensors = tensors_on(mesh, dim, factor),
                                            .state = {{"seed", 7}},
                                            .keep = keep},
                                           mesh.all());
    if (mesh.rank() == 0) saved = path;
  });
  return saved;
}

void overwrite(const fs::path& path, int64_t offset, char flip) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char old = static_cast<char>(file.get());
  file.seekp(offset);
  file.put(static_cast<char>(old ^ flip));
}

}  // namespace

TEST_CASE("what any mesh saved, any other mesh reads, bit for bit") {
  struct Case {
    std::vector<comm::Axis> axes;
    int64_t dim;
  };
  const std::vector<Case> cases = {{{}, 0},
                                   {{{"data", 2}}, 0},
                                   {{{"tensor", 2}}, 0},
                                   {{{"tensor", 4}}, 1},
                                   {{{"data", 2}, {"tensor", 2}}, 1}};
  for (const Case& from : cases) {
    testing::ScratchFolder scratch;
    const fs::path saved = save_on(scratch.path(), from.axes, from.dim);
    const checkpoint::Checkpoint opened(saved);
    CHECK(opened.manifest().state.at("seed") == 7);
    opened.verify();
    for (const Case& to : cases) {
      const MeshShape shape(to.axes);
      for (int rank = 0; rank < shape.size(); ++rank) {
        std::vector<comm::Axes> dims(2);
        if (shape.has("tensor")) dims[to.dim] = {"tensor"};
        const Layout w({8, 12}, shape, dims);
        CHECK(at::equal(opened.read("model.w", w, rank), tensor::local_piece(logical(1, {8, 12}), w, rank)));
      }
    }
    CHECK(at::equal(opened.read("model.b", Layout::replicated({5}, MeshShape()), 0), logical(2, {5})));
  }
}

TEST_CASE("padding is not stored: padded and dense layouts read each other's checkpoints, bit for bit") {
  // Tensors of [5, 7], one cut along each dim; over 4 ranks the last holds no rows. NaN wherever there is padding.
  const auto padded_on = [](const MeshShape& mesh, int rank) {
    std::vector<NamedTensor> tensors;
    for (const int64_t dim : {0, 1}) {
      std::vector<comm::Axes> dims(2);
      if (mesh.has("tensor")) dims[dim] = {"tensor"};
      const Layout layout = Layout::padded({5, 7}, mesh, dims);
      const at::Tensor local = at::full({layout.local_numel()}, std::nan(""), at::kDouble);
      tensor::without_padding(local, layout, rank)
          .view(layout.slice(rank).size)
          .copy_(
              tensor::without_padding(tensor::local_piece(logical(dim, {5, 7}), layout, rank), layout, rank));
      tensors.push_back({dim == 0 ? "rows" : "columns", local, layout});
    }
    return tensors;
  };
  const std::vector<MeshShape> meshes = {MeshShape(), MeshShape({{"tensor", 2}}), MeshShape({{"tensor", 3}}),
                                         MeshShape({{"tensor", 4}}), MeshShape({{"data", 2}, {"tensor", 2}})};
  for (const MeshShape& from : meshes) {
    testing::ScratchFolder scratch;
    comm::run_ranks(from.size(), [&](std::shared_ptr<comm::World> world) {
      const Mesh mesh(world, from);
      checkpoint::save({.folder = scratch.path(), .step = 1, .tensors = padded_on(from, mesh.rank())},
                       mesh.all());
    });
    const checkpoint::Checkpoint opened(scratch / "step-00000001");
    opened.verify();
    int64_t stored = 0;
    for (const checkpoint::FileEntry& file : opened.manifest().files) {
      const checkpoint::SafetensorsReader reader(opened.folder() / file.name);
      for (const auto& info : reader.tensors()) stored += reader.read(info.name).numel();
    }
    CHECK(stored == 2 * 5 * 7);
    CHECK(opened.manifest().find("rows")->shape == tensor::Shape{5, 7});
    for (const MeshShape& to : meshes) {
      for (int rank = 0; rank < to.size(); ++rank) {
        for (const NamedTensor& t : padded_on(to, rank)) {
          CAPTURE(fmt::format("{} to {} on rank {}", from.describe(), t.layout.describe(), rank));
          const at::Tensor expected =
              tensor::local_piece(logical(t.name == "rows" ? 0 : 1, {5, 7}), t.layout, rank);
          CHECK(at::equal(opened.read(t.name, t.layout, rank), expected));
          t.local.fill_(std::nan(""));
          opened.read_into(t, rank);
          CHECK(at::equal(t.local.view(expected.sizes()), expected));
        }
      }
    }
  }
}

TEST_CASE("replicas share the writing") {
  testing::ScratchFolder scratch;
  const fs::path saved = save_on(scratch.path(), {{"data", 2}}, 0);
  CHECK(fs::exists(saved / "rank-00000.safetensors"));
  CHECK(fs::exists(saved / "rank-00001.safetensors"));
}

TEST_CASE("keep removes the oldest complete ones only") {
  testing::ScratchFolder scratch;
  for (int64_t step = 1; step <= 4; ++step) save_on(scratch.path(), {}, 0, step, 1.0, 2);
  const auto found = checkpoint::list(scratch.path());
  REQUIRE(found.size() == 2);
  CHECK(found[0].step == 3);
  CHECK(found[1].step == 4);
  // A damaged one does not count, and "newest" is the one written last: a new run in an old folder starts again at low steps.
  fs::remove(found[1].folder / "manifest.json");
  save_on(scratch.path(), {}, 0, 2, 1.0, 1);
  CHECK_FALSE(fs::exists(scratch / "step-00000003"));
  CHECK(checkpoint::newest_good(scratch.path(), comm::Group()).folder == scratch / "step-00000002");
}

TEST_CASE("the same step saved again takes the place of the old one") {
  testing::ScratchFolder scratch;
  save_on(scratch.path(), {}, 0, 1, 1.0);
  const fs::path again = save_on(scratch.path(), {}, 0, 1, 2.0);
  const checkpoint::Checkpoint opened(again);
  CHECK(at::equal(opened.read("model.b", Layout::replicated({5}, MeshShape()), 0), logical(2, {5}) * 2));
  CHECK(checkpoint::list(scratch.path()).size() == 1);
}

TEST_CASE("damage is named and the newest good checkpoint is chosen") {
  testing::ScratchFolder scratch;
  save_on(scratch.path(), {}, 0, 1);
  const fs::path newest = save_on(scratch.path(), {}, 0, 2, 3.0);
  const fs::path data = newest / "rank-00000.safetensors";
  const auto bytes = static_cast<int64_t>(fs::file_size(data));

  overwrite(data, bytes - 3, 0x10);
  const std::string error = colossal::testing::error_of([&] { checkpoint::Checkpoint(newest).verify(); });
  CHECK(error == data.string() +
                     ": tensor model.b does not match its hash: its bytes have changed since they were "
                     "written. Use an older "
                     "checkpoint (`colossal checkpoint list`).");
  const auto chosen = checkpoint::newest_good(scratch.path(), comm::Group());
  CHECK(chosen.folder == scratch / "step-00000001");
  REQUIRE(chosen.skipped.size() == 1);
  CHECK(chosen.skipped[0] == error);
}

TEST_CASE("truncated, missing and foreign files give an error, never a crash") {
  for (const double part : {0.0, 0.5, 1.0}) {
    testing::ScratchFolder scratch;
    const fs::path saved = save_on(scratch.path(), {}, 0);
    for (const char* name : {"rank-00000.safetensors", "manifest.json"}) {
      const std::string whole = read_file(saved / name);
      // 1.0: all but the last two bytes (a manifest ends with a brace and a line feed)
      write_file_durably(saved / name,
                         whole.substr(0, static_cast<size_t>(static_cast<double>(whole.size() - 2) * part)));
      CHECK(colossal::testing::error_of([&] {
              checkpoint::Checkpoint(saved).verify();
            }).find((saved / name).string()) == 0);
      write_file_durably(saved / name, whole);
    }
    checkpoint::Checkpoint(saved).verify();
    fs::remove(saved / "rank-00000.safetensors");
    CHECK(colossal::testing::error_of([&] { checkpoint::Checkpoint opened(saved); }) ==
          (saved / "rank-00000.safetensors").string() +
              ": is missing. Use an older checkpoint (`colossal checkpoint list`).");
    write_file_durably(saved / "manifest.json", "{\"format\": \"other\"}");
    CHECK(colossal::testing::error_of([&] { checkpoint::Checkpoint opened(saved); }) ==
          (saved / "manifest.json").string() +
              ": has no \"format\": \"colossal-checkpoint\". The checkpoint is damaged or was not written by "
              "Colossal.");
  }
}

TEST_CASE("every flipped bit of every file is an error that names the file") {
  testing::ScratchFolder scratch;
  const fs::path saved = save_on(scratch.path(), {{"tensor", 2}}, 0);
  for (const char* name : {"manifest.json", "rank-00000.safetensors", "rank-00001.safetensors"}) {
    const fs::path path = saved / name;
    const auto bits = static_cast<int64_t>(fs::file_size(path)) * 8;
    int64_t unnoticed = 0;
    for (int64_t bit = 0; bit < bits; ++bit) {
      const auto flip = static_cast<char>(1 << (bit % 8));
      overwrite(path, bit / 8, flip);
      const std::string error =
          colossal::testing::error_of([&] { checkpoint::Checkpoint(saved).verify(); }, ExitCode::checkpoint);
      if (!error.starts_with(path.string() + ": ")) {
        ++unnoticed;
        MESSAGE(name << ", byte " << bit / 8 << ", bit " << bit % 8 << ": " << error);
      }
      overwrite(path, bit / 8, flip);
    }
    CHECK(unnoticed == 0);
  }
  checkpoint::Checkpoint(saved).verify();
}

TEST_CASE("a manifest whose state has changed is told, one without a hash of its own is still read") {
  testing::ScratchFolder scratch;
  const fs::path saved = save_on(scratch.path(), {}, 0), path = saved / "manifest.json";
  const std::string whole = read_file(path);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write_file_durably(path, text.replace(at, from.size(), to));
    return colossal::testing::error_of([&] { checkpoint::Checkpoint(saved).verify(); });
  };
  CHECK(with("\"seed\": 7", "\"seed\": 6") ==
        path.string() +
            ": does not match its hash: its bytes have changed since they were written. Use an older "
            "checkpoint (`colossal checkpoint list`).");
  CHECK(with("\"version\": 2", "\"version\": 3") ==
        path.string() +
            ": format version 3. This program reads versions 1 and 2: use the program that wrote it.");
  Json older = Json::parse(whole);
  older.erase("xxh3");
  older["version"] = 1;
  write_file_durably(path, older.dump(1) + "\n");
  const checkpoint::Checkpoint opened(saved);
  opened.verify();
  CHECK(opened.manifest().state.at("seed") == 7);
}

TEST_CASE("a failing disk on one rank is every rank's error") {
  testing::ScratchFolder scratch;
  std::vector<std::string> errors(2);
  comm::run_ranks(2, [&](std::shared_ptr<comm::World> world) {
    const Mesh mesh(world, MeshShape({{"data", 2}}));
    errors[mesh.rank()] = colossal::testing::error_of([&] {
      checkpoint::save({.folder = scratch.path(),
                        .step = 1,
                        .tensors = tensors_on(mesh, 0, 1.0),
                        .state = {},
                        .before_operation =
                            [&](const std::string& what) {
                              if (mesh.rank() == 1 && what == "close file")
                                throw IoError("disk: Input/output error");
                            }},
                       mesh.all());
    });
  });
  CHECK(errors[0] == "saving a checkpoint failed on rank 1: disk: Input/output error");
  CHECK(errors[1] == errors[0]);
  CHECK(checkpoint::list(scratch.path()).empty());
}

TEST_CASE("two runs cannot share a folder") {
  testing::ScratchFolder scratch;
  const checkpoint::FolderLock lock(scratch / "checkpoints");
  CHECK(colossal::testing::error_of([&] { checkpoint::FolderLock second(scratch / "checkpoints"); }) ==
        (scratch / "checkpoints").string() + ": another run (process " + std::to_string(::getpid()) +
            ") is using this folder. Wait for it, or set another run.output.");
}

TEST_CASE("a folder in which nothing was saved goes with its lock, one that was there stays") {
  testing::ScratchFolder scratch;
  { const checkpoint::FolderLock lock(scratch / "run/checkpoints"); }
  CHECK(fs::is_empty(scratch.path()));
  fs::create_directory(scratch / "run");
  { const checkpoint::FolderLock lock(scratch / "run/checkpoints"); }
  CHECK(fs::is_empty(scratch / "run"));
  {
    const checkpoint::FolderLock lock(scratch / "run/checkpoints");
    fs::create_directory(scratch / "run/checkpoints/step-00000001");
  }
  CHECK(fs::exists(scratch / "run/checkpoints/.lock"));
}

TEST_CASE("a tensor of another shape or a missing one is explained") {
  testing::ScratchFolder scratch;
  const fs::path saved = save_on(scratch.path(), {}, 0);
  const checkpoint::Checkpoint opened(saved);
  CHECK(colossal::testing::error_of([&] {
          opened.read("model.w", Layout::replicated({8, 13}, MeshShape()), 0);
        }) == saved.string() +
                  ": tensor model.w has shape [8, 12], this model has [8, 13]. The model of the run file and "
                  "that of the "
                  "checkpoint differ.");
  CHECK(colossal::testing::error_of([&] {
          opened.read("model.c", Layout::replicated({8, 13}, MeshShape()), 0);
        }) == (saved / "manifest.json").string() +
                  ": holds no tensor model.c. Use an older checkpoint (`colossal checkpoint list`).");
}
