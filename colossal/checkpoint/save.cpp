// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/statvfs.h>
#include <torch/version.h>

#include <cstdio>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/text.h"
#include "colossal/base/version.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/piece_hash.h"
#include "colossal/checkpoint/safetensors.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/collectives.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::checkpoint {
namespace fs = std::filesystem;
namespace {

// Which of the replicas of each shard writes it: the one with the least bytes so far, so that all replicas share the work.
// Every rank computes the same answer for its own shards without communication.
std::vector<bool> choose_writers(const std::vector<NamedTensor>& tensors, int rank) {
  std::map<tensor::Axes, std::vector<int64_t>> load;  // by the axes of replication: bytes per replica
  std::vector<bool> mine;
  mine.reserve(tensors.size());
  for (const NamedTensor& t : tensors) {
    const tensor::Axes axes = t.layout.replicated_axes();
    std::vector<int64_t>& bytes = load[axes];
    bytes.resize(t.layout.num_replicas());
    const auto least = std::min_element(bytes.begin(), bytes.end()) - bytes.begin();
    bytes[least] += static_cast<int64_t>(t.local.nbytes());
    mine.push_back(t.layout.mesh().group_index(rank, axes) == least);
  }
  return mine;
}

struct Written {
  FileEntry file;
  Json pieces = Json::array();  // [tensor index, offset, size, hash]
};

void check_space(const fs::path& folder, int64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return;
  const int64_t available = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (available >= bytes) return;
  throw IoError(
      fmt::format(
          "{}: a checkpoint of this run needs {}, {} are free. Free space, lower checkpoint.keep, or set "
          "another run.output.",
          folder.string(), human_bytes(static_cast<double>(bytes)),
          human_bytes(static_cast<double>(available))),
      ExitCode::checkpoint);
}

Written write_own(const SaveRequest& request, const fs::path& aside, int rank) {
  const std::vector<bool> mine = choose_writers(request.tensors, rank);
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < mine.size(); ++i) {
    const NamedTensor& t = request.tensors[i];
    if (mine[i])
      infos.push_back({.name = t.name, .dtype = t.local.scalar_type(), .shape = t.layout.slice(rank).size});
  }
  Written written;
  if (infos.empty()) return written;
  const auto note = [&](const std::string& what) {
    if (request.before_operation) request.before_operation(what);
  };
  written.file.name = fmt::format("rank-{:05}.safetensors", rank);
  note("open file");
  SafetensorsWriter out(aside / written.file.name, infos);
  for (size_t i = 0; i < mine.size(); ++i) {
    if (!mine[i]) continue;
    const NamedTensor& t = request.tensors[i];
    const tensor::Slice slice = t.layout.slice(rank);
    const at::Tensor local =
        tensor::without_padding(t.local.detach().to(at::kCPU).contiguous(), t.layout, rank)
            .contiguous()
            .view(slice.size);
    note("write " + t.name);
    out.write(t.name, local);
    written.pieces.push_back({i, slice.offset, slice.size, hash_bytes(local.data_ptr(), local.nbytes())});
  }
  note("close file");
  out.close();
  written.file.bytes = static_cast<int64_t>(fs::file_size(aside / written.file.name));
  return written;
}

Manifest build_manifest(const SaveRequest& request, const std::vector<Json>& reports,
                        const comm::Group& all) {
  Manifest manifest;
  manifest.step = request.step;
  manifest.written_at = milliseconds_now();
  manifest.world_size = all.size();
  manifest.mesh = request.tensors.empty() ? "" : request.tensors.front().layout.mesh().describe();
  manifest.colossal_version = kVersion;
  manifest.torch_version = TORCH_VERSION;
  manifest.state = request.state;
  for (const NamedTensor& t : request.tensors) {
    manifest.tensors.push_back({.name = t.name,
                                .dtype = std::string(safetensors_dtype_name(t.local.scalar_type())),
                                .shape = t.layout.shape(),
                                .layout = t.layout.describe(),
                                .pieces = {}});
  }
  for (const Json& report : reports) {
    if (report.at("pieces").empty()) continue;
    const int file = static_cast<int>(manifest.files.size());
    manifest.files.push_back({report.at("file").get<std::string>(), report.at("bytes").get<int64_t>()});
    for (const Json& piece : report.at("pieces")) {
      manifest.tensors[piece[0].get<size_t>()].pieces.push_back(
          {file,
           {piece[1].get<tensor::Shape>(), piece[2].get<tensor::Shape>()},
           piece[3].get<std::string>()});
    }
  }
  return manifest;
}

// Gives the finished folder its name. Where the same step was saved before (by a run that was resumed), the two change places in one
// step, so that a crash at any moment leaves one of them under the name; prune() removes the other when the exchange is on the disk.
void put_in_place(const fs::path& aside, const fs::path& target) {
  if (!fs::exists(target)) {
    fs::rename(aside, target);
  } else if (::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    // a file system that cannot exchange
    fs::remove_all(target);
    fs::rename(aside, target);
  }
}

// Runs `body` on this rank and makes its failure everyone's: all ranks leave with the first failing rank's message.
template <class Body>
std::vector<Json> together(const comm::Group& all, const Body& body) {
  Json report;
  try {
    report = body();
  } catch (const std::exception& error) {
    report = {{"error", error.what()}};
  }
  std::vector<Json> reports = comm::all_gather_json(report, all);
  for (size_t i = 0; i < reports.size(); ++i) {
    if (reports[i].is_object() && reports[i].contains("error")) {
      throw IoError(
          fmt::format("saving a checkpoint failed on rank {}: {}", i, reports[i]["error"].get<std::string>()),
          ExitCode::checkpoint);
    }
  }
  return reports;
}

}  // namespace

fs::path save(const SaveRequest& request, const comm::Group& all) {
  const bool first = all.index() == 0;
  const int rank = all.size() == 1 ? 0 : all.ranks()[all.index()];
  fs::path target = request.folder / folder_name(request.step);
  const fs::path aside = request.folder / (".aside-" + folder_name(request.step));
  const auto note = [&](const std::string& what) {
    if (request.before_operation) request.before_operation(what);
  };
  int64_t bytes = 0;
  for (const NamedTensor& t : request.tensors)
    bytes += static_cast<int64_t>(t.local.nbytes()) / t.layout.num_replicas();

  together(all, [&] {
    if (!first) return Json{};
    note("create folder");
    create_folders(request.folder);
    check_space(request.folder, bytes * all.size());
    fs::remove_all(aside);
    fs::create_directory(aside);
    return Json{};
  });
  const std::vector<Json> reports = together(all, [&] {
    Written written = write_own(request, aside, rank);
    return Json{
        {"file", written.file.name}, {"bytes", written.file.bytes}, {"pieces", std::move(written.pieces)}};
  });
  together(all, [&] {
    if (!first) return Json{};
    note("write manifest");
    write_file_durably(aside / "manifest.json", build_manifest(request, reports, all).dump());
    note("rename");
    put_in_place(aside, target);
    fsync_path(request.folder);
    note("prune");
    prune(request.folder, request.keep);
    return Json{};
  });
  return target;
}

}  // namespace colossal::checkpoint
