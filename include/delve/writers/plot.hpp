// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of, std::any_of, std::find, std::min
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <exception>    // std::exception
#include <filesystem>   // std::filesystem::remove
#include <functional>   // std::function
#include <map>          // std::map
#include <memory>       // std::make_shared
#include <mutex>        // std::lock_guard, std::mutex
#include <optional>     // std::optional
#include <set>          // std::set
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::pair
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/os/process.hpp>
#include <delve/detail/plot/curve_script.hpp>
#include <delve/detail/plot/embed_script.hpp>
#include <delve/detail/plot/gnuplot.hpp>
#include <delve/detail/plot/heat_map_script.hpp>
#include <delve/detail/plot/history.hpp>
#include <delve/detail/plot/layer_script.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/reading/csv_records.hpp>
#include <delve/detail/statistics/builtin_statistics.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/support/writer_args.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/picture_format.hpp>
#include <delve/record.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>
#include <delve/writers/csv.hpp>  // IWYU pragma: keep (the key "csv" that others stand for)
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct PlotOptions {
  /// The program that draws: a name to be found in PATH, or a path.
  std::string gnuplot = "gnuplot";
  /// Size of a picture in pixels, 96 an inch, 200 to 16000; 0: as much as its content needs.
  int width = 0;
  int height = 0;
  /// What titles begin with; empty: the run's name, which is the last part of the savefile.
  std::string title = {};
  /// A family's name, of letters, digits, blanks and "-_.".
  std::string font = "sans-serif";
  /// In points, 6 to 72. Titles are larger in proportion, and so are pictures whose size is 0.
  int font_size = 11;
  PictureFormat format = PictureFormat::Png;
  /// A scalar of add_scalar() whose value stands in each title: "test-accuracy". Empty: none.
  std::string primary_metric = {};
  /// At the end, "lsat" and "drift" of all epochs, a row per layer: SAVEFILE_lsat_train_epochs.png.
  bool heat_map = true;
  /// At the end, the pictures of "lsat" animated, half a second each: SAVEFILE_lsat_train.gif.
  bool animation = false;
  /// The statistics that are drawn, by the names by which they are requested; empty: all.
  std::vector<std::string> stats = {};
  /// The first epoch to come. Pictures of those before it stay as they are; where SAVEFILE.csv
  /// holds them, they are part of the heat map and of the animation.
  std::int64_t initial_epoch = 0;
  /// Whether pictures of an earlier run, under this savefile's names and of initial_epoch or later,
  /// are removed at construction, so that none is mistaken for one of this run.
  bool remove_stale = true;
};

/// The names that plot_options_from() knows.
[[nodiscard]] inline const std::vector<std::string>& plot_arg_names() {
  static const std::vector<std::string> names = {
      "gnuplot", "width",          "height",   "title",     "font", "font_size",
      "format",  "primary_metric", "heat_map", "animation", "stats"};
  return names;
}

