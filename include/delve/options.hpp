// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of
#include <cstdint>      // std::int64_t, std::uint64_t
#include <functional>   // std::function
#include <map>          // std::map
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <c10/core/Device.h>
#include <fmt/format.h>
#include <torch/arg.h>

#include <delve/detail/support/require.hpp>
#include <delve/features.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/product_precision.hpp>
#include <delve/statistics.hpp>

namespace delve {

/// Whose is_training() tells training from evaluation.
enum class ModeSource {
  Layer,  ///< that of the layer: one that is frozen in eval() counts as evaluated while others
          ///< train
  Root,   ///< that of the module handed to the tracker
};

/// Says of a layer whether it is to be tracked. It is asked once, at construction.
using LayerFilter = std::function<bool(const FoundLayer& layer)>;

/// Settings of a writer, by name.
using WriterArgs = std::map<std::string, std::string>;

/// Settings of a CheckLayerSat, read once, when it is constructed; chained, as in LibTorch:
///
///     CheckLayerSatOptions().stats({"lsat", "idim"}).conv_method(ConvMethod::Mean)
///
/// Names and defaults are those of Delve (Python).
struct CheckLayerSatOptions {
  /// What is reported of each layer, by name (statistics.hpp): at least one, none twice.
  TORCH_ARG(std::vector<std::string>, stats) = {"lsat"};

  /// The share of the variance that the dimensions counted by lsat and idim must explain; (0, 1].
  TORCH_ARG(double, sat_threshold) = 0.99;

  /// Which number lsat and idim count.
  TORCH_ARG(IdimRule, idim_rule) = IdimRule::ExplainedVariance;

  /// Every how manieth forward of a layer is taken, training and evaluation counted apart; >= 1.
  TORCH_ARG(std::int64_t, log_interval) = 1;

  /// How many samples (elements of a batch) a layer takes in each mode until the next
  /// add_saturations(); >= 1. Unset: all.
  TORCH_ARG(std::optional<std::int64_t>, max_samples) = std::nullopt;

  /// The share of the data points that are taken, of all that the options above let through, drawn
  /// at random: (0, 1]. It saves about as much time; what it costs is told in docs/performance.md.
  TORCH_ARG(double, sample_rate) = 1;

  /// Of that draw. The same seed takes the same data points.
  TORCH_ARG(std::uint64_t, sample_seed) = 0;

  /// What a convolution's output contributes.
  TORCH_ARG(ConvMethod, conv_method) = ConvMethod::Channelwise;

  /// What a recurrent layer's output contributes.
  TORCH_ARG(TimeseriesMethod, timeseries_method) = TimeseriesMethod::LastTimestep;

  /// How pictures, outputs (B, C, H, W), are made smaller before they are taken. Others, of one or
  /// three axes of positions or of other layers, stay as they are. Unset: all do.
  TORCH_ARG(std::optional<Interpolation>, interpolation_strategy) = std::nullopt;

  /// The longest side, in pixels, that such a picture then has; >= 1. Smaller ones stay.
  TORCH_ARG(std::int64_t, interpolation_downsampling) = 32;

  /// Asked of each layer that the other options let through; those for which it returns false are
  /// not tracked. Unset: all of those are.
  TORCH_ARG(LayerFilter, layer_filter);

  /// Layers not to be tracked, by full name ("classifier-6").
  TORCH_ARG(std::vector<std::string>, ignore_layer_names);

  /// Whether convolutions are tracked.
  TORCH_ARG(bool, include_conv) = true;

  /// Kinds of layers to be tracked beside those that are tracked unasked (layer_kind.hpp):
  /// "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "Embedding", "MultiheadAttention".
  TORCH_ARG(std::vector<std::string>, also_track);

  /// Whether each layer's values are reported.
  TORCH_ARG(bool, layerwise_sat) = true;

  /// Whether the mean saturation of all layers is reported, as the scalars "average-train-sat" and
  /// "average-eval-sat". Needs "lsat" among the statistics.
  TORCH_ARG(bool, average_sat) = false;

  /// Whether add_saturations() forgets the data it reported. Otherwise each report is of all data
  /// since the start.
  TORCH_ARG(bool, reset_covariance) = true;

  /// Whether nothing is written: no writer is made, values are had from add_saturations() alone.
  TORCH_ARG(bool, nosave) = false;

  /// Whether the tracker says on stderr which layers it tracks and how long each report took.
  TORCH_ARG(bool, verbose) = false;

  /// Where sums are kept. Unset: on the device of the activations. Set: each forward copies its
  /// rows there, and where that is from another device to the host, it waits for the copy.
  TORCH_ARG(std::optional<c10::Device>, device) = std::nullopt;

  /// The number of the first epoch; >= 0. Above 0, tables of a run before are gone on with.
  TORCH_ARG(std::int64_t, initial_epoch) = 0;

  /// What a writer made by key is told, by name ("width"); docs/writers.md has the names.
  TORCH_ARG(WriterArgs, writer_args);

  /// Whose mode tells training from evaluation.
  TORCH_ARG(ModeSource, mode_from) = ModeSource::Layer;

