// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How many data points per dimension should have for its variance to be that of the layer, not of
/// the sample.
constexpr std::int64_t kSamplesPerDimension = 10;

/// Whether saturation may come out too low for lack of data.
constexpr bool has_few_points(double samples, std::int64_t width) {
  return samples < static_cast<double>(kSamplesPerDimension * width);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
