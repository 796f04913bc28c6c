// SPDX-License-Identifier: MIT
#pragma once

#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

namespace delve {

/// What the axes of a layer's output mean, and so how it becomes a data matrix.
enum class LayerFamily {
  Convolution,  ///< (B, C, H, W), or (C, H, W) for one picture
  Linear,       ///< (..., D)
  Recurrent,    ///< output, last hidden state, …; see data_matrix()
};

/// An operator by which a kind of module runs its forward, and the places of its arguments.
struct ForwardOperator {
  std::string_view name;
  int input;
  int weight;                  ///< a tensor, or a list of tensors that the first weight leads
  int bias;                    ///< -1: not an argument
  bool is_transposed = false;  ///< the weight is handed over as weight.t()
  /// The module adds its bias to the result in place, by the operator that comes next.
  bool bias_follows = false;
};

/// A kind of layer: how to recognise it, and how its forward looks from below. LibTorch's modules
/// have no forward hooks, so a forward is recognised by the operator that takes the module's
/// weight.
struct LayerKind {
  std::string_view name;
  LayerFamily family;
  std::vector<ForwardOperator> operators;
  bool (*recognises)(const torch::nn::Module& module);
  torch::Tensor (*weight)(const torch::nn::Module& module);
  torch::Tensor (*bias)(const torch::nn::Module& module);
  /// Whether a batch, not time, is the output's first axis.
  bool (*batch_first)(const torch::nn::Module& module);
};

namespace detail {

template <typename Impl>
bool is_a(const torch::nn::Module& module) {
  return dynamic_cast<const Impl*>(&module) != nullptr;
}

template <typename Impl>
torch::Tensor weight_of(const torch::nn::Module& module) {
  return dynamic_cast<const Impl&>(module).weight;
}

template <typename Impl>
torch::Tensor bias_of(const torch::nn::Module& module) {
  return dynamic_cast<const Impl&>(module).bias;
}

template <typename Impl>
torch::Tensor first_recurrent_weight_of(const torch::nn::Module& module) {
  return dynamic_cast<const Impl&>(module).all_weights().front();
}

template <typename Impl>
bool recurrent_batch_first(const torch::nn::Module& module) {
  return dynamic_cast<const Impl&>(module).options.batch_first();
}

inline torch::Tensor no_bias(const torch::nn::Module&) {
  return {};
}

inline bool always_batch_first(const torch::nn::Module&) {
  return true;
}

}  // namespace detail

/// The table of all kinds, and the one place to add one. Operators as LibTorch 1.13.1 to 2.15.0
/// call them (torch/nn/functional/linear.h, conv.h and nn/modules/rnn.cpp). Of a convolution's or
/// an LSTM's inner operators none is listed under that kind: only the outermost one counts.
inline const std::vector<LayerKind>& layer_kinds() {
  using namespace torch::nn;
  // Never destroyed: operators may still run, and be looked at, while the program ends.
  static const auto& kinds = *new std::vector<LayerKind>{
      {"Conv2d",
       LayerFamily::Convolution,
       {{"aten::conv2d", 0, 1, 2}},
       detail::is_a<Conv2dImpl>,
       detail::weight_of<Conv2dImpl>,
       detail::bias_of<Conv2dImpl>,
       detail::always_batch_first},
      // 2-D input with a bias is one addmm; every other input is a matmul, and the bias follows.
      {"Linear",
       LayerFamily::Linear,
       {{"aten::addmm", 1, 2, 0, true},
        {"aten::matmul", 0, 1, -1, true, true},
        {"aten::linear", 0, 1, 2}},
       detail::is_a<LinearImpl>,
       detail::weight_of<LinearImpl>,
       detail::bias_of<LinearImpl>,
       detail::always_batch_first},
      // The weights are a list behind that of the states; a packed sequence has one argument more.
      {"LSTM",
       LayerFamily::Recurrent,
       {{"aten::lstm", 0, 2, -1}, {"aten::lstm", 0, 3, -1}},
       detail::is_a<LSTMImpl>,
       detail::first_recurrent_weight_of<LSTMImpl>,
       detail::no_bias,
       detail::recurrent_batch_first<LSTMImpl>},
  };
  return kinds;
}

/// The kind of a module; nullptr where the table has none.
inline const LayerKind* layer_kind_of(const torch::nn::Module& module) {
  for (const LayerKind& kind : layer_kinds()) {
    if (kind.recognises(module)) return &kind;
  }
  return nullptr;
}

/// "Conv2d, Linear, LSTM", for messages.
inline std::string layer_kind_names() {
  std::string names;
  for (const LayerKind& kind : layer_kinds()) {
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  return names;
}

}  // namespace delve
