// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenize_command.h"

#include <istream>
#include <ostream>
#include <set>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/base/text.h"
#include "colossal/data/text_source.h"

namespace colossal::data {

void tokenize_lines(const Tokenizer& tokenizer, const std::string& text_key, std::istream& in,
                    std::ostream& out) {
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (trim(line).empty()) continue;
    const auto json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object() || !json.contains(text_key) || !json[text_key].is_string()) {
      throw IoError(
          fmt::format("stdin:{}: expected an object with a string \"{}\", for example {{\"{}\": \"Hello\"}}.",
                      number, text_key, text_key));
    }
    const auto ids = tokenizer.encode(json[text_key].get_ref<const std::string&>(), SpecialTokens::keep);
    out << Json{{"ids", ids}, {"decoded", tokenizer.decode(ids)}}.dump() << '\n';
  }
  out.flush();
}

void tokenize_files(std::span<const std::string> inputs, const std::filesystem::path& folder,
                    const Tokenizer& tokenizer, const TokenizeOptions& options, std::ostream& out) {
  std::set<std::filesystem::path> taken;
  std::vector<std::pair<std::filesystem::path, std::filesystem::path>> jobs;
  for (const std::filesystem::path& file : expand_sources(inputs)) {
    if (is_token_file(file)) throw IoError(fmt::format("{}: holds tokens already.", file.string()));
    const std::string name = file.filename().string();
    const std::filesystem::path prefix = folder / name.substr(0, name.find('.', 1));
    if (!taken.insert(prefix).second) {
      throw IoError(fmt::format("{}: another input is named {} too. Write them to different folders.",
                                file.string(), prefix.filename().string()));
    }
    jobs.emplace_back(file, prefix);
  }
  for (const auto& [file, prefix] : jobs) {
    const TokenizeProgress done = tokenize_file(file, prefix, tokenizer, options);
    out << fmt::format(
        "{}.bin: {} documents, {} tokens, {:.2f} bytes per token, {:.1f} MB/s\n", prefix.string(),
        done.documents, done.tokens,
        static_cast<double>(done.text_bytes) / static_cast<double>(std::max<int64_t>(1, done.tokens)),
        static_cast<double>(done.text_bytes) / 1e6 / std::max(1e-9, done.seconds));
  }
  out.flush();
}

}  // namespace colossal::data
