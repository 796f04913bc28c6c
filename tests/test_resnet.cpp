// SPDX-License-Identifier: MIT

#include <algorithm>  // std::count
#include <cmath>      // std::abs, std::sqrt
#include <cstdint>    // std::int64_t
#include <string>     // std::string
#include <vector>     // std::vector

#include <torch/nn/modules/conv.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <delve/forward_hook.hpp>

#include "catch.hpp"
#include "resnet.hpp"

namespace test_resnet {

namespace {

using examples::ResNet18;
using examples::ResNetOptions;

/// What two pictures are when they leave a convolution, in a forward of the whole model.
std::vector<std::int64_t> sizes_after(ResNet18& model, const std::string& convolution,
                                      std::int64_t side) {
  const torch::NoGradGuard no_grad;
  std::vector<std::int64_t> sizes;
  const auto handle = delve::register_forward_hook(
      model->named_modules()[convolution],
      [&](const delve::ForwardCall& call) { sizes = call.outputs[0].sizes().vec(); });
  model->forward(torch::zeros({2, 3, side, side}));
  return sizes;
}

}  // namespace

TEST_CASE("ResNet18 has torchvision's layers, names and parameters") {
  const ResNet18 model;
  std::int64_t parameters = 0;
  for (const torch::Tensor& parameter : model->parameters()) parameters += parameter.numel();
  CHECK(parameters == 11'181'642);

  // torchvision 0.30, list(resnet18(num_classes=10).state_dict()): 122 entries.
  std::vector<std::string> names;
  for (const auto& item : model->named_parameters()) names.push_back(item.key());
  for (const auto& item : model->named_buffers()) names.push_back(item.key());
  CHECK(names.size() == 122);
  for (const std::string name :
       {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.1.bn2.bias",
        "layer2.0.downsample.0.weight", "layer3.0.downsample.1.running_mean",
        "layer4.1.conv2.weight", "fc.weight", "fc.bias"}) {
    INFO(name);
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
}

TEST_CASE("ResNet18 is initialised as torchvision's") {
  torch::manual_seed(1);
  const ResNet18 model;
  for (const auto& item : model->named_modules()) {
    const auto* convolution = item.value()->as<torch::nn::Conv2d>();
    if (convolution == nullptr) continue;
    INFO(item.key());
    const torch::Tensor& weight = convolution->weight;
    const auto n = static_cast<double>(weight.numel());
    // kaiming_normal_, fan_out, relu: deviation sqrt(2 / (kernel² · channels out)).
    const double deviation =
        std::sqrt(2.0 / static_cast<double>(weight[0][0].numel() * weight.size(0)));
    CHECK(std::abs(weight.mean().item<double>()) < 5 * deviation / std::sqrt(n));
    CHECK(std::abs(weight.std().item<double>() / deviation - 1) < 5 / std::sqrt(2 * n));
    CHECK_FALSE(convolution->bias.defined());
  }
}

TEST_CASE("Early downsampling halves a picture twice before the first block") {
  using Sizes = std::vector<std::int64_t>;
  torch::manual_seed(2);
  ResNet18 usual;
  ResNet18 wide(ResNetOptions().early_downsampling(false));
  usual->eval();
  wide->eval();
  CHECK(sizes_after(usual, "layer1.1.conv2", 32) == Sizes{2, 64, 8, 8});
  CHECK(sizes_after(usual, "layer4.1.conv2", 32) == Sizes{2, 512, 1, 1});
  CHECK(sizes_after(wide, "layer1.1.conv2", 32) == Sizes{2, 64, 32, 32});
  CHECK(sizes_after(wide, "layer4.1.conv2", 32) == Sizes{2, 512, 4, 4});
  CHECK(usual->forward(torch::zeros({2, 3, 32, 32})).sizes() == Sizes{2, 10});
  CHECK(wide->forward(torch::zeros({2, 3, 32, 32})).sizes() == Sizes{2, 10});
}

}  // namespace test_resnet
