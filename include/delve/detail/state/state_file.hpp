// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::uint32_t, std::uint64_t
#include <optional>     // std::optional
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>
#include <delve/detail/support/crc32.hpp>
#include <delve/detail/support/little_endian.hpp>
#include <delve/version.hpp>

// The frame of a state: kStateBegin, the format's number (4 bytes), the content's length (8), the
// content, and the CRC-32C of all that (4), so that nothing that was cut off or changed is read.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

constexpr std::string_view kStateBegin = "delve state\n";
/// To be raised whenever the content changes: other formats are not read.
constexpr std::uint32_t kStateFormat = 1;

inline std::string framed_state(std::string_view content) {
  std::string bytes(kStateBegin);
  bytes.reserve(bytes.size() + content.size() + 16);
  append_little_endian(bytes, kStateFormat);
  append_little_endian(bytes, static_cast<std::uint64_t>(content.size()));
  bytes.append(content);
  append_little_endian(bytes, crc32c(bytes));
  return bytes;
}

/// The content of framed bytes.
/// @param name of the file, for messages
/// @throws std::runtime_error where they are no state, or spoilt, or of another format
inline std::string_view content_of_state(std::string_view bytes, std::string_view name) {
  const auto refuse = [&](const std::string& reason) {
    throw std::runtime_error(fmt::format("delve: \"{}\": {}", name, reason));
  };
  constexpr std::size_t before = kStateBegin.size() + 4 + 8;
  if (bytes.substr(0, kStateBegin.size()) != kStateBegin) {
    refuse("it is no state that save_state() wrote");
  }
  if (bytes.size() < before + 4) refuse("it is cut off");
  const auto format = read_little_endian<std::uint32_t>(bytes.substr(kStateBegin.size()));
  if (format != kStateFormat) {
    refuse(fmt::format("its format is {}, of another version of delve; this one reads {}", format,
                       kStateFormat));
  }
  const auto length = read_little_endian<std::uint64_t>(bytes.substr(kStateBegin.size() + 4));
  if (length > bytes.size() - before - 4) refuse("it is cut off");
  if (length < bytes.size() - before - 4) refuse("there is something after its end");
  const std::string_view checked = bytes.substr(0, bytes.size() - 4);
  if (crc32c(checked) != read_little_endian<std::uint32_t>(bytes.substr(checked.size()))) {
    refuse("it is damaged: its checksum does not match");
  }
  return checked.substr(before);
}

/// All bytes of such a file.
/// @throws FileError where it cannot be read
inline std::string read_state_file(const std::string& path) {
  std::optional<std::string> bytes = read_file(path);
  if (!bytes) throw FileError("read", path, "there is no such file");
  return *std::move(bytes);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
