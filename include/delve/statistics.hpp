// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>        // std::exp, std::log
#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <mutex>        // std::mutex
#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>

#include <delve/spectrum.hpp>

namespace delve {

/// What a statistic is computed from: one layer in one mode.
struct LayerMeasurement {
  const Spectrum& spectrum;
  double trace;          ///< of Σ, by its diagonal
  std::int64_t samples;  ///< n
  double threshold;      ///< of explained variance, in (0, 1]
  IdimRule idim_rule;
};

/// A number that describes a layer in one mode.
struct Statistic {
  std::string name;      ///< by which it is asked for: "lsat"
  std::string quantity;  ///< in files: "saturation"
  std::function<double(const LayerMeasurement&)> value;
  /// Hangs on the small eigenvalues, which float32 products spoil: products are formed in float64.
  bool needs_small_eigenvalues = false;
};

namespace detail {

/// Π λᵢ of Σ, by logarithms, so that it neither over- nor underflows on the way.
inline double determinant(const Spectrum& spectrum) {
  if (spectrum.eigenvalues().size() < spectrum.width()) return 0;
  double sign = 1;
  double log_size = 0;
  for (const double value : spectrum.eigenvalues()) {
    if (value < 0) sign = -sign;
    log_size += std::log(std::abs(value));
  }
  return sign * std::exp(log_size);
}

struct StatisticRegistry {
  std::mutex mutex;
  std::vector<Statistic> statistics;
};

/// The table of statistics: the one place to add one to the library. Names and quantities are those
/// of Delve (Python).
inline StatisticRegistry& statistic_registry() {
  static StatisticRegistry registry{
      {},
      {
          {"lsat", "saturation",
           [](const LayerMeasurement& layer) {
             return layer.spectrum.saturation(layer.threshold, layer.idim_rule);
           }},
          {"idim", "intrinsic-dimensionality",
           [](const LayerMeasurement& layer) {
             return static_cast<double>(
                 layer.spectrum.dimensionality(layer.threshold, layer.idim_rule));
           }},
          {"trc", "covariance-trace", [](const LayerMeasurement& layer) { return layer.trace; }},
          {"dtrc", "diagonal-trace",
           [](const LayerMeasurement& layer) { return layer.spectrum.total(); }},
          {"det", "covariance-determinant",
           [](const LayerMeasurement& layer) { return detail::determinant(layer.spectrum); }, true},
      }};
  return registry;
}

inline std::optional<Statistic> statistic_named(const std::vector<Statistic>& among,
                                                std::string_view name) {
  for (const Statistic& statistic : among) {
    if (statistic.name == name) return statistic;
  }
  return std::nullopt;
}

}  // namespace detail

/// Makes a statistic of one's own known by its name. Thread-safe.
/// @throws std::invalid_argument where its name is taken, or it has no name, quantity or value
inline void register_statistic(Statistic statistic) {
  if (statistic.name.empty() || statistic.quantity.empty() || !statistic.value) {
    throw std::invalid_argument(
        fmt::format("delve::register_statistic: a statistic needs a name, a quantity and a value; "
                    "this one has name \"{}\" and quantity \"{}\"",
                    statistic.name, statistic.quantity));
  }
  detail::StatisticRegistry& registry = detail::statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (detail::statistic_named(registry.statistics, statistic.name)) {
    throw std::invalid_argument(fmt::format(
        "delve::register_statistic: there is a statistic \"{}\" already", statistic.name));
  }
  registry.statistics.push_back(std::move(statistic));
}

/// The statistic of that name. Thread-safe.
/// @throws std::invalid_argument where there is none; it lists those that there are
inline Statistic find_statistic(std::string_view name) {
  detail::StatisticRegistry& registry = detail::statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (auto found = detail::statistic_named(registry.statistics, name)) return *std::move(found);
  std::string known;
  for (const Statistic& statistic : registry.statistics) {
    known.append(known.empty() ? "" : ", ").append(statistic.name);
  }
  throw std::invalid_argument(
      fmt::format("delve: stats: \"{}\" is not a statistic; known are {}", name, known));
}

}  // namespace delve
