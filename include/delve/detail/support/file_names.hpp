// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::max
#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/support/utf8.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// By whose rules a file is named.
enum class FileNaming { Posix, Windows };

inline constexpr FileNaming own_naming = on_windows ? FileNaming::Windows : FileNaming::Posix;

/// What Windows forbids in the name of a file, besides '/' and control characters. Source of this
/// and of what follows: Microsoft, "Naming Files, Paths, and Namespaces", "Naming Conventions".
inline constexpr std::string_view forbidden_on_windows = "<>:\"|?*\\";

/// Whether Windows takes a name for a device's, with any extension: "CON", "nul.txt".
[[nodiscard]] inline bool is_device_on_windows(std::string_view name) {
  std::string stem(name.substr(0, name.find('.')));
  while (!stem.empty() && stem.back() == ' ') stem.pop_back();
  for (char& c : stem) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  for (const char* const device : {"CON", "PRN", "AUX", "NUL"}) {
    if (stem == device) return true;
  }
  if (stem.substr(0, 3) != "COM" && stem.substr(0, 3) != "LPT") return false;
  const std::string number = stem.substr(3);
  // The superscripts ¹, ² and ³ count as digits.
  return (number.size() == 1 && number[0] >= '0' && number[0] <= '9') || number == "\xC2\xB9" ||
         number == "\xC2\xB2" || number == "\xC2\xB3";
}

/// Whether Windows drops the end of a name.
[[nodiscard]] inline bool loses_its_end_on_windows(std::string_view name) {
  return !name.empty() && (name.back() == '.' || name.back() == ' ');
}

[[nodiscard]] inline std::string percent_encoded(char c) {
  return fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
}

/// A text as part of a file's name: '/', '%' and control characters become "%2F" and so on; on
/// Windows also what it forbids, and bytes that are not UTF-8, which no name there has.
[[nodiscard]] inline std::string file_name_part(std::string_view text,
                                                FileNaming naming = own_naming) {
  const bool windows = naming == FileNaming::Windows;
  std::string part;
  while (!text.empty()) {
    const char c = text.front();
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t length = windows ? code_point_length(text) : 1;
    const bool is_forbidden = c == '/' || c == '%' || byte < 0x20 || byte == 0x7F || length == 0 ||
                              (windows && forbidden_on_windows.find(c) != std::string_view::npos);
    const std::size_t taken = std::max<std::size_t>(1, length);
    part.append(is_forbidden ? percent_encoded(c) : std::string(text.substr(0, taken)));
    text.remove_prefix(taken);
  }
  return part;
}

/// A name, which may hold anything, as the whole name of one file: like file_name_part(), and a
/// leading '.' becomes "%2E", an empty name "%". On Windows a '.' or a blank at the end and the
/// first letter of a device's name are encoded as well. Different names stay different; but Windows
/// itself takes those that differ in case alone as the same.
[[nodiscard]] inline std::string file_name_of(std::string_view name,
                                              FileNaming naming = own_naming) {
  if (name.empty()) return "%";
  std::string file_name = name.front() == '.' ? "%2E" + file_name_part(name.substr(1), naming)
                                              : file_name_part(name, naming);
  if (naming == FileNaming::Posix) return file_name;
  if (loses_its_end_on_windows(file_name)) {
    const std::string end = percent_encoded(file_name.back());
    file_name.replace(file_name.size() - 1, 1, end);
  }
  if (is_device_on_windows(file_name)) file_name.replace(0, 1, percent_encoded(file_name.front()));
  return file_name;
}

/// Whether Windows makes a file of this name, as it is.
[[nodiscard]] inline bool is_name_on_windows(std::string_view name) {
  return name.find_first_of(forbidden_on_windows) == std::string_view::npos &&
         !loses_its_end_on_windows(name) && !is_device_on_windows(name);
}

/// The name that file_name_of() turns into this, on either system; nothing where there is none.
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
  for (const FileNaming naming : {FileNaming::Posix, FileNaming::Windows}) {
    if (file_name_of(name, naming) == file_name) return name;
  }
  return std::nullopt;
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

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
