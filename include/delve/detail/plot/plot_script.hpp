// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::clamp, std::find_if, std::max, std::min
#include <cmath>        // std::isfinite, std::lround
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <iterator>     // std::size
#include <limits>       // std::numeric_limits
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/record.hpp>

namespace delve::detail {

/// The size of a picture in pixels.
struct PlotSize {
  int width = 0;
  int height = 0;
};

/// What all pictures of a run have in common.
struct PlotStyle {
  std::string name;    ///< the run's, at the beginning of each title
  PlotSize wish = {};  ///< 0: as the content needs
  std::string font = "sans-serif";
  int font_size = 11;  ///< points, 96 pixels an inch

  /// The font's height in pixels: the measure of all that text needs room for.
  [[nodiscard]] double em() const { return font_size * 96.0 / 72.0; }
  /// The usual width of a letter in pixels.
  [[nodiscard]] double letter() const { return 0.6 * em(); }
  /// By what lines grow with the text.
  [[nodiscard]] double stroke() const { return font_size / 11.0; }
  /// By what the size of points is multiplied, so that they look alike in all kinds of picture.
  [[nodiscard]] double points(const PictureKind& kind) const {
    return stroke() * (&kind == &pdf_picture ? 0.75 : &kind == &svg_picture ? 0.8 : 1);
  }
};

/// A quantity's name in a picture: "saturation@0.9" reads "saturation at 0.9".
inline std::string readable(std::string_view quantity) {
  std::string words;
  for (const char c : quantity)
    words.append(c == '-' ? " " : c == '@' ? " at " : std::string(1, c));
  return words;
}

/// The text, or its beginning and end where it has more code points than `most`.
inline std::string shortened(std::string_view text, std::size_t most) {
  const std::size_t width = text_width(text);
  if (width <= most || most == 0) return std::string(text);
  // The end of a layer's name tells it from its neighbours, so it keeps more of that.
  const std::size_t at_begin = (most - 1) / 3;
  const std::size_t end_at = width - (most - 1 - at_begin);
  std::string kept;
  std::size_t place = 0;  // of the code point, from 1
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    if (begins && ++place == at_begin + 1) kept.append("…");
    if (place <= at_begin || place > end_at) kept.push_back(c);
  }
  return kept;
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

/// A coordinate as gnuplot reads it.
inline std::string gnuplot_number(double number) {
  return std::isfinite(number) ? fmt::format("{}", number) : "NaN";
}

/// Colours of viridis (by S. van der Walt and N. Smith, in matplotlib since 1.5) at 0, 0.1, …, 1.
/// Its steps look even, to those who do not see colours, too.
inline constexpr std::uint32_t viridis[] = {0x440154, 0x482576, 0x414487, 0x35608D,
                                            0x2A788E, 0x21908C, 0x22A884, 0x43BF71,
                                            0x7AD151, 0xBBDF27, 0xFDE725};

/// The colour of viridis at `share`, 0 to 1, as gnuplot reads it.
inline std::string viridis_at(double share) {
  constexpr std::size_t last = std::size(viridis) - 1;
  const double place = std::clamp(share, 0.0, 1.0) * last;
  const std::size_t below = std::min(static_cast<std::size_t>(place), last - 1);
  std::uint32_t color = 0;
  for (const unsigned shift : {16U, 8U, 0U}) {
    const double from = viridis[below] >> shift & 0xFFU;
    const double to = viridis[below + 1] >> shift & 0xFFU;
    const double mixed = from + (to - from) * (place - static_cast<double>(below));
    color |= static_cast<std::uint32_t>(std::lround(mixed)) << shift;
  }
  return fmt::format("#{:06x}", color);
}

/// The colour of what concerns a mode.
inline std::string_view mode_color(Mode mode) {
  return mode == Mode::Train ? "#2f6f9f" : "#c0653a";
}

/// The same, so light that a grid and points stand out from it.
inline std::string_view mode_tint(Mode mode) {
  return mode == Mode::Train ? "#e6eef4" : "#f8ede8";
}

inline std::string_view mode_word(Mode mode) {
  return mode == Mode::Train ? "training" : "evaluation";
}

/// The command that chooses a terminal. All give text of the same size: gnuplot's points are
/// pixels in an SVG file, and two thirds of what they should be in a PDF file.
inline std::string terminal_command(const PictureKind& kind, const PlotStyle& style,
                                    PlotSize size) {
  const std::string pixels = fmt::format("size {},{}", size.width, size.height);
  std::string terminal;
  if (&kind == &png_picture) terminal = "pngcairo " + pixels + " rounded";
  if (&kind == &svg_picture) terminal = "svg " + pixels + " fontscale 1.3333 rounded";
  if (&kind == &pdf_picture) {
    terminal = fmt::format("pdfcairo size {:.4f}in,{:.4f}in fontscale 0.75 rounded",
                           size.width / 96.0, size.height / 96.0);
  }
  if (&kind == &gif_picture) terminal = "gif animate delay 50 loop 0 " + pixels;
  return fmt::format("set terminal {} noenhanced font '{},{}' background '#ffffff'\n", terminal,
                     style.font, style.font_size);
}

/// The title, in the middle of the picture. Where room is scarce, the run's name is cut short
/// first.
inline std::string title_command(const PlotStyle& style, PlotSize size, std::string_view rest) {
  constexpr std::string_view gap = "   ";
  constexpr std::size_t least_of_name = 6;
  const auto room = static_cast<std::size_t>(size.width / (1.2 * style.letter()));
  const std::size_t taken = text_width(rest) + gap.size();
  std::string title = shortened(rest, room);
  const bool fits = taken + std::min(least_of_name, text_width(style.name)) <= room;
  if (!style.name.empty() && fits) {
    title = shortened(style.name, room - taken).append(gap).append(rest);
  }
  return fmt::format(
      "set label 1 {} at screen 0.5, screen {:.4f} center font '{},{:.0f}' textcolor '#333333'\n",
      gnuplot_string(title), 1 - 1.7 * style.em() / size.height, style.font,
      style.font_size * 14 / 11.0);
}

/// The beginning of a script: terminal, frame, and what stands beside the axes.
inline std::string script_head(const PictureKind& kind, const PlotStyle& style, PlotSize size,
                               std::string_view x_label, std::string_view y_label) {
  const auto label = [&](char axis, std::string_view text) {
    return fmt::format("set {}label {} font '{},{:.0f}' textcolor '#333333'\n", axis,
                       gnuplot_string(text), style.font, style.font_size * 12 / 11.0);
  };
  return fmt::format(R"(set encoding utf8
{}{}{}set tmargin at screen {:.4f}
set rmargin 3
set border 3 linecolor '#999999'
set grid xtics ytics linetype 1 linewidth 1 linecolor '#e6e6e6'
set xtics nomirror out scale 0.5 textcolor '#333333'
set ytics nomirror out scale 0.5 textcolor '#333333'
unset key
)",
                     terminal_command(kind, style, size), label('x', x_label), label('y', y_label),
                     1 - 3.2 * style.em() / size.height);
}

