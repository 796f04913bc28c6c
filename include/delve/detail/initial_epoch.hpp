// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>    // std::int64_t
#include <stdexcept>  // std::invalid_argument

#include <fmt/format.h>  // fmt::format

namespace delve::detail {

/// Returns the epoch that a writer is to begin with.
/// @throws std::invalid_argument where it is negative
inline std::int64_t checked_initial_epoch(std::int64_t initial_epoch) {
  if (initial_epoch < 0) {
    throw std::invalid_argument(
        fmt::format("delve: initial_epoch is {}; it must be 0 or more", initial_epoch));
  }
  return initial_epoch;
}

}  // namespace delve::detail
