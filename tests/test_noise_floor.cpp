// SPDX-License-Identifier: MIT
// What of a covariance is rounding: detail/sums/noise_floor.hpp, and what is read off above it.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>
#include <delve/detail/sums/noise_floor.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/pca.hpp>
#include <delve/spectrum.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_noise_floor {

using delve::Covariance;
using delve::Products;
using delve::Spectrum;
using delve_test::quiet;

namespace {

/// Rows of a rank, computed in float64 and rounded once, whose mean is so many times their spread.
torch::Tensor rows_of_rank(std::int64_t rank, std::int64_t count, std::int64_t width, double mean,
                           torch::ScalarType type = torch::kFloat) {
  const torch::Tensor factors = torch::randn({count, rank}, torch::kDouble);
  const torch::Tensor mixing =
      std::get<0>(torch::linalg_qr(torch::randn({width, rank}, torch::kDouble))).t() *
      std::sqrt(static_cast<double>(width));
  const torch::Tensor offset = 1 + torch::rand({width}, torch::kDouble);
  const torch::Tensor rows = factors.mm(mixing) / std::sqrt(static_cast<double>(rank));
  return (rows + offset * mean).to(type);
}

template <typename Scalar>
Spectrum spectrum_of(Covariance<Scalar>& covariance) {
  const torch::Tensor matrix = covariance.spectral_matrix();
  return Spectrum(*delve::symmetric_eigenvalues(matrix), covariance.width(), {},
                  covariance.noise_floor());
}

/// A value that a tracker reports of a layer in training.
double reported(torch::nn::Linear layer, const std::vector<torch::Tensor>& batches,
                const std::string& stat, std::vector<std::string>* messages = nullptr) {
  delve::CheckLayerSat tracker("unused", "csv", layer, quiet(messages).stats({stat}));
  for (const torch::Tensor& batch : batches) layer(batch);
  return tracker.add_saturations().layers.at(0).values.at(0).value;
}

}  // namespace

TEMPLATE_TEST_CASE("All the variance lies in as many directions as the data has", "[noise_floor]",
                   float, double) {
  torch::manual_seed(1);
  for (const std::int64_t width : {8, 64}) {
    for (const double mean : {0.0, 1.0, 100.0, 1e4}) {
      for (const std::int64_t rank :
           {std::int64_t{1}, std::int64_t{3}, width / 2, width - 1, width}) {
        for (const std::int64_t count : {5000, 40}) {
          for (const Products products : {Products::Float32, Products::Float64}) {
            for (const std::int64_t size : {20, 1000}) {
              if (count < 3 * rank) continue;
              CAPTURE(width, mean, rank, count, size, products == Products::Float64);
              const torch::Tensor rows = rows_of_rank(rank, count, width, mean);
              Covariance<TestType> covariance(products);
              for (const torch::Tensor& batch : rows.split(size)) covariance.update(batch);
              CHECK(spectrum_of(covariance).dimensionality(1) == rank);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("Types with few digits have a higher floor", "[noise_floor]") {
  torch::manual_seed(2);
  for (const torch::ScalarType type :
       {torch::kBFloat16, torch::kHalf, torch::kFloat, torch::kDouble}) {
    for (const double mean : {0.0, 1.0}) {
      CAPTURE(c10::toString(type), mean);
      Covariance<double> covariance;
      covariance.update(rows_of_rank(5, 3000, 60, mean, type));
      CHECK(spectrum_of(covariance).dimensionality(1) == 5);
    }
  }
}

TEST_CASE("A layer of 3 inputs has 3 dimensions at any threshold", "[noise_floor]") {
  torch::manual_seed(3);
  torch::nn::Linear layer(3, 64);
  std::vector<torch::Tensor> batches;
  for (int i = 0; i < 20; ++i) batches.push_back(torch::randn({128, 3}));
  for (const std::string stat : {"idim@1", "idim@0.999999999", "idim@0.99999"}) {
    CAPTURE(stat);
    CHECK(reported(layer, batches, stat) == 3);
  }
  CHECK(reported(layer, batches, "effective_rank") <= 3);
}

TEST_CASE("A wide layer of rank 20 has 20 dimensions, whichever solve decides", "[noise_floor]") {
  torch::manual_seed(4);
  torch::nn::Linear layer(20, 1024);
  const std::vector<torch::Tensor> few = {torch::randn({100, 20})};
  const std::vector<torch::Tensor> many = {torch::randn({3000, 20}), torch::randn({2000, 20})};
  for (const auto& batches : {few, many}) CHECK(reported(layer, batches, "idim@1") == 20);
}

TEST_CASE("PCA at a threshold of 1 keeps the directions that the data has", "[noise_floor]") {
  torch::manual_seed(5);
  torch::nn::Linear layer(20, 64);
  for (const bool centering : {true, false}) {
    delve::LinearPCA pca(delve::LinearPCAOptions(64).threshold(1).centering(centering));
    const torch::NoGradGuard no_grad;
    for (int i = 0; i < 10; ++i) pca(layer(torch::randn({200, 20})));
    // About the origin, the bias is one direction more.
    CHECK(pca->dimensions_kept() == (centering ? 20 : 21));
  }
}

TEST_CASE("A threshold near 1 makes products float64, and says so once", "[noise_floor]") {
  torch::nn::Linear layer(3, 4);
  const std::vector<torch::Tensor> batches = {torch::randn({90, 3})};
  const auto said = [&](const std::string& stat) {
    std::vector<std::string> messages;
    reported(layer, batches, stat, &messages);
    return std::count_if(messages.begin(), messages.end(), [](const std::string& message) {
      return message.find("products in float64") != std::string::npos;
    });
  };
  CHECK(said("idim@1") == 1);
  CHECK(said("lsat@0.999995") == 1);
  CHECK(said("lsat@0.9999") == 0);
  CHECK(said("logdet") == 0);  // which needs them anyway
}

}  // namespace test_noise_floor
