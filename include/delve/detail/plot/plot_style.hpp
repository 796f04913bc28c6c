// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::min
#include <cmath>        // std::lround
#include <cstddef>      // std::size_t
#include <cstdint>      // std::uint32_t
#include <iterator>     // std::size
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/picture_file.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

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
  /// The factor by which lines grow with the text.
  [[nodiscard]] double stroke() const { return font_size / 11.0; }
  /// The factor for the size of points, so that they look alike in all kinds of picture.
  [[nodiscard]] double points(const PictureKind& kind) const {
    return stroke() * (&kind == &pdf_picture ? 0.75 : &kind == &svg_picture ? 0.8 : 1);
  }
};

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

/// What concerns a mode is drawn in a colour of its own: training blue, evaluation orange, the
/// others green.
inline std::string_view mode_color(Mode mode) {
  return mode == Mode::Train ? "#2f6f9f" : mode == Mode::Eval ? "#c0653a" : "#4a7d4a";
}

/// The same, so light that a grid and points stand out from it.
inline std::string_view mode_tint(Mode mode) {
  return mode == Mode::Train ? "#e6eef4" : mode == Mode::Eval ? "#f8ede8" : "#e8f0e8";
}

inline std::string_view mode_word(Mode mode) {
  return mode == Mode::Train ? "training" : mode == Mode::Eval ? "evaluation" : to_string(mode);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
