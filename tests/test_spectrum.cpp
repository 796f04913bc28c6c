// SPDX-License-Identifier: MIT
#include <delve/spectrum.hpp>

#include <cmath>
#include <random>
#include <vector>

#include "catch.hpp"

namespace test_spectrum {

using delve::IdimRule;
using delve::Spectrum;

namespace {

Spectrum spectrum_of(const std::vector<double>& values) {
  const auto size = static_cast<Eigen::Index>(values.size());
  return {Eigen::Map<const Eigen::VectorXd>(values.data(), size), size};
}

/// The definition, word by word: the first k whose share, summed from scratch, is large enough.
std::int64_t smallest_sufficient(std::vector<double> values, double threshold) {
  std::sort(values.rbegin(), values.rend());
  long double total = 0;
  for (const double value : values) total += std::max(value, 0.0);
  for (std::size_t k = 1; k <= values.size(); ++k) {
    long double share = 0;
    for (std::size_t i = 0; i < k; ++i) share += std::max(values[i], 0.0) / total;
    if (share >= threshold) return static_cast<std::int64_t>(k);
  }
  return -1;
}

}  // namespace

TEST_CASE("Dimensionality is the fewest directions that explain enough", "[spectrum]") {
  CHECK(spectrum_of({0.5, 0.5}).dimensionality(0.99) == 2);
  CHECK(spectrum_of({0.995, 0.005}).dimensionality(0.99) == 1);
  CHECK(spectrum_of({1, 98, 1}).dimensionality(0.98) == 1);
  CHECK(spectrum_of({1, 98, 1}).dimensionality(0.9800001) == 2);
  CHECK(spectrum_of({4, 4, 4, 4}).saturation(0.75) == 0.75);
}

TEST_CASE("Delve's dimensionality counts the shares below the threshold", "[spectrum]") {
  CHECK(spectrum_of({0.5, 0.5}).dimensionality(0.99, IdimRule::Delve) == 1);
  CHECK(spectrum_of({0.995, 0.005}).dimensionality(0.99, IdimRule::Delve) == 0);
  CHECK(spectrum_of({4, 4, 4, 4}).saturation(0.75, IdimRule::Delve) == 0.5);
}

TEST_CASE("Dimensionality agrees with the definition on random spectra", "[spectrum]") {
  std::mt19937 random(20);
  std::lognormal_distribution<double> wide(0, 3);
  for (const int width : {1, 2, 7, 64, 500}) {
    for (const double threshold : {0.5, 0.9, 0.99, 0.999}) {
      std::vector<double> values(static_cast<std::size_t>(width));
      for (double& value : values) value = wide(random);
      CAPTURE(width, threshold);
      const Spectrum spectrum = spectrum_of(values);
      const std::int64_t k = smallest_sufficient(values, threshold);
      CHECK(spectrum.dimensionality(threshold) == k);
      CHECK(spectrum.dimensionality(threshold, IdimRule::Delve) == k - 1);
      CHECK(spectrum.explained(k) >= threshold);
      CHECK(spectrum.explained(k - 1) < threshold);
    }
  }
}

TEST_CASE("Negative eigenvalues count as zero", "[spectrum]") {
  const Spectrum spectrum = spectrum_of({-1e-9, 3, 1, -2e-9});
  CHECK(spectrum.total() == 4);
  CHECK(spectrum.explained(1) == 0.75);
  CHECK(spectrum.eigenvalues()[3] == -2e-9);
}

TEST_CASE("A threshold out of rounding's reach gives the positive eigenvalues", "[spectrum]") {
  // 0.1 + 0.2 + … of this spectrum does not sum up to the same double in every order.
  std::vector<double> values(1000, 0.1);
  values.resize(1200, 0.0);
  CHECK(spectrum_of(values).dimensionality(1.0) == 1000);
  CHECK(spectrum_of({1, 0, -1e-300}).dimensionality(1.0) == 1);
}

TEST_CASE("Without variance there is no dimension", "[spectrum]") {
  for (const auto rule : {IdimRule::ExplainedVariance, IdimRule::Delve}) {
    CHECK(spectrum_of({0, 0, 0}).dimensionality(0.99, rule) == 0);
    CHECK(spectrum_of({0, 0, 0}).saturation(0.99, rule) == 0);
  }
  CHECK(std::isnan(spectrum_of({0, 0}).explained(1)));
}

TEST_CASE("Eigenvalues that were not computed are zeros", "[spectrum]") {
  const Spectrum spectrum(Eigen::Vector2d(3, 1), 8);
  CHECK(spectrum.width() == 8);
  CHECK(spectrum.saturation(0.99) == 2.0 / 8);
  CHECK(spectrum.explained(0) == 0);
  CHECK(spectrum.explained(8) == 1);
}

TEST_CASE("Eigenvalues that are not above the floor are neither counted nor part of the whole",
          "[spectrum]") {
  const Spectrum spectrum(Eigen::Vector4d(3, 1, 1e-9, -1e-9), 4, {}, 1e-9);
  CHECK(spectrum.total() == 4);
  CHECK(spectrum.dimensionality(1) == 2);
  CHECK(spectrum.explained(2) == 1);
  CHECK(spectrum.effective_rank() <= 2);
  CHECK(spectrum.eigenvalues()[2] == 1e-9);
  CHECK(Spectrum(Eigen::Vector2d(1, 1), 2, {}, 2).dimensionality(0.5) == 0);
}

}  // namespace test_spectrum
