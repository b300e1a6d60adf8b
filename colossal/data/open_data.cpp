// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/open_data.h"

#include "colossal/base/error.h"
#include "colossal/data/masked_tokens.h"
#include "colossal/data/permutation.h"

namespace colossal::data {
namespace {

constexpr int64_t kSyntheticSamples = int64_t{1} << 20, kSyntheticHeldOut = 1024;
constexpr int64_t kUsualImageSize = 224, kUsualClasses = 10;

// What opening a source throws names its key besides.
template <class Open>
auto of_key(const char* key, Open open) try {
  return open();
} catch (const IoError& error) {
  throw IoError(fmt::format("{}: {}", key, error.what()), error.exit_code());
}

bool masks(const DataOptions& options) { return options.task == models::Task::masked_language; }

std::shared_ptr<const Tokenizer> load_tokenizer(const DataOptions& options) {
  return Tokenizer::load(options.tokenizer, masks(options) ? Purpose::masking : Purpose::next_token);
}

DataSizes text_sizes(const DataOptions& options, const Tokenizer& tokenizer) {
  const int64_t asked = options.sizes.vocab_size, least = tokenizer.vocab_size();
  if (asked == 0) return {.vocab_size = least};
  if (asked >= least || (options.synthetic() && !masks(options))) return {.vocab_size = asked};
  throw ConfigError(fmt::format(
      "model.vocab_size = {} is smaller than the {} ids of data.tokenizer = \"{}\". Allowed: {} or more.",
      asked, least, options.tokenizer, least));
}

struct OpenedTokens {
  TokenSplit split;
  std::string fingerprint = {};
};

// The sources of a key. Where there is too little in them, what was built goes again.
OpenedTokens open_tokens(const std::vector<std::string>& sources, double held_out,
                         const SequenceOptions& sequences, const Tokenizer& tokenizer,
                         const TokenizeOptions& tokenize) {
  CachedTokens tokens = tokenize_cached(sources, tokenizer, tokenize);
  try {
    const auto stream = std::make_shared<TokenStream>(tokens.prefixes);
    return {split_tokens(stream, held_out, sequences), stream->fingerprint()};
  } catch (const ConfigError&) {
    tokens.discard();
    throw;
  }
}

// Stretches of text, of which the samples are made.
OpenedTokens open_stretches(const DataOptions& options, const SequenceOptions& sequences,
                            const Tokenizer& tokenizer) {
  if (options.synthetic()) {
    const auto tokens = [&](int64_t num_samples, uint64_t seed) {
      return std::make_shared<SyntheticTokens>(num_samples, sequences.length - sequences.reserved,
                                               sequences.vocab_size, seed);
    };
    return {{tokens(kSyntheticSamples, options.seed), tokens(kSyntheticHeldOut, options.seed + 1)}};
  }
  const auto open = [&](const char* key, const std::vector<std::string>& sources, double held_out) {
    return of_key(key,
                  [&] { return open_tokens(sources, held_out, sequences, tokenizer, options.tokenize); });
  };
  if (options.validation.empty()) return open("data.train", options.train, options.validation_fraction);
  OpenedTokens opened = open("data.train", options.train, 0);
  opened.split.held_out = open("data.validation", options.validation, 0).split.train;
  return opened;
}

Datasets open_text(const DataOptions& options) {
  Datasets data{.tokenizer = load_tokenizer(options)};
  data.sizes = text_sizes(options, *data.tokenizer);
  SequenceOptions sequences{.length = options.sequence_length, .vocab_size = data.sizes.vocab_size};
  if (masks(options)) sequences.reserved = MaskedTokens::num_special(options.next_sentence);
  OpenedTokens opened = open_stretches(options, sequences, *data.tokenizer);
  data.train = std::move(opened.split.train);
  data.validation = std::move(opened.split.held_out);
  data.fingerprint = std::move(opened.fingerprint);
  if (!masks(options)) return data;
  const MaskingOptions masking{.tokens = masking_tokens(*data.tokenizer, options.tokenizer),
                               .end_of_text = data.tokenizer->end_of_text().value_or(-1),
                               .num_words = data.tokenizer->vocab_size(),
                               .probability = options.mask_probability,
                               .next_sentence = options.next_sentence,
                               .seed = options.seed};
  data.train = std::make_shared<MaskedTokens>(data.train, masking);
  if (data.validation) data.validation = std::make_shared<MaskedTokens>(data.validation, masking);
  return data;
}

// The one path of a key.
std::filesystem::path only(const char* key, const std::vector<std::string>& sources) {
  if (sources.size() == 1) return sources.front();
  throw ConfigError(fmt::format("{} names {} sources of images. Allowed: one folder or one IDX file.", key,
                                sources.size()));
}

ImageFacts facts_of(const DataOptions& options) {
  if (options.synthetic())
    return {.size = kUsualImageSize, .channels = 3, .classes = std::vector<std::string>(kUsualClasses)};
  return of_key("data.train", [&] { return image_facts(only("data.train", options.train)); });
}

DataSizes image_sizes(const DataOptions& options, const ImageFacts& facts) {
  const auto or_else = [](int64_t asked, int64_t found) { return asked != 0 ? asked : found; };
  const auto classes = static_cast<int64_t>(facts.classes.size());
  const DataSizes sizes{.image_size = or_else(options.sizes.image_size, or_else(facts.size, kUsualImageSize)),
                        .channels = or_else(options.sizes.channels, facts.channels),
                        .num_classes = or_else(options.sizes.num_classes, classes)};
  if (sizes.num_classes < classes && !options.synthetic()) {
    throw ConfigError(fmt::format(
        "model.num_classes = {} is fewer than the {} classes of data.train = \"{}\". Allowed: {} or more.",
        sizes.num_classes, classes, options.train.front(), classes));
  }
  return sizes;
}

// A share of the images, whatever their order in the files, and the rest; the same for all seeds, so that runs can be compared.
std::pair<std::vector<int64_t>, std::vector<int64_t>> split_images(int64_t count, double held_out) {
  const Permutation shuffled(count, tensor::RandomKey(0).named("held out images"));
  const int64_t border = count - std::llround(static_cast<double>(count) * held_out);
  std::vector<int64_t> train, validation;
  for (int64_t i = 0; i < count; ++i) (i < border ? train : validation).push_back(shuffled(i));
  return {std::move(train), std::move(validation)};
}

void check_classes(const DataOptions& options, const ImageFacts& train, const ImageFacts& validation) {
  for (size_t i = 0; i < validation.classes.size(); ++i) {
    const std::string& name = validation.classes[i];
    if (i < train.classes.size() && train.classes[i] == name) continue;
    throw ConfigError(fmt::format(
        "data.validation = \"{}\": class {} is \"{}\" there, and {} in data.train = \"{}\". Both need the "
        "same "
        "classes.",
        options.validation.front(), i, name,
        i < train.classes.size() ? fmt::format("\"{}\"", train.classes[i]) : "none", options.train.front()));
  }
}

Datasets open_pictures(const DataOptions& options) {
  const ImageFacts facts = facts_of(options);
  Datasets data{.sizes = image_sizes(options, facts)};
  ImageOptions training = options.image;
  training.size = data.sizes.image_size;
  training.channels = data.sizes.channels;
  training.seed = options.seed;
  ImageOptions plain = training;
  plain.flip = false;
  plain.shift = 0;
  if (options.synthetic()) {
    const auto images = [&](int64_t count, uint64_t seed) {
      return std::make_shared<SyntheticImages>(count, training.size, data.sizes.num_classes, seed);
    };
    data.train = std::make_shared<ImageDataset>(images(kSyntheticSamples, options.seed), training);
    data.validation = std::make_shared<ImageDataset>(images(kSyntheticHeldOut, options.seed + 1), plain);
    return data;
  }
  const auto open = [](const char* key, const std::vector<std::string>& sources) {
    return of_key(key, [&] { return open_images(only(key, sources)); });
  };
  const auto source = open("data.train", options.train);
  if (!options.validation.empty()) {
    check_classes(options, facts, of_key("data.validation", [&] {
                    return image_facts(only("data.validation", options.validation));
                  }));
    data.train = std::make_shared<ImageDataset>(source, training);
    data.validation = std::make_shared<ImageDataset>(open("data.validation", options.validation), plain);
    return data;
  }
  auto [train, held_out] = split_images(source->size(), options.validation_fraction);
  if (options.validation_fraction > 0 && (held_out.empty() || train.empty())) {
    throw ConfigError(fmt::format(
        "data.validation_fraction = {}: holds out {} of {} images. Allowed: at least one, and not all.",
        options.validation_fraction, held_out.size(), source->size()));
  }
  data.train = std::make_shared<ImageDataset>(source, training, std::move(train));
  if (!held_out.empty()) data.validation = std::make_shared<ImageDataset>(source, plain, std::move(held_out));
  return data;
}

}  // namespace

Datasets open_data(const DataOptions& options) {
  return options.task == models::Task::image_classification ? open_pictures(options) : open_text(options);
}

DataSizes data_sizes(const DataOptions& options) {
  if (options.task == models::Task::image_classification) return image_sizes(options, facts_of(options));
  return text_sizes(options, *load_tokenizer(options));
}

}  // namespace colossal::data