  /// In what precision products are formed. Unset: float64 if one of stats needs it, else float32.
  TORCH_ARG(std::optional<Products>, products) = std::nullopt;

  /// Is told of everything that goes wrong without stopping the training, once each, in the thread
  /// where it went wrong. Unset: stderr is told.
  TORCH_ARG(std::function<void(std::string_view)>, on_warning);
};

namespace detail {

constexpr std::string_view kOptionsName = "delve::CheckLayerSatOptions";

inline void require(bool holds, std::string_view option, std::string_view value,
                    std::string_view valid) {
  require(holds, kOptionsName, option, value, valid);
}

/// Whether two statistics would give one value of one layer under the same name.
inline bool collide(const Statistic& a, const Statistic& b) {
  return a.quantity == b.quantity && (!a.only || !b.only || a.only == b.only);
}

/// The statistics asked for.
/// @throws std::invalid_argument where a name is unknown, two stand for the same values, or the
///   average of saturations is asked for without them
inline std::vector<Statistic> statistics_of(const CheckLayerSatOptions& options) {
  require(!options.stats().empty(), "stats", "empty", "at least one name");
  std::vector<Statistic> statistics;
  for (const std::string& name : options.stats()) {
    Statistic statistic = find_statistic(name);
    for (const Statistic& other : statistics) {
      require(!collide(statistic, other), "stats",
              fmt::format("a list with \"{}\" and \"{}\"", other.name, name),
              "a list of which no two give the same value");
    }
    statistics.push_back(std::move(statistic));
  }
  const bool has_saturation =
      std::any_of(statistics.begin(), statistics.end(),
                  [](const Statistic& statistic) { return statistic.quantity == "saturation"; });
  require(!options.average_sat() || has_saturation, "average_sat", "true",
          "false where stats holds no \"lsat\"");
  return statistics;
}

/// @throws std::invalid_argument where also_track holds a kind that the table does not
inline void check_kinds(const CheckLayerSatOptions& options) {
  for (const std::string& name : options.also_track()) {
    const auto& kinds = layer_kinds();
    require(std::any_of(kinds.begin(), kinds.end(),
                        [&](const auto& kind) { return kind.name == name; }),
            "also_track", fmt::format("a list with \"{}\"", name),
            fmt::format("a list of these: {}", layer_kind_names()));
  }
}

/// @throws std::invalid_argument where an enumeration's value, such as a cast number, is none of
///   its enumerators, of which `last` is the last
template <typename Enum>
void require_enumerator(std::string_view option, Enum value, Enum last, std::string_view valid) {
  const auto number = static_cast<std::int64_t>(value);
  require(number >= 0 && number <= static_cast<std::int64_t>(last), option, fmt::to_string(number),
          valid);
}

/// @throws std::invalid_argument where a choice is none of those that there are
inline void check_choices(const CheckLayerSatOptions& options) {
  require_enumerator("idim_rule", options.idim_rule(), IdimRule::Delve,
                     "ExplainedVariance or Delve");
  require_enumerator("conv_method", options.conv_method(), ConvMethod::Flatten,
                     "Channelwise, Mean, Max, Median or Flatten");
  require_enumerator("timeseries_method", options.timeseries_method(),
                     TimeseriesMethod::EveryTimestep,
                     "LastTimestep, Timestepwise or EveryTimestep");
  require_enumerator("interpolation_strategy",
                     options.interpolation_strategy().value_or(Interpolation::Nearest),
                     Interpolation::Area, "unset, Nearest, Bilinear, Bicubic or Area");
  require_enumerator("mode_from", options.mode_from(), ModeSource::Root, "Layer or Root");
  require_enumerator("products", options.products().value_or(Products::Float32), Products::Float64,
                     "unset, Float32 or Float64");
}

/// @throws std::invalid_argument where no sums can be kept on the device
inline void check_device(const CheckLayerSatOptions& options) {
  if (!options.device()) return;
  const auto keeps_numbers = [](c10::Device device) {
    try {
      return at::ones({1}, at::device(device).dtype(at::kDouble)).item<double>() == 1;
    } catch (const c10::Error&) {
      return false;
    }
  };
  require(keeps_numbers(*options.device()), "device", options.device()->str(),
          "one that this LibTorch can keep float64 numbers on, or unset");
}

/// @throws std::invalid_argument naming the first option out of its range, its value and the range
inline void check_ranges(const CheckLayerSatOptions& options) {
  const auto require_at_least = [](std::int64_t least, std::string_view option,
                                   std::int64_t value) {
    require(value >= least, option, fmt::to_string(value), fmt::format("at least {}", least));
  };
  require_share(options.sat_threshold(), kOptionsName, "sat_threshold");
  require_share(options.sample_rate(), kOptionsName, "sample_rate");
  require_at_least(1, "log_interval", options.log_interval());
  require_at_least(1, "max_samples", options.max_samples().value_or(1));
  require_at_least(1, "interpolation_downsampling", options.interpolation_downsampling());
  require_at_least(0, "initial_epoch", options.initial_epoch());
  check_choices(options);
  check_device(options);
  check_kinds(options);
}

}  // namespace detail
}  // namespace delve
