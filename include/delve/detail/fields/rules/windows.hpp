// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>   // std::size_t
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <vector>    // std::vector

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <delve/detail/fields/field.hpp>
#include <delve/detail/fields/index_map.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// Operators that read a window of positions: convolutions, pools, interpolations.

namespace delve {
inline namespace DELVE_ABI {
namespace detail::rules {

/// A convolution: input, weight, bias, stride, padding, dilation, …
inline Trace convolve(const TracedCall& call, std::size_t output, bool is_transposed,
                      std::size_t dilation_at) {
  const at::Tensor& result = call.outputs[output];
  const at::Tensor weight = call.tensor(1);
  if (!weight.defined()) return call.unknown(result);
  Trace trace = *call.trace(0);
  const auto count = static_cast<std::size_t>(weight.dim() - 2);
  const std::vector<std::int64_t> strides = call.numbers(3, count, 1);
  const std::vector<std::int64_t> paddings = call.numbers(4, count, 0);
  const std::vector<std::int64_t> dilations = call.numbers(dilation_at, count, 1);
  const std::int64_t channels = trace.rank() - static_cast<std::int64_t>(count) - 1;
  trace.mix(channels);
  trace.dim(channels) = plain_dim(result.size(channels));
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t kernel = weight.size(static_cast<std::int64_t>(i) + 2);
    const std::int64_t place = channels + 1 + static_cast<std::int64_t>(i);
    std::int64_t padding = paddings[i];
    if (call.argument(4).isString()) {  // of an odd total, "same" puts the smaller part in front
      padding = call.argument(4).toStringRef() == "same" ? dilations[i] * (kernel - 1) / 2 : 0;
    }
    read_along(trace, place,
               is_transposed ? transposed_window(kernel, strides[i], padding, dilations[i])
                             : window(kernel, strides[i], padding, dilations[i]),
               result.size(place), call.full_name());
  }
  return trace;
}

inline Trace conv(const TracedCall& call, std::size_t output) {
  return convolve(call, output, /*is_transposed=*/false, /*dilation_at=*/5);
}

/// …, stride, padding, output_padding, groups, dilation.
inline Trace conv_transpose(const TracedCall& call, std::size_t output) {
  return convolve(call, output, /*is_transposed=*/true, /*dilation_at=*/7);
}

inline Trace any_conv(const TracedCall& call, std::size_t output) {
  return convolve(call, output, call.flag(6), /*dilation_at=*/5);
}

/// input, kernel_size, stride, padding, and for those that have it dilation.
inline Trace pool(const TracedCall& call, std::size_t output, std::size_t count,
                  bool has_dilation) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::vector<std::int64_t> kernels = call.numbers(1, count, 1);
  const std::vector<std::int64_t> paddings = call.numbers(3, count, 0);
  const std::vector<std::int64_t> dilations =
      has_dilation ? call.numbers(4, count, 1) : std::vector<std::int64_t>(count, 1);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t place = trace.rank() - static_cast<std::int64_t>(count - i);
    const std::int64_t stride = call.numbers(2, count, kernels[i])[i];
    read_along(trace, place, window(kernels[i], stride, paddings[i], dilations[i]),
               result.size(place), call.full_name());
  }
  return trace;
}

template <std::size_t Count>
Trace max_pool(const TracedCall& call, std::size_t output) {
  return pool(call, output, Count, /*has_dilation=*/true);
}

template <std::size_t Count>
Trace avg_pool(const TracedCall& call, std::size_t output) {
  return pool(call, output, Count, /*has_dilation=*/false);
}

/// One that leaves a single position is a mean over all.
template <std::size_t Count>
Trace adaptive_pool(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::int64_t place = trace.rank() - static_cast<std::int64_t>(Count - i);
    const std::int64_t before = trace.dim(place).size();
    const std::int64_t behind = result.size(place);
    if (behind == 1 && before > 1) {
      trace.mix(place);
      for (Factor& factor : trace.dim(place).factors) factor.size = 1;
      trace.dim(place).before = trace.dim(place).behind = 0;
    } else {
      read_along(trace, place, adaptive(before, behind), behind, call.full_name());
    }
  }
  return trace;
}

/// The place of an interpolation's sizes among the arguments differs. That of its scales does not:
/// behind all else, or in a list of their own.
inline Ratio step_of(const TracedCall& call, std::size_t axis, std::size_t count,
                     std::int64_t before, std::int64_t behind, bool& is_known) {
  std::optional<double> scale;
  const c10::IValue& last = call.argument(call.arguments.size() - 1);
  if (last.isDoubleList()) {
    scale = last.toDoubleVector()[axis];
  } else if (call.arguments.size() >= count) {
    const c10::IValue& own = call.argument(call.arguments.size() - count + axis);
    if (own.isDouble()) scale = own.toDouble();
  }
  if (!scale) return ratio(before, behind);
  const std::optional<Ratio> step = ratio_of(1 / *scale);
  is_known = step.has_value();
  return step.value_or(Ratio{1, 1});
}

