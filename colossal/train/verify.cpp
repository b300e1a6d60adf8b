// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/verify.h"

#include <limits>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/checkpoint/foreign_layout.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/comm/collectives.h"
#include "colossal/models/family.h"
#include "colossal/optim/optimizer.h"
#include "colossal/parallel/data/gradient_reducer.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::train {
namespace {

// The reference's AdamW steps.
constexpr double kLearningRate = 1e-3;
const optim::OptimizerOptions kAdamW = {
    .name = "adamw", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

struct Tolerances {
  double logits, loss, gradient, loss_after_step;
};

Tolerances tolerances_of(const VerifyOptions& options) {
  if (options.dtype == at::kDouble) return {1e-9, 1e-9, 1e-9, 1e-9};
  if (options.dtype != at::kFloat) {
    throw ConfigError(fmt::format("verify: dtype {} has no tolerance. Allowed: float64, float32.",
                                  c10::toString(options.dtype)));
  }
  const std::filesystem::path path = options.model / "tolerance.json";
  const Json json = Json::parse(read_file(path), nullptr, false);
  const auto of = [&](const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number()) {
      throw IoError(fmt::format("{}: has no number {}", path.string(), key));
    }
    return 4 * json[key].get<double>();
  };
  return {of("max_abs_logits"), of("abs_loss"), of("max_abs_grad"), of("max_abs_loss_after_step")};
}

double worst_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return a.numel() == 0
             ? 0
             : (a.to(at::kCPU, at::kDouble) - b.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

// This data-parallel rank's rows of the reference batch.
struct Batch {
  at::Tensor ids, labels, key_mask;
  int64_t rows = 0;        // of the reference
  double num_targets = 0;  // of the whole batch
  comm::Group data;
};

at::Tensor own_rows(const at::Tensor& all, const comm::Group& group, int64_t filler) {
  const int64_t per_rank = (all.size(0) + group.size() - 1) / group.size();
  const at::Tensor padding =
      at::full({per_rank * group.size() - all.size(0), all.size(1)}, filler, all.options());
  return at::cat({all, padding}).narrow(0, per_rank * group.index(), per_rank).contiguous();
}

Batch read_batch(const checkpoint::SafetensorsReader& reference, const comm::Mesh& mesh) {
  const at::Tensor ids = reference.read("input_ids");
  const at::Tensor mask = reference.read("attention_mask");
  const at::Tensor labels = models::next_tokens(reference.read("labels"));
  Batch batch;
  batch.data = mesh.has("data") ? mesh.group("data") : comm::Group();
  batch.rows = ids.size(0);
  batch.num_targets = static_cast<double>((labels != -100).sum().item<int64_t>());
  batch.ids = own_rows(ids, batch.data, 0);
  batch.labels = own_rows(labels, batch.data, -100);
  if (!mask.all().item<bool>()) batch.key_mask = own_rows(mask, batch.data, 1).to(at::kBool);
  return batch;
}

class Verifier {
 public:
  Verifier(const VerifyOptions& options, const comm::Mesh& mesh, const MakeFactory& make_factory)
      : tolerances_(tolerances_of(options)),
        mesh_(mesh),
        folder_(options.model),
        reference_(options.reference.empty() ? options.model / "reference.safetensors" : options.reference),
        batch_(read_batch(reference_, mesh)),
        factory_(make_factory(std::make_shared<nn::StepState>())),
        model_(models::build(folder_.config(), *factory_)),
        parameters_(nn::parameters(*model_, mesh)),
        reducer_(parameters_, mesh, {}) {
    folder_.load(parameters_, mesh.rank());
    nn::StepState& state = *factory_->state();
    state.training = false;
    state.global_rows = batch_.ids.size(0) * batch_.data.size();
    state.first_row = batch_.ids.size(0) * batch_.data.index();
  }

  std::vector<Difference> run() {
    compare_logits();
    const at::Tensor expected = reference_.read("loss_after_step");
    const auto optimizer = optim::make_optimizer(kAdamW, parameters_, mesh_);
    std::vector<double> losses;
    for (int64_t step = 0; step < expected.size(0); ++step) {
      losses.push_back(forward_backward());
      if (step == 0) {
        add("loss", worst_difference(at::scalar_tensor(losses[0], at::kDouble), reference_.read("loss")),
            tolerances_.loss);
        compare_gradients();
      }
      optimizer->step({.learning_rate = kLearningRate});
    }
    add("loss_after_step", worst_difference(at::tensor(losses, at::kDouble), expected),
        tolerances_.loss_after_step);
    return differences_;
  }

 private:
  void add(const std::string& name, double worst, double tolerance) {
    differences_.push_back({name, worst, tolerance});
  }

  void compare_logits() {
    at::NoGradGuard no_grad;
    const at::Tensor own = model_->logits(batch_.ids, {.key_mask = batch_.key_mask});
    const at::Tensor all = comm::all_gather(own.contiguous(), batch_.data, 0).narrow(0, 0, batch_.rows);
    add("logits", worst_difference(all, reference_.read("logits")), tolerances_.logits);
  }

  double forward_backward() {
    reducer_.begin_step();
    reducer_.begin_backward(parallel::GradientReducer::Pass::reduce);
    at::Tensor loss =
        model_->loss(batch_.ids, batch_.labels, batch_.num_targets, {.key_mask = batch_.key_mask});
    loss.backward();
    reducer_.finish();
    at::Tensor total = loss.detach().to(at::kDouble).clone();
    comm::all_reduce(total, batch_.data);
    return total.item<double>();
  }

  void compare_gradients() {
    for (const nn::Parameter& parameter : parameters_) {
      const tensor::Layout& layout = parameter.layout();
      const at::Tensor local = parameter.tensor.grad().detach().contiguous().view(layout.local_shape());
      const at::Tensor full = layout.is_sharded() ? tensor::gather_full(local, layout, mesh_) : local;
      for (const models::ForeignTensor& foreign : folder_.mapping().tensors) {
        if (foreign.parameter != parameter.name) continue;
        const std::string name = "grad." + foreign.name;
        add(name, worst_difference(checkpoint::to_foreign(full, foreign), reference_.read(name)),
            tolerances_.gradient);
      }
    }
  }

  Tolerances tolerances_;
  comm::Mesh mesh_;
  checkpoint::HuggingFaceFolder folder_;
  checkpoint::SafetensorsReader reference_;
  Batch batch_;
  std::unique_ptr<nn::LayerFactory> factory_;
  std::shared_ptr<models::LanguageModel> model_;
  std::vector<nn::Parameter> parameters_;
  parallel::GradientReducer reducer_;
  std::vector<Difference> differences_;
};

}  // namespace

bool VerifyReport::passed() const {
  return !differences.empty() &&
         std::all_of(differences.begin(), differences.end(), [](const Difference& d) { return d.within(); });
}

std::string VerifyReport::text() const {
  std::string text = title + "\n";
  size_t width = 0;
  for (const Difference& d : differences) width = std::max(width, d.name.size());
  for (const Difference& d : differences) {
    text += fmt::format("  {:<{}}  {:9.2e}  (allowed {:.1e}){}\n", d.name, width, d.worst, d.tolerance,
                        d.within() ? "" : "  FAILED");
  }
  const auto failed =
      std::count_if(differences.begin(), differences.end(), [](const Difference& d) { return !d.within(); });
  return text + (passed()
                     ? fmt::format("verified: {} quantities within tolerance\n", differences.size())
                     : fmt::format("NOT verified: {} of {} quantities differ\n", failed, differences.size()));
}

VerifyReport verify(const VerifyOptions& options, const comm::Mesh& mesh, const MakeFactory& make_factory) {
  Verifier verifier(options, mesh, make_factory);
  const std::string layout = mesh.shape().size() == 1 ? "1 rank" : mesh.shape().describe();
  return {.title = fmt::format("{}: {}, {}", options.model.string(), c10::toString(options.dtype), layout),
          .differences = verifier.run()};
}

}  // namespace colossal::train
