// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>    // std::invalid_argument
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Refuses a bad setting.
/// @param owner whose setting it is: "delve::PlotOptions"
/// @throws std::invalid_argument "delve::PlotOptions: width is 7; it must be 200 to 16000 pixels"
inline void require(bool holds, std::string_view owner, std::string_view option,
                    std::string_view value, std::string_view valid) {
  if (holds) return;
  throw std::invalid_argument(
      fmt::format("{}: {} is {}; it must be {}", owner, option, value, valid));
}

/// Checks that a share is above 0 and at most 1.
inline void require_share(double share, std::string_view owner, std::string_view option) {
  require(share > 0 && share <= 1, owner, option, fmt::to_string(share), "above 0 and at most 1");
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
