// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::uint32_t, std::uint64_t
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <delve/detail/support/crc32.hpp>
#include <delve/detail/support/little_endian.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A CRC of a TFRecord file.
[[nodiscard]] inline std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return static_cast<std::uint32_t>(((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U);
}

/// One record of a TFRecord file: length and data, each with its CRC-32C, masked since the CRC of
/// bytes that hold their own CRC is of little use. Source: TensorFlow's guide "TFRecord and
/// tf.train.Example", "TFRecords format details".
[[nodiscard]] inline std::string tf_record(std::string_view data) {
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(data.size()));
  append_little_endian(record, masked_crc32c(record));
  record.append(data);
  append_little_endian(record, masked_crc32c(data));
  return record;
}

/// Removes the record that these bytes begin with, and returns its data; nothing where they do not
/// begin with a whole one.
[[nodiscard]] inline std::optional<std::string_view> next_tf_record(std::string_view& bytes) {
  constexpr std::size_t head = 12;
  constexpr std::size_t tail = 4;
  if (bytes.size() < head + tail) return std::nullopt;
  const auto size = read_little_endian<std::uint64_t>(bytes);
  if (size > bytes.size() - head - tail) return std::nullopt;
  const std::string_view data = bytes.substr(head, static_cast<std::size_t>(size));
  const bool is_whole =
      read_little_endian<std::uint32_t>(bytes.substr(8)) == masked_crc32c(bytes.substr(0, 8)) &&
      read_little_endian<std::uint32_t>(bytes.substr(head + data.size())) == masked_crc32c(data);
  if (!is_whole) return std::nullopt;
  bytes.remove_prefix(head + data.size() + tail);
  return data;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
