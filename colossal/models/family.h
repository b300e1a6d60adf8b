// SPDX-License-Identifier: Apache-2.0
// The families of models that there are: how each is built, counted, named by others, and its well-known sizes.
//
//   ModelConfig config = complete(preset("llama3-8b"));
//   std::shared_ptr<Model> model = build(config, make);
//
// Thread-safe: pure functions over constants.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/models/foreign_weights.h"
#include "colossal/models/language_model.h"
#include "colossal/models/model_config.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::models {

struct Preset {
  std::string name = {};
  ModelConfig config = {};
};

// Numbers of parameters, each tied one once.
struct ParameterCount {
  int64_t total = 0;
  int64_t matmul = 0;  // of matrices that every token meets: the head of a language model, no look-ups
};

// config.json and weights as Hugging Face stores them.
struct ForeignFormat {
  // In both spellings; `where` begins the messages of the ConfigError.
  ModelConfig (*read)(const Json& json, const std::string& where) = nullptr;
  Json (*write)(const ModelConfig&) = nullptr;
  ForeignWeights (*weights)(const ModelConfig&) = nullptr;
};

// What a family says of itself: what differs from the others.
struct Family {
  std::string name = {};     // model.family, and model_type in config.json of Hugging Face
  std::string summary = {};  // one line for help and docs
  Task task = Task::causal_language;
  bool rotary = false;     // positions by rotation: head_dim must be even
  ModelConfig usual = {};  // what a model of the family has unless it says otherwise; its sizes are open
  std::vector<Preset> presets = {};
  // Zeros replaced by rules of its own, before those that all share (by_rules); null: none.
  ModelConfig (*rules)(ModelConfig) = nullptr;
  std::shared_ptr<Model> (*build)(const ModelConfig&, nn::LayerFactory&) = nullptr;
  ForeignFormat foreign = {};
};

// A table of presets: models that share all but their sizes, and these. 0: as the rules say.
struct Generation {
  struct Size {
    const char* name = "";
    int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, ffn = 0;
  };
  ModelConfig shared = {};
  std::vector<Size> sizes = {};
};
std::vector<Preset> presets(const std::vector<Generation>& table);

const std::vector<Family>& families();
// By name; ConfigError lists the families and the nearest.
const Family& family(const std::string& name);
// By model_type of a config.json; ConfigError likewise.
const Family& foreign_family(const std::string& model_type, const std::string& where);

std::vector<std::string> preset_names();
// ConfigError lists the presets and the nearest.
ModelConfig preset(const std::string& name);

// Fills in what is 0: by the family's rules, then keys and values of every head, an MLP of 4 h, the usual activation. Checks nothing.
ModelConfig by_rules(ModelConfig config);
// The same and checks the result: ConfigError with all problems.
ModelConfig complete(const ModelConfig& config);

// A fresh model, parameters uninitialised (nn::initialize or a checkpoint fills them). `config` may hold zeros.
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
// The same where only a model that predicts the next token will do: ConfigError for the other families.
std::shared_ptr<LanguageModel> build_language_model(const ModelConfig& config, nn::LayerFactory& make);

// What such a model takes, its labels included.
std::vector<InputInfo> inputs_of(const ModelConfig& config);

// What the parts of the loss are called, by the name of their labels ("labels": "masked_lm"). Empty where there is one kind of labels.
std::map<std::string, std::string> loss_parts(const ModelConfig& config);

// "predicts the next token"
std::string_view task_text(Task task);
// Names of the families with this task.
std::vector<std::string> families_with(Task task);

// Of the model itself, built without memory.
ParameterCount count_parameters(const ModelConfig& config);
// Multiply-adds of forward and backward, each counted as 2: 6 per matmul parameter, and 12 * layers * heads * head_dim * sequence for
// the attention scores and their use (the causal half is not subtracted), Megatron's and PaLM's convention. Images: per patch.
double training_flops_per_token(const ModelConfig& config, int64_t sequence_length);

}  // namespace colossal::models
