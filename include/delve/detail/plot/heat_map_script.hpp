// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cstddef>      // std::size_t
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/gnuplot_text.hpp>
#include <delve/detail/plot/history.hpp>
#include <delve/detail/plot/layer_script.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The smallest of 1, 2, 5, 10, 20, … that is not below `step`: labels of epochs are round numbers.
inline std::size_t nice_step(std::size_t step) {
  for (std::size_t power = 1;; power *= 10) {
    for (const std::size_t factor : {1U, 2U, 5U}) {
      if (factor * power >= step) return factor * power;
    }
  }
}

constexpr std::string_view kShareScale =
    "set cbrange [0:1]\nset cbtics 0.2 scale 0 textcolor '#333333'";
constexpr std::string_view kDriftScale =
    "set logscale cb\nset cbrange [0.0001:1]\n"
    "set cbtics ('≤ 0.0001' 0.0001, '0.001' 0.001, '0.01' 0.01, '0.1' 0.1, '1' 1) scale 0 "
    "textcolor '#333333'";

/// The least drift that a heat map shows as more than none.
constexpr double kLeastDrift = 1e-4;

/// The script that draws a number of 0 to 1 over all epochs: one row per layer, the first on top,
/// and one column per epoch. What is missing stays white. A bar at the right marks border layers.
/// The scale of drift is logarithmic, so that the dark end shows settled layers.
inline std::string heat_map_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                                   const PlotSubject& subject, const History& history,
                                   const std::set<std::string>& border = {}) {
  const std::string_view quantity = subject.quantity;
  const bool is_drift = subject.kind == ValueKind::Drift;
  const std::vector<std::string>& layers = history.layers();
  const std::size_t rows = layers.size();
  const std::size_t columns = history.columns().size();
  std::size_t longest = 0;
  for (const std::string& layer : layers) longest = std::max(longest, text_width(layer));

  PlotSize size = style.wish;
  const double beside = 12 * style.em();  // colour box, its label, and the y axis' label
  const double below = 8 * style.em();    // title, epochs
  if (size.width == 0) {
    const double letters = static_cast<double>(std::min<std::size_t>(longest, 40));
    const double plot = std::clamp(3.0 * style.em() * static_cast<double>(columns), 30 * style.em(),
                                   80 * style.em());
    size.width = static_cast<int>(beside + letters * style.letter() + plot);
  }
  const auto most_letters =
      static_cast<std::size_t>(std::clamp(0.35 * size.width / style.letter(), 4.0, 40.0));
  if (size.height == 0) {
    const double plot =
        std::clamp(1.7 * style.em() * static_cast<double>(rows), 16 * style.em(), 110 * style.em());
    size.height = static_cast<int>(below + plot);
  }
  const double plot_width =
      size.width - beside - static_cast<double>(std::min(longest, most_letters)) * style.letter();
  std::vector<std::string> epochs;
  for (const History::Column& column : history.columns()) {
    epochs.push_back(fmt::format("{}", column.epoch));
  }
  const double epoch_width = (static_cast<double>(epochs.back().size()) + 1.5) * style.letter();
  const std::size_t row_step = label_step(rows, size.height - below, 1.15 * style.em());
  const std::size_t column_step = label_step(columns, plot_width, epoch_width);

  std::string palette;
  for (int tenth = 0; tenth <= 10; ++tenth) {
    palette += fmt::format("{}{} '{}'", tenth == 0 ? "" : ", ", tenth, viridis_at(tenth / 10.0));
  }

  // An image needs two rows, and viewers of SVG files blur it where a cell is many pixels.
  // Rectangles overlap a little, so that no gaps show.
  const bool is_image =
      rows > 1 && columns > 1 && (&kind != &svg_picture || rows * columns > 20000);
  const std::string_view cells = is_image ? "1:2:3 with image"
                                          : "1:2:(0.51):(0.51):3 with boxxyerror fillstyle "
                                            "solid noborder linecolor palette";

  std::string marks;
  for (std::size_t row = 0; row < rows; ++row) {
    if (border.count(layers[row]) == 0) continue;
    marks += fmt::format(
        "set arrow from graph 1, first {} to graph 1, first {} nohead front linewidth {} "
        "linecolor '#d62728'\n",
        static_cast<double>(row) - 0.5, static_cast<double>(row) + 0.5, 3 * style.stroke());
  }
  std::string label = readable(quantity);
  if (is_drift) label += " (dark: settled)";
  std::string script = script_head(
      kind, style, size, marks.empty() ? "epoch" : "epoch (red bar: border layers)", "layer");
  script += title_command(
      style, size,
      fmt::format("{} {}, epochs {} to {}", mode_word(mode), label, epochs.front(), epochs.back()));
  script += "$data << EOD\n";
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      double value = history.value(column, row);
      if (is_drift && !is_nan(value) && value < kLeastDrift) value = kLeastDrift;
      script += fmt::format("{} {} {}\n", column, row, gnuplot_number(value));
    }
  }
  script += "EOD\n" + marks;
  script += fmt::format(R"(unset grid
set xrange [-0.5:{right}]
set yrange [{bottom}:-0.5]
set xtics ({epochs})
set ytics ({layers})
{scale}
set cblabel {quantity} font '{font},{label}' textcolor '#333333'
set colorbox noborder
set rmargin 10
set palette defined ({palette})
plot $data using {cells}
)",
                        fmt::arg("right", static_cast<double>(columns) - 0.5),
                        fmt::arg("bottom", static_cast<double>(rows) - 0.5),
                        fmt::arg("epochs", place_labels(epochs, nice_step(column_step), 20)),
                        fmt::arg("layers", place_labels(layers, row_step, most_letters)),
                        fmt::arg("scale", is_drift ? kDriftScale : kShareScale),
                        fmt::arg("quantity", gnuplot_string(is_drift ? "" : label)),
                        fmt::arg("font", style.font),
                        fmt::arg("label", fmt::format("{:.0f}", style.font_size * 12 / 11.0)),
                        fmt::arg("palette", palette), fmt::arg("cells", cells));
  return script;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
