// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cmath>      // std::lround
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <stdexcept>  // std::invalid_argument
#include <tuple>      // std::get
#include <vector>     // std::vector

#include <ATen/ATen.h>

#include <delve/detail/tensors/plain_tensor.hpp>
#include <delve/layer_kind.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a convolution's output contributes: (B, C, H, W), or with one or three axes of positions in
/// the place of H and W; P positions in all.
enum class ConvMethod {
  Channelwise,  ///< every position is a data point: B·P rows of C
  Mean,         ///< the mean over all positions: B rows of C
  Max,          ///< the largest value of all positions: B rows of C
  Median,       ///< the lower median of all positions: B rows of C
  Flatten,      ///< everything: B rows of C·P
};

/// What a recurrent layer's output contributes; T timesteps of U units.
enum class TimeseriesMethod {
  LastTimestep,   ///< B rows of U; a backward half ends at the first timestep
  Timestepwise,   ///< the whole series: B rows of T·U, so T must not change
  EveryTimestep,  ///< every timestep is a data point: B·T rows of U
};

/// How pictures, outputs (B, C, H, W), are made smaller.
enum class Interpolation {
  Nearest,   ///< a position takes the value of the nearest one
  Bilinear,  ///< a weighted mean of the four around it
  Bicubic,   ///< a weighted sum of the sixteen around it
  Area,      ///< the mean of all that fall into it
};

/// How data_matrix() makes a data matrix of an output.
struct FeatureOptions {
  /// What a convolution's output contributes.
  ConvMethod conv_method = ConvMethod::Channelwise;
  /// What a recurrent layer's output contributes.
  TimeseriesMethod timeseries_method = TimeseriesMethod::LastTimestep;
  /// Unset: pictures are taken as they are.
  std::optional<Interpolation> interpolation_strategy;
  /// Pictures whose longer side is larger than this are shrunk to it; pixels, at least 1.
  std::int64_t interpolation_downsampling = 32;
};

