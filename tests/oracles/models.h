// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>

// Hugging Face folders with the values that transformers computed for them.
inline const std::filesystem::path kModels = std::filesystem::path(COLOSSAL_ORACLES) / "models";
inline constexpr const char* kModelCases[] = {"gpt2", "gpt2-untied", "llama",    "llama3", "qwen2",
                                              "palm", "bert",        "bert-mlm", "vit"};
