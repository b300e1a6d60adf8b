// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/normalizer.h"

#include "colossal/data/tokenizers/pattern.h"
#include "colossal/data/tokenizers/unicode.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

template <typename F>
std::string map_chars(const std::string& text, F&& append) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) append(out, next_char(text, i));
  return out;
}

// A normalizer that is one function.
template <typename F>
class Simple : public Normalizer {
 public:
  explicit Simple(F function) : function_(std::move(function)) {}
  void apply(std::string& text) const override { function_(text); }

 private:
  F function_;
};

template <typename F>
std::unique_ptr<Normalizer> simple(F function) {
  return std::make_unique<Simple<F>>(std::move(function));
}

std::unique_ptr<Normalizer> form(NormalForm which) {
  return simple([which](std::string& text) { text = normalize(text, which); });
}

std::unique_ptr<Normalizer> lowercase() {
  return simple([](std::string& text) { text = map_chars(text, append_lowercase); });
}

std::unique_ptr<Normalizer> strip(bool left, bool right) {
  return simple([left, right](std::string& text) {
    size_t end = text.size();
    while (right && end > 0 && is_white_space(previous_char(text, end)))
      end -= to_utf8(previous_char(text, end)).size();
    size_t begin = 0;
    while (left && begin < end) {
      size_t next = begin;
      if (!is_white_space(next_char(text, next))) break;
      begin = next;
    }
    text = text.substr(begin, end - begin);
  });
}

// The clean-up of machine translation corpora: control characters go, odd spaces become spaces.
std::unique_ptr<Normalizer> nmt() {
  return simple([](std::string& text) {
    text = map_chars(text, [](std::string& out, char32_t c) {
      const bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                         (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                         c == 0xfeff || c == 0xfffd;
      const bool control = (c >= 0x01 && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f;
      if (space) {
        out.push_back(' ');
      } else if (!control) {
        append_utf8(out, c);
      }
    });
  });
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const JsonNode& node)
      : clean_text_(node.boolean_or("clean_text", true)),
        ideographs_(node.boolean_or("handle_chinese_chars", true)),
        lowercase_(node.boolean_or("lowercase", true)),
        strip_accents_(node.boolean_or("strip_accents", lowercase_)) {}

  void apply(std::string& text) const override {
    if (clean_text_ || ideographs_) {
      text = map_chars(text, [this](std::string& out, char32_t c) {
        if (clean_text_ && (c == 0 || c == 0xfffd || is_bert_control(c))) return;
        if (clean_text_ && is_white_space(c)) c = ' ';
        const bool apart = ideographs_ && is_bert_ideograph(c);
        if (apart) out.push_back(' ');
        append_utf8(out, c);
        if (apart) out.push_back(' ');
      });
    }
    if (strip_accents_) {
      text = map_chars(normalize(text, NormalForm::nfd), [](std::string& out, char32_t c) {
        if (!is_bert_nonspacing(c)) append_utf8(out, c);
      });
    }
    if (lowercase_) text = map_chars(text, append_lowercase);
  }

 private:
  bool clean_text_, ideographs_, lowercase_, strip_accents_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(const JsonNode& node) {
    for (const JsonNode& part : node.items()) parts_.push_back(read_normalizer(part));
  }
  void apply(std::string& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const JsonNode& node) {
  const std::string type = node["type"].text();
  if (type == "Sequence") return std::make_unique<Sequence>(node["normalizers"]);
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Lowercase") return lowercase();
  if (type == "Strip")
    return strip(node.boolean_or("strip_left", true), node.boolean_or("strip_right", true));
  if (type == "Nmt") return nmt();
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(node);
  if (type == "StripAccents") {
    return simple([](std::string& text) {
      text = map_chars(text, [](std::string& out, char32_t c) {
        if (!is_mark(c)) append_utf8(out, c);
      });
    });
  }
  if (type == "Prepend") {
    return simple([prefix = node["prepend"].text()](std::string& text) {
      if (!text.empty()) text.insert(0, prefix);
    });
  }
  if (type == "Replace") {
    return simple([pattern = std::make_shared<Pattern>(node["pattern"]), content = node["content"].text()](
                      std::string& text) { text = pattern->replaced(text, content); });
  }
  node["type"].fail(fmt::format(
      "normalizer \"{}\" is not supported. Supported: Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, "
      "StripAccents, Prepend, Replace, BertNormalizer, Nmt.",
      type));
}

}  // namespace colossal::data
