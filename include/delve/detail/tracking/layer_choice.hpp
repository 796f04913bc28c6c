// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::find
#include <stdexcept>  // std::invalid_argument
#include <string>     // std::string
#include <vector>     // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/tracking/problems.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/module_view.hpp>
#include <delve/options.hpp>

namespace delve::detail {

/// Whether the options let a layer be tracked.
inline bool is_chosen(const FoundLayer& layer, const CheckLayerSatOptions& options) {
  if (layer.kind == nullptr) return false;
  const std::vector<std::string>& also = options.also_track();
  if (layer.kind->by_default) {
    if (!options.include_conv() && layer.kind->family == LayerFamily::Convolution) return false;
  } else if (std::find(also.begin(), also.end(), layer.kind->name) == also.end()) {
    return false;
  }
  const std::vector<std::string>& ignored = options.ignore_layer_names();
  if (std::find(ignored.begin(), ignored.end(), layer.name) != ignored.end()) return false;
  return !options.layer_filter() || options.layer_filter()(layer);
}

/// The layers to track.
/// @param problems is told of names to ignore that no layer bears
/// @throws std::invalid_argument where there is none; it lists what was found
inline std::vector<FoundLayer> chosen_layers(const Modules& modules,
                                             const CheckLayerSatOptions& options,
                                             Problems& problems) {
  std::vector<FoundLayer> found = find_layers(modules);
  for (const std::string& name : options.ignore_layer_names()) {
    if (std::any_of(found.begin(), found.end(), [&](const auto& it) { return it.name == name; })) {
      continue;
    }
    problems.tell_once(
        "ignore " + name,
        fmt::format("ignore_layer_names holds \"{}\", and no layer is called so", name));
  }
  std::vector<FoundLayer> chosen;
  for (const FoundLayer& layer : found) {
    if (is_chosen(layer, options)) chosen.push_back(layer);
  }
  if (!chosen.empty()) return chosen;
  std::vector<std::string> seen;
  for (const FoundLayer& layer : found) {
    seen.push_back(fmt::format("{} ({}{})", layer.name, layer.module.type_name(),
                               layer.kind != nullptr ? ", left out by the options" : ""));
  }
  throw std::invalid_argument(fmt::format(
      "delve::CheckLayerSat: there is no layer to track. Found: {}. Kinds that can be "
      "tracked: {}",
      seen.empty() ? "nothing" : fmt::format("{}", fmt::join(seen, ", ")), layer_kind_names()));
}

}  // namespace delve::detail
