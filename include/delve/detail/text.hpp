// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::count_if, std::replace_if
#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view

namespace delve::detail {

/// The number of code points of a UTF-8 text: near enough to its width on a screen.
inline std::size_t text_width(std::string_view text) {
  const auto begins_code_point = [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  };
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_code_point));
}

/// The text on one line: control characters, which a terminal would obey, become blanks.
inline std::string one_line(std::string_view text) {
  std::string line(text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::replace_if(line.begin(), line.end(), is_control, ' ');
  return line;
}

}  // namespace delve::detail
