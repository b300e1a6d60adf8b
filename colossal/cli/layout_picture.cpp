// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/layout_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "colossal/base/text.h"
#include "colossal/cli/layout_table.h"
#include "colossal/train/build.h"

namespace colossal::cli {
namespace {

constexpr double kGap = 64, kTop = 104, kSheet = 5, kMargin = 24;
constexpr size_t kMostSheets = 4;
constexpr const char* kStyle =
    "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}"
    ".s{fill:#59636e}.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    ".c{stroke:#24292f;stroke-width:1}.n{fill:#1f2328;text-anchor:middle;dominant-baseline:central}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.n{fill:#1f2328}.c{stroke:#0d1117}}";

// One matrix: two dims of a logical tensor on paper, the others only in words.
struct Matrix {
  std::string title, note;
  tensor::Layout layout;
  std::vector<std::string> dims;  // names, in the order of the layout
  size_t down, across;
  double height, width;
};

std::string colour(int rank, int ranks) {
  static constexpr std::array kColours = {"#7cc4f0", "#ffc857", "#a5d46a", "#f7a08b",
                                          "#c9b1ec", "#79d8c4", "#f4a6d0", "#b9c3cf"};
  if (ranks <= static_cast<int>(kColours.size())) return kColours[static_cast<size_t>(rank)];
  return fmt::format("hsl({:.0f},62%,{}%)", std::fmod(rank * 137.508, 360), rank % 2 == 0 ? 74 : 66);
}

std::string text(double x, double y, double size, const std::string& style, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{:.1f}\"{}>{}</text>\n", x, y, size, style,
                     words);
}

// The blocks of one sheet, each in the colour of its `sheet`-th holder; the front sheet names all of them.
std::string sheet_of(const Matrix& m, const std::vector<Holders>& all, size_t sheet, double x, double y) {
  const auto scale = [](double pixels, int64_t at, int64_t size) {
    return pixels * static_cast<double>(at) / static_cast<double>(size);
  };
  const tensor::Shape& shape = m.layout.padded_shape();
  const tensor::Shape each = m.layout.local_shape();
  const double h = scale(m.height, each[m.down], shape[m.down]),
               w = scale(m.width, each[m.across], shape[m.across]);
  std::string svg;
  for (const Holders& holders : all) {
    const double cx = x + scale(m.width, holders.slice.offset[m.across], shape[m.across]);
    const double cy = y + scale(m.height, holders.slice.offset[m.down], shape[m.down]);
    svg += fmt::format(
        "<rect class=\"c\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", cx,
        cy, w, h, colour(holders.ranks[sheet], m.layout.mesh().size()));
    if (sheet > 0) continue;
    const std::string names = numbers_text(holders.ranks);
    const double size =
        std::min({14.0, h * 0.7, 1.6 * (w - 4) / static_cast<double>(std::max<size_t>(2, names.size()))});
    if (size >= 5) svg += text(cx + w / 2, cy + h / 2, size, " class=\"n\"", names);
  }
  return svg;
}

std::string drawn(const Matrix& m, double x, double middle) {
  const std::vector<Holders> all = holders_of(m.layout);
  const size_t copies = all.front().ranks.size();
  const double y = middle - m.height / 2, centre = x + m.width / 2;
  std::string svg;
  for (size_t sheet = std::min(copies, kMostSheets); sheet-- > 0;) {
    const double shift = kSheet * static_cast<double>(sheet);
    svg += sheet_of(m, all, sheet, x + shift, y - shift);
  }
  const double lift = kSheet * static_cast<double>(std::min(copies, kMostSheets) - 1);
  svg += text(centre, y - lift - 24, 15, " font-weight=\"600\" text-anchor=\"middle\"", m.title);
  svg += text(centre, y - lift - 9, 11.5, " class=\"s\" text-anchor=\"middle\"", m.note);
  double line = y + m.height + 18;
  for (size_t d = 0; d < m.dims.size(); ++d, line += 15) {
    const comm::Axes& axes = m.layout.dims()[d];
    svg += text(
        centre, line, 11, " class=\"m\" text-anchor=\"middle\"",
        fmt::format("{} {}{}{}", m.dims[d], m.layout.shape()[d], axes.empty() ? "" : "/", join(axes, "/")));
  }
  std::vector<std::string> local;
  for (const int64_t size : m.layout.local_shape()) local.push_back(std::to_string(size));
  return svg + text(centre, line, 11, " class=\"m s\" text-anchor=\"middle\"",
                    fmt::format("{} [{}]", copies == 1 ? "each" : fmt::format("{} copies", copies),
                                join(local, ", ")));
}

std::string legend(const comm::MeshShape& mesh, const std::string& mode) {
  std::vector<std::string> names;
  for (const comm::Axis& axis : mesh.axes()) names.push_back(axis.name);
  if (mesh.size() == 1) return text(kMargin, 30, 16, " font-weight=\"600\"", "no tensor parallelism: 1 rank");
  const std::string title = fmt::format("{}: {} ranks, {}", mode, mesh.size(), mesh.describe());
  std::string svg = text(kMargin, 30, 16, " font-weight=\"600\"", title);
  const std::string order = fmt::format("rank ({})", join(names, ", "));
  svg += text(kMargin, 54, 12, " class=\"s\"", order);
  if (mesh.size() > 8) return svg;
  double x = kMargin + 20 + 6.4 * static_cast<double>(order.size());
  for (int rank = 0; rank < mesh.size(); ++rank) {
    std::vector<std::string> at;
    for (const int c : mesh.coordinate(rank)) at.push_back(std::to_string(c));
    svg += fmt::format(
        "<rect class=\"c\" x=\"{:.1f}\" y=\"43.5\" width=\"13\" height=\"13\" rx=\"2\" fill=\"{}\"/>\n", x,
        colour(rank, mesh.size()));
    const std::string label = fmt::format("{} ({})", rank, join(at, ","));
    svg += text(x + 18, 54, 12, "", label);
    x += 32 + 6.4 * static_cast<double>(label.size());
  }
  return svg;
}

std::vector<Matrix> matrices(const train::ParallelSection& parallel, const MlpSizes& s) {
  const comm::MeshShape shape(parallel::tensor_axes(parallel.tensor.how()));
  const comm::Mesh mesh(comm::World::fake(0, shape.size(), at::kMeta), shape);
  const auto make =
      train::make_factory(parallel, mesh, std::make_shared<nn::StepState>(), {.device = at::kMeta});
  const auto weight = [&](int64_t in, int64_t out, nn::Role role) {
    return make->linear({.in = in, .out = {out}, .role = role})->specs().at("weight").layout;
  };
  const parallel::Arrangement who = parallel::arrangement(parallel.tensor.mode);
  const auto activation = [&](int64_t features, const nn::Placement& p) {
    return tensor::Layout::padded({s.batch, s.sequence, features}, shape, {p.batch, p.sequence, p.hidden});
  };
  const size_t rows = who.stream.sequence.empty() ? 0 : 1;
  const double narrow = 120, wide = 200;
  const std::vector<std::string> tokens = {"batch", "sequence", "hidden"}, matrix = {"out", "in"};
  return {{"X", "stream", activation(s.hidden, who.stream), tokens, rows, 2, narrow, narrow},
          {"W1", "expands", weight(s.hidden, s.ffn, nn::Role::expand), matrix, 1, 0, narrow, wide},
          {"H", "inside", activation(s.ffn, who.inner), tokens, rows, 2, narrow, wide},
          {"W2", "contracts", weight(s.ffn, s.hidden, nn::Role::contract), matrix, 1, 0, wide, narrow},
          {"Y", "stream", activation(s.hidden, who.stream), tokens, rows, 2, narrow, narrow}};
}

}  // namespace

std::string mlp_picture(const train::ParallelSection& parallel, const MlpSizes& sizes) {
  const std::vector<Matrix> all = matrices(parallel, sizes);
  double width = 2 * kMargin - kGap, height = 0;
  for (const Matrix& m : all) {
    width += m.width + kGap;
    height = std::max(height, m.height);
  }
  const double middle = kTop + 20 + height / 2, total = kTop + 20 + height + 74;
  const std::string mode(parallel::kTensorModes[static_cast<size_t>(parallel.tensor.mode)]);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\">\n<title>Who holds what of an MLP: {2}, {3}</title>\n<style>{4}"
      "</style>\n",
      width, total, mode, all[0].layout.mesh().describe(), kStyle);
  svg += legend(all[0].layout.mesh(), mode);
  constexpr std::array kBetween = {"", "×", "=", "×", "="};
  double x = kMargin;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > 0) svg += text(x - kGap / 2, middle + 7, 22, " class=\"s\" text-anchor=\"middle\"", kBetween[i]);
    svg += drawn(all[i], x, middle);
    x += all[i].width + kGap;
  }
  return svg + "</svg>\n";
}

}  // namespace colossal::cli
