// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding (arXiv:1508.07909): the pair of neighbours with the lowest rank is merged, leftmost
// first, until none has a rank. Short pieces scan for it, long ones keep a heap.
#include <queue>

#include "colossal/data/tokenizers/byte_alphabet.h"
#include "colossal/data/tokenizers/flat_map.h"
#include "colossal/data/tokenizers/model.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

constexpr uint32_t kNoRank = UINT32_MAX;
constexpr std::string_view kMark = "\u2581";  // SentencePiece's sign for a space

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

class Bpe : public Model {
 public:
  Bpe(const JsonNode& node, ByteLevel byte_level);
  void encode(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const override;

 private:
  struct Merge {
    uint32_t rank = kNoRank;
    int32_t id = -1;
  };
  Merge merge_of(int32_t left, int32_t right) const {
    const uint64_t* found = merges_.find(pair_key(left, right));
    return found == nullptr
               ? Merge{}
               : Merge{static_cast<uint32_t>(*found >> 32), static_cast<int32_t>(*found & 0xffffffff)};
  }
  void read_merges(const JsonNode& list);
  void encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const;
  std::vector<int32_t> symbols(std::string_view word) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;

  bool byte_level_, ignore_merges_, fuse_unk_, byte_fallback_;
  std::string prefix_, suffix_;  // continuing_subword_prefix, end_of_word_suffix
  int32_t unk_ = -1;
  StringToId raw_;  // byte level: raw bytes of a token -> id
  std::vector<int32_t> byte_ids_, fallback_ids_;
  FlatMap merges_;  // pair -> rank, id
  bool cut_at_marks_ = false;
};

Bpe::Bpe(const JsonNode& node, ByteLevel byte_level)
    : byte_level_(byte_level == ByteLevel::yes),
      ignore_merges_(node.boolean_or("ignore_merges", false)),
      fuse_unk_(node.boolean_or("fuse_unk", false)),
      byte_fallback_(node.boolean_or("byte_fallback", false)),
      prefix_(node.text_or("continuing_subword_prefix", "")),
      suffix_(node.text_or("end_of_word_suffix", "")) {
  if (node.has("dropout") && node["dropout"].number() != 0) {
    node["dropout"].fail(
        "random merges are not supported: the same text must give the same ids. Set it to null.");
  }
  vocabulary_ = read_vocabulary(node["vocab"]);
  if (const std::string unk = node.text_or("unk_token", ""); !unk.empty()) {
    unk_ = vocabulary_.find(unk);
    if (unk_ < 0) node["unk_token"].fail(fmt::format("the token \"{}\" is not in model.vocab.", unk));
  }
  if (byte_level_) {
    if (!prefix_.empty() || !suffix_.empty())
      node.fail("byte-level BPE with a subword prefix or suffix is not supported.");
    byte_ids_.assign(256, -1);
    for (const auto& [token, id] : vocabulary_.ids()) {
      const auto bytes = from_byte_alphabet(token);
      if (!bytes) continue;
      raw_[*bytes] = id;
      if (bytes->size() == 1) byte_ids_[static_cast<unsigned char>((*bytes)[0])] = id;
    }
  }
  if (byte_fallback_) fallback_ids_ = byte_tokens(vocabulary_);
  read_merges(node["merges"]);
}

void Bpe::read_merges(const JsonNode& list) {
  if (!list.json().is_array()) list.expected("a list of pairs");
  // No unknown token can be fused over a cut, no whole-piece look-up can see one, no merge can close one.
  cut_at_marks_ =
      !byte_level_ && !ignore_merges_ && suffix_.empty() && prefix_.empty() && !fallback_ids_.empty();
  for (size_t rank = 0; rank < list.size(); ++rank) {
    const nlohmann::json& entry = list.json()[rank];
    std::string left, right;
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    } else if (entry.is_string() && entry.get_ref<const std::string&>().find(' ') != std::string::npos) {
      const auto& both = entry.get_ref<const std::string&>();
      left = both.substr(0, both.find(' '));
      right = both.substr(both.find(' ') + 1);
    } else {
      list[rank].expected("two tokens, [\"a\", \"b\"] or \"a b\"");
    }
    const std::string merged = left + (right.starts_with(prefix_) ? right.substr(prefix_.size()) : right);
    const int32_t a = vocabulary_.find(left), b = vocabulary_.find(right), id = vocabulary_.find(merged);
    if (a < 0 || b < 0 || id < 0) {
      list[rank].fail(fmt::format("the token \"{}\" is not in model.vocab.", a < 0   ? left
                                                                             : b < 0 ? right
                                                                                     : merged));
    }
    uint64_t& slot = merges_[pair_key(a, b)];
    if (slot == 0) slot = static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(id);
    for (size_t at = merged.find(kMark); at != std::string::npos && cut_at_marks_;
         at = merged.find(kMark, at + 1)) {
      if (at > 0 && previous_char(merged, at) != U'\u2581') cut_at_marks_ = false;
    }
  }
}

