// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <optional>     // std::optional
#include <string_view>  // std::string_view

#include <delve/detail/support/text.hpp>
#include <delve/statistic.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic's name, or its quantity, in its parts: "lsat@0.9" is "lsat" and "0.9".
struct StatisticName {
  std::string_view plain;
  std::optional<std::string_view> parameter;  ///< what follows the first '@', if there is one
};

inline StatisticName parse_statistic_name(std::string_view name) {
  const std::size_t at = name.find('@');
  if (at == std::string_view::npos) return {name, std::nullopt};
  return {name.substr(0, at), name.substr(at + 1)};
}

/// What follows '@', as a number.
struct ParameterValue {
  double threshold = 0;    ///< of Parameter::Threshold
  std::int64_t count = 0;  ///< of Parameter::Count

  void apply_to(Parameter parameter, LayerMeasurement& layer) const {
    if (parameter == Parameter::Threshold) layer.threshold = threshold;
    if (parameter == Parameter::Count) layer.count = count;
  }
};

/// Nothing where a text is not in the parameter's range.
inline std::optional<ParameterValue> parameter_in(Parameter parameter, std::string_view text) {
  if (parameter == Parameter::Threshold) {
    const double threshold = number_in<double>(text).value_or(0);
    if (threshold > 0 && threshold <= 1) return ParameterValue{threshold, 0};
  } else if (parameter == Parameter::Count) {
    const std::int64_t count = number_in<std::int64_t>(text).value_or(0);
    if (count >= 1) return ParameterValue{0, count};
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
