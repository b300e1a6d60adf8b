// SPDX-License-Identifier: Apache-2.0
// WordPiece (arXiv:1810.04805): a word is cut greedily, the longest known part first; parts after the first
// carry a prefix.
#include "colossal/data/tokenizers/model.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

class WordPiece : public Model {
 public:
  explicit WordPiece(const JsonNode& node)
      : prefix_(node.text_or("continuing_subword_prefix", "##")),
        max_chars_(node.integer_or("max_input_chars_per_word", 100)) {
    vocabulary_ = read_vocabulary(node["vocab"]);
    const std::string unk = node.text_or("unk_token", "[UNK]");
    unk_ = vocabulary_.find(unk);
    if (unk_ < 0) node.fail(fmt::format("unk_token \"{}\" is not in model.vocab.", unk));
    for (const auto& [token, id] : vocabulary_.ids()) longest_ = std::max(longest_, token.size());
  }

  void encode(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const override {
    if (word.size() <= WordCache::kMaxBytes && work.cache.find(word, ids)) return;
    const size_t before = ids.size();
    if (!cut(word, ids)) {
      ids.resize(before);
      ids.push_back(unk_);
    }
    work.cache.put(word, std::span(ids).subspan(before));
  }

 private:
  bool cut(std::string_view word, std::vector<int32_t>& ids) const {
    int64_t chars = 0;
    for (size_t i = 0; i < word.size(); i += char_length(word[i])) ++chars;
    if (chars > max_chars_) return false;
    std::string key;
    for (size_t begin = 0; begin < word.size();) {
      size_t end = std::min(word.size(), begin + longest_);
      while (end < word.size() && (static_cast<unsigned char>(word[end]) & 0xc0) == 0x80) --end;
      int32_t id = -1;
      while (end > begin) {
        key.assign(begin > 0 ? prefix_ : "").append(word.substr(begin, end - begin));
        id = vocabulary_.find(key);
        if (id >= 0) break;
        do --end;
        while (end > begin && (static_cast<unsigned char>(word[end]) & 0xc0) == 0x80);
      }
      if (id < 0) return false;
      ids.push_back(id);
      begin = end;
    }
    return true;
  }

  std::string prefix_;
  int64_t max_chars_;
  int32_t unk_ = -1;
  size_t longest_ = 1;
};

}  // namespace

std::unique_ptr<Model> read_word_piece(const JsonNode& node) { return std::make_unique<WordPiece>(node); }

}  // namespace colossal::data
