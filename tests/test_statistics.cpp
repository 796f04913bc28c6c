// SPDX-License-Identifier: MIT
#include <delve/statistics.hpp>

#include <cmath>
#include <stdexcept>
#include <string>

#include <Eigen/Dense>

#include "catch.hpp"

using delve::find_statistic;
using delve::LayerMeasurement;
using delve::Spectrum;

namespace {

double value_of(const std::string& name, const Spectrum& spectrum, double trace = 0) {
  return find_statistic(name).value(
      LayerMeasurement{spectrum, trace, 100, 0.99, delve::IdimRule::ExplainedVariance});
}

/// A symmetric matrix with random entries; its eigenvalues are of both signs.
Eigen::MatrixXd random_symmetric(int size, unsigned seed) {
  std::srand(seed);
  const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(size, size);
  return matrix + matrix.transpose();
}

Spectrum spectrum_of(const Eigen::MatrixXd& matrix) {
  return {Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(matrix).eigenvalues(), matrix.rows()};
}

}  // namespace

TEST_CASE("Statistics agree with the matrix that the spectrum is of", "[statistics]") {
  for (const int size : {1, 2, 5, 20}) {
    const Eigen::MatrixXd root = random_symmetric(size, static_cast<unsigned>(size));
    const Eigen::MatrixXd sigma = root * root.transpose();
    const Spectrum spectrum = spectrum_of(sigma);
    CAPTURE(size);
    CHECK(value_of("det", spectrum) == Approx(sigma.determinant()).epsilon(1e-6));
    CHECK(value_of("dtrc", spectrum) == Approx(sigma.trace()));
    CHECK(value_of("trc", spectrum, sigma.trace()) == sigma.trace());
    CHECK(value_of("lsat", spectrum) * size == Approx(value_of("idim", spectrum)));
  }
}

TEST_CASE("A determinant keeps its sign", "[statistics]") {
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    const Eigen::MatrixXd matrix = random_symmetric(5, seed);
    CHECK(value_of("det", spectrum_of(matrix)) == Approx(matrix.determinant()).epsilon(1e-9));
  }
}

TEST_CASE("A determinant passes through sizes that no double has", "[statistics]") {
  // 1e-200 · 1e-200 · 1e200 · 1e200: each order of multiplication but one would lose it.
  CHECK(value_of("det", Spectrum(Eigen::Vector4d(1e-200, 1e200, 1e200, 1e-200), 4)) == Approx(1));
}

TEST_CASE("A determinant of fewer data points than dimensions is 0", "[statistics]") {
  CHECK(value_of("det", Spectrum(Eigen::Vector2d(3, 1), 8)) == 0);
}

TEST_CASE("An unknown statistic is answered with the known ones", "[statistics]") {
  CHECK_THROWS_WITH(find_statistic("saturation"),
                    "delve: stats: \"saturation\" is not a statistic; known are lsat, idim, trc, "
                    "dtrc, det");
}

TEST_CASE("A statistic of one's own is found by its name", "[statistics]") {
  const auto participation = [](const LayerMeasurement& layer) {
    return std::pow(layer.spectrum.total(), 2) / layer.spectrum.eigenvalues().squaredNorm();
  };
  delve::register_statistic({"pr", "participation-ratio", participation});
  CHECK(value_of("pr", Spectrum(Eigen::Vector4d(1, 1, 1, 1), 4)) == 4);

  CHECK_THROWS_AS(delve::register_statistic({"pr", "again", participation}), std::invalid_argument);
  CHECK_THROWS_AS(delve::register_statistic({"lsat", "mine", participation}),
                  std::invalid_argument);
  CHECK_THROWS_AS(delve::register_statistic({"", "nameless", participation}),
                  std::invalid_argument);
  CHECK_THROWS_AS(delve::register_statistic({"valueless", "valueless", {}}), std::invalid_argument);
}
