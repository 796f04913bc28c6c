// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max
#include <cmath>        // std::ceil
#include <cstdint>      // std::int64_t, std::uint64_t
#include <numeric>      // std::gcd
#include <string_view>  // std::string_view

#include <ATen/ATen.h>

#include <delve/detail/support/random_bits.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// One of so many data points: every Nth position of every Mth sample.
struct PointStride {
  std::int64_t samples = 1;
  std::int64_t positions = 1;

  [[nodiscard]] std::int64_t points() const { return samples * positions; }

  template <typename Archive>
  void state(Archive& archive) {
    archive(samples, positions);
    archive.require(samples > 0 && samples < (1LL << 31U) && positions > 0 &&
                    positions < (1LL << 31U));
  }

  /// A view of the points of one of the points() offsets. Those of all offsets are the forward's
  /// points, each once: a uniform offset takes each with the same probability.
  /// @param rows (n, d) or (b, n, d)
  /// @param offset from 0 to points() − 1
  [[nodiscard]] at::Tensor pick(const at::Tensor& rows, std::int64_t offset) const {
    const auto every = [](const at::Tensor& of, std::int64_t axis, std::int64_t first,
                          std::int64_t step) {
      return step == 1 ? of : of.slice(axis, first, of.size(axis), step);
    };
    if (rows.dim() == 2 && positions > 1) return pick(rows.unsqueeze(1), offset);
    const at::Tensor some = every(rows, 0, offset / positions, samples);
    return rows.dim() == 2 ? some : every(some, 1, offset % positions, positions);
  }
};

/// What came in an epoch, for the stride of the next one.
struct PointCount {
  std::int64_t points = 0;     ///< of all forwards
  std::int64_t width = 0;      ///< d
  std::int64_t positions = 1;  ///< of a sample, or of the largest one

  void add(const at::Tensor& rows) {
    width = rows.size(-1);
    points += rows.numel() / width;
    if (rows.dim() == 3) positions = std::max(positions, rows.size(1));
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(points, width, positions);
    archive.require(points >= 0 && positions > 0 && (points == 0 || width > 0));
  }
};

/// The stride by which an epoch like this one gives at most so many points per dimension. It shares
/// no factor with the number of positions, so that it meets all columns and all lines of a map:
/// 32 would meet one column of a map of 32. Where one position a sample is still too many, samples
/// are left out as well.
inline PointStride stride_for(const PointCount& epoch, std::int64_t points_per_dimension) {
  if (epoch.points == 0) return {};
  const double stride =
      static_cast<double>(epoch.points) /
      (static_cast<double>(points_per_dimension) * static_cast<double>(epoch.width));
  const auto positions = static_cast<double>(epoch.positions);
  if (stride <= 1) return {};
  if (stride > positions) {
    return {static_cast<std::int64_t>(std::ceil(stride / positions)), epoch.positions};
  }
  auto coprime = static_cast<std::int64_t>(std::ceil(stride));
  while (std::gcd(coprime, epoch.positions) != 1) ++coprime;
  return {1, coprime};
}

/// Takes points of one layer in one mode, about so many per dimension in an epoch. The first epoch
/// gives all, since their number is known at its end only, and a stride chosen during it would give
/// more weight to the network as it was before. Not thread-safe.
class StridedPoints {
 public:
  /// The points of a forward that are taken: (n, d) or (b, n, d), maybe none. A view.
  /// @param bits of the forward, random: an offset that grew by one per forward would give a
  ///   layer that is called twice per step only every second position
  [[nodiscard]] at::Tensor pick(const at::Tensor& rows, std::uint64_t bits) {
    seen_.add(rows);
    if (takes_all()) return rows;
    return stride_.pick(
        rows, static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(stride_.points())));
  }

  [[nodiscard]] bool takes_all() const { return stride_.points() == 1; }

  /// Sets the stride of the next epoch; an epoch without data leaves it as it is.
  void end_epoch(std::int64_t points_per_dimension) {
    if (seen_.points > 0) stride_ = stride_for(seen_, points_per_dimension);
    seen_ = {};
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(stride_, seen_);
  }

 private:
  PointStride stride_;
  PointCount seen_;
};

/// The bits of a forward for StridedPoints::pick().
/// @param count the forward's number in that mode
inline std::uint64_t forward_bits(std::uint64_t seed, std::string_view layer, std::string_view mode,
                                  std::int64_t count) {
  const std::uint64_t of_layer = random_bits(seed, fnv1a(layer));
  return random_bits(random_bits(of_layer, fnv1a(mode)), static_cast<std::uint64_t>(count));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
