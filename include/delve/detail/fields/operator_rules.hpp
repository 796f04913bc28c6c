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

// What LibTorch's operators read of their inputs, position by position. Arguments are counted as in
// the operators' schemas (native_functions.yaml, LibTorch 1.13.1 to 2.15.0). An operator that is
// not here gives "unknown", never a guess.

namespace delve::detail {

/// Whether a text of words, each with a space on both sides, holds this one.
inline bool holds_word(std::string_view words, std::string_view word) {
  std::string spaced(" ");
  spaced.append(word).append(" ");
  return words.find(spaced) != std::string_view::npos;
}

/// Whether an operator makes each number of those at the same place.
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
      "subtract tan tanh threshold to trunc type_as where xlogy ";
  return holds_word(names, name);
}

/// Whether an operator makes a tensor like another one, and takes nothing of it.
inline bool makes_anew(std::string_view name) {
  constexpr std::string_view names =
      " _local_scalar_dense allclose empty_like equal exponential fill full_like is_nonzero "
      "item new_empty new_empty_strided new_full new_ones new_zeros normal ones_like rand_like "
      "randint_like randn_like random size uniform zero zeros_like ";
  return holds_word(names, name);
}

/// What to do with each other operator, by its name without "aten::" and the "_" of those in place.
inline const std::unordered_map<std::string_view, Rule>& operator_rules() {
  static const auto& table = *[] {
    auto* all = new std::unordered_map<std::string_view, Rule>{
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
        {"linear", rules::linear},
        {"matmul", rules::matmul},
        {"mm", rules::matmul},
        {"bmm", rules::matmul},
        {"mv", rules::matmul},
        {"dot", rules::matmul},
        {"addmm", rules::add_product},
        {"addbmm", rules::add_product},
        {"baddbmm", rules::add_product},
        {"addmv", rules::add_product},
        {"einsum", rules::einsum},
        {"scaled_dot_product_attention", rules::attention},
        {"softmax", rules::along_dim},
        {"_softmax", rules::along_dim},
        {"log_softmax", rules::along_dim},
        {"_log_softmax", rules::along_dim},
        {"softmin", rules::along_dim},
        {"cumsum", rules::along_dim},
        {"cumprod", rules::along_dim},
        {"logcumsumexp", rules::along_dim},
        {"glu", rules::along_dim},
        {"mean", rules::reduction},
        {"sum", rules::reduction},
        {"prod", rules::reduction},
        {"amax", rules::reduction},
        {"amin", rules::reduction},
        {"max", rules::reduction},
        {"min", rules::reduction},
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
        {"view_as", rules::reshape},
        {"reshape", rules::reshape},
        {"reshape_as", rules::reshape},
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
        {"cat", rules::cat},
        {"concat", rules::cat},
        {"stack", rules::stack},
        {"expand", rules::first},
        {"expand_as", rules::first},
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
        {"embedding", rules::embedding},
        {"lstm", rules::recurrent},
        {"gru", rules::recurrent},
        {"rnn_tanh", rules::recurrent},
        {"rnn_relu", rules::recurrent},
        {"lstm_cell", rules::cell},
        {"gru_cell", rules::cell},
        {"rnn_tanh_cell", rules::cell},
        {"rnn_relu_cell", rules::cell},
        {"bilinear", rules::bilinear},
        {"batch_norm", rules::batch_norm},
        {"layer_norm", rules::layer_norm},
        {"rms_norm", rules::layer_norm},
        {"group_norm", rules::normalised},
        {"instance_norm", rules::normalised},
        {"local_response_norm", rules::first},
        {"channel_shuffle", rules::first},
        {"native_channel_shuffle", rules::first},
        {"prelu", rules::first},
        {"copy", rules::copy},
    };
    return all;
  }();
  return table;
}

/// nullptr where the operator is not known.
inline Rule rule_of(std::string_view name) {
  if (is_elementwise(name)) return rules::elementwise;
  const auto found = operator_rules().find(name);
  return found != operator_rules().end() ? found->second : nullptr;
}

}  // namespace delve::detail
