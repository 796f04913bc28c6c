// SPDX-License-Identifier: MIT
#pragma once

#include <array>        // std::array
#include <cstdint>      // std::int64_t
#include <deque>        // std::deque
#include <mutex>        // std::lock_guard, std::mutex
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/nn/functional/instancenorm.h>  // modules/instancenorm.h needs it, but lacks it
#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

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

/// An operator by which a kind of module runs its forward, and which of its arguments is which.
/// Arguments are counted from 0, as in the operator's schema:
///
///     ForwardOperator("aten::addmm").bias_at(0).input_at(1).transposed_weight_at(2)
struct ForwardOperator {
  explicit ForwardOperator(std::string operator_name) : name(std::move(operator_name)) {}

  /// A tensor, or a list of tensors of which the input is the first.
  ForwardOperator& input_at(int argument) {
    input = argument;
    return *this;
  }
  /// A tensor, or a list of tensors that begins with the first weight.
  ForwardOperator& weight_at(int argument) {
    weight = argument;
    return *this;
  }
  /// The weight is passed as weight.t().
  ForwardOperator& transposed_weight_at(int argument) {
    is_transposed = true;
    return weight_at(argument);
  }
  /// Not needed where the operator takes no bias.
  ForwardOperator& bias_at(int argument) {
    bias = argument;
    return *this;
  }
  /// A module that has a bias adds it to the result, by the operator that comes next.
  ForwardOperator& then_adds_bias() {
    bias_follows = true;
    return *this;
  }
  /// Counts only with this value of a flag: one operator runs convolutions and transposed ones.
  ForwardOperator& where_flag(int argument, bool value) {
    flag = argument;
    flag_value = value;
    return *this;
  }

  std::string name;
  int input = -1;
  int weight = -1;
  int bias = -1;  ///< -1: not an argument
  bool is_transposed = false;
  bool bias_follows = false;
  int flag = -1;  ///< -1: no flag matters
  bool flag_value = false;
};

namespace detail {

template <typename Impl>
bool is_a(const torch::nn::Module& module) {
  return dynamic_cast<const Impl*>(&module) != nullptr;
}

template <auto Member>
struct MemberOf;
template <typename Impl, torch::Tensor Impl::*Member>
struct MemberOf<Member> {
  static torch::Tensor read(const torch::nn::Module& module) {
    return dynamic_cast<const Impl&>(module).*Member;
  }
};

}  // namespace detail

struct LayerPart;

/// A kind of layer: how to recognise it, and which operators its forward runs. LibTorch's modules
/// have no forward hooks, so a forward is recognised by the operator that takes the module's
/// weight.
///
///     delve::LayerKind::of<ScaledImpl>("Scaled", delve::LayerFamily::Linear)
///         .weight_is<&ScaledImpl::weight>("weight")
///         .run_by({delve::ForwardOperator("aten::mm").input_at(0).weight_at(1)})
///
/// @see register_layer_kind
struct LayerKind {
  using TensorOf = torch::Tensor (*)(const torch::nn::Module& module);

  /// @param kind_name that of the class in LibTorch and in TorchScript
  LayerKind(std::string kind_name, LayerFamily output_family)
      : name(std::move(kind_name)), family(output_family) {}

  /// One whose modules are of a class, or of one derived from it.
  /// @tparam Impl derived from torch::nn::Module
  template <typename Impl>
  static LayerKind of(std::string kind_name, LayerFamily output_family) {
    LayerKind kind(std::move(kind_name), output_family);
    kind.is_native = detail::is_a<Impl>;
    return kind;
  }

  /// As in OutputLayout.
  LayerKind& positions(int axes) {
    position_axes = axes;
    return *this;
  }
  /// Tracked only where CheckLayerSatOptions::also_track names it.
  LayerKind& on_request() {
    by_default = false;
    return *this;
  }
  /// All operators that may run its forward.
  LayerKind& run_by(std::vector<ForwardOperator> all_operators) {
    operators = std::move(all_operators);
    return *this;
  }
  /// The parameter by which its forward is recognised: its name in TorchScript, and how to read it
  /// from a module of LibTorch's own.
  LayerKind& weight_is(std::string parameter_name, TensorOf parameter_of) {
    weight_name = std::move(parameter_name);
    native_weight = parameter_of;
    return *this;
  }
  /// The same, of a member: weight_is<&ScaledImpl::weight>("weight").
  template <auto Member>
  LayerKind& weight_is(std::string parameter_name) {
    return weight_is(std::move(parameter_name), detail::MemberOf<Member>::read);
  }
  /// The bias that its operators take, if they take one; it distinguishes modules that share a
  /// weight.
  LayerKind& bias_is(std::string parameter_name, TensorOf parameter_of) {
    bias_name = std::move(parameter_name);
    native_bias = parameter_of;
    return *this;
  }
  template <auto Member>
  LayerKind& bias_is(std::string parameter_name) {
    return bias_is(std::move(parameter_name), detail::MemberOf<Member>::read);
  }
  /// The rows of its weight are data: outputs are made of them.
  LayerKind& looks_up_rows() {
    is_table = true;
    return *this;
  }

