// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <optional>     // std::optional
#include <stdexcept>    // std::runtime_error
#include <string_view>  // std::string_view

#include <fmt/format.h>

#include <delve/detail/os/os.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The host has less memory than something needs.
class NotEnoughMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Refuses to take more of the host's memory than there is. Linux would grant it, and end the
/// process when it is used.
/// @throws NotEnoughMemory which says how much there is; what to do about it is the caller's to say
inline void require_memory(double bytes, std::string_view purpose) {
  constexpr double worth_asking = 64e6;
  if (bytes < worth_asking) return;
  const std::optional<std::int64_t> available = available_memory();
  if (!available || bytes <= static_cast<double>(*available)) return;
  constexpr double giga = 1e9;
  throw NotEnoughMemory(fmt::format("{} would take {:.1f} GB, but only {:.1f} GB is free", purpose,
                                    bytes / giga, static_cast<double>(*available) / giga));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
