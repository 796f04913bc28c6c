// SPDX-License-Identifier: MIT
//
// The least that shows that delve is there, and LibTorch, Eigen and fmt with it. Points on a line
// in space: one direction of three.

#include <cstdint>   // std::int64_t
#include <cstdlib>   // EXIT_FAILURE, EXIT_SUCCESS
#include <iostream>  // std::cout

#include <fmt/format.h>
#include <torch/utils.h>
#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/spectrum.hpp>
#include <delve/version.hpp>

int main() {
  torch::manual_seed(1);
  delve::Covariance<double> covariance;
  covariance.update(torch::randn({100, 1}).expand({100, 3}));
  const auto eigenvalues = delve::symmetric_eigenvalues(covariance.matrix());
  if (!eigenvalues) return EXIT_FAILURE;
  const std::int64_t directions = delve::Spectrum(*eigenvalues, 3).dimensionality(0.99);
  std::cout << fmt::format("delve {}: {} direction, expected 1\n", DELVE_VERSION_TEXT, directions);
  return directions == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
