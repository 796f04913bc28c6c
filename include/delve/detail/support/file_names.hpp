// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc

#include <fmt/format.h>  // fmt::format

#include <delve/detail/support/text.hpp>

namespace delve::detail {

/// A text as part of a file's name: '/', '%' and control characters become "%2F" and so on.
[[nodiscard]] inline std::string file_name_part(std::string_view text) {
  std::string part;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '%' || byte < 0x20 || byte == 0x7F) {
      part += fmt::format("%{:02X}", static_cast<unsigned>(byte));
    } else {
      part.push_back(c);
    }
  }
  return part;
}

/// A name, which may hold anything, as the whole name of one file: like file_name_part(), and a
/// leading '.' becomes "%2E", an empty name "%". Different names stay different.
[[nodiscard]] inline std::string file_name_of(std::string_view name) {
  if (name.empty()) return "%";
  if (name.front() == '.') return "%2E" + file_name_part(name.substr(1));
  return file_name_part(name);
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

/// What an array of an epoch is called in the folder of its name: "NAME_epochN.npy".
[[nodiscard]] inline std::string array_file_name(std::string_view folder, std::int64_t epoch) {
  return fmt::format("{}_epoch{}.npy", folder, epoch);
}

/// The epoch in such a name; nothing where a file is called otherwise.
[[nodiscard]] inline std::optional<std::int64_t> epoch_of_array_file(std::string_view file,
                                                                     std::string_view folder) {
  const std::string before = fmt::format("{}_epoch", folder);
  constexpr std::string_view after = ".npy";
  if (file.size() <= before.size() + after.size() || file.substr(0, before.size()) != before ||
      file.substr(file.size() - after.size()) != after) {
    return std::nullopt;
  }
  const auto epoch = number_in<std::int64_t>(
      file.substr(before.size(), file.size() - before.size() - after.size()));
  // "007" is not how a writer writes 7; both files would be of one epoch.
  return epoch && array_file_name(folder, *epoch) == file ? epoch : std::nullopt;
}

}  // namespace delve::detail