void Bpe::encode(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
  if (!cut_at_marks_) return encode_word(piece, work, ids);
  // Where no merge joins "x▁", a long text falls into words whose merges do not see each other.
  size_t begin = 0;
  for (size_t at = piece.find(kMark); at != std::string_view::npos;
       at = piece.find(kMark, at + kMark.size())) {
    if (at == begin || previous_char(piece, at) == U'\u2581') continue;
    encode_word(piece.substr(begin, at - begin), work, ids);
    begin = at;
  }
  encode_word(piece.substr(begin), work, ids);
}

void Bpe::encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const {
  if (word.size() <= WordCache::kMaxBytes && work.cache.find(word, ids)) return;
  const size_t before = ids.size();
  if (ignore_merges_) {
    int32_t whole = -1;
    if (byte_level_) {
      if (const auto found = raw_.find(word); found != raw_.end()) whole = found->second;
    } else {
      whole = vocabulary_.find(word);
    }
    if (whole >= 0) ids.push_back(whole);
  }
  if (ids.size() == before) {
    std::vector<int32_t> parts = symbols(word);
    constexpr size_t kLong = 48;
    parts.size() < kLong ? merge_short(parts) : merge_long(parts);
    ids.insert(ids.end(), parts.begin(), parts.end());
  }
  work.cache.put(word, std::span(ids).subspan(before));
}

std::vector<int32_t> Bpe::symbols(std::string_view word) const {
  std::vector<int32_t> out;
  out.reserve(word.size());
  bool pending_unk = false;  // unknown characters are written out late, so that neighbours can fuse
  for (size_t i = 0; i < word.size();) {
    const size_t length = byte_level_ ? 1 : char_length(word[i]);
    int32_t id = -1;
    if (byte_level_) {
      id = byte_ids_[static_cast<unsigned char>(word[i])];
    } else if (prefix_.empty() && suffix_.empty()) {
      id = vocabulary_.find(word.substr(i, length));
    } else {
      std::string key = (i > 0 ? prefix_ : "") + std::string(word.substr(i, length));
      if (i + length == word.size()) key += suffix_;
      id = vocabulary_.find(key);
    }
    if (id >= 0) {
      if (pending_unk) out.push_back(unk_);
      pending_unk = false;
      out.push_back(id);
    } else if (!fallback_ids_.empty()) {
      for (size_t k = 0; k < length; ++k)
        out.push_back(fallback_ids_[static_cast<unsigned char>(word[i + k])]);
    } else if (unk_ >= 0) {
      if (pending_unk && !fuse_unk_) out.push_back(unk_);
      pending_unk = true;
    }
    i += length;
  }
  if (pending_unk) out.push_back(unk_);
  return out;
}

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  std::array<Merge, 64> merges;  // of symbols i and i + 1
  for (size_t i = 0; i + 1 < symbols.size(); ++i) merges[i] = merge_of(symbols[i], symbols[i + 1]);
  while (symbols.size() > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].id < 0) return;
    symbols[best] = merges[best].id;
    symbols.erase(symbols.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + symbols.size(), merges.begin() + best);
    if (best > 0) merges[best - 1] = merge_of(symbols[best - 1], symbols[best]);
    if (best + 1 < symbols.size()) merges[best] = merge_of(symbols[best], symbols[best + 1]);
  }
}

void Bpe::merge_long(std::vector<int32_t>& symbols) const {
  struct Candidate {
    uint32_t rank;
    uint32_t at;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto n = static_cast<int64_t>(symbols.size());
  std::vector<int64_t> next(n), previous(n);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](int64_t at) {
    if (at < 0 || next[at] >= n) return;
    const Merge merge = merge_of(symbols[at], symbols[next[at]]);
    if (merge.id >= 0) heap.push({merge.rank, static_cast<uint32_t>(at), merge.id});
  };
  for (int64_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  for (int64_t i = 0; i < n; ++i) offer(i);
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    const int64_t at = top.at;
    // Entries of symbols that were merged meanwhile are stale.
    if (symbols[at] < 0 || next[at] >= n || merge_of(symbols[at], symbols[next[at]]).id != top.id) continue;
    const int64_t right = next[at];
    symbols[at] = top.id;
    symbols[right] = -1;
    next[at] = next[right];
    if (next[at] < n) previous[next[at]] = at;
    offer(previous[at]);
    offer(at);
  }
  std::erase(symbols, -1);
}

}  // namespace

std::unique_ptr<Model> read_bpe(const JsonNode& node, ByteLevel byte_level) {
  return std::make_unique<Bpe>(node, byte_level);
}

}  // namespace colossal::data
