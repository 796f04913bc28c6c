// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cmath>        // NAN
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <map>          // std::map
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_script.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/record.hpp>

namespace delve::detail {

/// A statistic of one mode over the epochs, for the pictures that show them all. What it holds
/// stays bounded: once there are more than 1024 epochs every second one is dropped, and so on, but
/// never the last.
class History {
 public:
  struct Column {
    std::int64_t epoch;
    std::string metric;
    std::vector<float> values;  ///< by layer; NaN, or nothing at the end: missing
  };

  void add(std::int64_t epoch, const std::string& metric, const PlotData& data) {
    Column column{epoch, metric, std::vector<float>(layers_.size(), NAN)};
    for (std::size_t i = 0; i < data.layers.size(); ++i) {
      const auto [place, is_new] = places_.try_emplace(data.layers[i], layers_.size());
      if (is_new) {
        layers_.push_back(data.layers[i]);
        column.values.push_back(NAN);
      }
      column.values[place->second] = static_cast<float>(data.values[i]);
    }
    // The last one was kept for being the last.
    if (!columns_.empty() && (count_ - 1) % stride_ != 0) columns_.pop_back();
    columns_.push_back(std::move(column));
    if (count_++ % stride_ == 0 && columns_.size() > most_columns) thin();
  }

  /// In the order of their first appearance.
  [[nodiscard]] const std::vector<std::string>& layers() const { return layers_; }
  /// In the order in which they were added.
  [[nodiscard]] const std::vector<Column>& columns() const { return columns_; }
  [[nodiscard]] double value(std::size_t column, std::size_t layer) const {
    const std::vector<float>& values = columns_[column].values;
    return layer < values.size() ? values[layer] : NAN;
  }

 private:
  static constexpr std::size_t most_columns = 1024;

  /// Leaves every second column. Their number is odd here, so that the last one stays.
  void thin() {
    std::size_t kept = 1;
    for (std::size_t i = 2; i < columns_.size(); i += 2) columns_[kept++] = std::move(columns_[i]);
    columns_.resize(kept);
    stride_ *= 2;
  }

  std::vector<std::string> layers_;
  std::map<std::string, std::size_t> places_;
  std::vector<Column> columns_;
  std::size_t count_ = 0;   ///< of epochs added
  std::size_t stride_ = 1;  ///< every so-manieth of them is kept
};

/// The frames of an animation: all epochs, or `most` of them in even steps, the last one included.
inline std::vector<PlotFrame> frames_of(const History& history, std::size_t most) {
  std::vector<PlotFrame> frames;
  const std::size_t columns = history.columns().size();
  const std::size_t count = std::min(columns, most);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t column = count < 2 ? i : i * (columns - 1) / (count - 1);
    PlotFrame frame{history.columns()[column].epoch, history.columns()[column].metric, {}};
    for (std::size_t layer = 0; layer < history.layers().size(); ++layer) {
      frame.values.push_back(history.value(column, layer));
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

/// The smallest of 1, 2, 5, 10, 20, … that is not below `step`: labels of epochs are round numbers.
inline std::size_t nice_step(std::size_t step) {
  for (std::size_t power = 1;; power *= 10) {
    for (const std::size_t factor : {1U, 2U, 5U}) {
      if (factor * power >= step) return factor * power;
    }
  }
}

/// The script that draws a share, 0 to 1, over all epochs: a row a layer, the first on top, and a
/// column an epoch. What is missing stays white.
inline std::string heat_map_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                                   std::string_view quantity, const History& history) {
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

  // An image needs two rows, and is blurred by what shows SVG files, where a cell is many pixels.
  // Rectangles overlap a little, lest white lines shine through.
  const bool is_image =
      rows > 1 && columns > 1 && (&kind != &svg_picture || rows * columns > 20000);
  const std::string_view cells = is_image ? "1:2:3 with image"
                                          : "1:2:(0.51):(0.51):3 with boxxyerror fillstyle "
                                            "solid noborder linecolor palette";

  std::string script = script_head(kind, style, size, "epoch", "layer");
  script += title_command(style, size,
                          fmt::format("{} {}, epochs {} to {}", mode_word(mode), readable(quantity),
                                      epochs.front(), epochs.back()));
  script += "$data << EOD\n";
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      script += fmt::format("{} {} {}\n", column, row, gnuplot_number(history.value(column, row)));
    }
  }
  script += fmt::format(R"(EOD
unset grid
set xrange [-0.5:{right}]
set yrange [{bottom}:-0.5]
set xtics ({epochs})
set ytics ({layers})
set cbrange [0:1]
set cbtics 0.2 scale 0 textcolor '#333333'
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
                        fmt::arg("quantity", gnuplot_string(readable(quantity))),
                        fmt::arg("font", style.font),
                        fmt::arg("label", fmt::format("{:.0f}", style.font_size * 12 / 11.0)),
                        fmt::arg("palette", palette), fmt::arg("cells", cells));
  return script;
}

}  // namespace delve::detail
