// SPDX-License-Identifier: MIT
#pragma once

#include <exception>    // std::exception
#include <functional>   // std::function
#include <memory>       // std::make_shared
#include <mutex>        // std::lock_guard, std::mutex
#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <Eigen/Core>

#include <delve/detail/statistics/builtin_statistics.hpp>
#include <delve/detail/statistics/statistic_name.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/statistic.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

struct StatisticRegistry {
  std::mutex mutex;
  std::vector<Statistic> statistics = builtin_statistics();
};

DELVE_SHARED inline StatisticRegistry& statistic_registry() {
  static StatisticRegistry registry;
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

/// Registers a user-defined statistic under its name. Thread-safe.
/// @throws std::invalid_argument where its name is taken or holds '@', its quantity holds '_' or
///   '@', or it has no name, no quantity, or not one of value and array
inline void register_statistic(Statistic statistic) {
  const bool is_whole = !statistic.name.empty() && !statistic.quantity.empty() &&
                        static_cast<bool>(statistic.value) != static_cast<bool>(statistic.array);
  // Names in files are read back: "train-QUANTITY_LAYER", and "QUANTITY@0.9".
  const bool is_readable = statistic.name.find('@') == std::string::npos &&
                           statistic.quantity.find_first_of("_@") == std::string::npos;
  if (!is_whole || !is_readable) {
    throw std::invalid_argument(fmt::format(
        "delve::register_statistic: a statistic needs a name without '@', a quantity without '_' "
        "and '@', and a value or an array; this one has name \"{}\" and quantity \"{}\"",
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

namespace detail {

/// @throws std::invalid_argument where there is none; the message lists the known ones
inline Statistic registered_statistic(std::string_view name) {
  StatisticRegistry& registry = statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (auto found = statistic_named(registry.statistics, name)) return *std::move(found);
  std::string known;
  for (const Statistic& statistic : registry.statistics) {
    known.append(known.empty() ? "" : ", ").append(statistic.name);
  }
  throw std::invalid_argument(
      fmt::format("delve: stats: \"{}\" is not a statistic; known ones are {}", name, known));
}

/// A function of a measurement, with what follows '@' in that measurement.
template <typename Result>
std::function<Result(const LayerMeasurement&)> with_parameter(
    std::function<Result(const LayerMeasurement&)> function, Parameter parameter,
    ParameterValue value) {
  if (!function) return {};
  return [function = std::move(function), parameter, value](const LayerMeasurement& layer) {
    LayerMeasurement own = layer;
    value.apply_to(parameter, own);
    return function(own);
  };
}

/// How a statistic's number is shown. One of several saturations does not stand for the layer.
/// @param name its name or quantity, with its parameter if it has one
inline ValueKind kind_of(const Statistic& statistic, std::string_view name) {
  const bool is_one_of_several =
      statistic.kind == ValueKind::Saturation && parse_statistic_name(name).parameter;
  return is_one_of_several ? ValueKind::Share : statistic.kind;
}

/// The name by which a statistic is requested, with its quantity's parameter: "lsat@0.9".
inline std::string requested_name(const Statistic& statistic, std::string_view quantity) {
  return std::string(statistic.name).append(quantity.substr(statistic.quantity.size()));
}

inline bool is_for(const Statistic& statistic, Mode mode) {
  return !statistic.only || statistic.only == mode;
}

/// A missing value for each statistic of this mode that is a number.
inline std::vector<Value> missing_values(const std::vector<Statistic>& statistics, Mode mode) {
  std::vector<Value> values;
  for (const Statistic& statistic : statistics) {
    if (!statistic.value || !is_for(statistic, mode)) continue;
    values.push_back({statistic.name, statistic.quantity, missing_value(), statistic.kind});
  }
  return values;
}

/// The measurement as a statistic may see it: what it does not declare as a need is null, so that a
/// forgotten need shows with the first layer, whatever else was requested.
inline LayerMeasurement seen_by(const Statistic& statistic, LayerMeasurement layer) {
  if (!statistic.needs_the(Need::Variances)) layer.variances = nullptr;
  if (!statistic.needs_the(Need::Covariance)) layer.covariance = nullptr;
  if (!statistic.needs_the(Need::Embedding)) layer.embedding = nullptr;
  if (!statistic.needs_the(Need::Probe)) layer.probe = nullptr;
  if (!statistic.needs_the(Need::Drift)) layer.drift = nullptr;
  return layer;
}

/// Receives which statistic threw, and what.
using FailedStatistic = std::function<void(const Statistic& statistic, std::string_view reason)>;

/// Puts the statistics of a layer into its record; arrays that are missing are left out. A
/// statistic that throws loses its own value, no other one.
inline void read_off(const LayerMeasurement& layer, const std::vector<Statistic>& statistics,
                     LayerRecord& record, const FailedStatistic& failed) {
  record.values = missing_values(statistics, record.mode);
  record.arrays.clear();
  auto value = record.values.begin();
  const auto fail = [&](const Statistic& statistic, std::string_view reason) {
    record.status = Status::StatisticFailed;
    failed(statistic, reason);
  };
  for (const Statistic& statistic : statistics) {
    if (!is_for(statistic, record.mode)) continue;
    const auto place = statistic.value ? value++ : record.values.end();
    try {
      const LayerMeasurement own = seen_by(statistic, layer);
      if (statistic.value) {
        place->value = statistic.value(own);
      } else if (Eigen::MatrixXd array = statistic.array(own); array.size() > 0) {
        record.arrays.push_back({statistic.name, statistic.quantity,
                                 std::make_shared<const Eigen::MatrixXd>(std::move(array)),
                                 statistic.array_kind});
      }
    } catch (const std::exception& error) {
      fail(statistic, error.what());
    } catch (...) {
      fail(statistic, "something that is no std::exception");
    }
  }
}

}  // namespace detail

/// The statistic of which this is the name in files, whatever its parameter; nothing where no known
/// one has it. Thread-safe.
[[nodiscard]] inline std::optional<Statistic> find_quantity(std::string_view quantity) {
  const std::string_view plain = detail::parse_statistic_name(quantity).plain;
  detail::StatisticRegistry& registry = detail::statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  for (const Statistic& statistic : registry.statistics) {
    if (statistic.quantity == plain) return statistic;
  }
  return std::nullopt;
}

/// The name by which a statistic is requested, from its name in files: "lsat@0.9" of
/// "saturation@0.9". A quantity of no known statistic is returned as it is. Thread-safe.
[[nodiscard]] inline std::string statistic_of_quantity(std::string_view quantity) {
  const std::optional<Statistic> statistic = find_quantity(quantity);
  return statistic ? detail::requested_name(*statistic, quantity) : std::string(quantity);
}

namespace detail {

/// A number that is known by its name in files, as a record has it. Thread-safe.
inline Value value_of_quantity(std::string_view quantity, double number) {
  const std::optional<Statistic> statistic = find_quantity(quantity);
  if (!statistic) return {std::string(quantity), std::string(quantity), number};
  return {requested_name(*statistic, quantity), std::string(quantity), number,
          kind_of(*statistic, quantity)};
}

}  // namespace detail

/// The statistic of that name, with its parameter if it has one: "lsat", "lsat@0.9", "explained@3".
/// What follows '@' is in the name and in the quantity: "saturation@0.9". Thread-safe.
/// @throws std::invalid_argument where there is none, or it does not take that parameter
inline Statistic find_statistic(std::string_view name) {
  const detail::StatisticName parts = detail::parse_statistic_name(name);
  Statistic statistic = detail::registered_statistic(parts.plain);
  if (!parts.parameter) return statistic;
  const auto value = detail::parameter_in(statistic.parameter, *parts.parameter);
  if (!value) {
    throw std::invalid_argument(
        fmt::format("delve: stats: \"{}\": {} takes {}", name, statistic.name,
                    statistic.parameter == Parameter::None ? "no parameter, so no '@'"
                    : statistic.parameter == Parameter::Threshold
                        ? "a threshold above 0 and at most 1 after '@', as in \"lsat@0.9\""
                        : "a number of at least 1 after '@', as in \"explained@3\""));
  }
  statistic.value = detail::with_parameter(std::move(statistic.value), statistic.parameter, *value);
  statistic.array = detail::with_parameter(std::move(statistic.array), statistic.parameter, *value);
  statistic.name = name;
  statistic.quantity.append(name.substr(parts.plain.size()));
  statistic.kind = detail::kind_of(statistic, name);
  return statistic;
}

}  // namespace DELVE_ABI
}  // namespace delve
