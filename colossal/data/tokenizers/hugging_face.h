// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json: added tokens → normalizer → pre-tokenizer → model → post-processor, and the decoder back.
//
//   auto tokenizer = load_hugging_face("gpt2/tokenizer.json");
//
// Thread-safe: encode and decode may be called from any number of threads.
#pragma once
#include <filesystem>
#include <memory>

#include "colossal/data/tokenizer.h"

namespace colossal::data {

std::unique_ptr<Tokenizer> load_hugging_face(const std::filesystem::path& file);

}  // namespace colossal::data
