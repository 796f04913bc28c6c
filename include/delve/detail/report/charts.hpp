// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::find, std::max, std::min
#include <cmath>        // std::ceil, std::lround
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>

#include <delve/detail/plot/history.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/report/markup.hpp>
#include <delve/detail/report/report_history.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>

// Pictures of a page, as SVG in the page. Colours are classes of its style, for light and dark.
// Every mark has a <title>: browsers show it, screen readers say it.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A coordinate, to a tenth of a pixel.
inline std::string px(double place) {
  std::string text = fmt::format("{:.1f}", place);
  if (text.size() > 2 && text.substr(text.size() - 2) == ".0") text.resize(text.size() - 2);
  return text;
}

/// A line through points, with gaps where a value is missing.
inline std::string path_of(const std::vector<double>& xs, const std::vector<double>& ys) {
  std::string path;
  bool is_drawing = false;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const bool is_there = is_finite(ys[i]);
    if (is_there) path += fmt::format("{}{} {}", is_drawing ? "L" : "M", px(xs[i]), px(ys[i]));
    is_drawing = is_there;
  }
  return path;
}

/// The same as a tiny picture without axes: 120 × 24.
inline std::string sparkline(const History& history, std::size_t layer, std::string_view name) {
  constexpr std::size_t most = 60;
  const std::size_t columns = history.columns().size();
  const std::size_t count = std::min(columns, most);
  std::vector<double> xs;
  std::vector<double> ys;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t column = count < 2 ? i : i * (columns - 1) / (count - 1);
    const double value = history.value(column, layer);
    xs.push_back(count < 2 ? 60
                           : 2 + 116.0 * static_cast<double>(i) / static_cast<double>(count - 1));
    ys.push_back(is_finite(value) ? 22 - 20 * std::clamp(value, 0.0, 1.0) : missing_value());
  }
  const std::string path = path_of(xs, ys);
  // A single point is no line.
  const std::string dot =
      count == 1 && is_finite(ys[0])
          ? fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"2\"/>", px(xs[0]), px(ys[0]))
          : "";
  return fmt::format(
      "<svg class=\"spark\" viewBox=\"0 0 120 24\" width=\"120\" height=\"24\" role=\"img\" "
      "aria-label=\"{0} over the epochs\"><title>{0} over the epochs, 0 to 100 %</title>"
      "<path d=\"{1}\"/>{2}</svg>",
      html_text(name), path, dot);
}

/// How the lines of a picture differ: by colour, dashes and marks.
inline std::string_view line_class(const ReportSeries& series) {
  const bool is_train = series.mode == Mode::Train;
  const bool is_eval = series.mode == Mode::Eval;
  if (series.kind == ValueKind::Saturation) return is_train ? "l0" : is_eval ? "l1" : "l2";
  return is_train ? "l4" : is_eval ? "l3" : "l5";
}

/// "saturation, training"
inline std::string series_title(const ReportSeries& series) {
  return fmt::format("{}, {}", series.quantity, mode_word(series.mode));
}

/// The value of an epoch, if that is the last one that the series has.
inline double last_value(const ReportSeries& series, const std::string& layer, std::int64_t epoch) {
  const std::size_t place = series.history.place(layer);
  const bool is_there = !series.history.columns().empty() &&
                        series.history.columns().back().epoch == epoch &&
                        place < series.history.layers().size();
  if (!is_there) return missing_value();
  return series.history.value(series.history.columns().size() - 1, place);
}

/// Whether it goes from 0 to 1: then it is a line of the picture over the layers.
inline bool is_line(const ReportSeries& series) {
  return series.kind == ValueKind::Saturation ||
         (series.kind == ValueKind::Share && series.quantity.find("probe-") != std::string::npos);
}

/// The measures of a picture with axes.
struct ChartFrame {
  double width = 960;
  double height = 360;
  double left = 96;
  double right = 14;
  double top = 12;
  double bottom = 110;

  [[nodiscard]] double inner_width() const { return width - left - right; }
  [[nodiscard]] double inner_height() const { return height - top - bottom; }
  [[nodiscard]] double x(std::size_t i, std::size_t count) const {
    if (count < 2) return left + inner_width() / 2;
    return left + inner_width() * (static_cast<double>(i) + 0.5) / static_cast<double>(count);
  }
  [[nodiscard]] double y(double share) const { return top + inner_height() * (1 - share); }
};