namespace detail {

/// Pictures (B, C, H, W) shrunk until no side is longer than size, their aspect kept.
inline at::Tensor downsampled(at::Tensor pictures, Interpolation strategy, std::int64_t size) {
  const std::int64_t longer = std::max(pictures.size(2), pictures.size(3));
  if (longer <= size) return pictures;
  const auto shortened = [&](std::int64_t side) {
    const double exact = static_cast<double>(side * size) / static_cast<double>(longer);
    return std::max<std::int64_t>(1, std::lround(exact));
  };
  const std::int64_t shape[] = {shortened(pictures.size(2)), shortened(pictures.size(3))};
  // Not every LibTorch interpolates float16 on the CPU.
  if (pictures.scalar_type() != at::kDouble) pictures = pictures.to(at::kFloat);
  switch (strategy) {
    case Interpolation::Nearest:
      return at::upsample_nearest2d(pictures, shape);
    case Interpolation::Bilinear:
      return at::upsample_bilinear2d(pictures, shape, /*align_corners=*/false);
    case Interpolation::Bicubic:
      return at::upsample_bicubic2d(pictures, shape, /*align_corners=*/false);
    case Interpolation::Area:
      return at::adaptive_avg_pool2d(pictures, shape);
  }
  throw std::invalid_argument("delve: unknown Interpolation");
}

/// A convolution's output with a batch axis, added where it has none: (B, C, positions…).
/// @param position_axes as in OutputLayout
inline at::Tensor maps_of(const at::Tensor& output, int position_axes) {
  const bool is_one_sample = position_axes > 0 && output.dim() == 1 + position_axes;
  return is_one_sample ? output.unsqueeze(0) : output;
}

/// Maps (B, C, positions…) as (B, P, C), by one view where the positions lie at even distances.
inline at::Tensor rows_by_position(const at::Tensor& maps) {
  bool are_even = maps.layout() == at::kStrided && maps.has_storage();
  for (std::int64_t axis = maps.dim() - 1; are_even && axis > 2; --axis) {
    are_even = maps.stride(axis - 1) == maps.size(axis) * maps.stride(axis);
  }
  if (!are_even) return maps.movedim(1, -1).flatten(1, -2);
  std::int64_t positions = 1;
  for (std::int64_t axis = 2; axis < maps.dim(); ++axis) positions *= maps.size(axis);
  return maps.as_strided({maps.size(0), positions, maps.size(1)},
                         {maps.stride(0), maps.stride(-1), maps.stride(1)});
}

/// @param position_axes as in OutputLayout
inline at::Tensor convolution_rows(const at::Tensor& output, int position_axes,
                                   const FeatureOptions& options) {
  at::Tensor maps = maps_of(output, position_axes);
  if (maps.dim() == 2) return maps;
  if (options.interpolation_strategy && maps.dim() == 4) {
    maps = downsampled(maps, *options.interpolation_strategy, options.interpolation_downsampling);
  }
  switch (options.conv_method) {
    case ConvMethod::Channelwise:
      return rows_by_position(maps);
    case ConvMethod::Mean:
      return maps.flatten(2).mean(2);
    case ConvMethod::Max:
      return maps.flatten(2).amax(2);
    case ConvMethod::Median:
      return std::get<0>(maps.flatten(2).median(2));
    case ConvMethod::Flatten:
      return maps.flatten(1);
  }
  throw std::invalid_argument("delve: unknown ConvMethod");
}

/// The last state of the last layer: (B, U), both directions side by side. That state is what the
/// output holds at each sequence's own end, whichever axis is time, and packed or not.
inline at::Tensor last_timestep(const at::Tensor& output, const at::Tensor& states) {
  const std::int64_t directions = output.size(-1) / states.size(-1);
  return states.narrow(0, states.size(0) - directions, directions).transpose(0, 1).flatten(1);
}

inline at::Tensor recurrent_rows(const std::vector<at::Tensor>& outputs, bool batch_first,
                                 const FeatureOptions& options) {
  const at::Tensor output = plain_tensor(outputs.front());
  const bool is_packed = output.dim() == 2;
  at::Tensor series = is_packed || batch_first ? output : output.transpose(0, 1);
  switch (options.timeseries_method) {
    case TimeseriesMethod::LastTimestep:
      return last_timestep(output, plain_tensor(outputs.at(1)));
    case TimeseriesMethod::Timestepwise:
      if (is_packed) {
        throw std::invalid_argument(
            "TimeseriesMethod::Timestepwise needs sequences of one length, and these are packed; "
            "use LastTimestep or EveryTimestep");
      }
      return series.flatten(1);
    case TimeseriesMethod::EveryTimestep:
      return series;
  }
  throw std::invalid_argument("delve: unknown TimeseriesMethod");
}

}  // namespace detail

/// The data points of one forward: (n, d), or (b, n, d) where a sample gives n of them, the first
/// axis being that of the batch. A view of the output where it can be, without its names and
/// without its tangent of forward-mode differentiation. Never waits for the device.
/// @param outputs as ForwardCall has them
/// @param layout what their axes mean
/// @return on the device of the output and of its type, but for pictures that are made smaller:
///   those are float32, or float64 where they were
/// @throws std::invalid_argument where the method does not fit the data
inline at::Tensor data_matrix(const std::vector<at::Tensor>& outputs, const OutputLayout& layout,
                              const FeatureOptions& options) {
  const at::Tensor output = detail::plain_tensor(outputs.front());
  switch (layout.family) {
    case LayerFamily::Convolution:
      return detail::convolution_rows(output, layout.position_axes, options);
    case LayerFamily::Linear:
      if (output.dim() == 1) return output.unsqueeze(0);
      return output.dim() == 2 ? output : output.flatten(1, -2);
    case LayerFamily::Recurrent:
      return detail::recurrent_rows(outputs, layout.batch_first, options);
  }
  throw std::invalid_argument("delve: unknown LayerFamily");
}

}  // namespace DELVE_ABI
}  // namespace delve
