// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>    // std::exp2, std::sqrt
#include <cstdint>  // std::int64_t

#include <c10/core/ScalarType.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The unit roundoff of a floating type: half the distance from 1 to the next number.
inline double unit_roundoff(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Double:
      return std::exp2(-53);
    case c10::ScalarType::Half:
      return std::exp2(-11);
    case c10::ScalarType::BFloat16:
      return std::exp2(-8);
    default:
      return std::exp2(-24);
  }
}

/// The type with fewer digits.
inline c10::ScalarType coarser(c10::ScalarType a, c10::ScalarType b) {
  return unit_roundoff(a) > unit_roundoff(b) ? a : b;
}

/// How large an eigenvalue of a covariance becomes by rounding alone, where it should be zero. What
/// is below may as well be zero. It has three parts. Their forms follow from these sources, for
/// rounding errors that are independent and as often up as down; their factors are measured: for
/// ranks 1 to d, d of 8 to 300, n of 40 to 40,000 and means up to 10⁴ times the spread, no
/// eigenvalue that should be zero reached a quarter of the floor (tests/test_noise_floor.cpp).
///
/// The activations. Each is off by a few units of its size, so that noise of variance ν² lies in
/// all d directions, also in those that the layer cannot reach. The covariance of n such errors has
/// no eigenvalue above ν²(1 + √(d/n))² but for a small chance (Davidson & Szarek, "Local operator
/// theory, random matrices and Banach spaces", Handbook of the Geometry of Banach Spaces 1, 2001,
/// theorem II.13). The largest second moment counts, the mean's square included. A layer adds many
/// products in float32, and 8 units are granted for that; what is narrower is rounded once.
///
/// The products. An entry of Σ yᵢyᵢᵀ/n is off by a few units of the product of two features' sizes
/// (Higham & Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput.
/// 41(5), 2019: by the square root of how many are added one after the other, which BLAS keeps to
/// blocks of some hundreds; over the blocks the errors average out). A symmetric matrix of
/// independent errors e has the norm 2√d·e (Bai & Yin, Annals of Probability 16(4), 1988), and e is
/// half a unit; to it the diagonal adds its own errors, of sums without cancellation: 8 units.
///
/// The solver. A computed eigenvalue is exact for a matrix that is off by a few times √d units of
/// its norm (Anderson et al., "LAPACK Users' Guide", 3rd edition, section 4.7).
struct NoiseSources {
  std::int64_t samples;           ///< n
  std::int64_t width;             ///< d
  c10::ScalarType activations;    ///< the type with the fewest digits that came
  double largest_square;          ///< of the features, the largest mean of x²
  c10::ScalarType products;       ///< the narrower of the types of products and sums
  double largest_shifted_square;  ///< the same of y², which were multiplied
  double trace;                   ///< of Σ
};

inline double noise_floor(const NoiseSources& it) {
  const auto width = static_cast<double>(it.width);
  const double root = std::sqrt(width);
  const double spread = 1 + std::sqrt(width / static_cast<double>(it.samples));
  const bool is_narrow =
      it.activations == c10::ScalarType::Half || it.activations == c10::ScalarType::BFloat16;
  const double error = (is_narrow ? 1 : 8) * unit_roundoff(it.activations) * spread;
  return error * error * it.largest_square +
         (unit_roundoff(it.products) * it.largest_shifted_square +
          unit_roundoff(c10::ScalarType::Double) * it.trace) *
             (root + 8);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
