// SPDX-License-Identifier: Apache-2.0
// Between [model] and the families of colossal/models: what may be named, and what is filled in from a preset or from
// the model that model.load names.
//
//   fill_sizes(c.model, small_sizes(c.model.family));
//
// Thread-safe: pure functions; read_loaded reads files.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "colossal/models/inputs.h"
#include "colossal/models/model_config.h"
#include "colossal/train/config.h"

namespace colossal::train {

// model.family is the model_type that Hugging Face uses: "gpt2", "llama", ...
std::vector<std::string> family_names();
std::vector<std::string> rotary_families();
std::vector<std::string> families_with(std::initializer_list<models::Task> tasks);
models::Task task_of(const std::string& family);
std::string preset_help();  // "gpt2: gpt2, gpt2-medium; llama: ..."
std::string family_of(const models::ModelConfig& config);

// Sizes of a family where neither the file nor a preset says any: a model that trains on a laptop.
models::ModelConfig small_sizes(const std::string& family);

// Sets what is unset in `model`.
void fill_sizes(ModelSection& model, const models::ModelConfig& sizes);

// What the folder model.load says about its model, from config.json or manifest.json alone. nullopt when there is
// neither. ConfigError with all problems when the model is none that we have, IoError when config.json is damaged.
std::optional<models::ModelConfig> read_loaded(const std::string& folder);

}  // namespace colossal::train
