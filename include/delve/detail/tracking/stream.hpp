// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cstdint>    // std::int64_t
#include <utility>    // std::pair
#include <vector>     // std::vector

#include <delve/covariance.hpp>
#include <delve/detail/tracking/row_sample.hpp>
#include <delve/detail/tracking/strided_points.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What is known of a layer in one mode.
template <typename Scalar>
struct Stream {
  Covariance<Scalar> covariance;
  RowSample sample = {};           // empty unless a statistic needs it
  std::int64_t calls = 0;          // never reset
  std::int64_t samples_taken = 0;  // in this epoch
  StridedPoints points = {};       // of use with points_per_dimension alone
  // What every other forward gave, joined with the covariance for the report: how far the two are
  // apart says how far chance alone takes them. Empty unless a statistic needs that.
  Covariance<Scalar> second_half = Covariance<Scalar>();

  /// d; 0 before any data.
  [[nodiscard]] std::int64_t width() const {
    return std::max(covariance.width(), second_half.width());
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(covariance, sample, calls, samples_taken, points, second_half);
  }

  /// As Covariance::release_memory(), of both.
  void release_memory() {
    covariance.release_memory();
    second_half.release_memory();
  }
};

/// The streams of a layer, by mode, in the order of their first forward.
template <typename Scalar>
using Streams = std::vector<std::pair<Mode, Stream<Scalar>>>;

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
