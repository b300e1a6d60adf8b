// SPDX-License-Identifier: Apache-2.0
// Unigram language model (arXiv:1804.10959): of all ways to cut a text into pieces, the one of the highest
// total score, found by dynamic programming from left to right (Viterbi).
#include <limits>

#include "colossal/base/error.h"
#include "colossal/data/tokenizers/model.h"
#include "colossal/data/tokenizers/trie.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

constexpr double kUnknownPenalty = 10.0;  // an unknown character scores this much below the worst piece

class Unigram : public Model {
 public:
  explicit Unigram(const JsonNode& node) {
    const JsonNode pieces = node["vocab"];
    if (!pieces.json().is_array() || pieces.size() == 0) pieces.expected("a list of [piece, score]");
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < pieces.size(); ++i) {
      const nlohmann::json& entry = pieces.json()[i];
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
        pieces[i].expected("[piece, score]");
      }
      const std::string piece = entry[0].get<std::string>();
      scores_.push_back(entry[1].get<double>());
      lowest = std::min(lowest, scores_.back());
      vocabulary_.add(piece, static_cast<int32_t>(i));
      if (!piece.empty()) trie_.add(piece, static_cast<int32_t>(i));
    }
    unknown_score_ = lowest - kUnknownPenalty;
    if (node.has("unk_id")) {
      const int64_t unk = node["unk_id"].integer();
      if (unk < 0 || unk >= vocabulary_.size()) {
        node["unk_id"].fail(fmt::format("{} is not an id. Allowed: 0 to {}.", unk, vocabulary_.size() - 1));
      }
      unk_ = static_cast<int32_t>(unk);
    }
    if (node.boolean_or("byte_fallback", false)) fallback_ids_ = byte_tokens(vocabulary_);
  }

  void encode(std::string_view text, Workspace& work, std::vector<int32_t>& ids) const override {
    if (text.size() <= WordCache::kMaxBytes && work.cache.find(text, ids)) return;
    const size_t before = ids.size();
    best_path(text, ids);
    work.cache.put(text, std::span(ids).subspan(before));
  }

 private:
  struct Node {
    double score = 0;
    int64_t from = -1;
    int32_t id = -1;
  };

  void best_path(std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<Node> nodes(text.size() + 1);
    for (size_t at = 0; at < text.size();) {
      const size_t char_bytes = char_length(text[at]);
      const double so_far = nodes[at].score;
      const auto offer = [&](size_t length, int32_t id, double score) {
        Node& node = nodes[at + length];
        if (node.from < 0 || so_far + score > node.score)
          node = {so_far + score, static_cast<int64_t>(at), id};
      };
      bool known = false;
      trie_.for_each_prefix(text, at, [&](size_t length, int32_t id) {
        offer(length, id, scores_[id]);
        known = known || length == char_bytes;
      });
      if (!known) offer(char_bytes, unk_, unknown_score_);
      at += char_bytes;
    }
    std::vector<std::pair<size_t, Node>> path;  // end and node, last first
    for (size_t end = text.size(); end > 0; end = static_cast<size_t>(nodes[end].from))
      path.emplace_back(end, nodes[end]);
    bool unknown_before = false;
    for (auto step = path.rbegin(); step != path.rend(); ++step) {
      const auto& [end, node] = *step;
      const bool unknown = node.id == unk_;
      if (!unknown) {
        ids.push_back(node.id);
      } else if (!fallback_ids_.empty()) {
        for (size_t i = node.from; i < end; ++i)
          ids.push_back(fallback_ids_[static_cast<unsigned char>(text[i])]);
      } else if (unk_ < 0) {
        throw IoError(
            fmt::format("tokenizer: the character \"{}\" has no piece and the file no model.unk_id.",
                        text.substr(node.from, end - node.from)));
      } else if (!unknown_before) {
        ids.push_back(unk_);
      }
      unknown_before = unknown;
    }
  }

  std::vector<double> scores_;
  double unknown_score_;
  int32_t unk_ = -1;
  std::vector<int32_t> fallback_ids_;
  Trie trie_;
};

}  // namespace

std::unique_ptr<Model> read_unigram(const JsonNode& node) { return std::make_unique<Unigram>(node); }

}  // namespace colossal::data
