// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::min
#include <chrono>       // std::chrono::seconds
#include <cstddef>      // std::size_t
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/os/process.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What gnuplot 6 complains of in every picture where the locale has no UTF-8, whatever it draws.
constexpr std::string_view kIdleComplaint = "iconv failed to convert degree sign";

/// The first lines of what a program complained of, as the end of a sentence.
inline std::string first_complaints(std::string_view errors) {
  constexpr std::size_t most_lines = 4;
  constexpr std::size_t most_bytes = 160;
  std::string words;
  for (std::size_t lines = 0; !errors.empty() && lines < most_lines;) {
    const std::size_t end = std::min(errors.find('\n'), errors.size());
    std::string line = one_line(errors.substr(0, std::min(end, most_bytes)));
    errors.remove_prefix(std::min(end + 1, errors.size()));
    if (line.find_first_not_of(" ^") == std::string::npos) continue;
    if (line.find(kIdleComplaint) != std::string::npos) continue;
    words.append(words.empty() ? ": " : " | ").append(line, line.find_first_not_of(' '));
    ++lines;
  }
  return words;
}

/// What of the user's environment changes how gnuplot starts and which fonts it takes (its manual,
/// "Environment", and the terminals' own pages). GNUTERM names a terminal that this gnuplot may not
/// have, and then no script runs at all.
inline const std::vector<std::string_view>& gnuplot_variables() {
  static const std::vector<std::string_view> names = {
      "GNUTERM",          "GNUPLOT_LIB",       "GDFONTPATH", "GNUPLOT_DEFAULT_GDFONT",
      "GNUPLOT_FONTPATH", "GNUPLOT_PS_DIR",    "GNUHELP",    "FIT_SCRIPT",
      "FIT_LOG",          "GNUPLOT_DRIVER_DIR"};
  return names;
}

/// Has gnuplot draw a script into a file, which is there whole or, if this throws, not at all.
/// @param gnuplot the path of the program
/// @throws std::exception that says what went wrong
inline void draw_picture(const std::string& gnuplot, const PictureKind& kind,
                         const std::string& picture, const std::string& script) {
  // An animation is up to 200 pictures.
  const std::chrono::seconds patience(&kind == &gif_picture ? 600 : 60);
  make_parent_folders(picture);
  PendingFile file(picture);
  // "-d": the user's own settings for gnuplot must not change our pictures.
  const ProcessEnd end =
      run_program(gnuplot, {"-d"}, script, file.file(), patience, gnuplot_variables());
  const std::string words = first_complaints(end.errors);
  const std::string fault = fault_of(end, "gnuplot", fmt::format("{} s", patience.count()));
  if (!fault.empty()) throw std::runtime_error(fault + words);
  if (!is_whole_picture(kind, read_file(file.temporary()).value_or(""))) {
    throw std::runtime_error(
        fmt::format("what gnuplot wrote is not a whole {} picture{}", kind.name, words));
  }
  file.commit();
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
