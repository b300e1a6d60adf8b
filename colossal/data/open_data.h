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

#include "colossal/data/image_dataset.h"
#include "colossal/data/token_dataset.h"
#include "colossal/data/tokenize.h"

namespace colossal::data {

// What a model needs to know of its data, and a run file may leave open. 0: nobody has said it, or it does not apply.
struct DataSizes {
  int64_t vocab_size = 0;
  int64_t image_size = 0, channels = 0, num_classes = 0;
};

struct DataOptions {
  models::Task task = models::Task::causal_language;
  std::vector<std::string> train = {};       // files, folders, patterns; or just "synthetic"
  std::vector<std::string> validation = {};  // its own files; empty: validation_fraction of the training data
  double validation_fraction = 0;
  uint64_t seed = 0;     // of synthetic data, masks, flips and shifts
  DataSizes sizes = {};  // those of the model, as far as it says them
  // Text.
  std::string tokenizer = "bytes";
  int64_t sequence_length = 1024;
  TokenizeOptions tokenize = {};  // .cache is where token files are built
  double mask_probability = 0.15;
  bool next_sentence = false;
  // Images: `size` and `channels` are taken from `sizes`, `seed` from above.
  ImageOptions image = {};

  bool synthetic() const { return train == std::vector<std::string>{"synthetic"}; }
};

struct Datasets {
  std::shared_ptr<const Tokenizer> tokenizer = {};             // also for synthetic text; null for images
  std::shared_ptr<const Dataset> train = {}, validation = {};  // validation may be null
  DataSizes sizes = {};                                        // all that apply
  std::string fingerprint =
      {};  // of the tokens of data.train, held-out ones included; empty for images and synthetic data
};

// Opens, and builds what is missing in the cache. ConfigError when the model's vocabulary or number of classes is smaller than that of
// the data, or a source too short for sequence_length or validation_fraction: what was built for it is removed.
Datasets open_data(const DataOptions& options);

// Only the sizes: reads the tokenizer, the labels of an IDX file or the names of class folders. Errors as above.
DataSizes data_sizes(const DataOptions& options);

}  // namespace colossal::data
