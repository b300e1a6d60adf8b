// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/pre_tokenizer.h"

#include "colossal/data/tokenizers/pattern.h"
#include "colossal/data/tokenizers/unicode.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior read_behavior(const JsonNode& node) {
  const std::string name = node.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  node.expected("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

struct Segment {
  size_t begin, end;
  bool match;
};

// Collects matches in order, fills the gaps, and hands out pieces as the behavior says.
class Cutter {
 public:
  Cutter(Piece piece, Behavior behavior, bool invert, PieceSink sink)
      : piece_(piece), behavior_(behavior), invert_(invert), sink_(sink) {}

  void match(size_t begin, size_t end) {
    gap(begin);
    add({begin, end, !invert_});
    done_ = end;
  }
  void finish() {
    gap(piece_.text.size());
    if (behavior_ == Behavior::merged_with_next) {
      merge_with_next();
    } else if (open_.end > open_.begin) {
      emit(open_);
    }
  }

 private:
  void gap(size_t end) {
    if (end > done_) add({done_, end, invert_});
  }
  void emit(const Segment& s) {
    sink_({piece_.text.substr(s.begin, s.end - s.begin), piece_.first && s.begin == 0});
  }
  void add(Segment s) {
    switch (behavior_) {
      case Behavior::isolated: return emit(s);
      case Behavior::removed: return s.match ? void() : emit(s);
      case Behavior::merged_with_next: return later_.push_back(s);
      case Behavior::contiguous: return extend(s, open_.match == s.match);
      case Behavior::merged_with_previous: return extend(s, s.match && !open_.match);
    }
  }
  void extend(Segment s, bool joins) {
    if (open_.end > open_.begin && joins) {
      open_ = {open_.begin, s.end, s.match};
      return;
    }
    if (open_.end > open_.begin) emit(open_);
    open_ = s;
  }
  // From the right, so that of several matches in a row only the last joins what follows.
  void merge_with_next() {
    std::vector<Segment> merged;
    bool previous = false;
    for (auto s = later_.rbegin(); s != later_.rend(); ++s) {
      if (s->match && !previous && !merged.empty()) {
        merged.back().begin = s->begin;
      } else {
        merged.push_back(*s);
      }
      previous = s->match;
    }
    for (auto s = merged.rbegin(); s != merged.rend(); ++s) emit(*s);
  }

  Piece piece_;
  Behavior behavior_;
  bool invert_;
  PieceSink sink_;
  size_t done_ = 0;
  Segment open_{0, 0, false};
  std::vector<Segment> later_;
};

class SplitByPattern : public SplitStage {
 public:
  SplitByPattern(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(Piece piece, PieceSink sink) const override {
    Cutter cutter(piece, behavior_, invert_, sink);
    pattern_.for_each_match(piece.text, [&](size_t begin, size_t end) { cutter.match(begin, end); });
    cutter.finish();
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

// Single characters of a class are the matches.
class SplitByChar : public SplitStage {
 public:
  SplitByChar(std::function<bool(char32_t)> is_match, Behavior behavior)
      : is_match_(std::move(is_match)), behavior_(behavior) {}
  void split(Piece piece, PieceSink sink) const override {
    Cutter cutter(piece, behavior_, false, sink);
    for (size_t i = 0; i < piece.text.size();) {
      const size_t begin = i;
      if (is_match_(next_char(piece.text, i))) cutter.match(begin, i);
    }
    cutter.finish();
  }

 private:
  std::function<bool(char32_t)> is_match_;
  Behavior behavior_;
};

// Runs of word characters, runs of others, no white space.
class WhitespaceStage : public SplitStage {
 public:
  void split(Piece piece, PieceSink sink) const override {
    const auto kind = [](char32_t c) { return is_white_space(c) ? 0 : is_word(c) ? 1 : 2; };
    for (size_t i = 0; i < piece.text.size();) {
      const size_t begin = i;
      const int first = kind(next_char(piece.text, i));
      while (i < piece.text.size()) {
        size_t next = i;
        if (kind(next_char(piece.text, next)) != first) break;
        i = next;
      }
      if (first != 0) sink({piece.text.substr(begin, i - begin), piece.first && begin == 0});
    }
  }
};

class MetaspaceStage : public SplitStage {
 public:
  explicit MetaspaceStage(const JsonNode& node)
      : mark_(to_utf8(node["replacement"].character())), split_(node.boolean_or("split", true)) {
    // Files from before prepend_scheme say add_prefix_space.
    const std::string scheme =
        node.text_or("prepend_scheme", node.boolean_or("add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      node["prepend_scheme"].expected("always, first or never");
    }
    prepend_always_ = scheme == "always";
    prepend_first_ = scheme == "first";
  }

  void split(Piece piece, PieceSink sink) const override {
    std::string text;
    text.reserve(piece.text.size() * 3 / 2 + mark_.size());
    const bool marked = piece.text[0] == ' ' || piece.text.starts_with(mark_);
    if (!marked && (prepend_always_ || (prepend_first_ && piece.first))) text = mark_;
    for (size_t i = 0; i < piece.text.size();) {
      const size_t space = std::min(piece.text.find(' ', i), piece.text.size());
      text.append(piece.text, i, space - i);
      if (space < piece.text.size()) text += mark_;
      i = space + 1;
    }
    if (!split_) return sink({text, piece.first});
    for (size_t begin = 0; begin < text.size();) {
      size_t end =
          text.find(mark_, begin + (text.compare(begin, mark_.size(), mark_) == 0 ? mark_.size() : 1));
      if (end == std::string::npos) end = text.size();
      sink({std::string_view(text).substr(begin, end - begin), piece.first && begin == 0});
      begin = end;
    }
  }

 private:
  std::string mark_;
  bool split_, prepend_always_ = false, prepend_first_ = false;
};

class PrefixSpaceStage : public SplitStage {
 public:
  void split(Piece piece, PieceSink sink) const override {
    if (piece.text[0] == ' ') return sink(piece);
    const std::string text = ' ' + std::string(piece.text);
    sink({text, piece.first});
  }
};

void add_stage(const JsonNode& node, PreTokenizer& chain);

void add_byte_level(const JsonNode& node, PreTokenizer& chain) {
  if (node.boolean_or("add_prefix_space", true)) chain.stages.push_back(std::make_unique<PrefixSpaceStage>());
  if (node.boolean_or("use_regex", true)) {
    static const nlohmann::json gpt2 = {
        {"Regex", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}};
    chain.stages.push_back(std::make_unique<SplitByPattern>(Pattern(JsonNode("GPT-2 pattern", gpt2)),
                                                            Behavior::isolated, false));
  }
  chain.byte_level = true;
}

void add_split(const JsonNode& node, PreTokenizer& chain) {
  chain.stages.push_back(std::make_unique<SplitByPattern>(
      Pattern(node["pattern"]), read_behavior(node["behavior"]), node.boolean_or("invert", false)));
}

void add_by_char(std::function<bool(char32_t)> is_match, Behavior behavior, PreTokenizer& chain) {
  chain.stages.push_back(std::make_unique<SplitByChar>(std::move(is_match), behavior));
}

void add_stage(const JsonNode& node, PreTokenizer& chain) {
  const std::string type = node["type"].text();
  if (chain.byte_level)
    node.fail("a stage after ByteLevel is not supported. ByteLevel must be the last stage.");
  if (type == "Sequence") {
    for (const JsonNode& part : node["pretokenizers"].items()) add_stage(part, chain);
  } else if (type == "ByteLevel") {
    add_byte_level(node, chain);
  } else if (type == "Metaspace") {
    chain.stages.push_back(std::make_unique<MetaspaceStage>(node));
  } else if (type == "Split") {
    add_split(node, chain);
  } else if (type == "BertPreTokenizer") {
    add_by_char(is_white_space, Behavior::removed, chain);
    add_by_char(is_bert_punctuation, Behavior::isolated, chain);
  } else if (type == "Whitespace") {
    chain.stages.push_back(std::make_unique<WhitespaceStage>());
  } else if (type == "WhitespaceSplit") {
    add_by_char(is_white_space, Behavior::removed, chain);
  } else if (type == "Punctuation") {
    add_by_char(is_bert_punctuation,
                node.has("behavior") ? read_behavior(node["behavior"]) : Behavior::isolated, chain);
  } else if (type == "Digits") {
    add_by_char(is_numeric,
                node.boolean_or("individual_digits", false) ? Behavior::isolated : Behavior::contiguous,
                chain);
  } else if (type == "CharDelimiterSplit") {
    add_by_char([c = node["delimiter"].character()](char32_t x) { return x == c; }, Behavior::removed, chain);
  } else {
    node["type"].fail(fmt::format(
        "pre-tokenizer \"{}\" is not supported. Supported: Sequence, ByteLevel, Metaspace, Split, "
        "BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, CharDelimiterSplit.",
        type));
  }
}

}  // namespace

void PreTokenizer::run(size_t stage, Piece piece, PieceSink sink) const {
  if (stage == stages.size()) return sink(piece);
  stages[stage]->split(piece, [&](Piece part) { run(stage + 1, part, sink); });
}

PreTokenizer read_pre_tokenizer(const JsonNode& node) {
  PreTokenizer chain;
  add_stage(node, chain);
  return chain;
}

}  // namespace colossal::data
