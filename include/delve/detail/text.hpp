// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::count_if, std::replace_if
#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc

namespace delve::detail {

/// The number that a text is, wholly.
template <typename Number>
[[nodiscard]] std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

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