/// @param taps 1, 2 or 4 inputs per output
/// @param has_corners whether argument 2 is align_corners
inline Trace interpolate(const TracedCall& call, std::size_t output, std::size_t count, int taps,
                         Alignment alignment, bool has_corners) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t place = trace.rank() - static_cast<std::int64_t>(count - i);
    const std::int64_t before = trace.dim(place).size();
    const std::int64_t behind = result.size(place);
    bool is_known = true;
    IndexMap map;
    if (has_corners && call.flag(2)) {
      const Ratio step = behind > 1 && before > 1 ? ratio(before - 1, behind - 1) : Ratio{1, 1};
      map = interpolated(step, Alignment::Edges, taps);
    } else {
      map = interpolated(step_of(call, i, count, before, behind, is_known), alignment, taps);
    }
    if (!is_known) return call.unknown(result);
    read_along(trace, place, map, behind, call.full_name());
  }
  return trace;
}

template <std::size_t Count>
Trace nearest(const TracedCall& call, std::size_t output) {
  return interpolate(call, output, Count, 1, Alignment::Edges, /*has_corners=*/false);
}

template <std::size_t Count>
Trace nearest_exact(const TracedCall& call, std::size_t output) {
  return interpolate(call, output, Count, 1, Alignment::Middles, /*has_corners=*/false);
}

template <std::size_t Count, int Taps>
Trace interpolation(const TracedCall& call, std::size_t output) {
  return interpolate(call, output, Count, Taps, Alignment::Centres, /*has_corners=*/true);
}

/// repeat_interleave(input, repeats, dim)
inline Trace repeat_interleave(const TracedCall& call, std::size_t output) {
  if (!call.argument(1).isInt() || !call.argument(2).isInt()) {
    return call.unknown(call.outputs[output]);
  }
  Trace trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(2, 0), trace.rank());
  read_along(trace, place, repeated(call.number(1, 1)), call.outputs[output].size(place),
             call.full_name());
  return trace;
}

/// (…, C·r², H, W) to (…, C, H·r, W·r), and back.
inline Trace pixel_shuffle(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::int64_t times = call.number(1, 1);
  const std::int64_t rank = trace.rank();
  trace.mix(rank - 3);
  trace.dim(rank - 3) = plain_dim(result.size(-3));
  const IndexMap map = call.name == "pixel_shuffle" ? repeated(times) : window(times, times, 0, 1);
  for (const std::int64_t place : {rank - 2, rank - 1}) {
    read_along(trace, place, map, result.size(place), call.full_name());
  }
  return trace;
}

/// max_unpool2d(input, indices, output_size, …): each number goes back to one of the places of
/// which it was the largest. Known only where windows did not overlap, so that the sizes divide.
template <std::size_t Count>
Trace unpool(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::int64_t place = trace.rank() - static_cast<std::int64_t>(Count - i);
    const std::int64_t times = result.size(place) / trace.dim(place).size();
    if (times * trace.dim(place).size() != result.size(place)) return call.unknown(result);
    read_along(trace, place, repeated(times), result.size(place), call.full_name());
  }
  return trace;
}

/// x.unfold(dim, size, step): windows along an axis, and their entries as a new one.
inline Trace unfold(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(1, 0), trace.rank());
  const std::int64_t size = call.number(2, 1);
  read_along(trace, place, window(size, call.number(3, 1), 0, 1), result.size(place),
             call.full_name());
  trace.dims.push_back(plain_dim(size));
  return trace;
}

/// im2col(input, kernel, dilation, padding, stride): (B, C·k·k, windows)
inline Trace im2col(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::int64_t rank = trace.rank();
  const std::vector<std::int64_t> kernels = call.numbers(1, 2, 1);
  const std::vector<std::int64_t> dilations = call.numbers(2, 2, 1);
  const std::vector<std::int64_t> paddings = call.numbers(3, 2, 0);
  const std::vector<std::int64_t> strides = call.numbers(4, 2, 1);
  trace.mix(rank - 3);
  trace.dim(rank - 3) = plain_dim(result.size(-2));
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t place = rank - 2 + static_cast<std::int64_t>(i);
    const std::int64_t size =
        (trace.dim(place).size() + 2 * paddings[i] - dilations[i] * (kernels[i] - 1) - 1) /
            strides[i] +
        1;
    read_along(trace, place, window(kernels[i], strides[i], paddings[i], dilations[i]), size,
               call.full_name());
  }
  return reshaped(trace, result.sizes(), call.full_name());
}

}  // namespace detail::rules
}  // namespace DELVE_ABI
}  // namespace delve
