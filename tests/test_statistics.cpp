// SPDX-License-Identifier: MIT
#include <delve/statistics.hpp>

#include <cmath>
#include <stdexcept>
#include <string>

#include <Eigen/Dense>

#include "catch.hpp"

namespace test_statistics {

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

TEST_CASE("Ranks and entropies agree with their definitions, summed one by one", "[statistics]") {
  for (const int size : {1, 2, 7, 30}) {
    const Eigen::MatrixXd root = random_symmetric(size, static_cast<unsigned>(size) + 40);
    const Eigen::MatrixXd sigma = root * root.transpose();
    const Spectrum spectrum = spectrum_of(sigma);
    // The other way round: from the singular values of the root, whose squares are the eigenvalues.
    const Eigen::VectorXd singular = Eigen::JacobiSVD<Eigen::MatrixXd>(root).singularValues();
    double total = 0;
    double root_total = 0;
    for (const double s : singular) {
      total += s * s;
      root_total += s;
    }
    double entropy = 0;
    double root_entropy = 0;
    double squares = 0;
    for (const double s : singular) {
      entropy -= s * s / total * std::log(s * s / total);
      root_entropy -= s / root_total * std::log(s / root_total);
      squares += s * s * s * s;
    }
    CAPTURE(size);
    CHECK(value_of("effective_rank", spectrum) == Approx(std::exp(root_entropy)));
    CHECK(value_of("participation_ratio", spectrum) ==
          Approx(std::pow(sigma.trace(), 2) / sigma.squaredNorm()));
    CHECK(value_of("participation_ratio", spectrum) == Approx(total * total / squares));
    CHECK(value_of("stable_rank", spectrum) == Approx(total / std::pow(singular[0], 2)));
    const double log_size = size == 1 ? 1 : std::log(static_cast<double>(size));
    CHECK(value_of("entropy", spectrum) == Approx(entropy / log_size).margin(1e-12));
    CHECK(value_of("logdet", spectrum) == Approx(std::log(sigma.determinant())));
  }
}

TEST_CASE("Equal variance in all directions has full rank by every measure", "[statistics]") {
  const Spectrum even(Eigen::VectorXd::Constant(8, 0.25), 8);
  for (const std::string name : {"effective_rank", "participation_ratio", "stable_rank"}) {
    CHECK(value_of(name, even) == Approx(8));
    CHECK(value_of(name, Spectrum(Eigen::Vector3d(5, 0, 0), 3)) == Approx(1));
    CHECK(value_of(name, Spectrum(Eigen::Vector3d(0, 0, 0), 3)) == 0);
  }
  CHECK(value_of("entropy", even) == Approx(1));
  CHECK(value_of("entropy", Spectrum(Eigen::Vector3d(5, 0, 0), 3)) == 0);
  // Four of eight directions: those for lack of data count as none.
  CHECK(value_of("entropy", Spectrum(Eigen::VectorXd::Constant(4, 2), 8)) ==
        Approx(std::log(4) / std::log(8)));
}

TEST_CASE("The logarithm of a determinant does not underflow, and says when it is 0",
          "[statistics]") {
  const Spectrum wide(Eigen::VectorXd::Constant(512, 0.01), 512);
  CHECK(value_of("det", wide) == 0);
  CHECK(value_of("logdet", wide) == Approx(512 * std::log(0.01)));
  CHECK(value_of("logdet", Spectrum(Eigen::Vector2d(3, 1), 8)) == -INFINITY);
  CHECK(value_of("logdet", Spectrum(Eigen::Vector2d(3, -1e-20), 2)) == -INFINITY);
}

TEST_CASE("Several thresholds are read off one spectrum", "[statistics]") {
  const Spectrum spectrum(Eigen::Vector4d(0.5, 0.3, 0.15, 0.05), 4);
  CHECK(value_of("idim", spectrum) == 4);
  CHECK(value_of("idim@0.5", spectrum) == 1);
  CHECK(value_of("idim@0.6", spectrum) == 2);
  CHECK(value_of("lsat@0.9", spectrum) == 0.75);
  CHECK(value_of("lsat@1", spectrum) == 1);
  CHECK(find_statistic("lsat@0.9").quantity == "saturation@0.9");
  CHECK(find_statistic("lsat@0.9").name == "lsat@0.9");
  CHECK(value_of("explained", spectrum) == Approx(0.5));
  CHECK(value_of("explained@2", spectrum) == Approx(0.8));
  CHECK(value_of("explained@9", spectrum) == Approx(1));
  const std::string threshold = "a threshold above 0 and at most 1 after '@', as in \"lsat@0.9\"";
  CHECK_THROWS_WITH(find_statistic("lsat@90"),
                    "delve: stats: \"lsat@90\": lsat takes " + threshold);
  for (const std::string name :
       {"lsat@", "lsat@0", "lsat@nan", "lsat@0.9x", "idim@-1", "lsat@@1"}) {
    CHECK_THROWS_WITH(find_statistic(name), ContainsSubstring(threshold));
  }
  CHECK_THROWS_WITH(find_statistic("trc@0.9"),
                    "delve: stats: \"trc@0.9\": trc takes no parameter, so no '@'");
  CHECK_THROWS_WITH(find_statistic("explained@0"), ContainsSubstring("a number of at least 1"));
}

TEST_CASE("A width is suggested where there are ten data points a dimension", "[statistics]") {
  const auto suggested = [](const std::string& name, const Spectrum& spectrum, std::int64_t samples,
                            delve::IdimRule rule = delve::IdimRule::ExplainedVariance) {
    return find_statistic(name).value(LayerMeasurement{spectrum, 0, samples, 0.99, rule});
  };
  for (const int size : {2, 9, 40}) {
    const Eigen::MatrixXd root = random_symmetric(size, static_cast<unsigned>(size));
    const Spectrum spectrum = spectrum_of(root * root.transpose());
    CAPTURE(size);
    for (const std::int64_t samples : {10 * size, 1000}) {
      CHECK(suggested("suggested_width", spectrum, samples) == value_of("idim", spectrum));
      CHECK(suggested("suggested_width@0.7", spectrum, samples) == value_of("idim@0.7", spectrum));
      // Delve's rule gives one less than the layer needs.
      CHECK(suggested("suggested_width", spectrum, samples, delve::IdimRule::Delve) ==
            value_of("idim", spectrum));
    }
    CHECK(delve::is_missing(suggested("suggested_width", spectrum, 10 * size - 1)));
    CHECK(delve::is_missing(suggested("suggested_width", spectrum, 0)));
  }
  CHECK(delve::is_missing(suggested("suggested_width", Spectrum(Eigen::Vector2d(0, 0), 2), 1000)));
}

TEST_CASE("Arrays hold the spectrum itself", "[statistics]") {
  const auto array_of = [](const std::string& name, const Spectrum& spectrum) {
    return find_statistic(name).array(
        LayerMeasurement{spectrum, 0, 100, 0.99, delve::IdimRule::ExplainedVariance});
  };
  const Spectrum spectrum(Eigen::Vector3d(1, 6, 3), 5);  // of which two are zero for lack of data
  CHECK(array_of("eigenvalues", spectrum) == (Eigen::MatrixXd(5, 1) << 6, 3, 1, 0, 0).finished());
  CHECK(array_of("eigenvalues@2", spectrum) == (Eigen::MatrixXd(2, 1) << 6, 3).finished());
  CHECK(array_of("eigenvalues@9", spectrum).rows() == 5);
  CHECK(array_of("curve", spectrum)
            .isApprox((Eigen::MatrixXd(5, 1) << 0.6, 0.9, 1, 1, 1).finished()));
}

TEST_CASE("Units are dead whose output never moves", "[statistics]") {
  const Spectrum spectrum(Eigen::Vector4d(1, 1, 1, 1), 4);
  const auto dead = [&](const Eigen::VectorXd& variances) {
    LayerMeasurement layer{spectrum, 0, 100, 0.99, delve::IdimRule::ExplainedVariance};
    layer.variances = &variances;
    return find_statistic("dead").value(layer);
  };
  CHECK(dead(Eigen::Vector4d(2, 0, 1e-9, 1)) == 2);
  CHECK(dead(Eigen::Vector4d(2, 1, 1, 1)) == 0);
  CHECK(dead(Eigen::Vector4d(0, 0, 0, 0)) == 4);
}

TEST_CASE("An unknown statistic is answered with the known ones", "[statistics]") {
  CHECK_THROWS_WITH(
      find_statistic("saturation"),
      "delve: stats: \"saturation\" is not a statistic; known ones are lsat, lsat_train, "
      "lsat_eval, idim, suggested_width, trc, dtrc, det, cov, embed, logdet, effective_rank, "
      "participation_ratio, stable_rank, entropy, explained, curve, eigenvalues, "
      "dead, drift, drift_floor, drift_chance, probe, probe_train, probe_held_out, probe_error, "
      "probe_r2, probe_r2_held_out, nc1, "
      "samples");
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
  CHECK_THROWS_AS(delve::register_statistic({"a@b", "with a parameter", participation}),
                  std::invalid_argument);
  CHECK_THROWS_AS(delve::register_statistic({"valueless", "valueless", {}}), std::invalid_argument);
  // In a table these would be taken for the quantity "top" and for a parameter.
  for (const char* quantity : {"top_share", "share@0.9"}) {
    CHECK_THROWS_WITH(delve::register_statistic({"unreadable", quantity, participation}),
                      ContainsSubstring(quantity));
  }
}

}  // namespace test_statistics
