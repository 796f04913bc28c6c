// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::find, std::find_if
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <memory>     // std::make_shared, std::shared_ptr
#include <optional>   // std::optional
#include <stdexcept>  // std::runtime_error
#include <string>     // std::string
#include <utility>    // std::move, std::pair
#include <vector>     // std::vector

#include <fmt/format.h>

#include <delve/detail/state/record_state.hpp>
#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/detail/tracking/options_text.hpp>
#include <delve/detail/tracking/training_fields_base.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What a tracker knows besides its layers.
struct RunState {
  std::int64_t epoch = 0;                               ///< that is under way
  std::vector<std::pair<std::string, double>> scalars;  ///< of it
  std::vector<EpochRecord> unsaved;                     ///< that no writer has yet
  std::optional<EpochRecord> last;

  template <typename Archive>
  void state(Archive& archive) {
    archive(scalars, unsaved, last);
  }
};

/// Writes a tracker's state to bytes, and reads it into new layers. First comes the epoch, then
/// what the tracker must have in common with the one that is read, then the rest.
template <typename Scalar>
class TrackerState {
 public:
  using Layer = ObservedLayer<Scalar>;
  using Layers = std::vector<std::shared_ptr<Layer>>;

  /// @param fields null where none are watched
  TrackerState(const std::shared_ptr<Observation>& observation, TrainingFieldsBase* fields)
      : observation_(observation), fields_(fields) {}

  /// Waits for the device.
  [[nodiscard]] std::string write(RunState& run, const Layers& layers) const {
    StateWriter archive;
    archive(run.epoch);
    Likeness own = likeness(layers);
    archive(own, run);
    for (const auto& layer : layers) {
      if (!layer->has_module()) {
        auto family = layer->layout().family;
        transfer_enumerated(archive, family, LayerFamily::Recurrent);
      }
      archive(*layer);
    }
    Observation& shared = *observation_;
    archive(shared.layers_called, shared.modes, *shared.labels, shared.problems);
    StateWriter fields;
    if (fields_ != nullptr) fields_->state(fields, roots(layers));
    std::string of_fields = fields.take();
    archive(of_fields);
    return archive.take();
  }

  /// Reads all of it, or throws and leaves the layers as they were.
  /// @param layers gains those that observe() had made
  /// @throws std::runtime_error where the bytes are of another tracker; StateFault where they are
  ///   spoilt
  [[nodiscard]] RunState read(std::string_view bytes, Layers& layers) const {
    StateReader archive(bytes);
    RunState run;
    archive(run.epoch);
    Likeness theirs;
    archive(theirs);
    require_alike(likeness(layers), theirs);
    archive(run);
    Layers read;
    for (const auto& [name, has_module] : theirs.layers) {
      const auto known = find(layers, name);
      archive.require(has_module || known == nullptr || !known->has_module());
      read.push_back(has_module ? like(*known) : observed(archive, name));
      archive(*read.back());
    }
    std::int64_t layers_called = 0;
    archive(layers_called);
    // What follows cannot be taken back, and nothing after it refuses a state that was written.
    Observation& shared = *observation_;
    archive(shared.modes, *shared.labels, shared.problems);
    std::string of_fields;
    archive(of_fields);
    archive.require(archive.is_at_end());
    if (fields_ != nullptr && !of_fields.empty()) {
      StateReader fields(of_fields);
      fields_->state(fields, roots(layers));
    }
    shared.layers_called = layers_called;
    for (const auto& layer : read) {
      const auto known = find(layers, layer->name());
      if (known != nullptr) {
        known->take_over(*layer);
      } else {
        layers.push_back(layer);
      }
    }
    return run;
  }

 private:
  /// What two trackers must have in common.
  struct Likeness {
    std::string sums;  ///< the type
    std::vector<std::pair<std::string, std::string>> options;
    std::vector<std::pair<std::string, bool>> layers;  ///< a name, and whether it has a module

    template <typename Archive>
    void state(Archive& archive) {
      archive(sums, options, layers);
    }
  };

  [[nodiscard]] Likeness likeness(const Layers& layers) const {
    Likeness own{std::is_same_v<Scalar, double> ? "double" : "float", {}, {}};
    for (const auto& option : options_text(observation_->settings)) {
      if (option.first != "initial_epoch") own.options.push_back(option);
    }
    for (const auto& layer : layers) own.layers.emplace_back(layer->name(), layer->has_module());
    return own;
  }

  static void require_alike(const Likeness& own, const Likeness& theirs) {
    const auto refuse = [](const std::string& reason) { throw std::runtime_error(reason); };
    if (own.sums != theirs.sums) {
      refuse(fmt::format("its sums are {}, this tracker's are {}", theirs.sums, own.sums));
    }
    for (const auto& option : own.options) {
      const auto& [name, value] = option;
      // Not the name alone: in C++17 no lambda captures a structured binding.
      const auto same =
          std::find_if(theirs.options.begin(), theirs.options.end(),
                       [&](const auto& other) { return other.first == option.first; });
      const std::string their_value = same != theirs.options.end() ? same->second : "not set";
      if (their_value == value) continue;
      refuse(fmt::format("it was saved with {} {}, and this tracker has {}", name, their_value,
                         value));
    }
    const auto names_beyond = [](const Likeness& some, const Likeness& others) {
      std::vector<std::string> names;
      for (const auto& layer : some.layers) {
        const bool is_known =
            std::find(others.layers.begin(), others.layers.end(), layer) != others.layers.end();
        // observe() makes those without a module when it is first called.
        if (layer.second && !is_known) names.push_back(layer.first);
      }
      return names;
    };
    const auto lacking = names_beyond(theirs, own);
    const auto more = names_beyond(own, theirs);
    if (!lacking.empty()) {
      refuse(fmt::format("it has layers that this tracker does not have: {}",
                         first_of(lacking, kNamesHeard)));
    }
    if (!more.empty()) {
      refuse(fmt::format("it lacks layers of this tracker: {}", first_of(more, kNamesHeard)));
    }
  }

  [[nodiscard]] static std::shared_ptr<Layer> find(const Layers& layers, const std::string& name) {
    const auto found = std::find_if(layers.begin(), layers.end(),
                                    [&](const auto& layer) { return layer->name() == name; });
    return found != layers.end() ? *found : nullptr;
  }

  /// One without data under the same name.
  [[nodiscard]] std::shared_ptr<Layer> like(const Layer& layer) const {
    return std::make_shared<Layer>(layer.name(), layer.layout(), observation_);
  }

  [[nodiscard]] std::shared_ptr<Layer> observed(StateReader& archive,
                                                const std::string& name) const {
    OutputLayout layout{LayerFamily::Linear, /*position_axes=*/0};
    transfer_enumerated(archive, layout.family, LayerFamily::Recurrent);
    return std::make_shared<Layer>(name, layout, observation_);
  }

  /// In the order of the layers.
  [[nodiscard]] static std::vector<const void*> roots(const Layers& layers) {
    std::vector<const void*> roots;
    for (const auto& layer : layers) {
      if (!layer->has_module()) continue;
      const void* root = layer->root().address();
      if (std::find(roots.begin(), roots.end(), root) == roots.end()) roots.push_back(root);
    }
    return roots;
  }

  const std::shared_ptr<Observation>& observation_;
  TrainingFieldsBase* fields_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
