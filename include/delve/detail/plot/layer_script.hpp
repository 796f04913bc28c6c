// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <optional>     // std::optional
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/gnuplot_text.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What a picture is of.
struct PlotSubject {
  std::string_view quantity;
  ValueKind kind;
};

/// What is drawn besides the subject, in the same units: one value per layer.
struct PlotCompanion {
  std::string quantity;
  std::vector<double> values;
};

/// Whether values go from 0 to 1.
inline bool is_share(ValueKind kind) {
  return kind == ValueKind::Saturation || kind == ValueKind::Share;
}

/// The size of a picture of one value a layer, so that every layer's name can be read.
inline PlotSize plot_size(const std::vector<std::string>& layers, const PlotStyle& style,
                          int widest) {
  std::size_t longest = 0;
  for (const std::string& layer : layers) longest = std::max(longest, text_width(layer));
  PlotSize size = style.wish;
  if (size.width == 0) {
    const double needed = 10 * style.em() + 1.65 * style.em() * static_cast<double>(layers.size());
    size.width = static_cast<int>(std::max(std::min(needed, 1.0 * widest), 61 * style.em()));
  }
  if (size.height == 0) {
    const double letters = static_cast<double>(std::min<std::size_t>(longest, 60));
    size.height = static_cast<int>(32 * style.em() + letters * style.letter());
  }
  return size;
}

/// What is shown, as the second part of a title.
inline std::string subject_title(Mode mode, std::string_view what, std::int64_t epoch,
                                 std::string_view metric) {
  return fmt::format("{} {}, epoch {}{}{}", mode_word(mode), what, epoch,
                     metric.empty() ? "" : ", ", metric);
}

/// Commands for a grey band behind border layers, which see nothing new, and the word "border".
inline std::string border_commands(const std::vector<std::string>& layers,
                                   const std::set<std::string>& border, const PlotStyle& style) {
  std::string commands;
  const auto is_border = [&](std::size_t i) { return border.count(layers[i]) > 0; };
  for (std::size_t begin = 0; begin < layers.size(); ++begin) {
    if (!is_border(begin)) continue;
    std::size_t end = begin;
    while (end + 1 < layers.size() && is_border(end + 1)) ++end;
    if (commands.empty()) {
      commands += fmt::format(
          "set label 2 'border' at first {}, graph 0.97 left front font '{},{}' textcolor "
          "'#666666'\n",
          static_cast<double>(begin) - 0.4, style.font, style.font_size);
    }
    commands += fmt::format(
        "set object rectangle from first {}, graph 0 to first {}, graph 1 behind "
        "fillcolor '#ececec' fillstyle solid noborder\n",
        static_cast<double>(begin) - 0.5, static_cast<double>(end) + 0.5);
    begin = end;
  }
  return commands;
}

/// The beginning of a plot command: what lies behind the subject, and its name.
inline std::string companion_commands(const PictureKind& kind, const PlotStyle& style,
                                      PlotSize size, Mode mode, const PlotCompanion& companion,
                                      const Axis& axis) {
  std::string script = "$beside << EOD\n";
  for (std::size_t i = 0; i < companion.values.size(); ++i) {
    script += fmt::format("{} {}\n", i, gnuplot_number(axis.place(companion.values[i])));
  }
  // Beside the axis's label: the title has the line above.
  script += fmt::format(
      "EOD\nset key at screen 0.985, screen {:.4f} right bottom horizontal maxrows 1 samplen 2\n"
      "plot ",
      0.5 * style.em() / size.height);
  if (axis.begins_at_zero()) {
    script += fmt::format(
        "$beside with filledcurves y1=0 fillcolor '{}' fillstyle solid notitle, \\\n     ",
        mode_tint(mode));
  }
  script += fmt::format(
      "$beside with lines linewidth {0} linecolor '{1}' title {2}, \\\n"
      "     $beside with points pointtype 7 pointsize {3} linecolor '{1}' notitle, \\\n     ",
      1.5 * style.stroke(), mode_color(mode), gnuplot_string(readable(companion.quantity)),
      0.7 * style.points(kind));
  return script;
}

/// The script that draws one value per layer to gnuplot's stdout: one picture, or, as a GIF, an
/// animation of several. All have the same axes.
/// @param border names of border layers
/// @param beside what else is drawn, if anything
inline std::string layer_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                                const PlotSubject& subject, const std::vector<std::string>& layers,
                                const std::vector<PlotFrame>& frames,
                                const std::set<std::string>& border = {},
                                const std::optional<PlotCompanion>& beside = std::nullopt) {
  const PlotSize size = plot_size(layers, style, &kind == &gif_picture ? 1600 : 4000);
  const std::size_t step = label_step(layers.size(), size.width - 9 * style.em(), 1.1 * style.em());
  const auto most_letters =
      static_cast<std::size_t>(std::clamp(0.45 * size.height / style.letter(), 4.0, 60.0));
  std::vector<double> values;
  for (const PlotFrame& frame : frames) {
    values.insert(values.end(), frame.values.begin(), frame.values.end());
  }
  if (beside) values.insert(values.end(), beside->values.begin(), beside->values.end());
  const Axis axis = is_share(subject.kind) ? Axis::unit(most_steps(size.height, style))
                                           : Axis::around(values, most_steps(size.height, style));

  std::string what = readable(subject.quantity);
  if (beside) what += " and " + readable(beside->quantity);
  std::string script = script_head(kind, style, size, "layer", what);
  script += axis_commands('y', axis);
  script += fmt::format("set xrange [-0.6:{}]\nset xtics rotate by 90 right ({})\n",
                        static_cast<double>(layers.size()) - 0.4,
                        place_labels(layers, step, most_letters));
  script += border_commands(layers, border, style);
  for (const PlotFrame& frame : frames) {
    script += title_command(style, size, subject_title(mode, what, frame.epoch, frame.metric));
    script += "$data << EOD\n";
    for (std::size_t i = 0; i < frame.values.size(); ++i) {
      script += fmt::format("{} {}\n", i, gnuplot_number(axis.place(frame.values[i])));
    }
    script += "EOD\n";
    if (beside) {
      script += companion_commands(kind, style, size, mode, *beside, axis);
    } else {
      script += "plot ";
      if (axis.begins_at_zero()) {
        script += fmt::format("$data with filledcurves y1=0 fillcolor '{}' fillstyle solid, ",
                              mode_tint(mode));
      }
    }
    script += fmt::format(R"($data with lines linewidth {3} linecolor '{0}'{4}, \
     $data with points pointtype 7 pointsize {1} linecolor '#ffffff'{5}, \
     $data with points pointtype 7 pointsize {2} linecolor '{0}'{5}
)",
                          beside ? "#333333" : mode_color(mode), 1.5 * style.points(kind),
                          1.1 * style.points(kind), 2 * style.stroke(),
                          beside ? " title " + gnuplot_string(readable(subject.quantity)) : "",
                          beside ? " notitle" : "");
  }
  return script;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