/// Labels of an axis to the left, at equal steps of what is drawn.
inline std::string left_axis(const ChartFrame& frame, const std::vector<std::string>& labels) {
  std::string svg;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const double y = frame.y(static_cast<double>(i) / static_cast<double>(labels.size() - 1));
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{} {}H{}\"/><text class=\"end\" x=\"{}\" y=\"{}\">{}</text>",
        px(frame.left), px(y), px(frame.width - frame.right), px(frame.left - 6), px(y + 4),
        labels[i]);
  }
  return svg;
}

/// Names below a picture, as many as fit without overlap.
inline std::string layer_axis(const ChartFrame& frame, const std::vector<std::string>& layers) {
  std::string svg;
  constexpr double least_step = 14;
  const double step =
      frame.inner_width() / static_cast<double>(std::max<std::size_t>(1, layers.size()));
  const auto every = static_cast<std::size_t>(std::max(1.0, std::ceil(least_step / step)));
  for (std::size_t i = 0; i < layers.size(); i += every) {
    const double x = frame.x(i, layers.size());
    const double y = frame.height - frame.bottom + 12;
    svg += fmt::format("<text class=\"end\" transform=\"translate({} {})rotate(-45)\">{}</text>",
                       px(x + 4), px(y), html_text(shortened(layers[i], 20)));
  }
  return svg;
}

/// Saturation and probes over the layers in the last epoch, border layers and the tail behind them.
inline std::string layer_chart(const ReportHistory& run, const Verdict& verdict) {
  const ChartFrame frame;
  const std::vector<std::string>& layers = run.layers();
  std::string svg = fmt::format(
      "<svg class=\"chart\" viewBox=\"0 0 {} {}\" data-top=\"{}\" data-height=\"{}\" "
      "role=\"group\" "
      "aria-label=\"Saturation and probes, layer by layer\">",
      px(frame.width), px(frame.height), px(frame.top), px(frame.inner_height()));
  const double step =
      frame.inner_width() / static_cast<double>(std::max<std::size_t>(1, layers.size()));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerField* field = run.field_of(layers[i]);
    const bool is_tail =
        std::find(verdict.layers.begin(), verdict.layers.end(), layers[i]) != verdict.layers.end();
    if (!is_tail && (field == nullptr || !field->is_border)) continue;
    const bool is_border = field != nullptr && field->is_border;
    svg += fmt::format(
        "<rect class=\"{}\" role=\"img\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: "
        "{}</title></rect>",
        is_tail ? "tail" : "border", px(frame.x(i, layers.size()) - step / 2), px(frame.top),
        px(step), px(frame.inner_height()), html_text(layers[i]),
        is_border && is_tail ? "border layer, part of the tail"
        : is_border          ? "border layer"
                             : "part of the tail");
  }
  svg += left_axis(frame, {"0 %", "25 %", "50 %", "75 %", "100 %"});
  svg += layer_axis(frame, layers);
  if (!verdict.layers.empty()) {
    const auto first = std::find(layers.begin(), layers.end(), verdict.layers.front());
    const auto place = static_cast<std::size_t>(first - layers.begin());
    svg += fmt::format("<text class=\"mark\" x=\"{}\" y=\"{}\">{}</text>",
                       px(frame.x(place, layers.size()) - step / 2 + 4), px(frame.top + 14),
                       verdict.kind == VerdictKind::Tail ? "tail" : "tail?");
  }
  for (std::size_t s = 0; s < run.series().size(); ++s) {
    const ReportSeries& series = run.series()[s];
    if (!is_line(series)) continue;
    std::vector<double> xs;
    std::vector<double> ys;
    std::string marks;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const double value = last_value(series, layers[i], run.last().epoch);
      const double y = is_finite(value) ? frame.y(std::clamp(value, 0.0, 1.0)) : missing_value();
      xs.push_back(frame.x(i, layers.size()));
      ys.push_back(y);
      const std::string title =
          fmt::format("{}: {} {}", html_text(layers[i]), html_text(series_title(series)),
                      shown(value, series.kind));
      marks += fmt::format(
          "<circle role=\"img\" data-l=\"{}\" cx=\"{}\" cy=\"{}\" r=\"3.5\"{}>"
          "<title>{}</title></circle>",
          i, px(xs.back()), is_finite(y) ? px(y) : "0",
          is_finite(y) ? "" : " visibility=\"hidden\"", title);
    }
    svg += fmt::format("<g class=\"line {}\" data-s=\"{}\"><path d=\"{}\"/>{}</g>",
                       line_class(series), s, path_of(xs, ys), marks);
  }
  svg += "</svg>";
  std::string legend;
  for (const ReportSeries& series : run.series()) {
    if (!is_line(series)) continue;
    legend += fmt::format(
        "<li><svg class=\"key\" viewBox=\"0 0 34 10\" width=\"34\" height=\"10\" "
        "aria-hidden=\"true\"><g class=\"line {}\"><path d=\"M0 5H34\"/><circle "
        "cx=\"17\" cy=\"5\" r=\"3.5\"/></g></svg>{}</li>",
        line_class(series), html_text(series_title(series)));
  }
  if (!run.fields().empty()) {
    legend += "<li><span class=\"swatch border\"></span>border layers: nothing new to see</li>";
  }
  if (!verdict.layers.empty()) {
    legend += "<li><span class=\"swatch tail\"></span>the tail of the verdict</li>";
  }
  return fmt::format(
      "<ul class=\"legend\">{}</ul><div class=\"scroll\" tabindex=\"0\" "
      "role=\"region\" aria-label=\"Picture, may be wider than the screen\">{}</div>",
      legend, svg);
}

