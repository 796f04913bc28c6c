// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc

#include <fmt/format.h>  // fmt::format

namespace delve::detail {

/// A name, which may hold anything, as the name of one file: '/', '%', control characters and a
/// leading '.' become "%2F" and so on, an empty name becomes "%". Different names stay different.
[[nodiscard]] inline std::string file_name_of(std::string_view name) {
  if (name.empty()) return "%";
  std::string file_name;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const bool is_control = byte < 0x20 || byte == 0x7F;
    if (is_control || byte == '/' || byte == '%' || (byte == '.' && i == 0)) {
      file_name += fmt::format("%{:02X}", static_cast<unsigned>(byte));
    } else {
      file_name.push_back(name[i]);
    }
  }
  return file_name;
}

/// The name that file_name_of() makes this of; nothing where it makes it of none.
[[nodiscard]] inline std::optional<std::string> name_of_file(std::string_view file_name) {
  std::string name;
  for (std::size_t i = 0; i < file_name.size() && file_name != "%"; ++i) {
    if (file_name[i] != '%') {
      name.push_back(file_name[i]);
      continue;
    }
    const std::string_view digits = file_name.substr(i + 1, 2);
    unsigned char byte = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (error != std::errc() || end != digits.data() + 2) return std::nullopt;
    name.push_back(static_cast<char>(byte));
    i += 2;
  }
  if (file_name_of(name) != file_name) return std::nullopt;
  return name;
}

}  // namespace delve::detail
