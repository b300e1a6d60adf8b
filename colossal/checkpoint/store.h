// SPDX-License-Identifier: Apache-2.0
// Saving and loading the tensors of a run, whatever their layout.
//
//   save({.folder = run / "checkpoints", .step = 100, .tensors = tensors, .state = state}, world);
//   Checkpoint checkpoint(folder / "step-00000100");
//   at::Tensor piece = checkpoint.read("model.head.weight", layout, rank);
//
// A checkpoint is a folder: safetensors files (one per writing rank) and manifest.json. It is written aside, fsynced and renamed, so
// a folder named step-N is always whole. Each shard is written once, the work spread over its replicas.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "colossal/checkpoint/manifest.h"
#include "colossal/checkpoint/safetensors.h"
#include "colossal/comm/group.h"
#include "colossal/tensor/layout.h"

namespace colossal::checkpoint {

struct NamedTensor {
  std::string name;  // "model.blocks.0.norm.weight", "optimizer.exp_avg.blocks.0.norm.weight"
  at::Tensor
      local;  // contiguous; the elements of layout.local_shape() in order, in any shape; padding is not stored
  tensor::Layout layout;
};

struct SaveRequest {
  std::filesystem::path folder;  // holds all checkpoints of a run
  int64_t step = 0;
  std::vector<NamedTensor> tensors;  // the same names in the same order on every rank
  Json state = Json::object();       // rank 0's is written
  int64_t keep = 0;                  // afterwards keep the newest `keep` checkpoints; 0 = all
  // For tests: called on this rank before every operation on the file system with its name.
  std::function<void(const std::string&)> before_operation = nullptr;
};

// Collective over `all`. Returns the folder of the finished checkpoint. IoError on every rank when any rank cannot write.
std::filesystem::path save(const SaveRequest& request, const comm::Group& all);

// The message of damage without its advice to use an older checkpoint: for callers that look at all of them.
std::string damage_alone(const std::string& message);

// A checkpoint opened for reading. Thread-safe.
class Checkpoint {
 public:
  // IoError (exit code 4) for a missing, foreign or incomplete folder; does not read tensor data.
  explicit Checkpoint(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }

  // This rank's piece, layout.local_shape(), zeros in its padding. Every piece that is touched is checked against its hash.
  at::Tensor read(const std::string& name, const tensor::Layout& layout, int rank) const;
  // Fills `target.local` in place; dtypes must agree. After an error its content is undefined.
  void read_into(const NamedTensor& target, int rank) const;
  // Reads everything that is piece number `index` modulo `count` and throws IoError naming file and tensor at the first damage.
  void verify(int index = 0, int count = 1) const;

 private:
  struct OpenFiles {
    std::mutex mutex;
    std::map<int, std::unique_ptr<SafetensorsReader>> readers;
  };
  const TensorEntry& entry(const std::string& name, const tensor::Layout& layout) const;
  const SafetensorsReader& file(int index) const;  // mapped at first use

  std::filesystem::path folder_;
  Manifest manifest_;
  std::unique_ptr<OpenFiles> files_ = std::make_unique<OpenFiles>();
};

}  // namespace colossal::checkpoint