namespace detail {

/// The parts between commas.
inline std::vector<std::string> comma_separated(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace detail

/// Options from texts by the names of plot_arg_names(): "width": "800", "heat_map": "false",
/// "format": "svg", "stats": "lsat,idim". Ranges are left for PlotWriter to check.
/// @throws std::invalid_argument for an unknown name, or a text that is not what its option takes
[[nodiscard]] inline PlotOptions plot_options_from(const std::map<std::string, std::string>& args) {
  PlotOptions options;
  for (const auto& [name, text] : args) {
    if (name == "gnuplot") {
      options.gnuplot = text;
    } else if (name == "width") {
      options.width = detail::int_arg(name, text, "a number of pixels");
    } else if (name == "height") {
      options.height = detail::int_arg(name, text, "a number of pixels");
    } else if (name == "title") {
      options.title = text;
    } else if (name == "font") {
      options.font = text;
    } else if (name == "font_size") {
      options.font_size = detail::int_arg(name, text, "a number of points");
    } else if (name == "format") {
      const auto format = picture_format_of(text);
      if (!format) detail::bad_writer_arg(name, text, "png, svg or pdf");
      options.format = *format;
    } else if (name == "primary_metric") {
      options.primary_metric = text;
    } else if (name == "heat_map") {
      options.heat_map = detail::bool_arg(name, text);
    } else if (name == "animation") {
      options.animation = detail::bool_arg(name, text);
    } else if (name == "stats") {
      options.stats = detail::comma_separated(text);
    } else {
      throw std::invalid_argument(
          fmt::format("delve: writer_args: the plot writer takes no \"{}\"; it takes {}", name,
                      fmt::join(plot_arg_names(), ", ")));
    }
  }
  return options;
}

/// Draws pictures of an epoch, for each mode:
///
/// - one of each statistic that is a number, a point per layer: SAVEFILE_lsat_train_epoch_0.png. A
///   missing value, and an infinite one, is a gap in the line; without any other value there is no
///   picture. Behind what a probe found stands the saturation of the same mode; behind drift, its
///   noise floor;
/// - the curves of "curve", a line per layer: SAVEFILE_curve_train_epoch_0.png;
/// - the points of "embed", a picture per layer: SAVEFILE_embed_train_LAYER_epoch_0.png, where
///   characters of LAYER that cannot stand in a file's name become "%2F" and so on.
///
/// Border layers stand on grey, once their receptive fields are known.
///
/// When it is closed, it draws those over all epochs that PlotOptions names, if there were two or
/// more. Each picture is made by one run of gnuplot, about a tenth of a second.
///
/// Without gnuplot one report says so, nothing is drawn, and nothing removed. A picture is there
/// whole or not at all. A fault that repeats is reported once, and counted at the end.
class PlotWriter final : public Writer {
 public:
  /// Called with the absolute path of a picture that was drawn.
  using PictureHandler = std::function<void(const std::string&)>;

  /// Makes the folders above the pictures, looks for gnuplot, and removes what is stale.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if a folder cannot be made
  explicit PlotWriter(const std::string& savefile, const PlotOptions& options = {})
      : options_(checked(options)),
        savefile_(detail::prepare_savefile(savefile)),
        style_{options.title.empty() ? detail::text_of(detail::path_of(savefile_).filename())
                                     : options.title,
               {options.width, options.height},
               options.font,
               options.font_size},
        gnuplot_(detail::find_program(options.gnuplot)) {
    for (const std::string& name : options_.stats) wanted_.push_back(wanted_of(name));
    if (!gnuplot_) {
      report(detail::was_not_found(options.gnuplot) +
             "; no pictures will be drawn. Install it (Debian: apt-get install gnuplot-nox) or "
             "leave \"plot\" out");
      return;
    }
    if (options_.remove_stale) remove_stale(known_stats(), modes_);
    if (options_.initial_epoch > 0) remember_earlier_epochs();
  }

  /// Makes an epoch part of the heat map and of the animation, without pictures of its own. Epochs
  /// come in rising order, as for write().
  void remember(const EpochRecord& record) {
    note_border(record);
    if (!options_.heat_map && !options_.animation) return;
    for (const Mode mode : modes_of(record)) {
      for (const detail::PlotData& data : detail::plot_data(record, mode)) {
        const bool is_kept = data.kind == ValueKind::Saturation || data.kind == ValueKind::Drift;
        const bool is_part = is_kept && !is_comparison(data) && is_wanted(data.stat, mode) &&
                             detail::has_points(data);
        if (!is_part) continue;
        const auto of_mode =
            history_
                .try_emplace({mode, data.stat}, History{data.stat, data.quantity, data.kind, {}})
                .first;
        of_mode->second.epochs.add(record.epoch, metric(record), data);
      }
    }
  }

  /// Takes a function that receives each picture.
  void on_picture(PictureHandler handler) { on_picture_ = std::move(handler); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    if (!gnuplot_) return;
    note_what_is_there(record);
    note_border(record);
    for (const Mode mode : modes_of(record)) {
      if (options_.remove_stale && modes_.insert(mode).second) remove_stale(known_stats(), {mode});
      const std::vector<detail::PlotData> all = detail::plot_data(record, mode);
      for (const detail::PlotData& data : all) {
        if (!is_wanted(data.stat, mode)) continue;
        const detail::DrawnStat stat{plain(data.stat)};
        if (options_.remove_stale && known_stats_.insert(stat).second) remove_stale({stat}, modes_);
        if (is_comparison(data)) continue;
        if (detail::has_points(data)) draw_values(record, data, all, mode);
      }
      draw_curves(record, mode);
      draw_embeddings(record, mode);
    }
    remember(record);
  }

  void finish() override {
    if (!gnuplot_) return;
    for (const auto& [key, history] : history_) {
      const Mode mode = key.first;
      if (history.epochs.columns().size() < 2) continue;
      if (options_.heat_map) draw_heat_map(mode, history);
      if (options_.animation && history.kind == ValueKind::Saturation) {
        draw_animation(mode, history);
      }
    }
    if (!has_written_) return;
    for (const std::string& stat : options_.stats) {
      if (found_stats_.count(stat) > 0) continue;
      report(fmt::format("stats: no epoch held \"{}\"; there is no picture of it", stat));
    }
    if (!options_.primary_metric.empty() && !found_metric_) {
      report(fmt::format("primary_metric: no epoch held the scalar \"{}\"; no title shows it",
                         options_.primary_metric));
    }
  }

 private:
  /// A record has receptive fields where they are new.
  void note_border(const EpochRecord& record) {
    for (const LayerField& field : record.fields) {
      if (field.is_border) {
        border_.insert(field.layer);
      } else {
        border_.erase(field.layer);
      }
    }
  }

  /// The saturation, or the drift, of one mode over the epochs.
  struct History {
    std::string stat;
    std::string quantity;
    ValueKind kind;
    detail::History epochs;
  };

  static PlotOptions checked(PlotOptions options) {
    const auto require = [](bool holds, std::string_view option, std::string_view value,
                            std::string_view valid) {
      detail::require(holds, "delve::PlotOptions", option, value, valid);
    };
    for (const auto& [name, pixels] :
         {std::pair("width", options.width), std::pair("height", options.height)}) {
      require(pixels == 0 || (pixels >= 200 && pixels <= 16000), name, fmt::to_string(pixels),
              "0 (automatic), or 200 to 16000 pixels");
    }
    const auto is_of_name = [](char c) {
      // What is not ASCII may be a letter.
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view(" -_.").find(c) != std::string_view::npos ||
             static_cast<unsigned char>(c) >= 0x80;
    };
    require(
        !options.font.empty() && std::all_of(options.font.begin(), options.font.end(), is_of_name),
        "font", fmt::format("\"{}\"", detail::one_line(options.font)),
        "a family's name, of letters, digits, blanks and \"-_.\"");
    require(options.font_size >= 6 && options.font_size <= 72, "font_size",
            fmt::to_string(options.font_size), "6 to 72 points");
    require(std::find(options.stats.begin(), options.stats.end(), "") == options.stats.end(),
            "stats", fmt::format("\"{}\"", fmt::join(options.stats, ",")),
            "names that are not empty");
    detail::checked_initial_epoch(options.initial_epoch);
    return options;
  }

  /// The statistic's name without a parameter.
  static std::string plain(const std::string& stat) { return stat.substr(0, stat.find('@')); }

  /// A name of options.stats, as pictures know it.
  struct Wanted {
    std::string stat;
    std::optional<Mode> only;
  };

  static Wanted wanted_of(const std::string& name) {
    try {
      const Statistic statistic = find_statistic(name);
      return {statistic_of_quantity(statistic.quantity), statistic.only};
    } catch (const std::invalid_argument&) {  // one that only the record knows
      return {name, std::nullopt};
    }
  }

  [[nodiscard]] bool is_wanted(std::string_view stat, Mode mode) const {
    return wanted_.empty() ||
           std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) {
             return wanted.stat == stat && (!wanted.only || wanted.only == mode);
           });
  }

