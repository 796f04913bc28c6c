// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::find, std::find_if
#include <stdexcept>  // std::invalid_argument
#include <string>     // std::string
#include <utility>    // std::pair
#include <vector>     // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/tracking/problems.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/module_view.hpp>
#include <delve/options.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Why a layer is not tracked; empty where it is.
inline std::string reason_to_leave_out(const FoundLayer& layer,
                                       const CheckLayerSatOptions& options) {
  const auto holds = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  if (layer.kind == nullptr) return "not of a kind that can be tracked";
  if (!layer.kind->by_default && !holds(options.also_track(), layer.kind->name)) {
    return fmt::format("only with also_track({{\"{}\"}})", layer.kind->name);
  }
  if (layer.kind->by_default && !options.include_conv() &&
      layer.kind->family == LayerFamily::Convolution) {
    return "include_conv(false)";
  }
  if (holds(options.ignore_layer_names(), layer.name)) return "in ignore_layer_names()";
  if (options.layer_filter() && !options.layer_filter()(layer)) return "by layer_filter()";
  return {};
}

/// Reports names to ignore that no layer bears.
inline void review_ignored_names(const std::vector<FoundLayer>& found,
                                 const CheckLayerSatOptions& options, Problems& problems) {
  for (const std::string& name : options.ignore_layer_names()) {
    if (std::any_of(found.begin(), found.end(), [&](const auto& it) { return it.name == name; })) {
      continue;
    }
    problems.tell_once(
        "ignore " + name,
        fmt::format("ignore_layer_names holds \"{}\", but no layer has that name", name));
  }
}

struct LayerChoice {
  std::vector<FoundLayer> layers;     ///< to be tracked; at least one
  std::vector<std::string> left_out;  ///< "ReLU (not of a kind that can be tracked): a, b, c"
};

/// The layers to track, and what was left out and why.
/// @throws std::invalid_argument where there is none to track; it lists what was left out
inline LayerChoice choose_layers(const Modules& modules, const CheckLayerSatOptions& options,
                                 Problems& problems) {
  const std::vector<FoundLayer> found = find_layers(modules);
  review_ignored_names(found, options, problems);
  LayerChoice choice;
  using Names = std::vector<std::string>;
  std::vector<std::pair<std::string, Names>> left_out;  // why, and their names
  for (const FoundLayer& layer : found) {
    const std::string reason = reason_to_leave_out(layer, options);
    if (reason.empty()) {
      choice.layers.push_back(layer);
      continue;
    }
    const std::string why = fmt::format("{} ({})", layer.module.type_name(), reason);
    const auto same = std::find_if(left_out.begin(), left_out.end(),
                                   [&](const auto& it) { return it.first == why; });
    auto& names =
        same != left_out.end() ? same->second : left_out.emplace_back(why, Names()).second;
    if (!layer.name.empty()) names.push_back(layer.name);
  }
  for (const auto& [why, names] : left_out) {
    choice.left_out.push_back(
        names.empty() ? why : fmt::format("{}: {}", why, first_of(names, kNamesHeard)));
  }
  if (!choice.layers.empty()) return choice;
  throw std::invalid_argument(fmt::format(
      "delve::CheckLayerSat: there is no layer to track. Found: {}. Kinds that can be "
      "tracked: {}",
      left_out.empty() ? "nothing" : fmt::format("{}", fmt::join(choice.left_out, "; ")),
      layer_kind_names()));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
