// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format
#include <Eigen/Core>

#include <delve/detail/plot/gnuplot_text.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The script that draws a layer's data on its two leading eigenvectors. Of more than 5000 points
/// every Nth is drawn.
/// @param points n × 2; a row that is not finite is left out
inline std::string embed_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                                std::string_view rest_of_title, const Eigen::MatrixXd& points) {
  constexpr Eigen::Index most_points = 5000;
  PlotSize size = style.wish;
  if (size.width == 0) size.width = static_cast<int>(48 * style.em());
  if (size.height == 0) size.height = static_cast<int>(44 * style.em());

  std::vector<double> x, y;
  const Eigen::Index step = (points.rows() + most_points - 1) / most_points;
  for (Eigen::Index row = 0; row < points.rows(); row += step) {
    if (!is_finite(points(row, 0)) || !is_finite(points(row, 1))) continue;
    x.push_back(points(row, 0));
    y.push_back(points(row, 1));
  }
  const Axis across = Axis::linear_around(x, most_steps(size.width, style));
  const Axis up = Axis::linear_around(y, most_steps(size.height, style));

  std::string script = script_head(kind, style, size, "first eigenvector", "second eigenvector");
  script += title_command(style, size, rest_of_title);
  script += axis_commands('x', across);
  script += axis_commands('y', up);
  script += "$data << EOD\n";
  for (std::size_t i = 0; i < x.size(); ++i) {
    script +=
        fmt::format("{} {}\n", gnuplot_number(across.place(x[i])), gnuplot_number(up.place(y[i])));
  }
  // The first two digits of a colour are its transparency.
  script += fmt::format("EOD\nplot $data with points pointtype 7 pointsize {} linecolor '#80{}'\n",
                        0.5 * style.points(kind), mode_color(mode).substr(1));
  return script;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
