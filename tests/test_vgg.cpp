// SPDX-License-Identifier: MIT

#include <cmath>    // std::sqrt
#include <cstdint>  // std::int64_t
#include <string>   // std::string
#include <vector>   // std::vector

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "catch.hpp"
#include "vgg.hpp"

namespace test_vgg {

namespace {

using examples::VGG;
using examples::VGGOptions;

std::int64_t count_parameters(const VGG& model) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : model->parameters()) count += parameter.numel();
  return count;
}

template <typename Layer>
std::vector<std::string> names_of(const VGG& model) {
  std::vector<std::string> names;
  for (const auto& item : model->named_modules()) {
    if (item.value()->as<Layer>() != nullptr) names.push_back(item.key());
  }
  return names;
}

/// A sample of n normal numbers has a mean within deviation / sqrt(n) and a spread within
/// deviation / sqrt(2 n) of the truth, times five but once in two million.
void check_normal(const torch::Tensor& weight, double deviation) {
  const auto n = static_cast<double>(weight.numel());
  CHECK(std::abs(weight.mean().item<double>()) < 5 * deviation / std::sqrt(n));
  CHECK(std::abs(weight.std().item<double>() / deviation - 1) < 5 / std::sqrt(2 * n));
}

void check_initialization(const VGG& model) {
  for (const auto& item : model->named_modules()) {
    INFO(item.key());
    if (const auto* convolution = item.value()->as<torch::nn::Conv2d>()) {
      const auto fan_out = static_cast<double>(3 * 3 * convolution->weight.size(0));
      check_normal(convolution->weight, std::sqrt(2 / fan_out));
      CHECK(convolution->bias.count_nonzero().item<std::int64_t>() == 0);
    } else if (const auto* linear = item.value()->as<torch::nn::Linear>()) {
      check_normal(linear->weight, 0.01);
      CHECK(linear->bias.count_nonzero().item<std::int64_t>() == 0);
    } else if (const auto* norm = item.value()->as<torch::nn::BatchNorm2d>()) {
      CHECK(norm->weight.eq(1).all().item<bool>());
      CHECK(norm->bias.count_nonzero().item<std::int64_t>() == 0);
    }
  }
}

TEST_CASE("VGG16 has the layers, names, size and initialisation of torchvision", "[vgg]") {
  torch::manual_seed(7);
  const VGG model;
  CHECK(count_parameters(model) == 134'301'514);
  CHECK(names_of<torch::nn::Conv2d>(model) ==
        std::vector<std::string>{"features.0", "features.2", "features.5", "features.7",
                                 "features.10", "features.12", "features.14", "features.17",
                                 "features.19", "features.21", "features.24", "features.26",
                                 "features.28"});
  CHECK(names_of<torch::nn::Linear>(model) ==
        std::vector<std::string>{"classifier.0", "classifier.3", "classifier.6"});
  CHECK(model->named_children().keys() ==
        std::vector<std::string>{"features", "avgpool", "classifier"});
  check_initialization(model);
}

TEST_CASE("VGG16-BN normalises after each convolution", "[vgg]") {
  torch::manual_seed(7);
  const VGG model(VGGOptions().batch_norm(true));
  CHECK(count_parameters(model) == 134'309'962);
  CHECK(names_of<torch::nn::Conv2d>(model) ==
        std::vector<std::string>{"features.0", "features.3", "features.7", "features.10",
                                 "features.14", "features.17", "features.20", "features.24",
                                 "features.27", "features.30", "features.34", "features.37",
                                 "features.40"});
  CHECK(names_of<torch::nn::BatchNorm2d>(model).size() == 13);
  check_initialization(model);
}

TEST_CASE("VGG16 gives one score a class, and other scores for other pictures", "[vgg]") {
  torch::manual_seed(7);
  VGG model(VGGOptions().num_classes(6));
  model->eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor scores = model->forward(torch::randn({2, 3, 32, 32}));
  CHECK(scores.sizes() == torch::IntArrayRef({2, 6}));
  // With LibTorch's own initialisation they differ by about 4e-8.
  CHECK((scores[0] - scores[1]).abs().max().item<double>() > 1e-3);
}

TEST_CASE("VGG11 has the layers and size of torchvision, and is small for small pictures",
          "[vgg]") {
  const VGG model(VGGOptions().layers(11));
  CHECK(count_parameters(model) == 128'807'306);
  CHECK(names_of<torch::nn::Conv2d>(model) ==
        std::vector<std::string>{"features.0", "features.3", "features.6", "features.8",
                                 "features.11", "features.13", "features.16", "features.18"});
  CHECK(count_parameters(VGG(VGGOptions().layers(11).small_pictures(true))) == 9'750'922);
  CHECK_THROWS_AS(VGG(VGGOptions().layers(13)), std::invalid_argument);
}

}  // namespace

}  // namespace test_vgg
