// SPDX-License-Identifier: Apache-2.0
// The [data] section of a run, opened: what `colossal train` and `initialize` need in one call.
//
//   Datasets data = open_data(options);             // rank 0 first: builds the token files; the others map them
//   Loader loader(data.train, {...});
//
// Thread-safe: the datasets are immutable.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "colossal/data/token_dataset.h"
#include "colossal/data/tokenize.h"

namespace colossal::data {

struct DataOptions {
  std::vector<std::string> train = {};  // files, folders, patterns; or just "synthetic"
  std::vector<std::string> validation =
      {};  // its own files; empty: validation_fraction of the training tokens
  double validation_fraction = 0;
  std::string tokenizer = "bytes";
  int64_t sequence_length = 1024;
  int64_t vocab_size = 0;         // of the model; 0 = the tokenizer's
  uint64_t seed = 0;              // of synthetic tokens
  TokenizeOptions tokenize = {};  // .cache is where token files are built
};

struct Datasets {
  std::shared_ptr<const Tokenizer> tokenizer = {};             // also for synthetic data
  std::shared_ptr<const Dataset> train = {}, validation = {};  // validation may be null
};

// Opens, and builds what is missing in the cache. ConfigError when the model's vocabulary is smaller than the
// tokenizer's, or a source too short for sequence_length or validation_fraction: what was built for it is removed.
Datasets open_data(const DataOptions& options);

}  // namespace colossal::data
