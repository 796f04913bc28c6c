// SPDX-License-Identifier: MIT
#pragma once

#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include <delve/module_view.hpp>

namespace delve {

/// What the axes of a layer's output mean, and so how it becomes a data matrix.
enum class LayerFamily {
  Convolution,  ///< (B, C, positions…), or (C, positions…) for one sample
  Linear,       ///< (..., D)
  Recurrent,    ///< output, last hidden state, …; see data_matrix()
};

/// How to read an output.
struct OutputLayout {
  LayerFamily family;
  /// Of a convolution: how many axes of positions there are, 1 to 3. 0: any number, and there is
  /// always a batch.
  int position_axes = 2;
  /// Of a recurrent layer: whether its axes are (B, T, U), not (T, B, U).
  bool batch_first = true;
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
  /// Where the operator is that of convolutions and transposed ones alike: the place of the flag
  /// that tells them apart, and its value here. -1: no such flag.
  int flag = -1;
  bool flag_value = false;
};

/// A kind of layer: how to recognise it, and how its forward looks from below. LibTorch's modules
/// have no forward hooks, so a forward is recognised by the operator that takes the module's
/// weight.
struct LayerKind {
  std::string_view name;  ///< that of the class in LibTorch and in TorchScript
  LayerFamily family;
  int position_axes;  ///< as in OutputLayout
  bool by_default;  ///< tracked unasked; others are where CheckLayerSatOptions::also_track says so
  std::vector<ForwardOperator> operators;
  std::string_view weight_name;  ///< of the parameter that the operators take
  std::string_view bias_name;    ///< empty: none
  bool (*is_native)(const torch::nn::Module& module);
  torch::Tensor (*native_weight)(const torch::nn::Module& module);
  torch::Tensor (*native_bias)(const torch::nn::Module& module);
  bool (*native_batch_first)(const torch::nn::Module& module);
  /// Whether the rows of the weight are data: an output is made of them.
  bool is_table = false;

  [[nodiscard]] bool recognises(const ModuleView& module) const {
    if (module.nn() != nullptr) return is_native(*module.nn());
    // By this name goes the output of Python's MultiheadAttention.
    const std::string type = module.type_name();
    const bool has_name =
        type == name || (type == "NonDynamicallyQuantizableLinear" && name == "Linear");
    return has_name && weight(module).defined();
  }

  /// The parameter by which its forward is recognised; undefined where it has none.
  [[nodiscard]] torch::Tensor weight(const ModuleView& module) const {
    if (module.nn() != nullptr) return native_weight(*module.nn());
    return parameter(*module.script(), weight_name);
  }

  [[nodiscard]] torch::Tensor bias(const ModuleView& module) const {
    if (module.nn() != nullptr) return native_bias(*module.nn());
    return bias_name.empty() ? torch::Tensor() : parameter(*module.script(), bias_name);
  }

  [[nodiscard]] OutputLayout layout(const ModuleView& module) const {
    bool batch_first = true;
    if (module.nn() != nullptr) {
      batch_first = native_batch_first(*module.nn());
    } else if (family == LayerFamily::Recurrent) {
      batch_first = module.script()->attr("batch_first", false).toBool();
    }
    return {family, position_axes, batch_first};
  }