  /// Its weight and bias are these rows alone: of all_shares equal shares, those from first_share
  /// up to, but without, end_share.
  LayerKind& rows(int first_share, int end_share, int all_shares) {
    first_row = first_share;
    end_row = end_share;
    rows_of = all_shares;
    return *this;
  }
  /// The parameter that a module has in the place of these rows, where it has no weight to take
  /// them from.
  LayerKind& separate_weight_is(std::string parameter_name, TensorOf parameter_of) {
    separate_weight_name = std::move(parameter_name);
    native_separate_weight = parameter_of;
    return *this;
  }

  std::string name;
  LayerFamily family;
  int position_axes = 0;
  bool by_default = true;
  std::vector<ForwardOperator> operators;
  std::string weight_name;
  std::string bias_name;             ///< empty: none
  std::string separate_weight_name;  ///< empty: none
  int first_row = 0;
  int end_row = 0;
  int rows_of = 0;  ///< 0: all rows
  bool is_table = false;
  bool is_transposed = false;  ///< a transposed convolution
  bool is_cell = false;        ///< one step of a recurrent layer, whatever its family
  const std::vector<LayerPart>* parts = nullptr;  ///< what may run by itself; nullptr: nothing
  bool (*is_native)(const torch::nn::Module& module) = nullptr;
  TensorOf native_weight = nullptr;
  TensorOf native_bias = nullptr;                                         ///< nullptr: none
  TensorOf native_separate_weight = nullptr;                              ///< nullptr: none
  bool (*native_batch_first)(const torch::nn::Module& module) = nullptr;  ///< nullptr: always

  [[nodiscard]] bool recognises(const ModuleView& module) const {
    if (module.nn() != nullptr) return is_native(*module.nn());
    // The output projection of Python's MultiheadAttention is a NonDynamicallyQuantizableLinear.
    const std::string type = module.type_name();
    const bool has_name =
        type == name || (type == "NonDynamicallyQuantizableLinear" && name == "Linear");
    return has_name && weight(module).defined();
  }

  /// The parameter by which its forward is recognised; undefined where it has none.
  [[nodiscard]] torch::Tensor weight(const ModuleView& module) const {
    torch::Tensor whole = parameter(module, native_weight, weight_name);
    if (rows_of == 0 || whole.defined()) return rows_of_this(whole);
    return parameter(module, native_separate_weight, separate_weight_name);
  }

  [[nodiscard]] torch::Tensor bias(const ModuleView& module) const {
    return rows_of_this(parameter(module, native_bias, bias_name));
  }

  [[nodiscard]] OutputLayout layout(const ModuleView& module) const {
    bool batch_first = true;
    if (module.nn() != nullptr) {
      batch_first = native_batch_first == nullptr || native_batch_first(*module.nn());
    } else if (family == LayerFamily::Recurrent) {
      batch_first = module.script()->attr("batch_first", false).toBool();
    }
    return {family, position_axes, batch_first};
  }

 private:
  static torch::Tensor parameter(const ModuleView& module, TensorOf native,
                                 const std::string& name_in_script) {
    if (module.nn() != nullptr) return native != nullptr ? native(*module.nn()) : torch::Tensor();
    if (name_in_script.empty()) return {};
    const c10::IValue value = module.script()->attr(name_in_script, c10::IValue());
    return value.isTensor() ? value.toTensor() : torch::Tensor();
  }

  [[nodiscard]] torch::Tensor rows_of_this(const torch::Tensor& whole) const {
    if (rows_of == 0 || !whole.defined()) return whole;
    const at::NoGradGuard no_grad;
    const std::int64_t share = whole.size(0) / rows_of;
    return whole.narrow(0, first_row * share, (end_row - first_row) * share);
  }
};

