// SPDX-License-Identifier: Apache-2.0
// What tests of files of tokens and text share.
#pragma once
#include <string>
#include <vector>

#include "colossal/data/open_data.h"
#include "colossal/data/text_source.h"
#include "tests/support/error.h"
#include "tests/support/images.h"
#include "tests/support/scratch.h"

namespace colossal::testing {

// The message, with the folder of the test taken away.
template <typename F>
std::string error_in(const ScratchFolder& folder, F&& f) {
  std::string message = error_of(f);
  const std::string prefix = folder.path().string() + "/";
  for (size_t at = message.find(prefix); at != std::string::npos; at = message.find(prefix))
    message.erase(at, prefix.size());
  return message;
}

inline std::vector<int64_t> all_tokens(const data::TokenStream& stream) {
  std::vector<int64_t> tokens(stream.num_tokens());
  stream.read(0, tokens);
  return tokens;
}

}  // namespace colossal::testing