 private:
  static torch::Tensor parameter(const torch::jit::Module& module, std::string_view name) {
    const c10::IValue value = module.attr(std::string(name), c10::IValue());
    return value.isTensor() ? value.toTensor() : torch::Tensor();
  }
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

/// A kind whose weight and bias are parameters of these names.
template <typename Impl>
LayerKind kind_with_bias(std::string_view name, LayerFamily family, int position_axes,
                         bool by_default, std::vector<ForwardOperator> operators) {
  return {name,   family,     position_axes,   by_default,    std::move(operators), "weight",
          "bias", is_a<Impl>, weight_of<Impl>, bias_of<Impl>, always_batch_first};
}

/// A convolution, or a transposed one. Traced modules call _convolution for either, and so do all
/// others within their operator.
template <typename Impl>
LayerKind convolution(std::string_view name, int position_axes, std::string_view op) {
  const bool is_transposed = op.find("transpose") != std::string_view::npos;
  return kind_with_bias<Impl>(name, LayerFamily::Convolution, position_axes, true,
                              {{op, 0, 1, 2},
                               {"aten::_convolution", 0, 1, 2, false, false, 6, is_transposed},
                               {"aten::convolution", 0, 1, 2, false, false, 6, is_transposed}});
}

/// The weights are a list behind that of the states; a packed sequence has one argument more.
template <typename Impl>
LayerKind recurrent(std::string_view name, const std::vector<std::string_view>& ops) {
  std::vector<ForwardOperator> operators;
  for (const std::string_view op : ops) {
    operators.push_back({op, 0, 2, -1});
    operators.push_back({op, 0, 3, -1});
  }
  return {name,
          LayerFamily::Recurrent,
          0,
          true,
          std::move(operators),
          "weight_ih_l0",
          "",
          is_a<Impl>,
          first_recurrent_weight_of<Impl>,
          no_bias,
          recurrent_batch_first<Impl>};
}

/// What torch::nn::functional::linear calls: of 2-D input with a bias one addmm; of every other
/// input a matmul, and the bias follows. TorchScript calls linear.
inline std::vector<ForwardOperator> linear_operators() {
  return {{"aten::addmm", 1, 2, 0, true},
          {"aten::matmul", 0, 1, -1, true, true},
          {"aten::linear", 0, 1, 2}};
}

template <typename Impl>
LayerKind batch_norm(std::string_view name) {
  return kind_with_bias<Impl>(name, LayerFamily::Convolution, 0, false,
                              {{"aten::batch_norm", 0, 1, 2}});
}

}  // namespace detail

/// The table of all kinds, and the one place to add one. Operators as LibTorch 1.13.1 to 2.15.0
/// call them (torch/nn/functional/*.h and nn/modules/rnn.cpp). Only an outermost operator counts;
/// what an operator calls within itself need not be listed, nor told from a forward.
inline const std::vector<LayerKind>& layer_kinds() {
  using namespace torch::nn;
  using namespace detail;
  // Never destroyed: operators may still run, and be looked at, while the program ends.
  static const auto& kinds = *new std::vector<LayerKind>{
      convolution<Conv1dImpl>("Conv1d", 1, "aten::conv1d"),
      convolution<Conv2dImpl>("Conv2d", 2, "aten::conv2d"),
      convolution<Conv3dImpl>("Conv3d", 3, "aten::conv3d"),
      convolution<ConvTranspose1dImpl>("ConvTranspose1d", 1, "aten::conv_transpose1d"),
      convolution<ConvTranspose2dImpl>("ConvTranspose2d", 2, "aten::conv_transpose2d"),
      convolution<ConvTranspose3dImpl>("ConvTranspose3d", 3, "aten::conv_transpose3d"),
      kind_with_bias<LinearImpl>("Linear", LayerFamily::Linear, 0, true, linear_operators()),
      recurrent<LSTMImpl>("LSTM", {"aten::lstm"}),
      recurrent<GRUImpl>("GRU", {"aten::gru"}),
      recurrent<RNNImpl>("RNN", {"aten::rnn_tanh", "aten::rnn_relu"}),
      batch_norm<BatchNorm1dImpl>("BatchNorm1d"),
      batch_norm<BatchNorm2dImpl>("BatchNorm2d"),
      batch_norm<BatchNorm3dImpl>("BatchNorm3d"),
      kind_with_bias<LayerNormImpl>("LayerNorm", LayerFamily::Linear, 0, false,
                                    {{"aten::layer_norm", 0, 2, 3}}),
      {"Embedding",
       LayerFamily::Linear,
       0,
       false,
       {{"aten::embedding", 1, 0, -1}},
       "weight",
       "",
       is_a<EmbeddingImpl>,
       weight_of<EmbeddingImpl>,
       no_bias,
       always_batch_first,
       /*is_table=*/true},
      // The projections of query, key and value, side by side, where all three are of one tensor.
      // The one of the output is a Linear of its own.
      {"MultiheadAttention", LayerFamily::Linear, 0, false, linear_operators(), "in_proj_weight",
       "in_proj_bias", is_a<MultiheadAttentionImpl>,
       [](const Module& module) {
         return dynamic_cast<const MultiheadAttentionImpl&>(module).in_proj_weight;
       },
       [](const Module& module) {
         return dynamic_cast<const MultiheadAttentionImpl&>(module).in_proj_bias;
       },
       always_batch_first},
  };
  return kinds;
}

/// The kind of a module; nullptr where the table has none.
inline const LayerKind* layer_kind_of(const ModuleView& module) {
  for (const LayerKind& kind : layer_kinds()) {
    if (kind.recognises(module)) return &kind;
  }
  return nullptr;
}

/// "Conv1d, Conv2d, …", for messages.
inline std::string layer_kind_names() {
  std::string names;
  for (const LayerKind& kind : layer_kinds()) {
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  return names;
}

}  // namespace delve
