// SPDX-License-Identifier: MIT
#pragma once

#include <string>         // std::string
#include <string_view>    // std::string_view
#include <unordered_map>  // std::unordered_map

#include <delve/detail/fields/rules/elementwise.hpp>
#include <delve/detail/fields/rules/mixing.hpp>
#include <delve/detail/fields/rules/products.hpp>
#include <delve/detail/fields/rules/shapes.hpp>
#include <delve/detail/fields/rules/windows.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// What LibTorch's operators read of their inputs, position by position. Arguments are counted as in
// the operators' schemas (native_functions.yaml, LibTorch 1.13.1 to 2.15.0). An operator that is
// not here gives "unknown", never a guess.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Whether a text of words, each with a space on both sides, holds this one.
inline bool holds_word(std::string_view words, std::string_view word) {
  std::string spaced(" ");
  spaced.append(word).append(" ");
  return words.find(spaced) != std::string_view::npos;
}

/// Whether an operator computes each number from those at the same place.
inline bool is_elementwise(std::string_view name) {
  constexpr std::string_view names =
      " _autocast_to_full_precision _autocast_to_reduced_precision _to_copy abs absolute add "
      "addcdiv addcmul alias alpha_dropout atan atan2 bernoulli bitwise_and bitwise_not "
      "bitwise_or ceil celu clamp clamp_max clamp_min clip clone complex contiguous cos cosh "
      "cpu cuda detach div divide dropout elu eq erf exp exp2 expm1 "
      "fake_quantize_per_tensor_affine feature_alpha_dropout feature_dropout float_power floor "
      "floor_divide fmod frac ge gelu gt hardshrink hardsigmoid hardswish hardtanh imag "
      "isfinite isinf isnan le leaky_relu lerp lift lift_fresh log log10 log1p log2 "
      "log_sigmoid logical_and logical_not logical_or logit lt masked_fill maximum minimum "
      "mish mul multiply nan_to_num native_dropout ne neg negative positive pow real "
      "reciprocal relu relu6 remainder requires_grad resolve_conj resolve_neg round rrelu "
      "rsqrt rsub selu sgn sigmoid sign silu sin sinh softplus softshrink sqrt square sub "
      "subtract tan tanh threshold trunc xlogy ";
  return holds_word(names, name);
}

/// Whether an operator makes a tensor like another one, without using its numbers.
inline bool makes_anew(std::string_view name) {
  constexpr std::string_view names =
      " _local_scalar_dense allclose empty_like equal exponential fill full_like is_nonzero "
      "item new_empty new_empty_strided new_full new_ones new_zeros normal ones_like rand_like "
      "randint_like randn_like random size uniform zero zeros_like ";
  return holds_word(names, name);
}

