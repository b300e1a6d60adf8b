// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizer.h"

#include <array>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/data/tokenizers/byte_alphabet.h"
#include "colossal/data/tokenizers/hugging_face.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

constexpr int32_t kEndOfText = kByteIds - 1;
// By id, from kEndOfText.
constexpr std::string_view kByteSpecials[] = {"<|endoftext|>", "[CLS]", "[SEP]", "[MASK]"};

class Bytes : public Tokenizer {
 public:
  explicit Bytes(Purpose purpose) : num_ids_(purpose == Purpose::masking ? kMaskingByteIds : kByteIds) {}
  void encode(std::string_view text, SpecialTokens, std::vector<int32_t>& ids) const override {
    const size_t before = ids.size();
    ids.resize(before + text.size());
    for (size_t i = 0; i < text.size(); ++i) ids[before + i] = static_cast<unsigned char>(text[i]);
  }
  std::string decode(std::span<const int32_t> ids, SpecialTokens special) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      if (id >= 0 && id < 256) bytes.push_back(static_cast<char>(id));
      if (id >= kEndOfText && id < num_ids_ && special == SpecialTokens::keep)
        bytes += kByteSpecials[id - kEndOfText];
    }
    return repair_utf8(bytes);
  }
  int64_t vocab_size() const override { return num_ids_; }
  std::optional<int32_t> token_to_id(std::string_view token) const override {
    for (int32_t id = kEndOfText; id < num_ids_; ++id) {
      if (token == kByteSpecials[id - kEndOfText]) return id;
    }
    return token.size() == 1 ? std::optional<int32_t>(static_cast<unsigned char>(token[0])) : std::nullopt;
  }
  std::optional<std::string> id_to_token(int32_t id) const override {
    if (id < 0 || id >= num_ids_) return std::nullopt;
    return id < kEndOfText ? std::string(1, static_cast<char>(id))
                           : std::string(kByteSpecials[id - kEndOfText]);
  }
  std::optional<int32_t> end_of_text() const override { return kEndOfText; }
  std::string fingerprint() const override { return "bytes"; }  // of text: special tokens are not in it

 private:
  int32_t num_ids_;
};

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& name, Purpose purpose) {
  if (name == "bytes") return std::make_unique<Bytes>(purpose);
  std::filesystem::path file = name;
  if (std::filesystem::is_directory(file)) file /= "tokenizer.json";
  if (!std::filesystem::exists(file)) {
    throw ConfigError(fmt::format(
        "tokenizer {}: no such file. Allowed: \"bytes\", a tokenizer.json, or a folder that holds one.",
        file.string()));
  }
  return load_hugging_face(file);
}

MaskingTokens masking_tokens(const Tokenizer& tokenizer, const std::string& name) {
  using Names = std::array<const char*, 3>;
  for (const Names& names : {Names{"[CLS]", "[SEP]", "[MASK]"}, Names{"<s>", "</s>", "<mask>"}}) {
    const auto begin = tokenizer.token_to_id(names[0]), separator = tokenizer.token_to_id(names[1]),
               mask = tokenizer.token_to_id(names[2]);
    if (begin && separator && mask) return {*begin, *separator, *mask};
  }
  throw ConfigError(
      fmt::format("data.tokenizer = \"{}\" has no [CLS], [SEP] and [MASK] (nor <s>, </s> and <mask>), which "
                  "a model that fills in masked "
                  "tokens needs. Take the tokenizer.json of a BERT model, or \"bytes\".",
                  name));
}

std::string bytes_tokenizer_json(Purpose purpose) {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocabulary[to_byte_alphabet(static_cast<unsigned char>(byte))] = byte;
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  Json specials = Json::array();
  const auto num_ids = static_cast<int32_t>(purpose == Purpose::masking ? kMaskingByteIds : kByteIds);
  for (int32_t id = kEndOfText; id < num_ids; ++id) {
    specials.push_back({{"id", id},
                        {"content", std::string(kByteSpecials[id - kEndOfText])},
                        {"single_word", false},
                        {"lstrip", false},
                        {"rstrip", false},
                        {"normalized", false},
                        {"special", true}});
  }
  const Json json = {{"version", "1.0"},
                     {"added_tokens", specials},
                     {"pre_tokenizer", byte_level},
                     {"decoder", byte_level},
                     {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  return json.dump(1) + "\n";
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<int32_t> ids;
  encode(text, special, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, SpecialTokens special) const {
  std::vector<int32_t> narrow;
  for (const int64_t id : ids) narrow.push_back(id < 0 || id > INT32_MAX ? -1 : static_cast<int32_t>(id));
  return decode(std::span<const int32_t>(narrow), special);
}

}  // namespace colossal::data
