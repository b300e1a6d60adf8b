// SPDX-License-Identifier: Apache-2.0
// `colossal verify`: does this build, in this layout, compute what a reference computed? Loads a Hugging Face folder, runs forward,
// backward and the reference's AdamW steps on its batch, and measures the worst difference of everything. The reference is a file with the
// numbers of transformers (tools/make_reference.py); without one it is the dense model on one rank in fp64, computed here on
// synthetic tokens by every rank for itself.
//
//   VerifyReport report = verify({.model = "llama3"}, mesh, [&](auto state) { return std::make_unique<nn::DenseFactory>(...); });
//   fmt::print("{}", report.text());   return report.passed() ? 0 : 1;
//
// Thread safety: collective over the mesh; one thread per rank.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/nn/layer_factory.h"
#include "colossal/train/config.h"

namespace colossal::train {

struct VerifyOptions {
  std::filesystem::path model = {};      // folder with config.json and model.safetensors
  std::filesystem::path reference = {};  // default: reference.safetensors in that folder, where there is one
  // Allowed in fp64: 1e-9; in fp32: 4 times the reference's own error in fp32, which tolerance.json beside it holds.
  at::ScalarType dtype = at::kDouble;
};

// The worst absolute difference of one quantity.
struct Difference {
  std::string name = {};  // "logits", "loss", "grad.<name in the file>", "loss_after_step"
  double worst = 0;
  double tolerance = 0;
  bool within() const { return worst <= tolerance; }  // false for NaN
};

struct VerifyReport {
  std::string title = {};
  std::vector<Difference> differences = {};
  bool passed() const;
  std::string text() const;  // one line per quantity, then the verdict
};

// Layers in the layout to be verified, over this state.
using MakeFactory = std::function<std::unique_ptr<nn::LayerFactory>(std::shared_ptr<nn::StepState> state)>;

// Throws what verify would throw for its options and files, before any rank has started. ConfigError: a dtype without tolerance, no
// model, no such reference, nothing to compare with; IoError: files that are damaged or of another model.
void check_verify(const VerifyOptions& options, int num_ranks);

// The layout that `--set parallel.data=..., parallel.tensor...` asks for; all ranks data-parallel where they say nothing. ConfigError
// with all problems, those that `colossal train` finds with model.load: also what of the model cannot be cut.
ParallelSection verify_layout(const std::filesystem::path& model, const std::vector<std::string>& overrides,
                              int num_ranks);

// Rows of the batch go to the "data" axis of the mesh; where they do not divide, rows without targets fill up. The same report on
// every rank. Errors are those of check_verify.
VerifyReport verify(const VerifyOptions& options, const comm::Mesh& mesh, const MakeFactory& make_factory);

}  // namespace colossal::train
