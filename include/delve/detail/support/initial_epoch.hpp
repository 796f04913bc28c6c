// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t

#include <fmt/format.h>  // fmt::to_string

#include <delve/detail/support/require.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Returns the epoch that a writer is to begin with.
/// @throws std::invalid_argument where it is negative
inline std::int64_t checked_initial_epoch(std::int64_t initial_epoch) {
  require(initial_epoch >= 0, "delve", "initial_epoch", fmt::to_string(initial_epoch),
          "at least 0");
  return initial_epoch;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
