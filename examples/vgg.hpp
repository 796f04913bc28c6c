// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>    // std::int64_t
#include <memory>     // std::shared_ptr
#include <stdexcept>  // std::invalid_argument
#include <vector>     // std::vector

#include <fmt/format.h>
#include <torch/arg.h>
#include <torch/enum.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

namespace examples {

struct VGGOptions {
  /// Number of layers with weights: 11 or 16.
  TORCH_ARG(std::int64_t, layers) = 16;

  /// Number of classes, and of outputs.
  TORCH_ARG(std::int64_t, num_classes) = 10;

  /// Whether a BatchNorm2d follows each convolution: VGG16-BN.
  TORCH_ARG(bool, batch_norm) = false;

  /// Whether the linear layers are made for pictures of 32 × 32, of which a single pixel reaches
  /// them: 512 units, not 4096, that take that pixel once, not 49 times.
  TORCH_ARG(bool, small_pictures) = false;

 public:
  VGGOptions() = default;
};

/// VGG16 and VGG11 (Simonyan and Zisserman, https://arxiv.org/abs/1409.1556, table 1, D and A) with
/// the layers, names and initialisation of torchvision: 134,301,514 and 128,807,306 parameters for
/// ten classes. VGG11 for small pictures has 9,750,922.
///
/// Initialisation matters here: with LibTorch's own, the signal shrinks in each of the layers,
/// until the outputs of any two pictures are equal but for 1e-8, and nothing is learnt.
class VGGImpl : public torch::nn::Module {
 public:
  /// @throws std::invalid_argument where there is no such number of layers
  explicit VGGImpl(const VGGOptions& options = {}) : options_(options) {
    std::int64_t in = 3;
    for (const std::int64_t out : convolutions(options_.layers())) {
      if (out == kPool) {
        features_->push_back(torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(2).stride(2)));
      } else {
        push_convolution(in, out);
        in = out;
      }
    }

    const std::int64_t hidden = options_.small_pictures() ? 512 : 4096;
    const auto relu = torch::nn::ReLUOptions(/*inplace=*/true);
    classifier_->push_back(torch::nn::Linear(in * pooled_side() * pooled_side(), hidden));
    classifier_->push_back(torch::nn::ReLU(relu));
    classifier_->push_back(torch::nn::Dropout(0.5));
    classifier_->push_back(torch::nn::Linear(hidden, hidden));
    classifier_->push_back(torch::nn::ReLU(relu));
    classifier_->push_back(torch::nn::Dropout(0.5));
    classifier_->push_back(torch::nn::Linear(hidden, options_.num_classes()));

    register_module("features", features_);
    register_module("avgpool", avgpool_);
    register_module("classifier", classifier_);
    initialize();
  }

  /// Class scores, N × num_classes, of pictures, N × 3 × H × W; H and W are 32 or more.
  torch::Tensor forward(const torch::Tensor& pictures) {
    return classifier_->forward(avgpool_->forward(features_->forward(pictures)).flatten(1));
  }

  const VGGOptions& options() const { return options_; }

 private:
  static constexpr std::int64_t kPool = 0;

  /// The numbers of channels of the convolutions, and where is pooled between them.
  static std::vector<std::int64_t> convolutions(std::int64_t layers) {
    if (layers == 11) {
      return {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool};
    }
    if (layers == 16) {
      return {64,    64,  kPool, 128, 128,   kPool, 256, 256, 256,
              kPool, 512, 512,   512, kPool, 512,   512, 512, kPool};
    }
    throw std::invalid_argument(
        fmt::format("VGGOptions: layers is {}; it must be 11 or 16", layers));
  }

  [[nodiscard]] std::int64_t pooled_side() const { return options_.small_pictures() ? 1 : 7; }

  void push_convolution(std::int64_t in, std::int64_t out) {
    features_->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1)));
    if (options_.batch_norm()) features_->push_back(torch::nn::BatchNorm2d(out));
    features_->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(/*inplace=*/true)));
  }

  /// BatchNorm2d starts with weight 1 and bias 0 by itself.
  void initialize() {
    for (const std::shared_ptr<torch::nn::Module>& module : modules(/*include_self=*/false)) {
      if (auto* convolution = module->as<torch::nn::Conv2d>()) {
        torch::nn::init::kaiming_normal_(convolution->weight, /*a=*/0, torch::kFanOut,
                                         torch::kReLU);
        torch::nn::init::zeros_(convolution->bias);
      } else if (auto* linear = module->as<torch::nn::Linear>()) {
        if (options_.small_pictures()) {
          // torchvision's 0.01 would be the end of the signal in layers that narrow.
          torch::nn::init::kaiming_normal_(linear->weight, /*a=*/0, torch::kFanIn, torch::kReLU);
        } else {
          torch::nn::init::normal_(linear->weight, /*mean=*/0, /*std=*/0.01);
        }
        torch::nn::init::zeros_(linear->bias);
      }
    }
  }

  VGGOptions options_;
  torch::nn::Sequential features_;
  torch::nn::AdaptiveAvgPool2d avgpool_{torch::nn::AdaptiveAvgPool2dOptions(pooled_side())};
  torch::nn::Sequential classifier_;
};

TORCH_MODULE(VGG);

}  // namespace examples
