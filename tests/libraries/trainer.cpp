// SPDX-License-Identifier: MIT
// Compiled twice: with delve as it is, and with a copy of it that says it is the next version.

#include <memory>
#include <vector>

#include <delve/check_layer_sat.hpp>
#include <delve/version.hpp>

#include "libraries.hpp"

namespace {

std::unique_ptr<delve::CheckLayerSat<>>& tracker() {
  static std::unique_ptr<delve::CheckLayerSat<>> tracker;
  return tracker;
}

void begin() {
#if defined(DELVE_TEST_NEXT_VERSION)
  tracker() = std::make_unique<delve::CheckLayerSat<>>("run", delve::WriterList{}, plugin_model(),
                                                       delve::CheckLayerSatOptions().nosave(true));
#else
  tracker() = std::make_unique<delve::CheckLayerSat<>>(
      "run", delve::WriterList{"notes"}, plugin_model(),
      delve::CheckLayerSatOptions().stats({"lsat", "answer"}));
#endif
}

std::vector<double> end() {
  const delve::EpochRecord record = tracker()->add_saturations();
  std::vector<double> found;
  for (const delve::LayerRecord& layer : record.layers) {
    found.push_back(layer.values.at(0).value);
    found.push_back(static_cast<double>(layer.samples));
  }
  tracker().reset();
  return found;
}

}  // namespace

#if defined(DELVE_TEST_NEXT_VERSION)
Trainer trainer_of_next_version() {
#else
Trainer trainer() {
#endif
  return {begin, [] { return static_cast<void*>(tracker().get()); }, end, DELVE_VERSION_TEXT};
}
