// SPDX-License-Identifier: MIT
#pragma once

// What covariances are held against.

#include <cmath>    // std::sqrt
#include <cstdint>  // std::int64_t

#include <torch/types.h>

namespace delve_test {

/// The covariance by its definition, in two passes and float64, on the host.
inline torch::Tensor two_pass(const torch::Tensor& rows) {
  const torch::Tensor exact = rows.to(torch::kCPU, torch::kDouble);
  const torch::Tensor centred = exact - exact.mean(0);
  return centred.t().mm(centred) / rows.size(0);
}

/// The largest error of an entry, in units of the largest entry.
inline double relative_error(const torch::Tensor& found, const torch::Tensor& expected) {
  return ((found.to(expected.device()) - expected).abs().max() / expected.abs().max())
      .item<double>();
}

/// Rows whose features have very different spreads and are correlated.
inline torch::Tensor random_rows(std::int64_t count, std::int64_t width, double mean = 0) {
  const torch::Tensor mixing = torch::randn({width, width}) / std::sqrt(static_cast<double>(width));
  return torch::randn({count, width}).mm(mixing) * torch::logspace(0, -2, width) + mean;
}

}  // namespace delve_test
