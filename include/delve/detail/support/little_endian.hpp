// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Appends an unsigned number, its lowest byte first, whatever the machine's own order is.
template <typename Unsigned>
void append_little_endian(std::string& bytes, Unsigned number) {
  char lowest_first[sizeof number];
  for (std::size_t i = 0; i < sizeof number; ++i) {
    lowest_first[i] = static_cast<char>(static_cast<unsigned char>(number >> (8 * i)));
  }
  bytes.append(lowest_first, sizeof number);
}

/// The unsigned number at the beginning of these bytes, of which there must be enough.
template <typename Unsigned>
[[nodiscard]] Unsigned read_little_endian(std::string_view bytes) {
  Unsigned number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    const auto byte = static_cast<Unsigned>(static_cast<unsigned char>(bytes[i]));
    number = static_cast<Unsigned>(number | static_cast<Unsigned>(byte << (8 * i)));
  }
  return number;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
