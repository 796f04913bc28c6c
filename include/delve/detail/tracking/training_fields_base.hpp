// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>  // std::atomic
#include <memory>  // std::unique_ptr
#include <string>  // std::string
#include <vector>  // std::vector

#include <delve/detail/state/state_archive.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Finds receptive fields while a network trains. Thread-safe. What does so is in
/// fields/training_fields.hpp, and registered by receptive_field.hpp: a program without receptive
/// fields need not include that.
class TrainingFieldsBase {
 public:
  TrainingFieldsBase() = default;
  TrainingFieldsBase(const TrainingFieldsBase&) = delete;
  TrainingFieldsBase& operator=(const TrainingFieldsBase&) = delete;
  virtual ~TrainingFieldsBase() = default;

  /// Watches this thread, where a network with this root probably runs.
  virtual void expect(const void* root) = 0;

  /// To be called by the layer's hook.
  /// @param root the network that it belongs to
  virtual void layer_ran(const void* root, const std::string& name, const LayerKind& kind,
                         const ModuleView& module, const ForwardCall& call) noexcept = 0;

  /// Ends what is being watched.
  /// @return the rows that came since the last call, once for each size of input
  virtual std::vector<LayerField> take_news() = 0;

  /// Whether any layer ever had an input with positions.
  [[nodiscard]] virtual bool found_any() const = 0;

  /// What was found, and for which sizes of input. What is being watched ends.
  /// @param roots of all networks, always in the same order
  virtual void state(StateWriter& archive, const std::vector<const void*>& roots) = 0;
  virtual void state(StateReader& archive, const std::vector<const void*>& roots) = 0;
};

using TrainingFieldsFactory = std::unique_ptr<TrainingFieldsBase> (*)();

/// nullptr where receptive_field.hpp is not part of the program.
DELVE_SHARED inline std::atomic<TrainingFieldsFactory>& training_fields_factory() {
  static std::atomic<TrainingFieldsFactory> factory{nullptr};
  return factory;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
