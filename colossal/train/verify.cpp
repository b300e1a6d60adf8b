// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/verify.h"

#include <fmt/ranges.h>

#include <limits>
#include <map>

#include "colossal/base/config/review.h"
#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/checkpoint/foreign_layout.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/comm/collectives.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/optim/optimizer.h"
#include "colossal/parallel/data/gradient_reducer.h"
#include "colossal/tensor/redistribute.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"
#include "colossal/train/named_folder.h"
#include "colossal/train/verify_task.h"

namespace colossal::train {
namespace fs = std::filesystem;
namespace {

// The reference's AdamW steps.
constexpr double kLearningRate = 1e-3;
const optim::OptimizerOptions kAdamW = {
    .name = "adamw", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

struct Tolerances {
  double logits, loss, gradient, loss_after_step;
  double& of(const std::string& name) {
    return name.ends_with("logits")    ? logits
           : name == "loss"            ? loss
           : name == "loss_after_step" ? loss_after_step
                                       : gradient;
  }
};
constexpr Tolerances kExact = {1e-9, 1e-9, 1e-9, 1e-9};
constexpr double kFloatMargin = 4;  // times the error that the reference itself has in fp32

using Values = std::map<std::string, at::Tensor>;
using Visit = std::function<void(const std::string& name, const at::Tensor& value)>;

// What everything is compared with.
struct Reference {
  std::string origin;  // ends the title of the report
  VerifyTask task;
  Tolerances tolerances;
  std::function<at::Tensor(const std::string& name)> value;
};

std::filesystem::path reference_of(const VerifyOptions& options) {
  return options.reference.empty() ? options.model / "reference.safetensors" : options.reference;
}

std::string_view dtype_word(at::ScalarType dtype) { return dtype == at::kDouble ? "float64" : "float32"; }

Tolerances read_tolerances(const std::filesystem::path& path) {
  const Json json = Json::parse(read_file(path), nullptr, false);
  const auto of = [&](const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number()) {
      throw IoError(fmt::format("{}: has no number {}", path.string(), key));
    }
    return kFloatMargin * json[key].get<double>();
  };
  return {of("max_abs_logits"), of("abs_loss"), of("max_abs_grad"), of("max_abs_loss_after_step")};
}

double worst_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return a.numel() == 0
             ? 0
             : (a.to(at::kCPU, at::kDouble) - b.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

// The model in one layout, and all that it computes for the task.
class Computation {
 public:
  Computation(const checkpoint::HuggingFaceFolder& folder, const VerifyTask& task, const comm::Mesh& mesh,
              const MakeFactory& make_factory)
      : folder_(folder),
        mesh_(mesh),
        steps_(task.steps),
        batch_(own_rows(task, folder.config(), mesh)),
        factory_(make_factory(std::make_shared<nn::StepState>())),
        model_(models::build(folder.config(), *factory_)),
        parameters_(nn::parameters(*model_, mesh)),
        reducer_(parameters_, mesh, {}) {
    folder_.load(parameters_, mesh.rank());
    nn::StepState& state = *factory_->state();
    state.training = false;
    state.global_rows = batch_.own_rows * batch_.data.size();
    state.first_row = batch_.own_rows * batch_.data.index();
  }

  // Every value once, the same on every rank. A value is changed by what comes after it.
  void run(const Visit& visit) {
    visit_outputs(visit);
    const auto optimizer = optim::make_optimizer(kAdamW, parameters_, mesh_);
    std::vector<double> losses;
    for (int64_t step = 0; step < steps_; ++step) {
      losses.push_back(forward_backward());
      if (step == 0) {
        visit("loss", at::scalar_tensor(losses[0], at::kDouble));
        visit_gradients(visit);
      }
      optimizer->step({.learning_rate = kLearningRate});
    }
    visit("loss_after_step", at::tensor(losses, at::kDouble));
  }

 private:
  void visit_outputs(const Visit& visit) {
    at::NoGradGuard no_grad;
    for (const auto& [name, own] : model_->outputs(batch_.inputs))
      visit(name, comm::all_gather(own.contiguous(), batch_.data, 0).narrow(0, 0, batch_.rows));
  }

  double forward_backward() {
    reducer_.begin_step();
    reducer_.begin_backward(parallel::GradientReducer::Pass::reduce);
    at::Tensor loss = model_->loss(batch_.inputs, batch_.counts);
    loss.backward();
    reducer_.finish();
    at::Tensor total = loss.detach().to(at::kDouble).clone();
    comm::all_reduce(total, batch_.data);
    return total.item<double>();
  }

  void visit_gradients(const Visit& visit) {
    for (const nn::Parameter& parameter : parameters_) {
      const tensor::Layout& layout = parameter.layout();
      const at::Tensor local = parameter.tensor.grad().detach().contiguous().view(layout.local_shape());
      const at::Tensor full = layout.is_sharded() ? tensor::gather_full(local, layout, mesh_) : local;
      for (const models::ForeignTensor& foreign : folder_.mapping().tensors) {
        if (foreign.parameter != parameter.name) continue;
        visit("grad." + foreign.name, checkpoint::to_foreign(full, foreign));
      }
    }
  }

  const checkpoint::HuggingFaceFolder& folder_;
  comm::Mesh mesh_;
  int64_t steps_;
  OwnRows batch_;
  std::unique_ptr<nn::LayerFactory> factory_;
  std::shared_ptr<models::Model> model_;
  std::vector<nn::Parameter> parameters_;
  parallel::GradientReducer reducer_;
};

Reference reference_from_file(const VerifyOptions& options, const checkpoint::HuggingFaceFolder& folder) {
  const auto path = reference_of(options);
  const auto file = std::make_shared<checkpoint::SafetensorsReader>(path);
  for (const models::ForeignTensor& foreign : folder.mapping().tensors) {
    const auto& found = file->info("grad." + foreign.name).shape;
    if (found == foreign.shape) continue;
    throw IoError(fmt::format(
        "{}: grad.{} has the shape [{}], the weight in {} [{}]: it is the reference of another model.",
        path.string(), foreign.name, fmt::join(found, ", "), options.model.string(),
        fmt::join(foreign.shape, ", ")));
  }
  return {.origin = path.string(),
          .task = task_from(*file, folder.config()),
          .tolerances =
              options.dtype == at::kDouble ? kExact : read_tolerances(path.parent_path() / "tolerance.json"),
          .value = [file](const std::string& name) { return file->read(name); }};
}

Values dense_values(const checkpoint::HuggingFaceFolder& folder, const VerifyTask& task,
                    at::ScalarType dtype) {
  Values values;
  const auto make = [&](std::shared_ptr<nn::StepState> state) {
    return std::make_unique<nn::DenseFactory>(comm::Mesh(), std::move(state),
                                              nn::FactoryOptions{.compute = dtype});
  };
  Computation(folder, task, comm::Mesh(), make).run([&](const std::string& name, const at::Tensor& value) {
    values[name] = value.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  });
  return values;
}

// What fp32 itself costs the dense model, and never less than two roundings of the largest value.
Tolerances float_tolerances(const Values& exact, const Values& rounded) {
  Tolerances worst = {0, 0, 0, 0};
  for (const auto& [name, value] : exact) {
    double& kind = worst.of(name);
    const double rounding = 2.5e-7 * std::max(1.0, value.abs().max().item<double>());
    kind =
        std::max({kind, kFloatMargin * rounding, kFloatMargin * worst_difference(value, rounded.at(name))});
  }
  return worst;
}

Reference reference_from_one_rank(const VerifyOptions& options, const checkpoint::HuggingFaceFolder& folder) {
  Reference reference{.origin = "one rank, as there is no reference.safetensors",
                      .task = synthetic_task(folder.config()),
                      .tolerances = kExact,
                      .value = {}};
  const auto exact = std::make_shared<Values>(dense_values(folder, reference.task, at::kDouble));
  if (options.dtype != at::kDouble)
    reference.tolerances = float_tolerances(*exact, dense_values(folder, reference.task, options.dtype));
  reference.value = [exact](const std::string& name) { return exact->at(name); };
  return reference;
}

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

namespace {

// The output folder of the run, where `path` is that folder, its folder of checkpoints, or one of them.
std::optional<fs::path> run_of(const fs::path& path) {
  std::error_code ignored;
  fs::path folder = (path / "").lexically_normal().parent_path();
  if (fs::is_regular_file(folder / "manifest.json", ignored)) {
    if (folder.parent_path().filename() != "checkpoints") return folder;
    folder = folder.parent_path();
  }
  if (folder.filename() == "checkpoints") return folder.parent_path();
  return fs::is_directory(folder / "checkpoints", ignored) ? std::optional(folder) : std::nullopt;
}

}  // namespace

void check_verify(const VerifyOptions& options, int num_ranks) {
  std::error_code ignored;
  const auto exists = [&](const std::filesystem::path& path) {
    return std::filesystem::exists(path, ignored);
  };
  const std::string model = options.model.string();
  if (options.dtype != at::kDouble && options.dtype != at::kFloat) {
    throw ConfigError(fmt::format("verify: dtype {} has no tolerance. Allowed: float64, float32.",
                                  c10::toString(options.dtype)));
  }
  const char* wanted =
      "a Hugging Face folder (config.json and model.safetensors); `colossal checkpoint export RUN OUTPUT` "
      "makes one of a run";
  check_named_folder(options.model, wanted);
  if (!exists(options.model / "config.json")) {
    if (const auto run = run_of(options.model)) {
      throw ConfigError(fmt::format(
          "verify {0}: belongs to a run, and is no Hugging Face folder. `colossal checkpoint export {0} "
          "{1}-hf` makes one of it.",
          model, run->string()));
    }
    refuse_named_folder(options.model, "holds no config.json", wanted);
  }
  const std::filesystem::path reference = reference_of(options);
  if (!exists(reference)) {
    if (!options.reference.empty()) {
      throw ConfigError(
          fmt::format("--reference {0}: there is no such file. `tools/make_reference.py {1} "
                      "--output {0}` makes it with transformers.",
                      reference.string(), model));
    }
    if (num_ranks == 1) {
      throw ConfigError(
          fmt::format("verify {0}: there is no {1}, and one rank has nothing else to be compared with. "
                      "`tools/make_reference.py {0}` makes it with transformers; -n 2 compares two ranks "
                      "with one.",
                      model, reference.string()));
    }
  } else if (options.dtype == at::kFloat && !exists(reference.parent_path() / "tolerance.json")) {
    throw ConfigError(
        fmt::format("verify {0}: float32 is judged by {1}, which is not there. "
                    "`tools/make_reference.py {0} --output {2}` makes both; --dtype float64 needs none.",
                    model, (reference.parent_path() / "tolerance.json").string(), reference.string()));
  }
  const checkpoint::HuggingFaceFolder folder(options.model);
  if (exists(reference)) reference_from_file(options, folder);
}

ParallelSection verify_layout(const fs::path& model, const std::vector<std::string>& overrides,
                              int num_ranks) {
  RunConfig c;
  c.parallel = parse_parallel(overrides, num_ranks);
  const std::optional<models::ModelConfig> sizes = read_loaded(model.string());
  if (!sizes) return c.parallel;
  c.model.load = model.string();
  c.model.family = family_of(*sizes);
  fill_sizes(c.model, *sizes);
  config::Review review(run_schema(), model.string());
  for (const std::string& text : overrides) review.take(config::parse_override(text));
  check_tensor_parallel(c, review);
  review.finish();
  return c.parallel;
}

VerifyReport verify(const VerifyOptions& options, const comm::Mesh& mesh, const MakeFactory& make_factory) {
  const comm::MeshShape& shape = mesh.shape();
  check_verify(options, static_cast<int>(shape.size()));
  const checkpoint::HuggingFaceFolder folder(options.model);
  std::error_code ignored;
  Reference reference = std::filesystem::exists(reference_of(options), ignored)
                            ? reference_from_file(options, folder)
                            : reference_from_one_rank(options, folder);
  VerifyReport report{
      .title = fmt::format("{}: {}, {}, compared with {}", options.model.string(), dtype_word(options.dtype),
                           shape.size() == 1 ? "1 rank" : shape.describe(), reference.origin)};
  Computation(folder, reference.task, mesh, make_factory)
      .run([&](const std::string& name, const at::Tensor& value) {
        report.differences.push_back(
            {name, worst_difference(value, reference.value(name)), reference.tolerances.of(name)});
      });
  return report;
}

}  // namespace colossal::train
