// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t
#include <memory>   // std::shared_ptr

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
  /// Number of classes, and of outputs.
  TORCH_ARG(std::int64_t, num_classes) = 10;

  /// Whether a BatchNorm2d follows each convolution: VGG16-BN.
  TORCH_ARG(bool, batch_norm) = false;

 public:
  VGGOptions() = default;
};

/// VGG16 (Simonyan and Zisserman, https://arxiv.org/abs/1409.1556) with the layers, names and
/// initialisation of torchvision: 134,301,514 parameters for ten classes.
///
/// Initialisation matters here: with LibTorch's own, the signal shrinks in each of the 16 layers,
/// until the outputs of any two pictures are equal but for 1e-8, and nothing is learnt.
class VGGImpl : public torch::nn::Module {
 public:
  explicit VGGImpl(const VGGOptions& options = {}) : options_(options) {
    std::int64_t in = 3;
    for (const int out : {64, 64, kPool, 128, 128, kPool, 256, 256, 256, kPool, 512, 512, 512,
                          kPool, 512, 512, 512, kPool}) {
      if (out == kPool) {
        features_->push_back(torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(2).stride(2)));
      } else {
        push_convolution(in, out);
        in = out;
      }
    }

    const std::int64_t hidden = 4096;
    const auto relu = torch::nn::ReLUOptions(/*inplace=*/true);
    classifier_->push_back(torch::nn::Linear(in * kPooledSide * kPooledSide, hidden));
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
  static constexpr int kPool = 0;
  static constexpr std::int64_t kPooledSide = 7;

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
        torch::nn::init::normal_(linear->weight, /*mean=*/0, /*std=*/0.01);
        torch::nn::init::zeros_(linear->bias);
      }
    }
  }

  VGGOptions options_;
  torch::nn::Sequential features_;
  torch::nn::AdaptiveAvgPool2d avgpool_{torch::nn::AdaptiveAvgPool2dOptions(kPooledSide)};
  torch::nn::Sequential classifier_;
};

TORCH_MODULE(VGG);

}  // namespace examples