  /// For finish() to tell which options were of no effect.
  void note_what_is_there(const EpochRecord& record) {
    has_written_ = true;
    found_metric_ = found_metric_ || !metric(record).empty();
    if (options_.stats.empty()) return;
    for (const LayerRecord& layer : record.layers) {
      for (const Value& value : layer.values) {
        found_stats_.insert(value.stat);
        found_stats_.insert(detail::picture_stat(value));
      }
      for (const ArrayValue& value : layer.arrays) found_stats_.insert(value.stat);
    }
  }

  /// Those of the library and of the program, and those requested.
  const std::set<detail::DrawnStat>& known_stats() {
    detail::StatisticRegistry& registry = detail::statistic_registry();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    for (const Statistic& statistic : registry.statistics) {
      const bool by_layer = statistic.array && statistic.array_kind == ArrayKind::Points;
      known_stats_.insert({statistic.name, by_layer});
    }
    for (const std::string& stat : options_.stats) known_stats_.insert({plain(stat)});
    return known_stats_;
  }

  void remove_stale(const std::set<detail::DrawnStat>& stats, const std::set<Mode>& modes) {
    try {
      const auto stale = detail::pictures_of(savefile_, {stats.begin(), stats.end()},
                                             {modes.begin(), modes.end()}, options_.initial_epoch);
      for (const std::string& picture : stale) std::filesystem::remove(detail::path_of(picture));
    } catch (const std::exception& error) {
      report(fmt::format("pictures of an earlier run stay: {}", error.what()));
    }
  }

