// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::find_if
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <string>     // std::string
#include <vector>     // std::vector

#include <delve/detail/statistics/builtin_statistics.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic in one mode: a number a layer, in the order of the record.
struct PlotData {
  std::string stat;      ///< "lsat"
  std::string quantity;  ///< "saturation"
  ValueKind kind;
  std::vector<std::string> layers;
  std::vector<double> values;  ///< of which some may be missing
};

/// By which name pictures know a value's statistic: that of the first one of its quantity, so that
/// "lsat_train", which is "lsat" in one mode, is drawn as "lsat".
inline std::string picture_stat(const Value& value) {
  const std::optional<Statistic> statistic = find_quantity(value.quantity);
  return statistic ? requested_name(*statistic, value.quantity) : value.stat;
}

/// The statistics that a record holds of a mode, in the order of their first appearance. A layer
/// that lacks one is missing there.
inline std::vector<PlotData> plot_data(const EpochRecord& record, Mode mode) {
  std::vector<PlotData> all;
  std::vector<std::string> layers;
  for (const LayerRecord& layer : record.layers) {
    if (layer.mode != mode || layer.status == Status::NoData) continue;
    layers.push_back(layer.layer);
    for (const Value& value : layer.values) {
      const std::string stat = picture_stat(value);
      if (stat == kProbeError) continue;  // says how well another number is known
      const auto is_same = [&](const PlotData& data) { return data.stat == stat; };
      auto data = std::find_if(all.begin(), all.end(), is_same);
      if (data == all.end())
        data = all.insert(all.end(), {stat, value.quantity, value.kind, {}, {}});
      data->values.resize(layers.size(), missing_value());
      if (is_finite(value.value)) data->values.back() = value.value;
    }
  }
  for (PlotData& data : all) {
    data.layers = layers;
    data.values.resize(layers.size(), missing_value());
  }
  return all;
}

/// Whether there is anything to draw.
inline bool has_points(const PlotData& data) {
  return std::any_of(data.values.begin(), data.values.end(),
                     [](double value) { return !is_missing(value); });
}

/// One picture, or one of an animation.
struct PlotFrame {
  std::int64_t epoch = 0;
  std::string metric;          ///< "test-accuracy 0.54", or nothing
  std::vector<double> values;  ///< one a layer
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
