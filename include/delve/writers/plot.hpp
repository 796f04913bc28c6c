// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>       // std::chrono::seconds
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <exception>    // std::exception
#include <filesystem>   // std::filesystem::path
#include <map>          // std::map
#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument, std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/files.hpp>
#include <delve/detail/plot_script.hpp>
#include <delve/detail/process.hpp>
#include <delve/detail/text.hpp>
#include <delve/record.hpp>
#include <delve/writers/writer.hpp>

namespace delve {

struct PlotOptions {
  /// The program that draws: a name to be found in PATH, or a path.
  std::string gnuplot = "gnuplot";
  /// Size of a picture in pixels, 200 to 16000; 0: as many as the layers' names need.
  int width = 0;
  int height = 0;
};

/// Draws a picture an epoch, mode and statistic ("lsat" and "idim", where the record holds them):
/// SAVEFILE_lsat_train_epoch_0.png and so on. A missing value is a gap in the line; where all are
/// missing there is no picture. Each is made by one run of gnuplot, about a tenth of a second.
///
/// Without gnuplot one report says so, and nothing is drawn. A picture is there whole or not at
/// all. A fault that repeats is reported once, and counted at the end.
class PlotWriter final : public Writer {
 public:
  /// Makes the folders above the pictures and looks for gnuplot.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if a folder cannot be made
  explicit PlotWriter(const std::string& savefile, const PlotOptions& options = {})
      : savefile_(detail::prepare_savefile(savefile)),
        size_{options.width, options.height},
        gnuplot_(detail::find_program(options.gnuplot)) {
    check_pixels("width", options.width);
    check_pixels("height", options.height);
    if (gnuplot_) return;
    const bool is_path = options.gnuplot.find('/') != std::string::npos;
    report(fmt::format(
        "{} was not found{}; no pictures will be drawn. Install it (Debian: apt-get install "
        "gnuplot-nox) or leave \"plot\" out",
        options.gnuplot, is_path ? "" : " in PATH"));
  }

 protected:
  void write_epoch(const EpochRecord& record) override {
    if (!gnuplot_) return;
    for (const Mode mode : {Mode::Train, Mode::Eval}) {
      for (const detail::PlottedStat& stat : detail::plotted_stats) {
        const detail::PlotData data = detail::plot_data(record, mode, stat.stat);
        if (!detail::has_points(data)) continue;
        const std::string picture = fmt::format("{}_{}_{}_epoch_{}.png", savefile_, stat.stat,
                                                to_string(mode), record.epoch);
        const std::string name = std::filesystem::path(savefile_).filename().string();
        try {
          draw(picture, detail::plot_script(data, stat, mode, record.epoch, name, size_));
        } catch (const detail::FileError& error) {
          count_fault(picture, error.reason());
        } catch (const std::exception& error) {
          count_fault(picture, error.what());
        }
      }
    }
  }

  void finish() override {
    for (const auto& [reason, count] : faults_) {
      if (count == 1) continue;
      report(fmt::format("{} pictures in all were not drawn because of: {}", count, reason));
    }
  }

 private:
  static void check_pixels(std::string_view option, int pixels) {
    if (pixels == 0 || (pixels >= 200 && pixels <= 16000)) return;
    throw std::invalid_argument(
        fmt::format("{} = {}: expected 0 (automatic), or 200 to 16000 pixels", option, pixels));
  }

  void draw(const std::string& picture, const std::string& script) const {
    constexpr std::chrono::seconds patience(60);
    detail::make_parent_folders(picture);
    detail::PendingFile file(picture);
    // "-d": the user's own settings for gnuplot must not change our pictures.
    const detail::ProcessEnd end =
        detail::run_program(*gnuplot_, {"-d"}, script, file.descriptor(), patience);
    const std::string words = first_lines(end.errors);
    if (end.timed_out) {
      throw std::runtime_error(
          fmt::format("gnuplot did not end within {} s{}", patience.count(), words));
    }
    if (end.signal != 0) {
      throw std::runtime_error(fmt::format("signal {} ended gnuplot{}", end.signal, words));
    }
    if (end.exit_code != 0) {
      throw std::runtime_error(fmt::format("gnuplot ended with code {}{}", end.exit_code, words));
    }
    if (!is_whole_png(detail::read_file(file.temporary()).value_or(""))) {
      throw std::runtime_error("what gnuplot wrote is not a whole PNG picture" + words);
    }
    file.commit();
  }

  static bool is_whole_png(std::string_view bytes) {
    constexpr std::string_view signature("\x89PNG\r\n\x1a\n", 8);
    constexpr std::string_view last_chunk("\0\0\0\0IEND\xAE\x42\x60\x82", 12);
    return bytes.size() > signature.size() + last_chunk.size() &&
           bytes.substr(0, signature.size()) == signature &&
           bytes.substr(bytes.size() - last_chunk.size()) == last_chunk;
  }

  /// The first lines of what a program complained, as the end of a sentence.
  static std::string first_lines(std::string_view errors) {
    constexpr std::size_t most_lines = 4;
    constexpr std::size_t most_bytes = 160;
    std::string words;
    for (std::size_t lines = 0; !errors.empty() && lines < most_lines;) {
      const std::size_t end = std::min(errors.find('\n'), errors.size());
      std::string line = detail::one_line(errors.substr(0, std::min(end, most_bytes)));
      errors.remove_prefix(std::min(end + 1, errors.size()));
      if (line.find_first_not_of(" ^") == std::string::npos) continue;
      words.append(words.empty() ? ": " : " | ").append(line, line.find_first_not_of(' '));
      ++lines;
    }
    return words;
  }

  void count_fault(const std::string& picture, const std::string& reason) {
    if (++faults_[reason] == 1) report(fmt::format("cannot draw \"{}\": {}", picture, reason));
  }

  std::string savefile_;
  detail::PlotSize size_;
  std::optional<std::string> gnuplot_;
  std::map<std::string, std::size_t> faults_;
};

}  // namespace delve