/// A part of a layer that a program may run by itself, with a name of its own in tables.
struct LayerPart {
  std::string_view suffix;  ///< of the layer's name: "q" makes "attention-q"
  const LayerKind* kind;    ///< by which its forwards are recognised
  int share = 0;            ///< which share of the output's features it is, from 0
  int shares = 1;           ///< of how many equal ones
};

namespace detail {

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

/// A kind whose weight is the member `weight`.
template <typename Impl>
LayerKind kind_without_bias(const std::string& name, LayerFamily family) {
  return LayerKind::of<Impl>(name, family).weight_is("weight", weight_of<Impl>);
}

/// The same with a bias, the member `bias`.
template <typename Impl>
LayerKind kind_with_bias(const std::string& name, LayerFamily family) {
  return kind_without_bias<Impl>(name, family).bias_is("bias", bias_of<Impl>);
}

/// A convolution, or a transposed one. Traced modules call _convolution for either, and so do all
/// others within their operator.
template <typename Impl>
LayerKind convolution(const std::string& name, int position_axes, const std::string& op) {
  const bool is_transposed = op.find("transpose") != std::string::npos;
  const auto taking_the_usual = [](const std::string& any_op) {
    return ForwardOperator(any_op).input_at(0).weight_at(1).bias_at(2);
  };
  LayerKind kind = kind_with_bias<Impl>(name, LayerFamily::Convolution);
  kind.is_transposed = is_transposed;
  return kind.positions(position_axes)
      .run_by({taking_the_usual(op),
               taking_the_usual("aten::_convolution").where_flag(6, is_transposed),
               taking_the_usual("aten::convolution").where_flag(6, is_transposed)});
}

/// The list of weights comes after that of the states; a packed sequence has one argument more.
template <typename Impl>
LayerKind recurrent(const std::string& name, const std::vector<std::string>& ops) {
  std::vector<ForwardOperator> operators;
  for (const std::string& op : ops) {
    operators.push_back(ForwardOperator(op).input_at(0).weight_at(2));
    operators.push_back(ForwardOperator(op).input_at(0).weight_at(3));
  }
  LayerKind kind = LayerKind::of<Impl>(name, LayerFamily::Recurrent);
  kind.native_batch_first = recurrent_batch_first<Impl>;
  return kind.weight_is("weight_ih_l0", first_recurrent_weight_of<Impl>)
      .run_by(std::move(operators));
}

/// What torch::nn::functional::linear calls: for 2-D input with a bias one addmm; for any other
/// input a matmul, and the bias follows. TorchScript calls linear. Programs that multiply by
/// weight.t() themselves call matmul or mm, too; within backward mm takes weights as well, but
/// nothing in backward is a forward.
inline std::vector<ForwardOperator> linear_operators() {
  return {ForwardOperator("aten::addmm").bias_at(0).input_at(1).transposed_weight_at(2),
          ForwardOperator("aten::matmul").input_at(0).transposed_weight_at(1).then_adds_bias(),
          ForwardOperator("aten::mm").input_at(0).transposed_weight_at(1).then_adds_bias(),
          ForwardOperator("aten::linear").input_at(0).weight_at(1).bias_at(2)};
}

/// One step of a recurrent layer. Its first output is the hidden state.
template <typename Impl>
LayerKind cell(const std::string& name, const std::vector<std::string>& ops) {
  std::vector<ForwardOperator> operators;
  for (const std::string& op : ops) {
    operators.push_back(ForwardOperator(op).input_at(0).weight_at(2).bias_at(4));
  }
  LayerKind kind = LayerKind::of<Impl>(name, LayerFamily::Linear);
  kind.is_cell = true;
  return kind
      .weight_is("weight_ih",
                 [](const torch::nn::Module& module) {
                   return dynamic_cast<const Impl&>(module).weight_ih;
                 })
      .bias_is(
          "bias_ih",
          [](const torch::nn::Module& module) { return dynamic_cast<const Impl&>(module).bias_ih; })
      .run_by(std::move(operators));
}

/// A BatchNorm or an InstanceNorm.
template <typename Impl>
LayerKind channel_norm(const std::string& name, const std::string& op) {
  return kind_with_bias<Impl>(name, LayerFamily::Convolution)
      .on_request()
      .run_by({ForwardOperator(op).input_at(0).weight_at(1).bias_at(2)});
}

/// The first projection of an attention: those of query, key and value, side by side.
inline LayerKind attention_projection() {
  using torch::nn::MultiheadAttentionImpl;
  return LayerKind::of<MultiheadAttentionImpl>("MultiheadAttention", LayerFamily::Linear)
      .weight_is<&MultiheadAttentionImpl::in_proj_weight>("in_proj_weight")
      .bias_is<&MultiheadAttentionImpl::in_proj_bias>("in_proj_bias")
      .on_request()
      .run_by(linear_operators());
}

/// What runs where query, key and value are not one tensor: a third of the rows each, or those of
/// key and value together where these are one. Weights of their own where their widths differ.
DELVE_SHARED inline const std::vector<LayerPart>& attention_parts() {
  using torch::nn::MultiheadAttentionImpl;
  const auto rows = [](int begin, int end) { return attention_projection().rows(begin, end, 3); };
  static const auto& kinds = *new std::array<LayerKind, 4>{
      rows(0, 1).separate_weight_is("q_proj_weight",
                                    MemberOf<&MultiheadAttentionImpl::q_proj_weight>::read),
      rows(1, 2).separate_weight_is("k_proj_weight",
                                    MemberOf<&MultiheadAttentionImpl::k_proj_weight>::read),
      rows(2, 3).separate_weight_is("v_proj_weight",
                                    MemberOf<&MultiheadAttentionImpl::v_proj_weight>::read),
      rows(1, 3)};
  static const auto& parts = *new std::vector<LayerPart>{{"q", &kinds[0]},
                                                         {"k", &kinds[1]},
                                                         {"v", &kinds[2]},
                                                         {"k", &kinds[3], 0, 2},
                                                         {"v", &kinds[3], 1, 2}};
  return parts;
}

/// The output projection is a Linear of its own.
inline LayerKind multihead_attention() {
  LayerKind kind = attention_projection();
  kind.parts = &attention_parts();
  return kind;
}

/// The table of the kinds that are built in. Operators as LibTorch 1.13.1 to 2.15.0 call them
/// (torch/nn/functional/*.h and nn/modules/rnn.cpp). Only an outermost operator counts; what an
/// operator calls within itself need not be listed, nor distinguished from a forward.
DELVE_SHARED inline const std::vector<LayerKind>& built_in_layer_kinds() {
  using namespace torch::nn;
  // Never destroyed: operators may still run, and be looked at, while the program ends.
  static const auto& kinds = *new std::vector<LayerKind>{
      convolution<Conv1dImpl>("Conv1d", 1, "aten::conv1d"),
      convolution<Conv2dImpl>("Conv2d", 2, "aten::conv2d"),
      convolution<Conv3dImpl>("Conv3d", 3, "aten::conv3d"),
      convolution<ConvTranspose1dImpl>("ConvTranspose1d", 1, "aten::conv_transpose1d"),
      convolution<ConvTranspose2dImpl>("ConvTranspose2d", 2, "aten::conv_transpose2d"),
      convolution<ConvTranspose3dImpl>("ConvTranspose3d", 3, "aten::conv_transpose3d"),
      kind_with_bias<LinearImpl>("Linear", LayerFamily::Linear).run_by(linear_operators()),
      kind_with_bias<BilinearImpl>("Bilinear", LayerFamily::Linear)
          .run_by({ForwardOperator("aten::bilinear").input_at(0).weight_at(2).bias_at(3)}),
      recurrent<LSTMImpl>("LSTM", {"aten::lstm"}),
      recurrent<GRUImpl>("GRU", {"aten::gru"}),
      recurrent<RNNImpl>("RNN", {"aten::rnn_tanh", "aten::rnn_relu"}),
      cell<LSTMCellImpl>("LSTMCell", {"aten::lstm_cell"}),
      cell<GRUCellImpl>("GRUCell", {"aten::gru_cell"}),
      cell<RNNCellImpl>("RNNCell", {"aten::rnn_tanh_cell", "aten::rnn_relu_cell"}),
      channel_norm<BatchNorm1dImpl>("BatchNorm1d", "aten::batch_norm"),
      channel_norm<BatchNorm2dImpl>("BatchNorm2d", "aten::batch_norm"),
      channel_norm<BatchNorm3dImpl>("BatchNorm3d", "aten::batch_norm"),
      channel_norm<InstanceNorm1dImpl>("InstanceNorm1d", "aten::instance_norm"),
      channel_norm<InstanceNorm2dImpl>("InstanceNorm2d", "aten::instance_norm"),
      channel_norm<InstanceNorm3dImpl>("InstanceNorm3d", "aten::instance_norm"),
      kind_with_bias<LayerNormImpl>("LayerNorm", LayerFamily::Linear)
          .on_request()
          .run_by({ForwardOperator("aten::layer_norm").input_at(0).weight_at(2).bias_at(3)}),
      kind_with_bias<GroupNormImpl>("GroupNorm", LayerFamily::Convolution)
          .on_request()
          .run_by({ForwardOperator("aten::group_norm").input_at(0).weight_at(2).bias_at(3)}),
      kind_without_bias<PReLUImpl>("PReLU", LayerFamily::Convolution)
          .on_request()
          .run_by({ForwardOperator("aten::prelu").input_at(0).weight_at(1)}),
      kind_without_bias<EmbeddingImpl>("Embedding", LayerFamily::Linear)
          .on_request()
          .looks_up_rows()
          .run_by({ForwardOperator("aten::embedding").weight_at(0).input_at(1)}),
      kind_without_bias<EmbeddingBagImpl>("EmbeddingBag", LayerFamily::Linear)
          .on_request()
          .looks_up_rows()
          .run_by({ForwardOperator("aten::embedding_bag").weight_at(0).input_at(1)}),
      multihead_attention(),
  };
  return kinds;
}

/// The kinds that the program has registered. None is ever taken away, nor moved.
struct OwnLayerKinds {
  std::mutex mutex;  // guards the list
  std::deque<LayerKind> kinds;
};

/// Never destroyed, as above.
DELVE_SHARED inline OwnLayerKinds& own_layer_kinds() {
  static auto& kinds = *new OwnLayerKinds;
  return kinds;
}

}  // namespace detail

