// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>   // std::any_of, std::count
#include <filesystem>  // std::filesystem::absolute
#include <map>         // std::map
#include <set>         // std::set
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os.hpp>
#include <delve/detail/os/process.hpp>
#include <delve/detail/plot/comparison_script.hpp>
#include <delve/detail/plot/gnuplot.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/plot.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// An epoch of a run, and the name that the run has in the picture.
struct ComparedEpoch {
  std::string name;
  EpochRecord record;
};

/// Draws one epoch of each of several runs: one picture per statistic and mode, with one line per
/// run: OUTPUT_lsat_eval.png. Each takes about a tenth of a second.
/// @param output what the pictures' names begin with; missing folders are made
/// @param options looks, format, gnuplot and stats are used; options about epochs are not
/// @return the pictures that were drawn, as absolute paths
/// @throws std::invalid_argument for a bad option; std::runtime_error without gnuplot, or where it
///   fails
inline std::vector<std::string> compare_runs(const std::string& output,
                                             const std::vector<ComparedEpoch>& runs,
                                             PlotOptions options = {}) {
  options.remove_stale = false;
  // Its constructor checks the options that concern the looks of a picture.
  const PlotWriter checked(output, options);
  const auto gnuplot = detail::find_program(options.gnuplot);
  if (!gnuplot) throw std::runtime_error(detail::was_not_found(options.gnuplot));
  const detail::PlotStyle style{
      options.title, {options.width, options.height}, options.font, options.font_size};
  const detail::PictureKind& kind = detail::picture_kind(options.format);
  const std::string beginning = detail::text_of(std::filesystem::absolute(detail::path_of(output)));

  std::set<Mode> modes;
  for (const ComparedEpoch& run : runs) {
    for (const Mode mode : modes_of(run.record)) modes.insert(mode);
  }
  std::vector<std::string> pictures;
  for (const Mode mode : modes) {
    // A picture for each statistic that any of the runs has.
    std::map<std::string, std::vector<detail::ComparedRun>> compared;
    for (const ComparedEpoch& run : runs) {
      for (const detail::PlotData& data : detail::plot_data(run.record, mode)) {
        compared[data.stat].push_back({run.name, data});
      }
    }
    for (const auto& [stat, lines] : compared) {
      const bool is_wanted =
          options.stats.empty() || std::count(options.stats.begin(), options.stats.end(), stat) > 0;
      const bool has_points = std::any_of(lines.begin(), lines.end(), [](const auto& line) {
        return detail::has_points(line.data);
      });
      if (!is_wanted || !has_points) continue;
      const detail::PlotData& first = lines.front().data;
      const std::string picture =
          fmt::format("{}_{}.{}", beginning, detail::picture_subject(stat, mode), kind.extension);
      detail::draw_picture(
          *gnuplot, kind, picture,
          detail::comparison_script(kind, style, mode, {first.quantity, first.kind}, lines));
      pictures.push_back(picture);
    }
  }
  return pictures;
}

}  // namespace DELVE_ABI
}  // namespace delve