/// Saturation, one row per layer and one column per epoch. Runs of one shade are one mark.
inline std::string heat_map(const ReportHistory& run, const ReportSeries& series) {
  constexpr std::size_t shades = 32;
  constexpr std::size_t most_cells = 20'000;
  const std::vector<std::string>& layers = series.history.layers();
  const std::size_t all = series.history.columns().size();
  const std::size_t most =
      std::clamp<std::size_t>(most_cells / std::max<std::size_t>(1, layers.size()), 16, 200);
  const std::size_t count = std::min(all, most);
  const auto column_of = [&](std::size_t i) { return count < 2 ? i : i * (all - 1) / (count - 1); };
  ChartFrame frame;
  const double row =
      std::clamp(600.0 / static_cast<double>(std::max<std::size_t>(1, layers.size())), 6.0, 22.0);
  frame.left = 150;
  frame.right = 70;
  frame.bottom = 34;
  frame.height = frame.top + frame.bottom + row * static_cast<double>(layers.size());
  const double cell = frame.inner_width() / static_cast<double>(std::max<std::size_t>(1, count));
  std::string svg = fmt::format(
      "<svg class=\"chart heat\" viewBox=\"0 0 {} {}\" role=\"group\" "
      "aria-label=\"{}, layer by layer over the epochs\">",
      px(frame.width), px(frame.height), html_text(series_title(series)));
  // Below 11 pixels a name covers the next one.
  const auto every = static_cast<std::size_t>(std::ceil(11 / row));
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const double y = frame.top + row * static_cast<double>(layer);
    double least = missing_value();
    double largest = missing_value();
    std::string cells;
    std::size_t begin = 0;
    int shade_before = -1;
    for (std::size_t i = 0; i <= count; ++i) {
      int shade = -1;
      if (i < count) {
        const double value = series.history.value(column_of(i), layer);
        if (is_finite(value)) {
          shade = static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0) * (shades - 1)));
          least = is_nan(least) ? value : std::min(least, value);
          largest = is_nan(largest) ? value : std::max(largest, value);
        }
      }
      if (i > 0 && shade != shade_before && shade_before >= 0) {
        cells += fmt::format("<path fill=\"{}\" d=\"M{} {}h{}v{}h-{}z\"/>",
                             viridis_at(static_cast<double>(shade_before) / (shades - 1)),
                             px(frame.left + cell * static_cast<double>(begin)), px(y),
                             px(cell * static_cast<double>(i - begin)), px(row - 0.5),
                             px(cell * static_cast<double>(i - begin)));
      }
      if (shade != shade_before) begin = i;
      shade_before = shade;
    }
    const std::string range =
        is_finite(least)
            ? fmt::format("{} to {}, last {}", shown(least, series.kind),
                          shown(largest, series.kind),
                          shown(last_value(series, layers[layer], run.last().epoch), series.kind))
            : std::string("no value");
    svg += fmt::format("<g role=\"img\"><title>{}: {}</title>{}</g>", html_text(layers[layer]),
                       range, cells);
    if (layer % every == 0) {
      svg += fmt::format("<text class=\"end\" x=\"{}\" y=\"{}\">{}</text>", px(frame.left - 6),
                         px(y + std::min(row, 14.0) - 2), html_text(shortened(layers[layer], 20)));
    }
  }
  const double bottom = frame.height - frame.bottom + 16;
  for (const std::size_t i : {std::size_t{0}, count / 2, count - 1}) {
    if (count == 0 || (i > 0 && i == count / 2 && count < 4)) continue;
    svg += fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">{}</text>",
                       px(frame.left + cell * (static_cast<double>(i) + 0.5)), px(bottom),
                       series.history.columns()[column_of(i)].epoch);
    if (count == 1) break;
  }
  for (std::size_t i = 0; i < shades; ++i) {
    const double height = std::min(160.0, frame.height - frame.top - frame.bottom) / shades;
    svg += fmt::format("<path fill=\"{}\" d=\"M{} {}h14v{}h-14z\"/>",
                       viridis_at(1 - static_cast<double>(i) / (shades - 1)),
                       px(frame.width - frame.right + 10),
                       px(frame.top + height * static_cast<double>(i)), px(height + 0.3));
  }
  svg += fmt::format("<text x=\"{0}\" y=\"{1}\">100 %</text><text x=\"{0}\" y=\"{2}\">0 %</text>",
                     px(frame.width - frame.right + 28), px(frame.top + 9),
                     px(frame.top + std::min(160.0, frame.height - frame.top - frame.bottom)));
  svg += fmt::format("<text class=\"middle\" x=\"{}\" y=\"{}\">epoch</text></svg>",
                     px(frame.left + frame.inner_width() / 2), px(frame.height - 3));
  std::string thinned;
  if (count < run.epochs()) {
    thinned = fmt::format("<p class=\"note\">{} of {} epochs are shown.</p>", count, run.epochs());
  }
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Heat map, "
      "may be wider than the screen\">{}</div>{}",
      svg, thinned);
}

