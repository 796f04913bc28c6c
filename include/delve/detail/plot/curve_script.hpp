// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::find_if, std::max, std::min
#include <cstddef>      // std::size_t
#include <memory>       // std::shared_ptr
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format
#include <Eigen/Core>

#include <delve/detail/plot/gnuplot_text.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic of a layer that is more than a number.
struct LayerArray {
  std::string layer;
  std::shared_ptr<const Eigen::MatrixXd> array;
};

/// A record's arrays of one statistic.
struct LayerArrays {
  std::string stat;
  std::vector<LayerArray> layers;
};

/// The arrays of a kind that have `columns` columns, or more, and at least one row, by statistic.
inline std::vector<LayerArrays> arrays_of(const EpochRecord& record, Mode mode, ArrayKind kind,
                                          Eigen::Index columns) {
  std::vector<LayerArrays> found;
  for (const LayerRecord& layer : record.layers) {
    if (layer.mode != mode) continue;
    for (const ArrayValue& value : layer.arrays) {
      const bool fits = value.array->cols() >= columns && value.array->rows() > 0;
      if (value.kind != kind || !fits) continue;
      auto place = std::find_if(found.begin(), found.end(),
                                [&](const LayerArrays& it) { return it.stat == value.stat; });
      if (place == found.end()) place = found.insert(found.end(), {value.stat, {}});
      place->layers.push_back({layer.layer, value.array});
    }
  }
  return found;
}

/// The script that draws curves of explained variance, p_1 … p_d (docs/concepts.md), against k / d:
/// a line a layer. At most 40 layers, evenly chosen, are in the key.
inline std::string curve_script(const PictureKind& kind, const PlotStyle& style,
                                std::string_view rest_of_title,
                                const std::vector<LayerArray>& curves) {
  const std::size_t count = curves.size();
  std::size_t longest = 0;
  for (const LayerArray& curve : curves) longest = std::max(longest, text_width(curve.layer));
  const std::size_t letters = std::min<std::size_t>(longest, 40);

  // The key has columns of 20 names, as long as they leave the plot half of the picture.
  PlotSize size = style.wish;
  if (size.height == 0) size.height = static_cast<int>(39 * style.em());
  const double key_column = static_cast<double>(letters) * style.letter() + 5.5 * style.em();
  const auto key_rows = static_cast<std::size_t>(
      std::clamp((size.height - 7 * style.em()) / (1.45 * style.em()), 1.0, 20.0));
  const std::size_t wanted = std::min<std::size_t>(count, 40);
  std::size_t key_columns = (wanted + key_rows - 1) / key_rows;
  if (size.width == 0) {
    size.width = static_cast<int>(46 * style.em() + key_column * static_cast<double>(key_columns));
  } else {
    key_columns = std::min(key_columns, static_cast<std::size_t>(0.5 * size.width / key_column));
  }
  const std::size_t keys = std::min(wanted, key_rows * key_columns);

  std::string script = script_head(kind, style, size, "share of directions", "share of variance");
  script += title_command(style, size, rest_of_title);
  script += axis_commands('x', Axis::unit(most_steps(size.height, style)));
  script += axis_commands('y', Axis::unit(most_steps(size.height, style)));
  if (keys > 0) {
    script += fmt::format(
        "set rmargin\nset key outside right top vertical maxrows {} Left reverse samplen 1.5 "
        "spacing 1.1 "
        "textcolor '#333333'\n",
        key_rows);
  }
  std::string lines;
  std::size_t keyed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Eigen::MatrixXd& curve = *curves[i].array;
    const Eigen::Index width = curve.rows();
    script += fmt::format("$curve{} << EOD\n0 0\n", i);
    // A picture has no room for more than a few hundred points; the last one counts.
    const Eigen::Index step = (width + 511) / 512;
    for (Eigen::Index k = (width - 1) % step; k < width; k += step) {
      script += fmt::format("{} {}\n", static_cast<double>(k + 1) / static_cast<double>(width),
                            gnuplot_number(curve(k, 0)));
    }
    script += "EOD\n";
    // The first and the last layer have a key, and those between in even steps.
    const bool has_key =
        keyed < keys && i * std::max<std::size_t>(keys - 1, 1) >= keyed * (count - 1);
    const double share = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    lines += fmt::format(
        "{}$curve{} with lines linewidth {} linecolor '{}' {}", i == 0 ? "" : ", \\\n     ", i,
        1.5 * style.stroke(), viridis_at(0.92 * share),
        has_key ? "title " + gnuplot_string(shortened(curves[i].layer, letters)) : "notitle");
    if (has_key) ++keyed;
  }
  return script + "plot " + lines + "\n";
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
