// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/hugging_face.h"

#include <xxhash.h>

#include <mutex>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/data/tokenizers/added_tokens.h"
#include "colossal/data/tokenizers/decoder.h"
#include "colossal/data/tokenizers/model.h"
#include "colossal/data/tokenizers/normalizer.h"
#include "colossal/data/tokenizers/post_processor.h"
#include "colossal/data/tokenizers/pre_tokenizer.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

// Workspaces at rest; each call takes one, so calls from many threads neither share nor rebuild caches.
class WorkspacePool {
 public:
  std::unique_ptr<Workspace> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Workspace>();
    auto workspace = std::move(free_.back());
    free_.pop_back();
    return workspace;
  }
  void give(std::unique_ptr<Workspace> workspace) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

std::optional<std::string> eos_of_config(const std::filesystem::path& file) {
  const std::filesystem::path config = file.parent_path() / "tokenizer_config.json";
  if (!std::filesystem::exists(config)) return std::nullopt;
  const auto json = nlohmann::json::parse(read_file(config), nullptr, false);
  if (json.is_discarded()) throw IoError(fmt::format("{}: is not valid JSON.", config.string()));
  const auto token = json.find("eos_token");
  if (token == json.end() || token->is_null()) return std::nullopt;
  if (token->is_string()) return token->get<std::string>();
  return JsonNode(config.string(), json)["eos_token"]["content"].text();
}

class HuggingFace : public Tokenizer {
 public:
  HuggingFace(const std::filesystem::path& file, const std::string& source, const nlohmann::json& json) {
    const JsonNode root(file.string(), json);
    const auto part = [&](const char* key) -> std::optional<JsonNode> {
      return root.has(key) ? std::optional(root[key]) : std::nullopt;
    };
    if (const auto node = part("normalizer")) normalizer_ = read_normalizer(*node);
    if (const auto node = part("pre_tokenizer")) pre_tokenizer_ = read_pre_tokenizer(*node);
    if (const auto node = part("post_processor")) envelope_ = read_post_processor(*node);
    if (const auto node = part("decoder")) decoder_ = read_decoder(*node);
    if (const auto node = part("added_tokens")) added_ = AddedTokens(*node, normalizer_.get());
    model_ = read_model(root["model"], pre_tokenizer_.byte_level ? ByteLevel::yes : ByteLevel::no);
    vocab_size_ = model_->vocabulary().size();
    for (const AddedToken& token : added_.tokens())
      vocab_size_ = std::max<int64_t>(vocab_size_, token.id + 1);
    end_of_text_ = find_end_of_text(file);
    const XXH128_hash_t hash = XXH3_128bits(source.data(), source.size());
    fingerprint_ = fmt::format("{:016x}{:016x}-{}", hash.high64, hash.low64, end_of_text_.value_or(-1));
  }

  void encode(std::string_view text, SpecialTokens special, std::vector<int32_t>& ids) const override {
    if (const size_t at = find_invalid_utf8(text); at != std::string_view::npos) {
      throw IoError(fmt::format("tokenizer: byte {} of the text (0x{:02X}) is not valid UTF-8.", at,
                                static_cast<unsigned>(static_cast<unsigned char>(text[at]))));
    }
    std::unique_ptr<Workspace> work = pool_.take();
    const bool envelope = special == SpecialTokens::keep;
    if (envelope) ids.insert(ids.end(), envelope_.prefix.begin(), envelope_.prefix.end());
    added_.split_raw(text, [&](std::string_view part, int32_t id) {
      if (id >= 0) return ids.push_back(id);
      encode_plain(part, part.data() == text.data(), *work, ids);
    });
    if (envelope) ids.insert(ids.end(), envelope_.suffix.begin(), envelope_.suffix.end());
    pool_.give(std::move(work));
  }

  std::string decode(std::span<const int32_t> ids, SpecialTokens special) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids) {
      const AddedToken* added = added_.by_id(id);
      if (added != nullptr && added->special && special == SpecialTokens::skip) continue;
      if (added != nullptr) {
        tokens.push_back(added->content);
      } else if (const std::string* token = model_->vocabulary().token(id); token != nullptr) {
        tokens.push_back(*token);
      }
    }
    const bool spaced = decoder_ == nullptr;
    if (decoder_) decoder_->apply(tokens);
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (spaced && i > 0) text += ' ';
      text += tokens[i];
    }
    return text;
  }

  int64_t vocab_size() const override { return vocab_size_; }
  std::optional<int32_t> token_to_id(std::string_view token) const override {
    if (const AddedToken* added = added_.by_content(token)) return added->id;
    const int32_t id = model_->vocabulary().find(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  std::optional<std::string> id_to_token(int32_t id) const override {
    if (const AddedToken* added = added_.by_id(id)) return added->content;
    const std::string* token = model_->vocabulary().token(id);
    return token == nullptr ? std::nullopt : std::optional(*token);
  }
  std::optional<int32_t> end_of_text() const override { return end_of_text_; }
  std::string fingerprint() const override { return fingerprint_; }
  using Tokenizer::decode;
  using Tokenizer::encode;

 private:
  void encode_plain(std::string_view part, bool first, Workspace& work, std::vector<int32_t>& ids) const {
    std::string normalized;
    if (normalizer_) {
      normalized.assign(part);
      normalizer_->apply(normalized);
      part = normalized;
    }
    added_.split_normalized(part, [&](std::string_view text, int32_t id) {
      if (id >= 0) return ids.push_back(id);
      pre_tokenizer_.split({text, first && text.data() == part.data()},
                           [&](Piece piece) { model_->encode(piece.text, work, ids); });
    });
  }

  std::optional<int32_t> find_end_of_text(const std::filesystem::path& file) const {
    if (const auto eos = eos_of_config(file)) return token_to_id(*eos);
    for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]"}) {
      if (const auto id = token_to_id(name)) return id;
    }
    return std::nullopt;
  }

  std::unique_ptr<Normalizer> normalizer_;
  PreTokenizer pre_tokenizer_;
  Envelope envelope_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
  std::unique_ptr<Model> model_;
  int64_t vocab_size_ = 0;
  std::optional<int32_t> end_of_text_;
  std::string fingerprint_;
  mutable WorkspacePool pool_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_hugging_face(const std::filesystem::path& file) {
  const std::string source = read_file(file);
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(source);
  } catch (const nlohmann::json::parse_error& error) {
    throw IoError(fmt::format("{}: is not valid JSON: damaged near byte {} of {}.", file.string(), error.byte,
                              source.size()));
  }
  return std::make_unique<HuggingFace>(file, source, json);
}

}  // namespace colossal::data
