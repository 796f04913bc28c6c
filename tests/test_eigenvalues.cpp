// SPDX-License-Identifier: MIT
#include <delve/eigenvalues.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_eigenvalues {

using delve::approximate_eigenvalues;
using delve::Spectrum;
using delve::symmetric_eigenvalues;

namespace {

/// A symmetric matrix with these eigenvalues and random eigenvectors.
torch::Tensor matrix_with(const torch::Tensor& eigenvalues) {
  const std::int64_t width = eigenvalues.size(0);
  const torch::Tensor basis =
      std::get<0>(torch::linalg_qr(torch::randn({width, width}, torch::kDouble)));
  const torch::Tensor matrix = (basis * eigenvalues).mm(basis.t());
  return (matrix + matrix.t()) / 2;
}

/// Spectra on which a float32 solve is most likely to count wrongly.
std::vector<std::pair<std::string, torch::Tensor>> adversarial_spectra(std::int64_t width) {
  const torch::Tensor i = torch::arange(1, width + 1, torch::kDouble);
  const torch::Tensor ones = torch::ones({width}, torch::kDouble);
  torch::Tensor spike = ones.clone();
  spike[0] = 1e4;
  torch::Tensor cluster = torch::full({width}, 1e-3, torch::kDouble);
  cluster.narrow(0, 0, width / 2).fill_(1);
  torch::Tensor huge_and_tiny = torch::pow(10, -8 * i / static_cast<double>(width)) * 1e30;
  return {{"flat", ones},
          {"spike", spike},
          {"cluster", cluster},
          {"power 1", 1 / i},
          {"power 3", i.pow(-3)},
          {"exponential", torch::exp(-20 * i / static_cast<double>(width))},
          {"random", torch::rand({width}, torch::kDouble)},
          {"rank 10", torch::cat({ones.narrow(0, 0, 10), 0 * ones.narrow(0, 10, width - 10)})},
          {"huge and tiny", huge_and_tiny}};
}

}  // namespace

TEST_CASE("Float32 eigenvalues are off by at most a half of what they say", "[eigenvalues]") {
  torch::manual_seed(1);
  for (const auto& [width, seeds] : {std::pair{64, 20}, {300, 4}, {600, 1}}) {
    double largest = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      for (const auto& [name, eigenvalues] : adversarial_spectra(width)) {
        const torch::Tensor matrix = matrix_with(eigenvalues);
        const auto approximate = approximate_eigenvalues(matrix);
        const auto exact = symmetric_eigenvalues(matrix);
        REQUIRE(approximate);
        const double error = approximate->approximation.error;
        CAPTURE(width, seed, name, error);
        const double off = (approximate->values - *exact).norm();
        CHECK(off < error / 2);
        CHECK(error < 1e-5 * exact->norm());
        CHECK(approximate->approximation.total == Approx(exact->sum()));
        largest = std::max(largest, off / error);
      }
    }
    std::cout << "Width " << width << ": off by at most " << largest << " of the bound\n";
  }
}

TEST_CASE("Without a doubt, the integer is that of float64; and doubts are rare", "[eigenvalues]") {
  torch::manual_seed(2);
  int doubts = 0;
  int decisions = 0;
  for (const std::int64_t width : {128, 300}) {
    for (const auto& [name, eigenvalues] : adversarial_spectra(width)) {
      const torch::Tensor matrix = matrix_with(eigenvalues);
      const auto approximate = approximate_eigenvalues(matrix);
      const Spectrum exact(*symmetric_eigenvalues(matrix), width);
      for (int step = 1; step < 400; ++step) {
        const double threshold = step / 400.0;
        const Spectrum spectrum(approximate->values, width, approximate->approximation);
        const std::int64_t found = spectrum.dimensionality(threshold);
        ++decisions;
        if (spectrum.in_doubt()) {
          ++doubts;
        } else {
          CAPTURE(width, name, threshold);
          CHECK(found == exact.dimensionality(threshold));
        }
      }
    }
  }
  CHECK(doubts < decisions / 10);
}

