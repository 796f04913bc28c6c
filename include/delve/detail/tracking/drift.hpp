// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::min
#include <cmath>      // std::sqrt
#include <cstdint>    // std::int64_t

#include <ATen/ATen.h>

#include <delve/covariance.hpp>
#include <delve/detail/state/tensor_state.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/detail/tracking/stream.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A covariance without its size, for one epoch to be compared with the next.
struct CovarianceShape {
  at::Tensor sigma;                ///< Σ / ‖Σ‖: (d, d) float32; undefined: nothing varied
  double participation_ratio = 0;  ///< of Σ: (tr Σ)² / ‖Σ‖²

  [[nodiscard]] bool defined() const { return sigma.defined(); }
  [[nodiscard]] std::int64_t width() const { return defined() ? sigma.size(0) : 0; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_of(sigma); }

  template <typename Archive>
  void state(Archive& archive) {
    archive(sigma, participation_ratio);
    archive.require(!sigma.defined() || (sigma.dim() == 2 && sigma.size(0) == sigma.size(1)));
  }
};

/// @param sigma (d, d), float64. Waits for the device.
inline CovarianceShape shape_of(const at::Tensor& sigma) {
  const auto trace = sigma.trace().template item<double>();
  if (!(trace > 0) || !is_finite(trace)) return {};
  const at::Tensor of_trace_one = sigma / trace;  // whose squares neither over- nor underflow
  const auto norm = of_trace_one.norm().template item<double>();
  return {of_trace_one.div(norm).to(at::kFloat), 1 / (norm * norm)};
}

/// 1 − tr(ΣΣ′) / (‖Σ‖ ‖Σ′‖), one minus the cosine between two covariances as vectors of d² numbers:
/// 1 − RV, with Robert & Escoufier's coefficient between matrices ("A unifying tool for linear
/// multivariate statistical methods: the RV-coefficient", Applied Statistics 25(3), 1976). For unit
/// vectors it is half the square of their distance, in which nothing cancels where they are alike.
/// From 0 to 1, since tr(ΣΣ′) ≥ 0. Waits for the device.
/// @return missing where one is undefined, or the widths differ
inline double drift_between(const CovarianceShape& a, const CovarianceShape& b) {
  if (!a.defined() || a.width() != b.width()) return missing_number();
  const at::Tensor difference = a.sigma - b.sigma.to(a.sigma.device());
  const auto distance = difference.norm(2, at::kDouble).template item<double>();
  return std::min(1.0, distance * distance / 2);
}

/// What drift_between() would be on average if one of the two were turned at random: then the mean
/// of tr(ΣΣ′) is tr Σ · tr Σ′ / d, and with PR = (tr Σ)² / ‖Σ‖² that is 1 − √(PR·PR′) / d.
/// @return missing as of drift_between()
inline double chance_drift(const CovarianceShape& a, const CovarianceShape& b) {
  if (!a.defined() || a.width() != b.width()) return missing_number();
  return 1 -
         std::sqrt(a.participation_ratio * b.participation_ratio) / static_cast<double>(a.width());
}

/// Joins the halves of a stream. Waits for the device.
/// @return what drift is between two such epochs by chance: half of that between the halves. Drift
///   of two samples of n points each is proportional to 2/n, and each half has n/2. Missing where
///   one half is empty, or nothing varied in it
template <typename Scalar>
double join_halves(Stream<Scalar>& stream) {
  const auto shape = [](Covariance<Scalar>& half) {
    return half.samples() > 0 ? shape_of(half.matrix()) : CovarianceShape{};
  };
  const double drift = drift_between(shape(stream.covariance), shape(stream.second_half));
  stream.covariance.merge(stream.second_half);
  stream.second_half.reset();
  return is_nan(drift) ? drift : drift / 2;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
