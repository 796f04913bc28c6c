// SPDX-License-Identifier: MIT
#pragma once

#include <array>        // std::array
#include <cstdint>      // std::uint32_t
#include <string_view>  // std::string_view

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What each byte does to a CRC-32 of this polynomial, its bits mirrored.
template <std::uint32_t polynomial>
constexpr std::array<std::uint32_t, 256> crc32_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1U) ^ ((remainder & 1U) != 0 ? polynomial : 0U);
    }
    table[byte] = remainder;
  }
  return table;
}

template <std::uint32_t polynomial>
[[nodiscard]] std::uint32_t crc32_by(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = crc32_table<polynomial>();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc = (crc >> 8U) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  }
  return ~crc;
}

/// The CRC-32 of a ZIP archive (PKWARE's APPNOTE.TXT, section 4.4.7): polynomial 0x04C11DB7.
[[nodiscard]] inline std::uint32_t crc32(std::string_view bytes) {
  return crc32_by<0xEDB88320U>(bytes);
}

/// CRC-32C, that of a TFRecord file (RFC 3720, appendix B.4): polynomial 0x1EDC6F41.
[[nodiscard]] inline std::uint32_t crc32c(std::string_view bytes) {
  return crc32_by<0x82F63B78U>(bytes);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
