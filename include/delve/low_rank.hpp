// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <memory>       // std::dynamic_pointer_cast, std::make_shared, std::shared_ptr
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <type_traits>  // std::integral_constant
#include <utility>      // std::forward
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <delve/covariance.hpp>
#include <delve/detail/pca/pca_impl.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/version.hpp>

// Two narrow layers instead of one: the first gives the coordinates of the output in the k
// directions that its data needs, the second turns these back into the output. With V the
// directions, d × k, m the mean of the outputs, and W and b the weight and bias of the layer:
//
//     y = W₂(W₁x + b₁) + b₂,   W₁ = VᵀW,  b₁ = Vᵀb,  W₂ = V,  b₂ = m − VVᵀm
//
// that is, VVᵀ(Wx + b − m) + m: the outputs projected as LinearPCA does. A convolution becomes one
// with the same kernel to fewer channels, and a 1 × 1 one back (Zhang, Zou, He & Sun,
// "Accelerating very deep convolutional networks for classification and detection", arXiv
// 1505.06798, section 3.1).

namespace delve {
inline namespace DELVE_ABI {

/// Where a layer's outputs are taken to lie: m + V·(k coordinates), in each group of channels.
struct Subspace {
  at::Tensor basis;  ///< V: (g, d/g, k) float64, its columns orthonormal; g groups of features
  at::Tensor mean;   ///< m: (d) float64
};

/// The directions that explain a share of the variance: the smallest k by the rule of
/// Spectrum::dimensionality, at least 1. Of several groups each has its own directions, those of
/// its block of Σ, and all have as many as the one that needs most. Waits for the device.
/// @param covariance of the layer's outputs, with samples() > 0; with ten data points per dimension
///   or more, directions are those of the layer, with fewer those of the sample
/// @param share above 0, at most 1
/// @param groups of features that follow one another, of equal size
/// @throws std::invalid_argument where one of these does not hold
template <typename Scalar>
[[nodiscard]] Subspace leading_subspace(Covariance<Scalar>& covariance, double share,
                                        std::int64_t groups = 1) {
  detail::require_share(share, "delve::leading_subspace", "share");
  const std::int64_t width = covariance.width();
  detail::require(groups >= 1 && width % groups == 0, "delve::leading_subspace", "groups",
                  fmt::to_string(groups), fmt::format("a divisor of the {} features", width));
  if (covariance.samples() == 0) {
    throw std::invalid_argument("delve::leading_subspace: the covariance is of no data");
  }
  const detail::PlainMode plain;
  const at::Tensor sigma = covariance.matrix();
  const double floor = covariance.noise_floor();
  const std::int64_t size = width / groups;
  std::vector<at::Tensor> vectors;
  std::int64_t kept = 1;
  for (std::int64_t group = 0; group < groups; ++group) {
    const detail::Eigenspace space = detail::eigenspace_of(
        sigma.narrow(0, group * size, size).narrow(1, group * size, size), floor);
    kept = std::max(kept, space.spectrum.dimensionality(share));
    vectors.push_back(space.vectors);
  }
  return {at::stack(vectors).narrow(2, 0, kept).contiguous(), covariance.mean()};
}

namespace detail {

/// What a layer's weight and bias become in the two narrow ones.
struct NarrowedWeights {
  at::Tensor weight;       ///< W₁: (g·k, …)
  at::Tensor bias;         ///< b₁: (g·k)
  at::Tensor back_weight;  ///< W₂: (d, k)
  at::Tensor back_bias;    ///< b₂: (d)
};

/// @param weight (d, …), the outputs first
inline NarrowedWeights narrowed_weights(const at::Tensor& weight, const at::Tensor& bias,
                                        const Subspace& space) {
  const at::Tensor basis = space.basis.to(weight.device(), at::kDouble);
  const std::int64_t groups = basis.size(0);
  const std::int64_t kept = basis.size(2);
  const at::Tensor down = basis.transpose(1, 2);
  const auto by_group = [&](const at::Tensor& tensor) {
    return tensor.to(weight.device(), at::kDouble).reshape({groups, basis.size(1), -1});
  };
  std::vector<std::int64_t> shape = weight.sizes().vec();
  shape[0] = groups * kept;
  const at::Tensor mean = by_group(space.mean);
  NarrowedWeights narrow;
  narrow.weight = at::bmm(down, by_group(weight)).reshape(shape);
  if (bias.defined()) narrow.bias = at::bmm(down, by_group(bias)).flatten();
  narrow.back_weight = basis.reshape({-1, kept});
  narrow.back_bias = (mean - at::bmm(basis, at::bmm(down, mean))).flatten();
  return narrow;
}

/// Gives a new layer its weights, and the old one's device, type, mode and requires_grad.
template <typename Layer>
void settle_in(Layer& layer, const Layer& old, const at::Tensor& weight, const at::Tensor& bias) {
  layer.to(old.weight.device(), old.weight.scalar_type());
  layer.train(old.is_training());
  {
    const at::NoGradGuard no_grad;
    layer.weight.copy_(weight.reshape(layer.weight.sizes()));
    if (layer.bias.defined()) layer.bias.copy_(bias);
  }
  for (const at::Tensor& parameter : layer.parameters()) {
    parameter.set_requires_grad(old.weight.requires_grad());
  }
}

/// The two layers in a row; or the layer itself, where they need no fewer multiplications.
/// @param make(in, out, is_back, has_bias) makes one of the two
template <typename Layer, typename Make>
torch::nn::Sequential narrowed(const std::shared_ptr<Layer>& layer, const Subspace& space,
                               const Make& make) {
  torch::nn::Sequential row;
  const std::int64_t width = layer->weight.size(0);
  const std::int64_t kept = space.basis.size(0) * space.basis.size(2);
  const std::int64_t inputs = layer->weight.numel() / width;  // of one output
  if (kept * inputs + width * space.basis.size(2) >= width * inputs) {
    row->push_back(layer);
    return row;
  }
  const NarrowedWeights narrow = narrowed_weights(
      layer->weight.detach(), layer->bias.defined() ? layer->bias.detach() : at::Tensor(), space);
  const std::shared_ptr<Layer> down = make(kept, /*is_back=*/false, layer->bias.defined());
  settle_in(*down, *layer, narrow.weight, narrow.bias);
  const std::shared_ptr<Layer> back = make(width, /*is_back=*/true, /*has_bias=*/true);
  settle_in(*back, *layer, narrow.back_weight, narrow.back_bias);
  row->push_back(down);
  row->push_back(back);
  return row;
}

inline torch::nn::Sequential narrowed_linear(const std::shared_ptr<torch::nn::LinearImpl>& layer,
                                             const Subspace& space) {
  return narrowed(layer, space, [&](std::int64_t out, bool is_back, bool has_bias) {
    const std::int64_t in = is_back ? space.basis.size(2) : layer->weight.size(1);
    return std::make_shared<torch::nn::LinearImpl>(
        torch::nn::LinearOptions(in, out).bias(has_bias));
  });
}

template <std::size_t D, typename Layer>
torch::nn::Sequential narrowed_convolution(const std::shared_ptr<Layer>& layer,
                                           const Subspace& space) {
  const auto& old = layer->options;
  return narrowed(layer, space, [&](std::int64_t out, bool is_back, bool has_bias) {
    if (is_back) {
      const std::int64_t in = space.basis.size(0) * space.basis.size(2);
      return std::make_shared<Layer>(
          torch::nn::ConvOptions<D>(in, out, 1).groups(old.groups()).bias(has_bias));
    }
    return std::make_shared<Layer>(
        torch::nn::ConvOptions<D>(old.in_channels(), out, old.kernel_size())
            .stride(old.stride())
            .padding(old.padding())
            .dilation(old.dilation())
            .groups(old.groups())
            .bias(has_bias)
            .padding_mode(old.padding_mode()));
  });
}

/// What low_rank() takes.
struct NarrowableLayer {
  std::int64_t width;   ///< d
  std::int64_t groups;  ///< of a convolution; else 1
};

/// Calls act(layer, dimensions) with the layer as its own class; 0 dimensions: Linear.
/// @throws std::invalid_argument where it cannot be narrowed
template <typename Act>
auto visit_narrowable(const std::shared_ptr<torch::nn::Module>& module, const Act& act) {
  using torch::nn::Conv1dImpl;
  using torch::nn::Conv2dImpl;
  using torch::nn::Conv3dImpl;
  using torch::nn::LinearImpl;
  if (const auto linear = std::dynamic_pointer_cast<LinearImpl>(module)) {
    return act(linear, std::integral_constant<std::size_t, 0>());
  }
  if (const auto conv = std::dynamic_pointer_cast<Conv1dImpl>(module)) {
    return act(conv, std::integral_constant<std::size_t, 1>());
  }
  if (const auto conv = std::dynamic_pointer_cast<Conv2dImpl>(module)) {
    return act(conv, std::integral_constant<std::size_t, 2>());
  }
  if (const auto conv = std::dynamic_pointer_cast<Conv3dImpl>(module)) {
    return act(conv, std::integral_constant<std::size_t, 3>());
  }
  throw std::invalid_argument(
      fmt::format("delve::low_rank: module is {}; it must be a Linear, Conv1d, Conv2d or Conv3d",
                  module ? module->name() : "null"));
}

/// @throws std::invalid_argument where the layer has no outputs to be narrowed
inline NarrowableLayer narrowable(const std::shared_ptr<torch::nn::Module>& module) {
  return visit_narrowable(module, [](const auto& layer, auto dimensions) {
    NarrowableLayer found{layer->weight.size(0), 1};
    if constexpr (dimensions > 0) found.groups = layer->options.groups();
    if (!layer->weight.is_floating_point()) {
      throw std::invalid_argument(
          fmt::format("delve::low_rank: the weight is of type {}; it must "
                      "be of a real floating type",
                      c10::toString(layer->weight.scalar_type())));
    }
    if (found.groups > 1 && found.width == found.groups) {
      throw std::invalid_argument(fmt::format(
          "delve::low_rank: groups is {}, one for each output channel (a depthwise convolution): a "
          "single output has no directions that could be left out. Narrow the 1 x 1 convolution "
          "next to it",
          found.groups));
    }
    return found;
  });
}

inline void require_subspace(const Subspace& space, const NarrowableLayer& layer) {
  const auto require = [](bool holds, const std::string& fault) {
    if (!holds) throw std::invalid_argument("delve::low_rank: space: " + fault);
  };
  const at::Tensor& basis = space.basis;
  const bool fits = basis.defined() && basis.dim() == 3 && basis.size(0) == layer.groups &&
                    basis.size(1) == layer.width / layer.groups && basis.size(2) >= 1 &&
                    basis.size(2) <= basis.size(1) && space.mean.defined() &&
                    space.mean.dim() == 1 && space.mean.size(0) == layer.width;
  require(fits,
          fmt::format("basis must be ({}, {}, k) and mean ({}), with k of 1 to {}", layer.groups,
                      layer.width / layer.groups, layer.width, layer.width / layer.groups));
  const at::Tensor wide = basis.to(at::kDouble);
  const at::Tensor one = at::eye(basis.size(2), wide.options());
  constexpr double rounding = 1e-5;  // of a basis that was found in float32
  require((at::bmm(wide.transpose(1, 2), wide) - one).abs().max().item<double>() < rounding,
          "the columns of basis must be orthonormal, and finite");
}

}  // namespace detail

/// A layer confined to a subspace of its outputs, as a Sequential of two narrow ones; where these
/// need no fewer multiplications, of the layer itself. The new layers have the old one's device,
/// type, mode and requires_grad, and share no parameter with it: it stays as it is. Making them
/// draws random numbers, as for any new module. Waits for the device.
/// @param module a Linear, or a Conv1d, Conv2d or Conv3d with any stride, padding, padding mode,
///   dilation and groups, with or without a bias; not a depthwise one
/// @param space of its outputs, of as many groups as the module has
/// @throws std::invalid_argument for another module, or another space
[[nodiscard]] inline torch::nn::Sequential low_rank(
    const std::shared_ptr<torch::nn::Module>& module, const Subspace& space) {
  const detail::NarrowableLayer found = detail::narrowable(module);
  detail::require_subspace(space, found);
  return detail::visit_narrowable(module, [&](const auto& layer, auto dimensions) {
    if constexpr (dimensions == 0) {
      return detail::narrowed_linear(layer, space);
    } else {
      return detail::narrowed_convolution<dimensions>(layer, space);
    }
  });
}

/// The same with the leading directions of the outputs' covariance.
///
///     delve::Covariance<> outputs;
///     auto handle = delve::register_forward_hook(*conv, [&](const delve::ForwardCall& call) {
///       outputs.update(delve::data_matrix(call.outputs, {delve::LayerFamily::Convolution, 2},
///       {}));
///     });
///     evaluate(model);  // data like that which is to come
///     torch::nn::Sequential narrow = delve::low_rank(conv, outputs, 0.99);
///
/// @param covariance of the outputs, bias included: (n, d) with d features or channels
/// @param share of the variance that is kept, above 0; at 1 the Sequential is of the module itself
/// @throws std::invalid_argument for another module, share or width, or without data
template <typename Scalar>
[[nodiscard]] torch::nn::Sequential low_rank(const std::shared_ptr<torch::nn::Module>& module,
                                             Covariance<Scalar>& covariance, double share) {
  const detail::NarrowableLayer found = detail::narrowable(module);
  detail::require_share(share, "delve::low_rank", "share");
  if (covariance.width() != found.width) {
    throw std::invalid_argument(
        fmt::format("delve::low_rank: the covariance is of {} features; the module has {}",
                    covariance.width(), found.width));
  }
  if (share < 1) return low_rank(module, leading_subspace(covariance, share, found.groups));
  return detail::visit_narrowable(module, [](const auto& layer, auto /*dimensions*/) {
    torch::nn::Sequential itself;
    itself->push_back(layer);
    return itself;
  });
}

/// For holders: `low_rank(conv, outputs, 0.99)` with a torch::nn::Conv2d.
template <typename Impl, typename... Arguments>
[[nodiscard]] torch::nn::Sequential low_rank(const torch::nn::ModuleHolder<Impl>& module,
                                             Arguments&&... arguments) {
  return low_rank(std::shared_ptr<torch::nn::Module>(module.ptr()),
                  std::forward<Arguments>(arguments)...);
}

}  // namespace DELVE_ABI
}  // namespace delve
