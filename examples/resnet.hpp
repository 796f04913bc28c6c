// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t
#include <memory>   // std::shared_ptr
#include <vector>   // std::vector

#include <fmt/format.h>
#include <torch/arg.h>
#include <torch/enum.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

namespace examples {

/// A convolution as ResNet has them: no bias, for a BatchNorm2d follows each, and padded so that
/// only the stride makes the feature map smaller.
inline torch::nn::Conv2d resnet_convolution(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                            std::int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

/// Two convolutions, added to what they were given.
class BasicBlockImpl : public torch::nn::Module {
 public:
  BasicBlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv1_(register_module("conv1", resnet_convolution(in, out, 3, stride))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2_(register_module("conv2", resnet_convolution(out, out, 3, 1))),
        bn2_(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (stride == 1 && in == out) return;
    downsample_ = register_module(
        "downsample",
        torch::nn::Sequential(resnet_convolution(in, out, 1, stride), torch::nn::BatchNorm2d(out)));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    const torch::Tensor inner = torch::relu(bn1_->forward(conv1_->forward(input)));
    const torch::Tensor shortcut = downsample_.is_empty() ? input : downsample_->forward(input);
    return torch::relu(bn2_->forward(conv2_->forward(inner)) + shortcut);
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Conv2d conv2_;
  torch::nn::BatchNorm2d bn2_;
  torch::nn::Sequential downsample_{nullptr};
};

TORCH_MODULE(BasicBlock);

struct ResNetOptions {
  /// Number of classes, and of outputs.
  TORCH_ARG(std::int64_t, num_classes) = 10;

  /// Whether the first convolution takes every second position and a max-pool every second of
  /// those, as is right for pictures of 224 pixels. Without, all feature maps are 4 × 4 times as
  /// large.
  TORCH_ARG(bool, early_downsampling) = true;

  /// Features of the first stage; each stage has twice those of the one before.
  TORCH_ARG(std::int64_t, width) = 64;

  /// How many of the four stages there are, of two blocks each; those behind are left out.
  TORCH_ARG(int, stages) = 4;

 public:
  ResNetOptions() = default;
};

/// ResNet18 (He et al., https://arxiv.org/abs/1512.03385, table 1) with the layers, names and
/// initialisation of torchvision: 11,181,642 parameters for ten classes.
class ResNet18Impl : public torch::nn::Module {
 public:
  explicit ResNet18Impl(const ResNetOptions& options = {})
      : options_(options),
        conv1_(register_module("conv1", resnet_convolution(3, options.width(), 7,
                                                           options.early_downsampling() ? 2 : 1))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(options.width()))) {
    std::int64_t features = options.width();
    for (int stage = 0; stage < options.stages(); ++stage) {
      const std::int64_t before = features;
      if (stage > 0) features *= 2;
      stages_.push_back(register_module(fmt::format("layer{}", stage + 1),
                                        blocks(before, features, stage > 0 ? 2 : 1)));
    }
    fc_ = register_module("fc", torch::nn::Linear(features, options.num_classes()));
    // The linear layer and the norms start as LibTorch starts them, which is torchvision's way.
    for (const std::shared_ptr<torch::nn::Module>& module : modules(/*include_self=*/false)) {
      if (auto* convolution = module->as<torch::nn::Conv2d>()) {
        torch::nn::init::kaiming_normal_(convolution->weight, /*a=*/0, torch::kFanOut,
                                         torch::kReLU);
      }
    }
  }

  /// Class scores, N × num_classes, of pictures, N × 3 × H × W.
  torch::Tensor forward(const torch::Tensor& pictures) {
    torch::Tensor maps = torch::relu(bn1_->forward(conv1_->forward(pictures)));
    if (options_.early_downsampling()) {
      maps = torch::max_pool2d(maps, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
    }
    for (torch::nn::Sequential& stage : stages_) maps = stage->forward(maps);
    return fc_->forward(maps.mean({2, 3}));
  }

 private:
  static torch::nn::Sequential blocks(std::int64_t in, std::int64_t out, std::int64_t stride) {
    return torch::nn::Sequential(BasicBlock(in, out, stride), BasicBlock(out, out, 1));
  }

  ResNetOptions options_;
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  std::vector<torch::nn::Sequential> stages_;
  torch::nn::Linear fc_{nullptr};
};

TORCH_MODULE(ResNet18);

}  // namespace examples