TEST_CASE("A threshold that an exact sum meets is left to float64", "[eigenvalues]") {
  const Eigen::Vector4d values(4, 3, 2, 1);
  const auto in_doubt = [&](double threshold, std::optional<delve::Approximation> approximation) {
    const Spectrum spectrum(values, 4, approximation);
    static_cast<void>(spectrum.dimensionality(threshold));
    return spectrum.in_doubt();
  };
  CHECK(in_doubt(0.7, delve::Approximation{1e-9, 10}));
  CHECK(in_doubt(0.7 + 1e-8, delve::Approximation{1e-6, 10}));
  CHECK_FALSE(in_doubt(0.7 + 1e-8, delve::Approximation{1e-9, 10}));
  CHECK_FALSE(in_doubt(0.75, delve::Approximation{1e-3, 10}));
  CHECK(in_doubt(0.75, delve::Approximation{1, 10}));
  CHECK_FALSE(in_doubt(0.7, {}));
}

TEST_CASE("A wide layer's integers are those of float64, whichever solve decided",
          "[eigenvalues]") {
  torch::manual_seed(3);
  const std::int64_t width = 1100;
  torch::nn::Linear layer(torch::nn::LinearOptions(width, width).bias(false));
  torch::NoGradGuard(), layer->weight.copy_(torch::eye(width));
  for (const auto& [name, eigenvalues] : adversarial_spectra(width)) {
    if (name == "huge and tiny") continue;  // beyond float32's own digits
    const torch::Tensor rows =
        torch::randn({2 * width, width}) * eigenvalues.sqrt().to(torch::kFloat);
    std::vector<std::vector<double>> values;
    // With a statistic that needs small eigenvalues, float64 decides; products alike.
    for (const std::string other : {"trc", "logdet"}) {
      delve::CheckLayerSat tracker(
          "unused", "csv", layer,
          delve_test::quiet()
              .stats({"idim", "idim@0.5", "idim@0.9", "participation_ratio", "stable_rank", other})
              .products(delve::Products::Float64));
      layer(rows);
      std::vector<double>& found = values.emplace_back();
      const delve::EpochRecord record = tracker.add_saturations();
      for (const auto& value : record.layers.at(0).values) found.push_back(value.value);
    }
    CAPTURE(name);
    for (std::size_t i = 0; i < 3; ++i) CHECK(values[0][i] == values[1][i]);
    for (std::size_t i = 3; i < 5; ++i) CHECK(values[0][i] == Approx(values[1][i]).epsilon(1e-5));
  }
}

TEST_CASE("Leading eigenvalues are proved to be these, or refused", "[eigenvalues]") {
  torch::manual_seed(5);
  int found = 0;
  for (const std::int64_t width : {700, 1000}) {
    auto spectra = adversarial_spectra(width);
    const torch::Tensor i = torch::arange(1, width + 1, torch::kDouble);
    const auto five_above = [&](double others) {
      torch::Tensor values = torch::rand({width}, torch::kDouble) * others;
      values.narrow(0, 0, 5).fill_(1);
      return values;
    };
    // As in a tail: few directions, exactly alike or not, above many small ones.
    spectra.emplace_back("five alike", five_above(1e-5));
    spectra.emplace_back("five alike, noisy", five_above(1.0 / static_cast<double>(width)));
    spectra.emplace_back("steep", torch::exp(-i / 2));
    for (const auto& [name, eigenvalues] : spectra) {
      const torch::Tensor matrix = matrix_with(eigenvalues);
      const Spectrum exact(*symmetric_eigenvalues(matrix), width);
      for (const double share : {0.3, 0.5, 0.8, 0.9, 0.99, 0.999}) {
        const auto leading = delve::proven_leading_eigenvalues(matrix, share);
        if (!leading) continue;
        ++found;
        const Spectrum spectrum(leading->values, width, leading->approximation);
        CAPTURE(width, name, share, leading->values.size());
        for (const double threshold : {share, share / 2}) {
          const std::int64_t count = spectrum.dimensionality(threshold);
          CHECK((spectrum.in_doubt() || count == exact.dimensionality(threshold)));
        }
        CHECK(leading->values.size() <= width / 8);
        const Eigen::VectorXd wanted = exact.eigenvalues().head(leading->values.size());
        CHECK((leading->values - wanted).norm() <= leading->approximation.error);
        CHECK(leading->approximation.error < 1.001e-4 * exact.eigenvalues()[0]);
        CHECK(spectrum.participation_ratio() == Approx(exact.participation_ratio()));
        CHECK(spectrum.stable_rank() == Approx(exact.stable_rank()).epsilon(1e-6));
      }
    }
    // Without a proof of these they would not be worth their time.
    CHECK(delve::proven_leading_eigenvalues(matrix_with(five_above(1e-5)), 0.99));
    CHECK(delve::proven_leading_eigenvalues(matrix_with(torch::exp(-i / 2)), 0.99));
    CHECK_FALSE(delve::proven_leading_eigenvalues(torch::eye(width, torch::kDouble), 0.99));
  }
  std::cout << "Leading eigenvalues were proved " << found << " times\n";
}