  void remember_earlier_epochs() {
    if (!options_.heat_map && !options_.animation) return;
    const std::string table = savefile_ + ".csv";
    try {
      const std::optional<std::string> text = detail::read_file(table);
      if (!text) return;
      for (const EpochRecord& record : detail::records_from_csv(*text, table)) {
        if (record.epoch < options_.initial_epoch) remember(record);
      }
    } catch (const std::exception& error) {
      report(fmt::format("pictures over all epochs will begin at epoch {}: {}",
                         options_.initial_epoch, error.what()));
    }
  }

  /// "test-accuracy 0.54", or nothing where the epoch lacks it.
  [[nodiscard]] std::string metric(const EpochRecord& record) const {
    std::string text;
    for (const auto& [name, value] : record.scalars) {
      if (name != options_.primary_metric || !detail::is_finite(value)) continue;
      text = fmt::format("{} {:.4g}", name, value);
    }
    return text;
  }

  [[nodiscard]] const detail::PictureKind& kind() const {
    return detail::picture_kind(options_.format);
  }

  [[nodiscard]] std::string epoch_picture(std::string_view stat, Mode mode, std::int64_t epoch,
                                          std::string_view layer = {}) const {
    return fmt::format("{}_{}_epoch_{}.{}", savefile_, detail::picture_subject(stat, mode, layer),
                       epoch, kind().extension);
  }

  void draw_values(const EpochRecord& record, const detail::PlotData& data,
                   const std::vector<detail::PlotData>& all, Mode mode) {
    draw(kind(), epoch_picture(data.stat, mode, record.epoch),
         detail::layer_script(kind(), style_, mode, {data.quantity, data.kind}, data.layers,
                              {{record.epoch, metric(record), data.values}}, border_,
                              companion_of(data, all)));
  }

  /// Whether it is only drawn behind what it is to be compared with, if at all.
  static bool is_comparison(const detail::PlotData& data) {
    return data.stat == detail::kDriftFloor || data.stat == detail::kDriftChance;
  }

  /// What a probe finds stands beside saturation: there a tail shows what it costs. Drift stands
  /// beside what it would be by chance.
  static std::optional<detail::PlotCompanion> companion_of(
      const detail::PlotData& data, const std::vector<detail::PlotData>& all) {
    const bool is_drift = data.kind == ValueKind::Drift;
    if (!is_drift && data.quantity.find("probe-") == std::string::npos) return std::nullopt;
    for (const detail::PlotData& other : all) {
      const bool is_beside =
          (is_drift ? other.stat == detail::kDriftFloor : other.kind == ValueKind::Saturation) &&
          detail::has_points(other);
      if (is_beside) return detail::PlotCompanion{other.quantity, other.values};
    }
    return std::nullopt;
  }

