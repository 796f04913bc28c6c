// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::clamp, std::max, std::min
#include <cmath>        // std::isfinite
#include <cstddef>      // std::size_t
#include <limits>       // std::numeric_limits
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/text.hpp>
#include <delve/record.hpp>

namespace delve::detail {

/// A statistic that pictures are drawn of.
struct PlottedStat {
  std::string_view stat;
  std::string_view title;
  std::string_view top;  ///< of the y axis; "*": the largest value's
};

/// Add a line to draw another statistic.
inline constexpr PlottedStat plotted_stats[] = {
    {"lsat", "saturation", "1"},
    {"idim", "intrinsic dimensionality", "*"},
};

/// The points of one picture: one a layer, in the order of the record.
struct PlotData {
  std::vector<std::string> layers;
  std::vector<double> values;  ///< NaN: missing
};

/// What a record holds of a statistic in a mode. A layer that lacks it is missing.
inline PlotData plot_data(const EpochRecord& record, Mode mode, std::string_view stat) {
  PlotData data;
  for (const LayerRecord& layer : record.layers) {
    if (layer.mode != mode) continue;
    double found = std::numeric_limits<double>::quiet_NaN();
    for (const Value& value : layer.values) {
      if (value.stat == stat && std::isfinite(value.value)) found = value.value;
    }
    data.layers.push_back(layer.layer);
    data.values.push_back(found);
  }
  return data;
}

/// Whether there is anything to draw.
inline bool has_points(const PlotData& data) {
  return std::any_of(data.values.begin(), data.values.end(), [](double v) { return v == v; });
}

/// A gnuplot string that shows this text, whatever is in it. Between single quotes gnuplot obeys
/// nothing. A quote within becomes a typographic one: doubled, as the manual has it, it would end
/// the string where it comes first (gnuplot 5.4).
inline std::string gnuplot_string(std::string_view text) {
  std::string quoted = "'";
  for (const char c : one_line(text)) quoted.append(c == '\'' ? "’" : std::string(1, c));
  return quoted.append("'");
}

/// The same for a label at a tic, which gnuplot takes for a format of numbers.
inline std::string gnuplot_label(std::string_view text) {
  std::string format;
  for (const char c : text) format.append(c == '%' ? 2 : 1, c);
  return gnuplot_string(format);
}

/// The size of a picture in pixels.
struct PlotSize {
  int width = 0;
  int height = 0;
};

/// Fills in what is 0, so that every layer's name can be read.
inline PlotSize plot_size(const PlotData& data, PlotSize wish) {
  std::size_t longest = 0;
  for (const std::string& layer : data.layers) longest = std::max(longest, text_width(layer));
  const int layers = static_cast<int>(std::min<std::size_t>(data.layers.size(), 800));
  if (wish.width == 0) wish.width = std::max(900, 140 + 24 * layers);
  if (wish.height == 0)
    wish.height = 470 + 8 * static_cast<int>(std::min<std::size_t>(longest, 100));
  return wish;
}

/// The script that draws one picture to gnuplot's stdout. `name` is the run's.
inline std::string plot_script(const PlotData& data, const PlottedStat& what, Mode mode,
                               std::int64_t epoch, std::string_view name, PlotSize wish = {}) {
  const PlotSize size = plot_size(data, wish);
  const std::size_t count = data.layers.size();
  const bool training = mode == Mode::Train;
  const std::string title = fmt::format("{}   {} {}, epoch {}", name,
                                        training ? "training" : "evaluation", what.title, epoch);

  // Where there are more layers than room, only every so-manieth has its name on the axis.
  const auto room = static_cast<std::size_t>(std::max(1, (size.width - 120) / 16));
  const std::size_t step = (count + room - 1) / room;
  std::string labels;
  for (std::size_t i = 0; i < count; i += step) {
    labels += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_label(data.layers[i]), i);
  }
  std::string points;
  for (std::size_t i = 0; i < count; ++i) {
    points += std::isfinite(data.values[i]) ? fmt::format("{} {}\n", i, data.values[i])
                                            : fmt::format("{} NaN\n", i);
  }

  return fmt::format(R"(set encoding utf8
set terminal pngcairo noenhanced size {width},{height} font "Sans,11" background "#ffffff" rounded
$data << EOD
{points}EOD
set title {title} font "Sans,14" textcolor "#333333" offset 0,0.3
set xlabel 'layer' font "Sans,12" textcolor "#333333"
set ylabel '{quantity}' font "Sans,12" textcolor "#333333"
set xtics rotate by 90 right nomirror out scale 0.5 textcolor "#333333" ({labels})
set ytics nomirror out scale 0.5 textcolor "#333333"
set xrange [-0.6:{last}.6]
set yrange [0:{top}]
set border 3 linecolor "#999999"
set grid xtics ytics linetype 1 linewidth 1 linecolor "#e6e6e6"
set rmargin 3
unset key
plot $data using 1:2 with filledcurves y1=0 fillcolor "{color}" fillstyle transparent solid 0.12 noborder, \
     $data using 1:2 with lines linewidth 2 linecolor "{color}", \
     $data using 1:2 with points pointtype 7 pointsize 1.5 linecolor "#ffffff", \
     $data using 1:2 with points pointtype 7 pointsize 1.1 linecolor "{color}"
)",
                     fmt::arg("width", size.width), fmt::arg("height", size.height),
                     fmt::arg("points", points), fmt::arg("title", gnuplot_string(title)),
                     fmt::arg("quantity", what.title), fmt::arg("labels", labels),
                     fmt::arg("last", count == 0 ? 0 : count - 1), fmt::arg("top", what.top),
                     fmt::arg("color", training ? "#2f6f9f" : "#c0653a"));
}

}  // namespace delve::detail
