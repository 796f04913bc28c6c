// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::min
#include <chrono>       // std::chrono::seconds
#include <cstddef>      // std::size_t
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/process.hpp>
#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/support/text.hpp>

namespace delve::detail {

/// The first lines of what a program complained, as the end of a sentence.
inline std::string first_complaints(std::string_view errors) {
  constexpr std::size_t most_lines = 4;
  constexpr std::size_t most_bytes = 160;
  std::string words;
  for (std::size_t lines = 0; !errors.empty() && lines < most_lines;) {
    const std::size_t end = std::min(errors.find('\n'), errors.size());
    std::string line = one_line(errors.substr(0, std::min(end, most_bytes)));
    errors.remove_prefix(std::min(end + 1, errors.size()));
    if (line.find_first_not_of(" ^") == std::string::npos) continue;
    words.append(words.empty() ? ": " : " | ").append(line, line.find_first_not_of(' '));
    ++lines;
  }
  return words;
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
  const ProcessEnd end = run_program(gnuplot, {"-d"}, script, file.descriptor(), patience);
  const std::string words = first_complaints(end.errors);
  const std::string fault = fault_of(end, "gnuplot", fmt::format("{} s", patience.count()));
  if (!fault.empty()) throw std::runtime_error(fault + words);
  if (!is_whole_picture(kind, read_file(file.temporary()).value_or(""))) {
    throw std::runtime_error(
        fmt::format("what gnuplot wrote is not a whole {} picture{}", kind.name, words));
  }
  file.commit();
}

}  // namespace delve::detail
