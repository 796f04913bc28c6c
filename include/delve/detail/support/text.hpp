// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::count_if, std::min, std::replace_if
#include <cctype>        // std::isdigit
#include <charconv>      // std::from_chars
#include <cstddef>       // std::ptrdiff_t, std::size_t
#include <cstdint>       // std::int64_t
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc
#include <type_traits>   // std::is_same_v
#include <vector>        // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/support/read_number.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

#ifdef __cpp_lib_to_chars
inline constexpr bool has_from_chars_for_double = true;
#else
inline constexpr bool has_from_chars_for_double = false;
#endif

/// The number that a text consists of; unset where it is none.
template <typename Number>
[[nodiscard]] std::optional<Number> number_in(std::string_view text) {
  if constexpr (std::is_same_v<Number, double> && !has_from_chars_for_double) {
    return double_in(text);
  } else {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
  }
}

/// Whether a code point of a UTF-8 text begins with this byte.
inline bool begins_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

/// The number of code points of a UTF-8 text: near enough to its width on a screen.
inline std::size_t text_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_code_point));
}

/// The text, or its beginning and end where it has more code points than `most`.
inline std::string shortened(std::string_view text, std::size_t most) {
  const std::size_t width = text_width(text);
  if (width <= most || most == 0) return std::string(text);
  // The end of a layer's name distinguishes it from its neighbours, so it keeps more of that.
  const std::size_t at_begin = (most - 1) / 3;
  const std::size_t end_at = width - (most - 1 - at_begin);
  std::string kept;
  std::size_t place = 0;  // of the code point, from 1
  for (const char c : text) {
    const bool begins = begins_code_point(c);
    if (begins && ++place == at_begin + 1) kept.append("…");
    if (place <= at_begin || place > end_at) kept.push_back(c);
  }
  return kept;
}

/// The text on one line: control characters, which a terminal would obey, become blanks.
inline std::string one_line(std::string_view text) {
  std::string line(text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::replace_if(line.begin(), line.end(), is_control, ' ');
  return line;
}

/// Whether a comes before b, with numbers in them compared by size: "features-2" before
/// "features-10". Of two different texts one always does.
inline bool is_before(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a;
  const std::string_view whole_b = b;
  const auto number = [](std::string_view text) {
    std::size_t length = 0;
    while (length < text.size() && std::isdigit(static_cast<unsigned char>(text[length])) != 0) {
      ++length;
    }
    return text.substr(0, length);
  };
  const auto without_zeros = [](std::string_view digits) {
    return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
  };
  while (!a.empty() && !b.empty()) {
    const std::string_view digits_a = number(a);
    const std::string_view digits_b = number(b);
    if (digits_a.empty() || digits_b.empty()) {
      if (a.front() != b.front()) return a < b;
      a.remove_prefix(1);
      b.remove_prefix(1);
      continue;
    }
    const std::string_view size_a = without_zeros(digits_a);
    const std::string_view size_b = without_zeros(digits_b);
    if (size_a != size_b) {
      return size_a.size() != size_b.size() ? size_a.size() < size_b.size() : size_a < size_b;
    }
    a.remove_prefix(digits_a.size());
    b.remove_prefix(digits_b.size());
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "07" and "7" are the same number
}

/// 1234567 as "1,234,567".
[[nodiscard]] inline std::string grouped(std::int64_t number) {
  const std::string digits = fmt::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

/// "a, b, c and 7 more"; all of them where that leaves out no more than one.
[[nodiscard]] inline std::string first_of(const std::vector<std::string>& names, std::size_t count,
                                          std::string_view where_the_others_are = "") {
  if (names.size() <= count + 1) return fmt::format("{}", fmt::join(names, ", "));
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(count);
  return fmt::format("{} and {} more{}", fmt::join(names.begin(), end, ", "), names.size() - count,
                     where_the_others_are);
}

/// Without the stack trace that LibTorch's messages end with, in which they differ.
[[nodiscard]] inline std::string_view first_line(std::string_view message) {
  return message.substr(0, message.find('\n'));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