/// How many steps an axis of so many pixels has room for.
inline int most_steps(int pixels, const PlotStyle& style) {
  return std::clamp(static_cast<int>(pixels / (5 * style.em())), 2, 10);
}

/// Range and tics of an axis, 'x' or 'y'.
inline std::string axis_commands(char name, const Axis& axis) {
  std::string tics;
  for (const Axis::Tic& tic : axis.tics()) {
    tics += fmt::format("{}{} {}", tics.empty() ? "" : ", ", gnuplot_label(tic.label), tic.place);
  }
  return fmt::format("set {0}range [0:1]\nset {0}tics ({1})\n", name, tics);
}

/// Every so-manieth of `count` labels has room where each needs `needed` pixels of `pixels`.
inline std::size_t label_step(std::size_t count, double pixels, double needed) {
  const auto room = static_cast<std::size_t>(std::max(1.0, pixels / needed));
  return (count + room - 1) / room;
}

/// The labels of the places 0, 1, … on an axis, but for those that `step` skips.
inline std::string place_labels(const std::vector<std::string>& names, std::size_t step,
                                std::size_t most_letters) {
  std::string labels;
  for (std::size_t i = 0; i < names.size(); i += std::max<std::size_t>(step, 1)) {
    labels += fmt::format("{}{} {}", i == 0 ? "" : ", ",
                          gnuplot_label(shortened(names[i], most_letters)), i);
  }
  return labels;
}

/// A statistic in one mode: a number a layer, in the order of the record.
struct PlotData {
  std::string stat;      ///< "lsat"
  std::string quantity;  ///< "saturation"
  std::vector<std::string> layers;
  std::vector<double> values;  ///< NaN: missing
};

/// By which name pictures know a statistic. "lsat_train" is "lsat" that is asked for in one mode.
inline std::string picture_stat(std::string_view stat, Mode mode) {
  const std::string in_mode = fmt::format("lsat_{}", to_string(mode));
  const std::string_view plain = stat.substr(0, stat.find('@'));
  return plain == in_mode ? fmt::format("lsat{}", stat.substr(plain.size())) : std::string(stat);
}