/// What to do with each other operator, by its name without "aten::" and the "_" of those in place.
inline const std::unordered_map<std::string_view, OperatorRule>& operator_rules() {
  static const auto& table = *new std::unordered_map<std::string_view, OperatorRule>{
      {"conv1d", rules::conv},
      {"conv2d", rules::conv},
      {"conv3d", rules::conv},
      {"conv_transpose1d", rules::conv_transpose},
      {"conv_transpose2d", rules::conv_transpose},
      {"conv_transpose3d", rules::conv_transpose},
      {"convolution", rules::any_conv},
      {"_convolution", rules::any_conv},
      {"max_pool1d", rules::max_pool<1>},
      {"max_pool2d", rules::max_pool<2>},
      {"max_pool3d", rules::max_pool<3>},
      {"max_pool1d_with_indices", rules::max_pool<1>},
      {"max_pool2d_with_indices", rules::max_pool<2>},
      {"max_pool3d_with_indices", rules::max_pool<3>},
      {"avg_pool1d", rules::avg_pool<1>},
      {"avg_pool2d", rules::avg_pool<2>},
      {"avg_pool3d", rules::avg_pool<3>},
      {"adaptive_avg_pool1d", rules::adaptive_pool<1>},
      {"adaptive_avg_pool2d", rules::adaptive_pool<2>},
      {"adaptive_avg_pool3d", rules::adaptive_pool<3>},
      {"adaptive_max_pool1d", rules::adaptive_pool<1>},
      {"adaptive_max_pool2d", rules::adaptive_pool<2>},
      {"adaptive_max_pool3d", rules::adaptive_pool<3>},
      {"upsample_nearest1d", rules::nearest<1>},
      {"upsample_nearest2d", rules::nearest<2>},
      {"upsample_nearest3d", rules::nearest<3>},
      {"_upsample_nearest_exact1d", rules::nearest_exact<1>},
      {"_upsample_nearest_exact2d", rules::nearest_exact<2>},
      {"_upsample_nearest_exact3d", rules::nearest_exact<3>},
      {"upsample_linear1d", rules::interpolation<1, 2>},
      {"upsample_bilinear2d", rules::interpolation<2, 2>},
      {"upsample_trilinear3d", rules::interpolation<3, 2>},
      {"upsample_bicubic2d", rules::interpolation<2, 4>},
      {"max_unpool2d", {rules::unpool<2>, 0b11, 0b1}},
      {"max_unpool3d", {rules::unpool<3>, 0b11, 0b1}},
      {"linear", rules::linear},
      {"matmul", {rules::matmul, 0b11, 0}},
      {"mm", {rules::matmul, 0b11, 0}},
      {"bmm", {rules::matmul, 0b11, 0}},
      {"mv", {rules::matmul, 0b11, 0}},
      {"dot", {rules::matmul, 0b11, 0}},
      {"addmm", {rules::add_product, 0b111, 0}},
      {"addbmm", {rules::add_product, 0b111, 0}},
      {"baddbmm", {rules::add_product, 0b111, 0}},
      {"addmv", {rules::add_product, 0b111, 0}},
      {"einsum", {rules::einsum, 0b10, 0}},
      {"scaled_dot_product_attention", {rules::attention, 0b111, 0}},
      {"softmax", rules::along_dim},
      {"_softmax", rules::along_dim},
      {"log_softmax", rules::along_dim},
      {"_log_softmax", rules::along_dim},
      {"softmin", rules::along_dim},
      {"cumsum", rules::along_dim},
      {"cumprod", rules::along_dim},
      {"logcumsumexp", rules::along_dim},
      {"glu", rules::glu},
      {"mean", rules::reduction},
      {"sum", rules::reduction},
      {"prod", rules::reduction},
      {"amax", rules::reduction},
      {"amin", rules::reduction},
      {"max", {rules::reduction, 0b11, 0}},
      {"min", {rules::reduction, 0b11, 0}},
      {"argmax", rules::reduction},
      {"argmin", rules::reduction},
      {"logsumexp", rules::reduction},
      {"all", rules::reduction},
      {"any", rules::reduction},
      {"var", rules::reduction},
      {"std", rules::reduction},
      {"var_mean", rules::reduction},
      {"std_mean", rules::reduction},
      {"median", rules::reduction},
      {"norm", rules::norm},
      {"linalg_vector_norm", rules::norm},
      {"view", rules::reshape},
      {"view_as", {rules::reshape, 0b11, 0b1}},
      {"reshape", rules::reshape},
      {"reshape_as", {rules::reshape, 0b11, 0b1}},
      {"_unsafe_view", rules::reshape},
      {"_reshape_alias", rules::reshape},
      {"flatten", rules::reshape},
      {"unflatten", rules::reshape},
      {"squeeze", rules::reshape},
      {"unsqueeze", rules::reshape},
      {"permute", rules::permute},
      {"transpose", rules::transpose},
      {"swapaxes", rules::transpose},
      {"swapdims", rules::transpose},
      {"t", rules::transpose},
      {"mT", rules::transpose},
      {"movedim", rules::movedim},
      {"moveaxis", rules::movedim},
      {"slice", rules::slice},
      {"narrow", rules::narrow},
      {"select", rules::select},
      {"unbind", rules::unbind},
      {"chunk", rules::split},
      {"unsafe_chunk", rules::split},
      {"split", rules::split},
      {"unsafe_split", rules::split},
      {"split_with_sizes", rules::split},
      {"tensor_split", rules::split},
      {"cat", {rules::cat, 0b1, 0}},
      {"concat", {rules::cat, 0b1, 0}},
      {"stack", {rules::stack, 0b1, 0}},
      {"expand", rules::first},
      {"expand_as", {rules::first, 0b11, 0b1}},
      {"repeat", rules::repeat},
      {"tile", rules::repeat},
      {"repeat_interleave", rules::repeat_interleave},
      {"pad", rules::pad},
      {"_pad_enum", rules::pad},
      {"constant_pad_nd", rules::pad},
      {"reflection_pad1d", rules::pad},
      {"reflection_pad2d", rules::pad},
      {"reflection_pad3d", rules::pad},
      {"replication_pad1d", rules::pad},
      {"replication_pad2d", rules::pad},
      {"replication_pad3d", rules::pad},
      {"_pad_circular", rules::pad},
      {"roll", rules::roll},
      {"flip", rules::flip},
      {"pixel_shuffle", rules::pixel_shuffle},
      {"pixel_unshuffle", rules::pixel_shuffle},
      {"unfold", rules::unfold},
      {"im2col", rules::im2col},
      {"index_select", rules::index_select},
      {"embedding", {rules::embedding, 0b10, 0b10}},
      {"lstm", rules::recurrent},
      {"gru", rules::recurrent},
      {"rnn_tanh", rules::recurrent},
      {"rnn_relu", rules::recurrent},
      {"lstm_cell", {rules::two_linear, 0b11, 0}},
      {"gru_cell", {rules::two_linear, 0b11, 0}},
      {"rnn_tanh_cell", {rules::two_linear, 0b11, 0}},
      {"rnn_relu_cell", {rules::two_linear, 0b11, 0}},
      {"bilinear", {rules::two_linear, 0b11, 0}},
      {"batch_norm", rules::batch_norm},
      {"layer_norm", rules::layer_norm},
      {"rms_norm", rules::layer_norm},
      {"group_norm", rules::normalised},
      {"instance_norm", rules::normalised},
      {"local_response_norm", rules::first},
      {"channel_shuffle", rules::first},
      {"native_channel_shuffle", rules::first},
      {"prelu", rules::first},
      {"where", {rules::where, 0b111, 0}},
      {"to", {rules::first, 0b11, 0b1}},
      {"type_as", {rules::first, 0b11, 0b1}},
      {"copy", {rules::copy, 0b11, 0b10}},
  };
  return table;
}

/// nullptr where the operator is not known.
inline const OperatorRule* rule_of(std::string_view name) {
  static const OperatorRule all_arguments(rules::elementwise, ~0U, 0);
  if (is_elementwise(name) || makes_anew(name)) return &all_arguments;
  const auto found = operator_rules().find(name);
  return found != operator_rules().end() ? &found->second : nullptr;
}

/// Whether only the shape or type of the second argument counts.
inline bool takes_form_of_second(std::string_view name) {
  return holds_word(" to type_as view_as reshape_as expand_as ", name);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
