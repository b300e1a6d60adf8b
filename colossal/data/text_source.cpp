// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/text_source.h"

#include <glob.h>

#include <nlohmann/json.hpp>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/data/byte_source.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {
namespace {

constexpr size_t kPartBytes = size_t{64} << 20;

// "c4.json.gz" is JSON lines inside gzip.
std::filesystem::path without_packing(std::filesystem::path file) {
  if (file.extension() == ".gz" || file.extension() == ".zst") file.replace_extension();
  return file;
}

bool is_json_lines(const std::filesystem::path& file) {
  const std::string ending = without_packing(file).extension().string();
  return ending == ".jsonl" || ending == ".ndjson" || ending == ".json";
}

bool is_plain_text(const std::filesystem::path& file) {
  const std::string ending = without_packing(file).extension().string();
  return ending == ".txt" || ending == ".text" || ending == ".md";
}

int64_t count_lines(std::string_view text) { return std::count(text.begin(), text.end(), '\n'); }

void check_utf8(const std::filesystem::path& file, std::string_view text, int64_t line) {
  const size_t at = find_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  throw IoError(fmt::format(
      "{}:{}: byte 0x{:02X} is not valid UTF-8. Convert the file (for example `iconv -f latin1 -t "
      "utf-8`), or train with data.tokenizer = \"bytes\", which takes anything.",
      file.string(), line + count_lines(text.substr(0, at)),
      static_cast<unsigned>(static_cast<unsigned char>(text[at]))));
}

// The largest place behind a line feed and before something that is not a space; npos if there is none.
size_t find_cut(std::string_view text) {
  for (size_t at = text.rfind('\n'); at != std::string_view::npos && at > 0; at = text.rfind('\n', at - 1)) {
    const auto next = at + 1 < text.size() ? static_cast<unsigned char>(text[at + 1]) : ' ';
    const bool blank_before = std::string_view(" \t\r\n\v\f").find(text[at - 1]) != std::string_view::npos;
    if (next > ' ' && next < 0x80 && !blank_before) return at + 1;
  }
  return std::string_view::npos;
}

void read_plain(const std::filesystem::path& file, RequireUtf8 utf8,
                FunctionRef<void(const TextPart&)> visit) {
  const auto source = ByteSource::open(file);
  std::string text;
  int64_t line = 1;
  bool any = false;
  for (bool more = true; more;) {
    more = source->read(text);
    if (more && text.size() < kPartBytes) continue;
    const size_t cut = more ? find_cut(text) : text.size();
    if (cut == std::string_view::npos) continue;
    const std::string_view part = std::string_view(text).substr(0, cut);
    if (utf8 == RequireUtf8::yes) check_utf8(file, part, line);
    any = any || !part.empty();
    if (any) visit({part, !more});
    line += count_lines(part);
    text.erase(0, cut);
  }
  if (!any) throw IoError(fmt::format("{}: is empty.", file.string()));
}

void read_line(const std::filesystem::path& file, std::string_view line, int64_t number,
               const std::string& key, FunctionRef<void(const TextPart&)> visit) {
  if (trim(line).empty()) return;
  check_utf8(file, line, number);
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (json.is_discarded()) throw IoError(fmt::format("{}:{}: is not valid JSON.", file.string(), number));
  const auto value = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || value == json.end()) {
    std::vector<std::string> keys;
    if (json.is_object()) {
      for (const auto& item : json.items()) keys.push_back(item.key());
    }
    throw IoError(fmt::format(
        "{}:{}: has no key \"{}\". Keys of this line: {}. Set data.text_key to the one that holds the "
        "text.",
        file.string(), number, key, keys.empty() ? "none" : join(keys, ", ")));
  }
  if (!value->is_string())
    throw IoError(fmt::format("{}:{}: \"{}\" is not a string.", file.string(), number, key));
  visit({value->get_ref<const std::string&>(), true});
}

void read_json_lines(const std::filesystem::path& file, const std::string& key,
                     FunctionRef<void(const TextPart&)> visit) {
  const auto source = ByteSource::open(file);
  std::string text;
  int64_t number = 0;
  bool any = false;
  const auto visit_and_count = [&](const TextPart& part) {
    any = true;
    visit(part);
  };
  for (bool more = true; more;) {
    const size_t seen = text.size();
    more = source->read(text);
    size_t begin = 0;
    for (size_t end = text.find('\n', seen); end != std::string::npos; end = text.find('\n', begin)) {
      read_line(file, std::string_view(text).substr(begin, end - begin), ++number, key, visit_and_count);
      begin = end + 1;
    }
    text.erase(0, begin);
  }
  if (!text.empty()) read_line(file, text, ++number, key, visit_and_count);
  if (!any) throw IoError(fmt::format("{}: is empty.", file.string()));
}

void expand_folder(const std::filesystem::path& folder, std::vector<std::filesystem::path>& files) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const auto& path = entry.path();
    const bool readable = is_json_lines(path) || is_plain_text(path) || path.extension() == ".idx";
    if (entry.is_regular_file() && readable) found.push_back(path);
  }
  if (found.empty()) {
    throw IoError(
        fmt::format("{}: the folder holds no text. Allowed: .txt, .text, .md, .jsonl, .ndjson, .json (each "
                    "also .gz, .zst), .idx "
                    "with .bin.",
                    folder.string()));
  }
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
}

}  // namespace

bool is_token_file(const std::filesystem::path& file) { return file.extension() == ".idx"; }

std::vector<std::filesystem::path> expand_sources(std::span<const std::string> sources) {
  std::vector<std::filesystem::path> files;
  for (const std::string& source : sources) {
    if (std::filesystem::is_directory(source)) {
      expand_folder(source, files);
    } else if (std::filesystem::path(source).extension() == ".bin" ||
               std::filesystem::exists(source + ".idx")) {
      files.push_back(std::filesystem::path(source).extension() == ".bin"
                          ? std::filesystem::path(source).replace_extension(".idx")
                          : std::filesystem::path(source + ".idx"));
    } else if (std::filesystem::exists(source)) {
      files.emplace_back(source);
    } else {
      glob_t matches{};
      const int status = ::glob(source.c_str(), 0, nullptr, &matches);
      for (size_t i = 0; status == 0 && i < matches.gl_pathc; ++i) files.emplace_back(matches.gl_pathv[i]);
      ::globfree(&matches);
      if (status != 0) {
        throw IoError(fmt::format("{}: no such file, folder or pattern. Relative paths start at {}.", source,
                                  std::filesystem::current_path().string()));
      }
    }
  }
  return files;
}

void for_each_text(const std::filesystem::path& file, const std::string& text_key, RequireUtf8 utf8,
                   FunctionRef<void(const TextPart&)> visit) {
  is_json_lines(file) ? read_json_lines(file, text_key, visit) : read_plain(file, utf8, visit);
}

}  // namespace colossal::data