  void draw_curves(const EpochRecord& record, Mode mode) {
    for (const detail::LayerArrays& curves : detail::arrays_of(record, mode, ArrayKind::Curve, 1)) {
      if (!is_wanted(curves.stat, mode)) continue;
      const std::string title =
          detail::subject_title(mode, "explained variance", record.epoch, metric(record));
      draw(kind(), epoch_picture(curves.stat, mode, record.epoch),
           detail::curve_script(kind(), style_, title, curves.layers));
    }
  }

  void draw_embeddings(const EpochRecord& record, Mode mode) {
    for (const detail::LayerArrays& points :
         detail::arrays_of(record, mode, ArrayKind::Points, 2)) {
      if (!is_wanted(points.stat, mode)) continue;
      for (const detail::LayerArray& layer : points.layers) {
        const std::string title =
            detail::subject_title(mode, "data of " + layer.layer, record.epoch, metric(record));
        draw(kind(), epoch_picture(points.stat, mode, record.epoch, layer.layer),
             detail::embed_script(kind(), style_, mode, title, *layer.array));
      }
    }
  }

  void draw_heat_map(Mode mode, const History& history) {
    const std::string picture =
        fmt::format("{}_{}_epochs.{}", savefile_, detail::picture_subject(history.stat, mode),
                    kind().extension);
    draw(kind(), picture,
         detail::heat_map_script(kind(), style_, mode, {history.quantity, history.kind},
                                 history.epochs, border_));
  }

  void draw_animation(Mode mode, const History& history) {
    draw(detail::gif_picture,
         fmt::format("{}_{}.gif", savefile_, detail::picture_subject(history.stat, mode)),
         detail::layer_script(detail::gif_picture, style_, mode,
                              {history.quantity, ValueKind::Saturation}, history.epochs.layers(),
                              detail::frames_of(history.epochs, 200), border_));
  }

  /// Draws a picture; a fault is reported.
  void draw(const detail::PictureKind& kind, const std::string& picture,
            const std::string& script) {
    try {
      detail::draw_picture(*gnuplot_, kind, picture, script);
    } catch (const detail::FileError& error) {
      return count_fault(picture, error.reason());
    } catch (const std::exception& error) {
      return count_fault(picture, error.what());
    }
    if (on_picture_) on_picture_(picture);
  }

  void count_fault(const std::string& picture, const std::string& reason) {
    report_once(reason, fmt::format("cannot draw \"{}\": {}", picture, reason),
                "pictures in all were not drawn because of");
  }

  PlotOptions options_;
  std::string savefile_;
  detail::PlotStyle style_;
  std::optional<std::string> gnuplot_;
  std::vector<Wanted> wanted_;  ///< options_.stats; empty: all
  PictureHandler on_picture_;
  std::set<detail::DrawnStat> known_stats_;        ///< whose stale pictures are gone
  std::set<Mode> modes_{Mode::Train, Mode::Eval};  ///< the same
  std::set<std::string> found_stats_;              ///< in any record
  bool found_metric_ = false;
  bool has_written_ = false;
  std::map<std::pair<Mode, std::string>, History> history_;  // by the statistic, too
  std::set<std::string> border_;                             // layers that see nothing new
};

namespace detail {

/// Registers the keys. They are those of Delve (Python), where each also writes the table that
/// pictures are drawn from.
inline bool register_plot() {
  const std::string pictures = std::string(1, kPartMark) + "pictures";
  const auto make = [](const WriterContext& context) {
    PlotOptions options = plot_options_from(context.args);
    options.initial_epoch = context.initial_epoch;
    return Writers{std::make_shared<PlotWriter>(context.savefile, options)};
  };
  register_writer(pictures, make, plot_arg_names());
  register_writer_groups({"plot", "csvplot", "plotcsv", "csvplotting"}, {"csv", pictures});
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool plot_is_registered = register_plot();
#endif

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
