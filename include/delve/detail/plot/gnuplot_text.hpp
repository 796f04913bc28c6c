// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A quantity's name in a picture: "saturation@0.9" reads "saturation at 0.9".
inline std::string readable(std::string_view quantity) {
  std::string words;
  for (const char c : quantity)
    words.append(c == '-' ? " " : c == '@' ? " at " : std::string(1, c));
  return words;
}

/// A gnuplot string that shows this text, whatever is in it. Between single quotes gnuplot
/// interprets nothing. A quote within becomes a typographic one: doubled, as the manual has it, it
/// would end the string where it comes first (gnuplot 5.4).
inline std::string gnuplot_string(std::string_view text) {
  std::string quoted = "'";
  for (const char c : one_line(text)) quoted.append(c == '\'' ? "’" : std::string(1, c));
  return quoted.append("'");
}

/// The same for a label at a tic, which gnuplot reads as a number format.
inline std::string gnuplot_label(std::string_view text) {
  std::string format;
  for (const char c : text) format.append(c == '%' ? 2 : 1, c);
  return gnuplot_string(format);
}

/// A coordinate as gnuplot reads it.
inline std::string gnuplot_number(double number) {
  return is_finite(number) ? fmt::format("{}", number) : "NaN";
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

/// N, so that every Nth of `count` labels has room: each needs `needed` pixels of `pixels`.
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

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
