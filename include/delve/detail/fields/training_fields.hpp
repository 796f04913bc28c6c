// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>      // std::find
#include <cstdint>        // std::int64_t
#include <memory>         // std::make_unique, std::unique_ptr
#include <mutex>          // std::lock_guard, std::mutex
#include <string>         // std::string
#include <thread>         // std::this_thread, std::thread
#include <unordered_map>  // std::unordered_map
#include <utility>        // std::exchange
#include <vector>         // std::vector

#include <delve/detail/fields/field_recorder.hpp>
#include <delve/detail/hooks/forward_observer.hpp>
#include <delve/detail/state/record_state.hpp>
#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/tracking/training_fields_base.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Watches one forward of each network, and one more whenever the size of its input changes. The
/// input is that of the first layer that has one with positions; the watch ends when that layer
/// runs again, or with the epoch.
class TrainingFields final : public TrainingFieldsBase {
 public:
  void expect(const void* root) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    Network& network = networks_[root];
    if (network.known.empty() && network.recorder == nullptr) arm(network);
  }

  void layer_ran(const void* root, const std::string& name, const LayerKind& kind,
                 const ModuleView& module, const ForwardCall& call) noexcept override {
    const std::lock_guard<std::mutex> lock(mutex_);
    Network& network = networks_[root];
    try {
      if (network.is_watched) {
        if (std::this_thread::get_id() != network.thread) return;
        if (name != network.first) {
          network.recorder->add(name, kind, module, call);
          return;
        }
        end(network);
      }
      begin(network, name, kind, module, call);
    } catch (...) {  // there is no memory: training continues without fields
      network.is_watched = false;
      network.recorder.reset();
    }
  }

  std::vector<LayerField> take_news() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [root, network] : networks_) {
      end(network);
      // No layer of it has positions: from here on no operator is looked at for it.
      if (network.first.empty()) network.recorder.reset();
    }
    remove_watcher(nullptr);  // those that have died
    return std::exchange(news_, {});
  }

  [[nodiscard]] bool found_any() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return found_any_;
  }

  void state(StateWriter& archive, const std::vector<const void*>& roots) override {
    transfer_all(archive, roots);
  }
  void state(StateReader& archive, const std::vector<const void*>& roots) override {
    transfer_all(archive, roots);
  }

 private:
  struct Network {
    std::unique_ptr<FieldRecorder> recorder;  // nullptr: no thread is watched
    std::thread::id thread;                   // whose operators the tracer sees
    bool is_watched = false;                  // a forward is under way
    std::string first;  // the layer whose input is the network's; empty before any was found
    std::vector<std::vector<std::int64_t>> known;  // sizes of input that need no further watch
  };

  template <typename Archive>
  void transfer_all(Archive& archive, const std::vector<const void*>& roots) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const void* root : roots) {
      Network& network = networks_[root];
      if constexpr (!Archive::kReads) end(network);
      archive(network.first, network.known);
      if constexpr (Archive::kReads) {
        network.is_watched = false;
        if (!network.known.empty()) network.recorder.reset();  // until another size comes
      }
    }
    remove_watcher(nullptr);
    archive(news_, found_any_);
  }

  void begin(Network& network, const std::string& name, const LayerKind& kind,
             const ModuleView& module, const ForwardCall& call) {
    if (!network.first.empty() && name != network.first) return;
    const std::vector<std::int64_t> places =
        position_axes(kind, kind.layout(module), call.input.dim());
    if (places.empty()) return;
    std::vector<std::int64_t> sizes;
    for (const std::int64_t place : places) sizes.push_back(call.input.size(place));
    if (std::find(network.known.begin(), network.known.end(), sizes) != network.known.end()) return;
    network.first = name;
    if (network.recorder == nullptr || network.thread != std::this_thread::get_id()) {
      arm(network);  // the operator that has just run was not seen; the next time it is
      return;
    }
    network.known.push_back(sizes);
    network.is_watched = true;
    network.recorder->begin_at(kind, call, places);
    network.recorder->add(name, kind, module, call);
    found_any_ = true;
  }

  void end(Network& network) {
    if (!network.is_watched) return;
    network.is_watched = false;
    const std::vector<LayerField>& rows = network.recorder->rows();
    news_.insert(news_.end(), rows.begin(), rows.end());
    network.recorder.reset();
    remove_watcher(nullptr);
  }

  /// Watches this thread, and no other: a tracer is for one.
  static void arm(Network& network) {
    network.recorder = std::make_unique<FieldRecorder>();
    network.thread = std::this_thread::get_id();
    remove_watcher(nullptr);
    add_watcher(network.recorder->tracer());
  }

  mutable std::mutex mutex_;  // guards all below
  std::unordered_map<const void*, Network> networks_;
  std::vector<LayerField> news_;
  bool found_any_ = false;
};

/// Makes TrainingFields known to trackers.
inline bool register_training_fields() {
  training_fields_factory() = [] {
    return std::unique_ptr<TrainingFieldsBase>(std::make_unique<TrainingFields>());
  };
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool training_fields_are_registered = register_training_fields();
#endif

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