/// A scalar over the epochs.
inline std::string scalar_chart(const ReportScalar& scalar) {
  ChartFrame frame;
  frame.width = 300;
  frame.height = 150;
  frame.left = 56;
  frame.bottom = 24;
  const std::vector<History::Column>& columns = scalar.history.columns();
  double least = missing_value();
  double largest = missing_value();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const double value = scalar.history.value(i, 0);
    if (!is_finite(value)) continue;
    least = is_nan(least) ? value : std::min(least, value);
    largest = is_nan(largest) ? value : std::max(largest, value);
  }
  const std::string name = html_text(scalar.name);
  if (!is_finite(least))
    return fmt::format("<figure><figcaption>{}: no value</figcaption></figure>", name);
  const double span = largest > least ? largest - least : 1;
  std::vector<double> xs;
  std::vector<double> ys;
  std::string marks;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const double value = scalar.history.value(i, 0);
    xs.push_back(frame.x(i, columns.size()));
    ys.push_back(is_finite(value) ? frame.y((value - least) / span) : missing_value());
    if (!is_finite(value) || (columns.size() > 60 && i + 1 < columns.size())) continue;
    marks += fmt::format(
        "<circle role=\"img\" cx=\"{}\" cy=\"{}\" r=\"2.5\"><title>epoch {}: "
        "{:.4g}</title></circle>",
        px(xs.back()), px(ys.back()), columns[i].epoch, value);
  }
  const double last = scalar.history.value(columns.size() - 1, 0);
  return fmt::format(
      "<figure><figcaption>{0}: <b>{1}</b></figcaption><svg class=\"chart small\" viewBox=\"0 0 "
      "{2} "
      "{3}\" role=\"group\" aria-label=\"{0} over the epochs\">{4}<g class=\"line l0\"><path "
      "d=\"{5}\"/>{6}</g><text x=\"{7}\" y=\"{8}\">{9}</text><text class=\"end\" x=\"{10}\" "
      "y=\"{8}\">epoch {11}</text></svg></figure>",
      name, shown(last, ValueKind::Number), px(frame.width), px(frame.height),
      left_axis(frame, {fmt::format("{:.3g}", least), fmt::format("{:.3g}", least + span)}),
      path_of(xs, ys), marks, px(frame.left), px(frame.height - 6), columns.front().epoch,
      px(frame.width - frame.right), columns.back().epoch);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
