// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/layout_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "colossal/base/text.h"
#include "colossal/train/build.h"

namespace colossal::cli {
namespace {

constexpr size_t kMostSlices = 16, kSlicesShown = 3;

struct Run {
  int first, last;
  bool operator==(const Run&) const = default;
  std::string text() const {
    return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
};

std::vector<Run> runs_in(const std::vector<int>& numbers) {
  std::vector<Run> runs;
  for (const int n : numbers) {
    if (!runs.empty() && runs.back().last + 1 == n) {
      runs.back().last = n;
    } else {
      runs.push_back({n, n});
    }
  }
  return runs;
}

// "[0:128, 64:128]"; "nothing" where all is padding.
std::string slice_text(const tensor::Slice& slice) {
  std::vector<std::string> dims;
  for (size_t d = 0; d < slice.size.size(); ++d) {
    if (slice.size[d] == 0) return "nothing: padding";
    dims.push_back(fmt::format("{}:{}", slice.offset[d], slice.offset[d] + slice.size[d]));
  }
  return fmt::format("[{}]", join(dims, ", "));
}

// Parameters that differ only in the number of their block: "blocks.", {0, 1, 2}, ".norm1.weight".
struct Alike {
  std::string before, after;
  std::vector<int> blocks;
  const tensor::Layout* layout;
  std::string name() const { return before + numbers_text(blocks) + after; }
};

std::vector<Alike> alike(const std::vector<nn::Parameter>& parameters) {
  std::vector<Alike> groups;
  std::map<std::array<std::string, 3>, size_t> known;  // before, after, layout -> group
  for (const nn::Parameter& p : parameters) {
    Alike group{.before = p.name, .after = "", .blocks = {}, .layout = &p.layout()};
    const std::vector<std::string> words = split(p.name, '.');
    for (size_t begin = 0, w = 0; w < words.size(); begin += words[w++].size() + 1) {
      if (words[w].empty() || words[w].find_first_not_of("0123456789") != std::string::npos) continue;
      group.before = p.name.substr(0, begin);
      group.after = p.name.substr(begin + words[w].size());
      group.blocks = {std::stoi(words[w])};
      break;
    }
    const auto [found, is_new] =
        known.try_emplace({group.before, group.after, p.layout().describe()}, groups.size());
    if (is_new) {
      groups.push_back(std::move(group));
    } else {
      groups[found->second].blocks.push_back(group.blocks.front());
    }
  }
  return groups;
}

using Line = std::array<std::string, 4>;

std::vector<Line> lines_of(const Alike& group, std::optional<int> rank) {
  std::vector<Line> lines;
  std::vector<Holders> all;
  if (rank) {
    all.push_back({group.layout->slice(*rank), {*rank}});
  } else {
    all = holders_of(*group.layout);
  }
  const size_t shown = all.size() > kMostSlices ? kSlicesShown : all.size();
  for (size_t i = 0; i < shown; ++i)
    lines.push_back({"", "", numbers_text(all[i].ranks), slice_text(all[i].slice)});
  if (shown < all.size())
    lines.push_back({"", "", "..", fmt::format("{} more: --rank R or --json", all.size() - shown)});
  lines.front()[0] = group.name();
  lines.front()[1] = group.layout->describe();
  return lines;
}

std::string coordinates(const comm::MeshShape& mesh, int rank) {
  std::vector<std::string> parts;
  for (const comm::Axis& axis : mesh.axes())
    parts.push_back(fmt::format("{} {}", axis.name, mesh.coordinate(rank, axis.name)));
  return join(parts, ", ");
}

}  // namespace

std::string numbers_text(const std::vector<int>& numbers) {
  const std::vector<Run> runs = runs_in(numbers);
  const auto evenly = [&] {
    for (size_t i = 2; i < runs.size(); ++i) {
      const int step = runs[1].first - runs[0].first;
      if (runs[i] != Run{runs[i - 1].first + step, runs[i - 1].last + step}) return false;
    }
    return true;
  };
  if (runs.size() > 4 && evenly())
    return fmt::format("{}, {}, .. {}", runs[0].text(), runs[1].text(), runs.back().text());
  std::vector<std::string> parts;
  for (const Run& run : runs) parts.push_back(run.text());
  return join(parts, ", ");
}

std::vector<Holders> holders_of(const tensor::Layout& layout) {
  std::vector<Holders> all;
  std::map<std::array<tensor::Shape, 2>, size_t> known;
  for (int rank = 0; rank < layout.mesh().size(); ++rank) {
    const tensor::Slice slice = layout.slice(rank);
    const auto [found, is_new] = known.try_emplace({slice.offset, slice.size}, all.size());
    if (is_new) all.push_back({slice, {}});
    all[found->second].ranks.push_back(rank);
  }
  return all;
}

std::string layout_table(const train::Outline& outline, std::optional<int> rank) {
  std::vector<Line> lines = {{"parameter", "layout", "ranks", "slice that they hold"}};
  for (const Alike& group : alike(outline.parameters))
    for (Line& line : lines_of(group, rank)) lines.push_back(std::move(line));
  std::array<size_t, 4> width{};
  for (const Line& line : lines)
    for (size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], line[i].size());

  const auto whole = static_cast<double>(outline.numel()), own = static_cast<double>(outline.local_numel());
  const int ranks = outline.mesh.size();
  std::string text = fmt::format("{}\n{} rank{} ({}), each with {} parameters, {:.1f}% of all\n",
                                 train::model_summary(outline.model), ranks, ranks == 1 ? "" : "s",
                                 outline.mesh.describe(), human_count(own), 100 * own / whole);
  if (rank) text += fmt::format("rank {}: {}\n", *rank, coordinates(outline.mesh, *rank));
  text += "\n";
  for (const Line& line : lines)
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {}\n", line[0], width[0], line[1], width[1], line[2],
                        width[2], line[3]);
  return text;
}

Json layout_json(const train::Outline& outline) {
  Json json = {{"mesh", Json::array()},
               {"ranks", outline.mesh.size()},
               {"numel", outline.numel()},
               {"local_numel", outline.local_numel()},
               {"parameters", Json::array()}};
  for (const comm::Axis& axis : outline.mesh.axes())
    json["mesh"].push_back({{"name", axis.name}, {"size", axis.size}});
  for (const nn::Parameter& p : outline.parameters) {
    Json slices = Json::array();
    for (const Holders& h : holders_of(p.layout()))
      slices.push_back({{"offset", h.slice.offset}, {"size", h.slice.size}, {"ranks", h.ranks}});
    json["parameters"].push_back({{"name", p.name},
                                  {"shape", p.layout().shape()},
                                  {"layout", p.layout().describe()},
                                  {"local_shape", p.layout().local_shape()},
                                  {"slices", std::move(slices)}});
  }
  return json;
}

}  // namespace colossal::cli