/// All kinds, as they are now: those that the program registered, the latest first, then those that
/// are built in. They live as long as the program. Thread-safe.
inline std::vector<const LayerKind*> layer_kinds() {
  std::vector<const LayerKind*> all;
  detail::OwnLayerKinds& own = detail::own_layer_kinds();
  {
    const std::lock_guard<std::mutex> lock(own.mutex);
    for (auto kind = own.kinds.rbegin(); kind != own.kinds.rend(); ++kind) all.push_back(&*kind);
  }
  for (const LayerKind& kind : detail::built_in_layer_kinds()) all.push_back(&kind);
  return all;
}

/// Registers a user-defined kind of layer, for hooks and trackers made from now on. A module is of
/// the first kind of layer_kinds() that recognises it, so that a kind for a class derived from
/// LinearImpl comes before Linear. Thread-safe.
/// @throws std::invalid_argument where the name is empty or taken, the weight, its name or the
///   operators are missing, or an operator lacks the place of its input or weight
inline void register_layer_kind(LayerKind kind) {
  const auto require = [&](bool holds, std::string_view fault) {
    if (holds) return;
    throw std::invalid_argument(
        fmt::format("delve::register_layer_kind: \"{}\": {}", kind.name, fault));
  };
  require(!kind.name.empty(), "a name is needed");
  for (const LayerKind* known : layer_kinds()) {
    require(known->name != kind.name, "a kind of this name is known already");
  }
  require(kind.is_native != nullptr, "no class is named; begin with LayerKind::of<Class>()");
  require(kind.native_weight != nullptr && !kind.weight_name.empty(),
          "its forwards are recognised by a weight; name it with weight_is()");
  require(!kind.operators.empty(), "name the operators that run its forward with run_by()");
  for (const ForwardOperator& op : kind.operators) {
    require(op.input >= 0 && op.weight >= 0,
            fmt::format("{}: set its input and weight with input_at() and weight_at()", op.name));
  }
  detail::OwnLayerKinds& own = detail::own_layer_kinds();
  const std::lock_guard<std::mutex> lock(own.mutex);
  own.kinds.push_back(std::move(kind));
}

/// The kind of a module; nullptr where none recognises it.
inline const LayerKind* layer_kind_of(const ModuleView& module) {
  for (const LayerKind* kind : layer_kinds()) {
    if (kind->recognises(module)) return kind;
  }
  return nullptr;
}

/// "Conv1d, Conv2d, …", for messages.
inline std::string layer_kind_names() {
  std::string names;
  for (const LayerKind* kind : layer_kinds()) {
    names.append(names.empty() ? "" : ", ").append(kind->name);
  }
  return names;
}

}  // namespace DELVE_ABI
}  // namespace delve