TEST_CASE("A leading eigenvector that is missed is noticed, though no residual tells",
          "[eigenvalues]") {
  torch::manual_seed(6);
  const std::int64_t width = 200;
  torch::Tensor variances = torch::rand({width}, torch::kDouble) * 0.1;
  variances.narrow(0, width - 8, 8).fill_(1);
  const torch::Tensor matrix = matrix_with(variances);
  const auto [values, vectors] = torch::linalg_eigh(matrix);
  for (const double limit : {0.11, 0.5, 0.999999}) {
    CAPTURE(limit);
    for (std::int64_t missed = width - 8; missed < width; ++missed) {
      const torch::Tensor others =
          torch::arange(width - 8, width).masked_select(torch::arange(width - 8, width) != missed);
      const torch::Tensor some = vectors.index_select(1, others);
      // Exact eigenvectors: there is no residual.
      CHECK((matrix.mm(some) - some * values.index_select(0, others)).norm().item<double>() <
            1e-12);
      CHECK_FALSE(delve::are_leading(matrix, some, values.index_select(0, others), limit));
    }
    CHECK(delve::are_leading(matrix, vectors.narrow(1, width - 8, 8),
                             values.narrow(0, width - 8, 8), limit));
  }
}

TEST_CASE("What is left of the norm proves that none is missed, and only then", "[eigenvalues]") {
  torch::manual_seed(7);
  const std::int64_t width = 200;
  torch::Tensor variances = torch::rand({width}, torch::kDouble) * 1e-3;
  variances.narrow(0, width - 8, 8).fill_(1);
  const torch::Tensor matrix = matrix_with(variances);
  const auto [values, vectors] = torch::linalg_eigh(matrix);
  // Seven of the eight hold four fifths of the variance. Only with the eighth is it known that all
  // others are smaller.
  const delve::detail::LeadingProof proof(matrix, 0.8);
  const delve::detail::RitzPairs all(matrix, vectors.narrow(1, width - 8, 8));
  REQUIRE(proof.needed(all.theta) == 7);
  const auto found = proof.by_rest(all, 7);
  REQUIRE(found);
  CHECK(found->values.size() == 7);
  CHECK((found->values.array() - 1).abs().maxCoeff() < 1e-12);
  for (std::int64_t missed = width - 8; missed < width; ++missed) {
    CAPTURE(missed);
    const torch::Tensor others =
        torch::arange(width - 40, width).masked_select(torch::arange(width - 40, width) != missed);
    const delve::detail::RitzPairs some(matrix, vectors.index_select(1, others));
    REQUIRE(proof.needed(some.theta) == 7);
    CHECK_FALSE(proof.by_rest(some, 7));
    const auto tried = proof.by_factor(some, 7);
    CHECK_FALSE((tried && tried->found));
  }
}

TEST_CASE("Leading eigenvectors are orthonormal, and of the largest eigenvalues", "[eigenvalues]") {
  torch::manual_seed(4);
  const torch::Tensor matrix = matrix_with(torch::arange(1, 9, torch::kDouble));
  const torch::Tensor vectors = delve::leading_eigenvectors(matrix, 3);
  CHECK(torch::allclose(vectors.t().mm(vectors), torch::eye(3, torch::kDouble)));
  CHECK(torch::allclose(matrix.mm(vectors), vectors * torch::tensor({8., 7., 6.}, torch::kDouble)));
  CHECK((std::get<0>(vectors.max(0)) >= vectors.abs().amax(0)).all().item<bool>());
}

TEST_CASE("What is not finite has no eigenvalues", "[eigenvalues]") {
  const torch::Tensor bad = torch::full({3, 3}, NAN, torch::kDouble);
  CHECK_FALSE(approximate_eigenvalues(bad));
  CHECK_FALSE(symmetric_eigenvalues(bad));
  CHECK(approximate_eigenvalues(torch::zeros({3, 3}, torch::kDouble))->values.isZero());
}

}  // namespace test_eigenvalues