/// The statistics that a record holds of a mode, in the order of their first appearance. A layer
/// that lacks one is missing there.
inline std::vector<PlotData> plot_data(const EpochRecord& record, Mode mode) {
  std::vector<PlotData> all;
  std::vector<std::string> layers;
  for (const LayerRecord& layer : record.layers) {
    if (layer.mode != mode) continue;
    layers.push_back(layer.layer);
    for (const Value& value : layer.values) {
      const std::string stat = picture_stat(value.stat, mode);
      const auto is_same = [&](const PlotData& data) { return data.stat == stat; };
      auto data = std::find_if(all.begin(), all.end(), is_same);
      if (data == all.end()) data = all.insert(all.end(), {stat, value.quantity, {}, {}});
      data->values.resize(layers.size(), std::numeric_limits<double>::quiet_NaN());
      if (std::isfinite(value.value)) data->values.back() = value.value;
    }
  }
  for (PlotData& data : all) {
    data.layers = layers;
    data.values.resize(layers.size(), std::numeric_limits<double>::quiet_NaN());
  }
  return all;
}

/// Whether there is anything to draw.
inline bool has_points(const PlotData& data) {
  return std::any_of(data.values.begin(), data.values.end(), [](double v) { return v == v; });
}

/// Whether a quantity is a share, 0 to 1.
inline bool is_share(std::string_view quantity) {
  const auto begins_with = [&](std::string_view word) {
    return quantity.substr(0, word.size()) == word;
  };
  return begins_with("saturation") || begins_with("spectral-entropy");
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

/// One picture, or one of an animation.
struct PlotFrame {
  std::int64_t epoch = 0;
  std::string metric;          ///< "test-accuracy 0.54", or nothing
  std::vector<double> values;  ///< one a layer
};

/// What is shown, as the second part of a title.
inline std::string subject_title(Mode mode, std::string_view what, std::int64_t epoch,
                                 std::string_view metric) {
  return fmt::format("{} {}, epoch {}{}{}", mode_word(mode), what, epoch,
                     metric.empty() ? "" : ", ", metric);
}

/// The script that draws a value a layer to gnuplot's stdout: one picture, or, as a GIF, an
/// animation of several. All have the same axes.
inline std::string plot_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                               std::string_view quantity, const std::vector<std::string>& layers,
                               const std::vector<PlotFrame>& frames) {
  const PlotSize size = plot_size(layers, style, &kind == &gif_picture ? 1600 : 4000);
  const std::size_t step = label_step(layers.size(), size.width - 9 * style.em(), 1.1 * style.em());
  const auto most_letters =
      static_cast<std::size_t>(std::clamp(0.45 * size.height / style.letter(), 4.0, 60.0));
  std::vector<double> values;
  for (const PlotFrame& frame : frames) {
    values.insert(values.end(), frame.values.begin(), frame.values.end());
  }
  const Axis axis = is_share(quantity) ? Axis::unit(most_steps(size.height, style))
                                       : Axis::around(values, most_steps(size.height, style));

  std::string script = script_head(kind, style, size, "layer", readable(quantity));
  script += axis_commands('y', axis);
  script += fmt::format("set xrange [-0.6:{}]\nset xtics rotate by 90 right ({})\n",
                        static_cast<double>(layers.size()) - 0.4,
                        place_labels(layers, step, most_letters));
  for (const PlotFrame& frame : frames) {
    script += title_command(style, size,
                            subject_title(mode, readable(quantity), frame.epoch, frame.metric));
    script += "$data << EOD\n";
    for (std::size_t i = 0; i < frame.values.size(); ++i) {
      script += fmt::format("{} {}\n", i, gnuplot_number(axis.place(frame.values[i])));
    }
    script += "EOD\nplot ";
    if (axis.begins_at_zero()) {
      script += fmt::format("$data with filledcurves y1=0 fillcolor '{}' fillstyle solid, ",
                            mode_tint(mode));
    }
    script += fmt::format(R"($data with lines linewidth {3} linecolor '{0}', \
     $data with points pointtype 7 pointsize {1} linecolor '#ffffff', \
     $data with points pointtype 7 pointsize {2} linecolor '{0}'
)",
                          mode_color(mode), 1.5 * style.points(kind), 1.1 * style.points(kind),
                          2 * style.stroke());
  }
  return script;
}

}  // namespace delve::detail
