// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>    // std::sqrt
#include <cstddef>  // std::size_t
#include <vector>   // std::vector

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

/// The standard error of the difference of two shares of right answers on the same samples, s/√n
/// with s² the variance of the samples' differences (with n − 1): what both get right or wrong
/// cancels (McNemar, "Note on the sampling error of the difference between correlated proportions
/// or percentages", Psychometrika 12, 1947).
/// @param a (n): 1, 0, or a NaN where a sample does not count
/// @return missing where fewer than two samples count in both
inline double paired_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor difference = a - b;
  const at::Tensor known = difference.masked_select(at::isnan(difference).logical_not());
  const auto count = static_cast<double>(known.numel());
  if (count < 2) return missing_number();
  return std::sqrt(known.var(/*unbiased=*/true).item<double>() / count);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
