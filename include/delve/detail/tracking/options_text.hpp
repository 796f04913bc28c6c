// SPDX-License-Identifier: MIT
#pragma once

#include <string>   // std::string
#include <utility>  // std::pair
#include <vector>   // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/support/text.hpp>
#include <delve/detail/tracking/settings.hpp>
#include <delve/options.hpp>
#include <delve/product_precision.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The options that the numbers depend on, as text: a name and a value each.
inline std::vector<std::pair<std::string, std::string>> options_text(const Settings& settings) {
  const CheckLayerSatOptions& options = settings.options();
  const auto yes_no = [](bool value) { return std::string(value ? "yes" : "no"); };
  const auto list = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("none") : first_of(names, 12);
  };
  // Of an enumeration, by its value, in the order of its declaration.
  const auto one_of = [](auto value, const std::vector<std::string>& names) {
    return names.at(static_cast<std::size_t>(value));
  };
  std::vector<std::pair<std::string, std::string>> text = {
      {"stats", list(options.stats())},
      {"sat_threshold", fmt::to_string(options.sat_threshold())},
      {"idim_rule", one_of(options.idim_rule(), {"ExplainedVariance", "Delve"})},
      {"log_interval", fmt::to_string(options.log_interval())},
      {"max_samples",
       options.max_samples() ? fmt::to_string(*options.max_samples()) : std::string("all")},
      {"sample_rate", fmt::to_string(options.sample_rate())},
      {"points_per_dimension", options.points_per_dimension()
                                   ? fmt::to_string(*options.points_per_dimension())
                                   : std::string("all")},
      {"sample_seed", fmt::to_string(options.sample_seed())},
      {"log_sampling", one_of(options.log_sampling(), {"Random", "Every"})},
      {"conv_method",
       one_of(options.conv_method(), {"Channelwise", "Mean", "Max", "Median", "Flatten"})},
      {"timeseries_method",
       one_of(options.timeseries_method(), {"LastTimestep", "Timestepwise", "EveryTimestep"})},
      {"interpolation_strategy",
       options.interpolation_strategy()
           ? one_of(*options.interpolation_strategy(), {"Nearest", "Bilinear", "Bicubic", "Area"})
           : std::string("none")},
      {"interpolation_downsampling", options.interpolation_strategy()
                                         ? fmt::to_string(options.interpolation_downsampling())
                                         : std::string("none")},
      {"ignore_layer_names", list(options.ignore_layer_names())},
      {"include_conv", yes_no(options.include_conv())},
      {"also_track", list(options.also_track())},
      {"reset_covariance", yes_no(options.reset_covariance())},
      {"mode_from", one_of(options.mode_from(), {"Layer", "Root"})},
      {"products", settings.products() == Products::Float32 ? "Float32" : "Float64"},
      {"initial_epoch", fmt::to_string(options.initial_epoch())}};
  if (options.classes() > 0) text.emplace_back("classes", fmt::to_string(options.classes()));
  if (options.targets() > 0) text.emplace_back("targets", fmt::to_string(options.targets()));
  if (settings.has_probes()) {
    text.emplace_back("probe_pooling", fmt::to_string(options.probe_pooling()));
    text.emplace_back("probe_features", fmt::to_string(options.probe_features()));
    text.emplace_back("probe_shrinkage", options.probe_shrinkage()
                                             ? fmt::to_string(*options.probe_shrinkage())
                                             : std::string("the default"));
  }
  return text;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
