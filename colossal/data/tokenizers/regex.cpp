// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "colossal/base/error.h"
#include "colossal/data/tokenizers/unicode_tables.h"

namespace colossal::data {
namespace {

constexpr std::string_view kSpaces =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNoSpaces =
    R"(\x00-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Numbers in Latin-1 and circled letters count as word characters although their categories are No and So.
constexpr std::string_view kWordOthers =
    R"(\xb2\xb3\xb9\xbc-\xbe\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

// Members of a general category that PCRE2's tables may lack, as class items.
std::string newer_members(std::string_view category) {
  std::string items;
  for (const CategoryRange& range : assigned_after_14()) {
    if (std::string_view(range.category).substr(0, category.size()) != category) continue;
    items += fmt::format(R"(\x{{{:x}}}-\x{{{:x}}})", static_cast<uint32_t>(range.first),
                         static_cast<uint32_t>(range.last));
  }
  return items;
}

bool is_general_category(std::string_view name) {
  constexpr std::string_view kCategories =
      " C Cc Cf Cn Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp "
      "Zs ";
  return kCategories.find(fmt::format(" {} ", name)) != std::string_view::npos;
}

// Rewrites the pattern from left to right; `in_class_` says whether the place is inside [...].
class Translator {
 public:
  explicit Translator(const std::string& pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (!in_class_ && c == '[') {
        in_class_ = true;
        copy(peek(1) == '^' ? 2 : 1);
        if (peek(0) == ']') copy(1);
      } else if (in_class_ && c == '[' && peek(1) == ':') {
        const size_t end = pattern_.find(":]", at_);
        copy(end == std::string::npos ? 1 : end + 2 - at_);
      } else if (in_class_ && (c == '[' || (c == '&' && peek(1) == '&'))) {
        throw Error(fmt::format("nested character classes and \"&&\" are not supported (offset {})", at_));
      } else {
        if (in_class_ && c == ']') in_class_ = false;
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  char peek(size_t ahead) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  void copy(size_t n) {
    out_.append(pattern_, at_, n);
    at_ += n;
  }
  // A set given as class items, wrapped when it does not stand in a class already.
  void set(std::string_view items) { out_ += in_class_ ? std::string(items) : fmt::format("[{}]", items); }
  void complement(std::string_view items) { out_ += fmt::format("[^{}]", items); }

  void escape() {
    const char kind = peek(1);
    const auto known = [&](std::string_view items) {
      at_ += 2;
      set(items);
    };
    switch (kind) {
      case 's': return known(kSpaces);
      case 'S': return known(kNoSpaces);
      case 'd': return known(R"(\p{Nd})" + newer_members("Nd"));
      case 'h': return known("0-9A-Fa-f");
      case 'w':
        return known(fmt::format(R"(\p{{L}}\p{{M}}\p{{Nd}}\p{{Nl}}\p{{Pc}}{}{}{}{})", kWordOthers,
                                 newer_members("L"), newer_members("M"), newer_members("Nd")));
      case 'p':
      case 'P': return property(kind == 'P');
      case 'u':
        out_ += fmt::format(R"(\x{{{}}})", pattern_.substr(at_ + 2, 4));
        at_ += 6;
        return;
      case 'W':
      case 'D':
      case 'H':
        if (in_class_)
          throw Error(fmt::format("\\{} inside a character class is not supported (offset {})", kind, at_));
        if (kind == 'D') {
          complement(R"(\p{Nd})" + newer_members("Nd"));
        } else if (kind == 'H') {
          complement("0-9A-Fa-f");
        } else {
          complement(fmt::format(R"(\p{{L}}\p{{M}}\p{{Nd}}\p{{Nl}}\p{{Pc}}{}{}{}{})", kWordOthers,
                                 newer_members("L"), newer_members("M"), newer_members("Nd")));
        }
        at_ += 2;
        return;
      default: copy(2);
    }
  }

  void property(bool negated) {
    const size_t end = pattern_.find('}', at_);
    if (peek(2) != '{' || end == std::string::npos)
      throw Error(fmt::format("expected \\p{{...}} at offset {}", at_));
    std::string name = pattern_.substr(at_ + 3, end - at_ - 3);
    at_ = end + 1;
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.erase(0, 1);
    }
    // Outside the general categories PCRE2 means script extensions by a bare name, Oniguruma the script.
    if (!is_general_category(name)) {
      out_ += fmt::format(R"(\{}{{{}{}}})", negated ? 'P' : 'p', name == "Any" ? "" : "sc:", name);
      return;
    }
    const std::string newer = newer_members(name);
    if (!negated)
      return newer.empty() ? void(out_ += fmt::format(R"(\p{{{}}})", name))
                           : set(fmt::format(R"(\p{{{}}}{})", name, newer));
    if (newer.empty() || in_class_) {
      // A class cannot take members away: characters newer than PCRE2's tables count as outside of the
      // category.
      out_ += fmt::format(R"(\P{{{}}})", name);
    } else {
      complement(fmt::format(R"(\p{{{}}}{})", name, newer));
    }
  }

  const std::string& pattern_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

struct MatchData {
  explicit MatchData(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
  ~MatchData() { pcre2_match_data_free(data); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  pcre2_match_data* data;
};

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Code {
  ~Code() { pcre2_code_free(code); }
  pcre2_code* code = nullptr;
  bool jit = false;
};

std::string translate_pattern(const std::string& pattern) { return Translator(pattern).run(); }

Regex::Regex(const std::string& pattern) : code_(std::make_unique<Code>()) {
  const std::string translated = translate_pattern(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (code_->code == nullptr) {
    throw Error(fmt::format("{} near \"{}\"", pcre2_message(error),
                            translated.substr(offset > 10 ? offset - 10 : 0, 20)));
  }
  code_->jit = pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

void Regex::for_each_match(std::string_view text, FunctionRef<void(size_t, size_t)> visit) const {
  const MatchData match(code_->code);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.data);
  for (size_t at = 0; at < text.size();) {
    int status = PCRE2_ERROR_JIT_STACKLIMIT;
    if (code_->jit) status = pcre2_jit_match(code_->code, subject, text.size(), at, 0, match.data, nullptr);
    // The interpreter keeps its state on the heap, so it can do what the JIT's stack cannot.
    if (status == PCRE2_ERROR_JIT_STACKLIMIT) {
      status = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                           match.data, nullptr);
    }
    if (status == PCRE2_ERROR_NOMATCH) return;
    if (status < 0)
      throw Error(fmt::format("split pattern at byte {} of the text: {}", at, pcre2_message(status)));
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    if (end > begin) visit(begin, end);
    at = end;
    if (end == begin) {
      ++at;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    }
  }
}

}  // namespace colossal::data
