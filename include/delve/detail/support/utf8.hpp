// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The number of bytes of the code point that a text begins with; 0 where it begins with none.
/// Source: the table "Well-Formed UTF-8 Byte Sequences" of the Unicode standard, section 3.9.
[[nodiscard]] inline std::size_t code_point_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return 0;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < length) return 0;
  // No code point may be written longer than it needs, be half of a surrogate pair, or lie beyond
  // the last one: the second byte shows it.
  if (byte(1) < (first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80)) return 0;
  if (byte(1) > (first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF)) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  return length;
}

/// The text, with U+FFFD for each byte that is not part of a code point: names can be any bytes,
/// and readers of UTF-8 refuse a whole text for one bad byte.
[[nodiscard]] inline std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::size_t length = code_point_length(text);
    valid.append(length > 0 ? text.substr(0, length) : "\xEF\xBF\xBD");
    text.remove_prefix(length > 0 ? length : 1);
  }
  return valid;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
