// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::find, std::max
#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/plot/gnuplot_text.hpp>
#include <delve/detail/plot/layer_script.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_axis.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic in one mode of one of several runs.
struct ComparedRun {
  std::string name;  ///< in the key
  PlotData data;
};

/// The layers of all runs: those of the first, every other one behind its predecessor in its run.
inline std::vector<std::string> layers_of_all(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> all;
  for (const ComparedRun& run : runs) {
    auto place = all.begin();
    for (const std::string& layer : run.data.layers) {
      auto known = std::find(all.begin(), all.end(), layer);
      if (known == all.end()) known = all.insert(place, layer);
      place = known + 1;
    }
  }
  return all;
}

/// The script that draws one value per layer of each run, one line per run. A layer that a run
/// lacks is left out of its line.
inline std::string comparison_script(const PictureKind& kind, const PlotStyle& style, Mode mode,
                                     const PlotSubject& subject,
                                     const std::vector<ComparedRun>& runs) {
  const std::vector<std::string> layers = layers_of_all(runs);
  PlotSize size = plot_size(layers, style, 4000);
  // The key stands between title and plot, a line a run.
  const double key_line = 1.6 * style.em();
  const double key_height = key_line * static_cast<double>(runs.size());
  if (style.wish.height == 0) size.height += static_cast<int>(key_height);

  const std::size_t step = label_step(layers.size(), size.width - 9 * style.em(), 1.1 * style.em());
  const auto most_letters =
      static_cast<std::size_t>(std::clamp(0.45 * size.height / style.letter(), 4.0, 60.0));
  const auto key_letters =
      static_cast<std::size_t>(std::max(8.0, 0.85 * size.width / style.letter()));
  std::vector<double> values;
  for (const ComparedRun& run : runs) {
    values.insert(values.end(), run.data.values.begin(), run.data.values.end());
  }
  const Axis axis = is_share(subject.kind) ? Axis::unit(most_steps(size.height, style))
                                           : Axis::around(values, most_steps(size.height, style));

  std::string script = script_head(kind, style, size, "layer", readable(subject.quantity));
  script +=
      title_command(style, size, fmt::format("{} {}", mode_word(mode), readable(subject.quantity)));
  script += axis_commands('y', axis);
  script += fmt::format(
      "set xrange [-0.6:{}]\nset xtics rotate by 90 right ({})\n"
      "set tmargin at screen {:.4f}\n"
      "set key at screen 0.5, screen {:.4f} center top vertical maxrows {} Left reverse samplen 2 "
      "spacing 1.2 textcolor '#333333'\n",
      static_cast<double>(layers.size()) - 0.4, place_labels(layers, step, most_letters),
      1 - (3.4 * style.em() + key_height) / size.height, 1 - 2.6 * style.em() / size.height,
      runs.size());

  std::string lines;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const PlotData& data = runs[i].data;
    script += fmt::format("$run{} << EOD\n", i);
    for (std::size_t j = 0; j < data.layers.size(); ++j) {
      const auto place = std::find(layers.begin(), layers.end(), data.layers[j]) - layers.begin();
      script += fmt::format("{} {}\n", place, gnuplot_number(axis.place(data.values[j])));
    }
    script += "EOD\n";
    const double share =
        runs.size() == 1 ? 0 : static_cast<double>(i) / static_cast<double>(runs.size() - 1);
    lines += fmt::format(
        "{}$run{} with linespoints linewidth {} pointtype {} pointsize {} linecolor '{}' title {}",
        i == 0 ? "" : ", \\\n     ", i, 2 * style.stroke(), i % 2 == 0 ? 7 : 5,
        1.1 * style.points(kind), viridis_at(0.15 + 0.6 * share),
        gnuplot_string(shortened(runs[i].name, key_letters)));
  }
  return script + "plot " + lines + "\n";
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
