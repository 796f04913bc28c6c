// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cmath>      // std::sqrt
#include <cstddef>    // std::size_t
#include <optional>   // std::optional
#include <vector>     // std::vector

#include <ATen/ATen.h>

#include <delve/detail/probes/probe_score.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What a probe got right, all samples in a row: (n) float64 on the host; undefined without any.
/// Waits for the device.
inline at::Tensor in_a_row(const std::vector<SampleScores>& scores) {
  std::vector<at::Tensor> parts;
  for (const SampleScores& part : scores) parts.push_back(part.is_right);
  return parts.empty() ? at::Tensor() : at::cat(parts).to(at::kCPU, at::kDouble);
}

/// Whether two probes were tried on the same samples in the same order.
inline bool are_of_same_samples(const std::vector<SampleScores>& a,
                                const std::vector<SampleScores>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool is_same =
        a[i].first_sample == b[i].first_sample && a[i].is_right.size(0) == b[i].is_right.size(0);
    if (!is_same) return false;
  }
  return true;
}

/// The best probe of the layers before, which each layer's is compared with.
class BestBefore {
 public:
  /// Takes the next layer in.
  /// @param place the caller's name for it
  /// @param share what its probe got right
  /// @return the place of the best one before; unset for the first layer
  std::optional<std::size_t> take(std::size_t place, double share) {
    const std::optional<std::size_t> before = best_;
    if (!best_ || share > share_) {
      best_ = place;
      share_ = share;
    }
    return before;
  }

 private:
  std::optional<std::size_t> best_;
  double share_ = 0;
};

/// How the right answers of two probes differ, sample by sample: sums that several ranks, each with
/// samples of its own, add up. Waits for the device.
/// @return (4) float64 on the host: samples that count in both, Σδ, Σδ², and 1 where the two were
///   not tried on the same samples
inline at::Tensor paired_sums(const std::vector<SampleScores>& a,
                              const std::vector<SampleScores>& b) {
  at::Tensor sums = at::zeros({4}, at::kDouble);
  if (!are_of_same_samples(a, b)) {
    sums[3] = 1;
  } else if (!a.empty()) {
    const at::Tensor difference = in_a_row(a) - in_a_row(b);
    const at::Tensor known = difference.masked_select(at::isnan(difference).logical_not());
    sums[0] = known.numel();
    sums[1] = known.sum();
    sums[2] = known.square().sum();
  }
  return sums;
}

/// The standard error of the difference of two shares of right answers on the same samples, s/√n
/// with s² the variance of the samples' differences (with n − 1): what both get right or wrong
/// cancels (McNemar, "Note on the sampling error of the difference between correlated proportions
/// or percentages", Psychometrika 12, 1947). From sums, which are exact for −1, 0 and 1.
/// @param sums as paired_sums() returns them, on the host
/// @return missing where fewer than two samples count in both, or they are not the same
inline double paired_error(const at::Tensor& sums) {
  const double* const sum = sums.data_ptr<double>();
  const double count = sum[0];
  if (count < 2 || sum[3] > 0) return missing_number();
  const double variance = (sum[2] - sum[1] * sum[1] / count) / (count - 1);
  return std::sqrt(std::max(0.0, variance) / count);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
