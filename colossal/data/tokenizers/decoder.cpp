// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/decoder.h"

#include "colossal/data/tokenizers/byte_alphabet.h"
#include "colossal/data/tokenizers/pattern.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

constexpr std::string_view kReplacementChar = "\xef\xbf\xbd";

template <typename F>
class Simple : public Decoder {
 public:
  explicit Simple(F function) : function_(std::move(function)) {}
  void apply(std::vector<std::string>& tokens) const override { function_(tokens); }

 private:
  F function_;
};

template <typename F>
std::unique_ptr<Decoder> simple(F function) {
  return std::make_unique<Simple<F>>(std::move(function));
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// A token outside of the byte alphabet (an added token) stands for its own UTF-8.
void decode_byte_level(std::vector<std::string>& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += from_byte_alphabet(token).value_or(token);
  tokens.assign(1, repair_utf8(bytes));
}

void decode_byte_fallback(std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (find_invalid_utf8(bytes) == std::string_view::npos) {
      if (!bytes.empty()) out.push_back(bytes);
    } else {
      out.insert(out.end(), bytes.size(), std::string(kReplacementChar));
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    const bool is_byte = token.size() == 6 && token.starts_with("<0x") && token[5] == '>' &&
                         std::isxdigit(token[3]) && std::isxdigit(token[4]);
    if (is_byte) {
      bytes.push_back(static_cast<char>(std::stoi(token.substr(3, 2), nullptr, 16)));
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(out);
}

std::unique_ptr<Decoder> word_piece(const std::string& prefix, bool cleanup) {
  return simple([prefix, cleanup](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix)) {
          token.erase(0, prefix.size());
        } else {
          token.insert(token.begin(), ' ');
        }
      }
      if (!cleanup) continue;
      constexpr std::pair<std::string_view, std::string_view> kRules[] = {
          {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
          {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
          {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (const auto& [from, to] : kRules) replace_all(token, from, to);
    }
  });
}

std::unique_ptr<Decoder> metaspace(const std::string& mark, bool drop_first) {
  return simple([mark, drop_first](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], mark, i == 0 && drop_first ? "" : " ");
  });
}

std::unique_ptr<Decoder> strip(const std::string& content, int64_t start, int64_t stop) {
  return simple([content, start, stop](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start && token.starts_with(content); ++i) token.erase(0, content.size());
      for (int64_t i = 0; i < stop && token.ends_with(content); ++i)
        token.resize(token.size() - content.size());
    }
  });
}

std::unique_ptr<Decoder> bpe_suffix(const std::string& suffix) {
  return simple([suffix](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
  });
}

class Sequence : public Decoder {
 public:
  explicit Sequence(const JsonNode& node) {
    for (const JsonNode& part : node.items()) parts_.push_back(read_decoder(part));
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& part : parts_) part->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace

std::unique_ptr<Decoder> read_decoder(const JsonNode& node) {
  const std::string type = node["type"].text();
  if (type == "Sequence") return std::make_unique<Sequence>(node["decoders"]);
  if (type == "ByteLevel") return simple(decode_byte_level);
  if (type == "ByteFallback") return simple(decode_byte_fallback);
  if (type == "WordPiece") return word_piece(node.text_or("prefix", "##"), node.boolean_or("cleanup", true));
  if (type == "BPEDecoder") return bpe_suffix(node.text_or("suffix", "</w>"));
  if (type == "Strip") {
    return strip(to_utf8(node["content"].character()), node["start"].integer(), node["stop"].integer());
  }
  if (type == "Metaspace") {
    const std::string scheme =
        node.text_or("prepend_scheme", node.boolean_or("add_prefix_space", true) ? "always" : "never");
    return metaspace(to_utf8(node["replacement"].character()), scheme != "never");
  }
  if (type == "Fuse") {
    return simple([](std::vector<std::string>& tokens) {
      std::string all;
      for (const std::string& token : tokens) all += token;
      tokens.assign(1, all);
    });
  }
  if (type == "Replace") {
    return simple([pattern = std::make_shared<Pattern>(node["pattern"]),
                   content = node["content"].text()](std::vector<std::string>& tokens) {
      for (std::string& token : tokens) token = pattern->replaced(token, content);
    });
  }
  node["type"].fail(
      fmt::format("decoder \"{}\" is not supported. Supported: ByteLevel, Metaspace, WordPiece, BPEDecoder, "
                  "ByteFallback, Fuse, Strip, Replace, Sequence.",
                  type));
}

}  // namespace colossal::data
