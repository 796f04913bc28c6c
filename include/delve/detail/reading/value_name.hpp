// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <delve/mode.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What the name of a value in files says: "train-saturation_features-0".
struct StatColumn {
  Mode mode;
  std::string quantity;  ///< "saturation"
  std::string layer;     ///< "features-0"
};

/// Reads what value_name() wrote, or finds that it is a scalar's name. Neither a mode nor a
/// quantity holds '_', and a mode holds no '-'. A user-defined mode is recognised only
/// before the quantity of a known statistic: "test-error_rate" is a scalar. Delve (Python) puts a
/// '_' before the names in those tables that it makes from its npy files.
inline std::optional<StatColumn> stat_column(std::string_view name) {
  if (name.substr(0, 1) == "_") name.remove_prefix(1);
  const std::size_t dash = name.find('-');
  const std::size_t end = name.find('_');
  const bool has_parts = dash != std::string_view::npos && end != std::string_view::npos &&
                         dash > 0 && end > dash + 1 && end + 1 < name.size();
  if (!has_parts) return std::nullopt;
  const std::string_view mode = name.substr(0, dash);
  const std::string_view quantity = name.substr(dash + 1, end - dash - 1);
  const bool is_stat = mode == Mode::Train.name() || mode == Mode::Eval.name() ||
                       (is_mode_name(mode) && find_quantity(quantity));
  if (!is_stat) return std::nullopt;
  return StatColumn{Mode(mode), std::string(quantity), std::string(name.substr(end + 1))};
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
