// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>      // std::find
#include <atomic>         // std::atomic
#include <cstddef>        // std::size_t
#include <cstdint>        // std::int64_t, std::uint64_t
#include <exception>      // std::exception_ptr
#include <functional>     // std::less
#include <map>            // std::map
#include <memory>         // std::shared_ptr, std::weak_ptr
#include <mutex>          // std::mutex
#include <string_view>    // std::string_view
#include <unordered_map>  // std::unordered_map
#include <unordered_set>  // std::unordered_set
#include <utility>        // std::move, std::pair
#include <vector>         // std::vector

#include <ATen/record_function.h>
#include <torch/types.h>

#include <delve/detail/hooks/module_reference.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline const c10::StorageImpl* storage_of(const torch::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

/// Whose code a hook runs.
enum class HookCode {
  Program,  ///< the user's, which may run anything
  Tracker,  ///< ours, which runs operators that no other hook is to see
};

/// One registered hook, and the module that it watches without owning it.
class HookTarget {
 public:
  HookTarget(const ModuleView& module, const LayerKind& kind, ForwardHook hook, HookCode code)
      : kind_(kind), module_(module), hook_(std::move(hook)), code_(code) {}

  [[nodiscard]] const LayerKind& kind() const { return kind_; }
  [[nodiscard]] const ModuleReference& module() const { return module_; }
  [[nodiscard]] HookCode code() const { return code_; }

  /// Runs the hook unless it was removed. What it throws is kept: LibTorch would swallow it.
  void run(const ForwardCall& call) noexcept {
    if (removed_.load(std::memory_order_acquire)) return;
    try {
      hook_(call);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void remove() { removed_.store(true, std::memory_order_release); }

  /// What the hook threw first.
  [[nodiscard]] std::exception_ptr error() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return error_;
  }

  /// No other watched module had this one's weight when all were last compared with it.
  [[nodiscard]] bool is_alone() const { return alone_.load(std::memory_order_relaxed); }
  void set_alone(bool alone) { alone_.store(alone, std::memory_order_relaxed); }

  /// To be called for a call that leaves out the bias of this module. Returns whether it is the
  /// first one.
  bool note_call_without_bias() {
    return !called_without_bias_.exchange(true, std::memory_order_relaxed);
  }

  /// A forward of this module may have been counted for another one, which shares weight and bias.
  [[nodiscard]] bool is_ambiguous() const { return ambiguous_.load(std::memory_order_relaxed); }
  void set_ambiguous() { ambiguous_.store(true, std::memory_order_relaxed); }

 private:
  const LayerKind& kind_;
  ModuleReference module_;
  ForwardHook hook_;
  HookCode code_;
  std::atomic<bool> removed_{false};
  std::atomic<bool> ambiguous_{false};
  std::atomic<bool> alone_{false};
  std::atomic<bool> called_without_bias_{false};
  mutable std::mutex mutex_;  // guards error_
  std::exception_ptr error_;
};

/// Where a tensor begins.
struct Place {
  const c10::StorageImpl* storage;
  std::int64_t offset;  ///< in numbers, not bytes

  friend bool operator<(const Place& a, const Place& b) {
    const std::less<const c10::StorageImpl*> before;  // of any two pointers, unlike <
    return a.storage == b.storage ? a.offset < b.offset : before(a.storage, b.storage);
  }
};

/// Needs a storage.
inline Place place_of(const torch::Tensor& tensor) {
  return {storage_of(tensor), tensor.storage_offset()};
}

/// A module and its hooks, in the order of their registration. Keeps neither alive.
struct WatchedModule {
  const LayerKind* kind;
  std::vector<std::weak_ptr<HookTarget>> targets;

  /// A hook that is not gone yet; nullptr where all are.
  [[nodiscard]] std::shared_ptr<HookTarget> target() const {
    for (const std::weak_ptr<HookTarget>& candidate : targets) {
      if (std::shared_ptr<HookTarget> target = candidate.lock()) return target;
    }
    return nullptr;
  }

  /// Calls the visitor with the module, unless it is dead or all its hooks are gone.
  template <typename Visitor>
  void visit(const Visitor& visitor) const {
    if (const std::shared_ptr<HookTarget> any = target()) any->module().visit(visitor);
  }
};

/// The hooks, found by the operators of their kinds and by the place of their module's weight as it
/// was when the table was made. Threads keep their table until they run an operator again.
struct HookTable {
  struct Operator {
    const LayerKind* kind;
    const ForwardOperator* forward;
  };

  std::uint64_t version;
  std::vector<WatchedModule> modules;  // in the order of their registration
  // Many weights may lie in one storage, so places are distinguished. They are in order, so that
  // the weight within which an input begins comes before it.
  std::map<Place, std::vector<const WatchedModule*>> by_weight;
  std::unordered_map<std::string_view, std::vector<Operator>> operators;  // by name
  // The module after the one whose weight was last found elsewhere. Weights that are computed anew
  // in each forward come in the order of the forwards, mostly that of the registration.
  mutable std::atomic<std::size_t> next_moved{0};
};

/// The process's hooks. Our callback is registered with LibTorch with the first hook and removed
/// with the last, so that a program in which nothing records runs as if we were not there.
///
/// Thread-safe.
class HookRegistry {
 public:
  explicit HookRegistry(const at::RecordFunctionCallback& callback) : callback_(callback) {}

  void add(const std::shared_ptr<HookTarget>& target) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (targets_.empty()) handle_ = at::addGlobalCallback(callback_);
    targets_.push_back(target);
    outdate();
  }

  void remove(const std::shared_ptr<HookTarget>& target) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find(targets_.begin(), targets_.end(), target);
    if (found == targets_.end()) return;
    target->remove();
    targets_.erase(found);
    if (targets_.empty()) at::removeCallback(handle_);
    outdate();
  }

  /// That of the newest table; one atomic load, made at every operator.
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// The newest table. Made when somebody asks, so that registering many hooks costs no more.
  std::shared_ptr<const HookTable> table() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!table_) table_ = make_table();
    return table_;
  }

  /// To be called when the table may not list a module under a weight that it has.
  void table_is_wrong() {
    const std::lock_guard<std::mutex> lock(mutex_);
    outdate();
  }

  /// To be called when a weight is not where the table says: its module was moved or loaded, or
  /// computes its weight in each forward. The latter would make each table useless at once, so a
  /// new one is made only when looking for weights has cost as much.
  /// @param compared how many modules were compared to find it
  void weight_has_moved(std::size_t compared) {
    if (compared_.fetch_add(compared, std::memory_order_relaxed) + compared <
        size_.load(std::memory_order_relaxed)) {
      return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    outdate();
  }

 private:
  std::shared_ptr<const HookTable> make_table() const {
    auto table = std::make_shared<HookTable>();
    table->version = version_.load(std::memory_order_relaxed);
    add_modules(*table);
    std::unordered_set<const LayerKind*> kinds;
    for (const WatchedModule& watched : table->modules) {
      const LayerKind& kind = *watched.kind;
      watched.visit([&](const ModuleView& module) {
        const torch::Tensor weight = kind.weight(module);
        if (!weight.defined() || storage_of(weight) == nullptr) return;
        table->by_weight[place_of(weight)].push_back(&watched);
      });
      if (!kinds.insert(&kind).second) continue;
      for (const ForwardOperator& forward : kind.operators) {
        table->operators[forward.name].push_back({&kind, &forward});
      }
    }
    for (const auto& [place, sharing] : table->by_weight) {
      if (sharing.size() == 1) continue;
      for (const WatchedModule* watched : sharing) {
        if (const std::shared_ptr<HookTarget> target = watched->target()) target->set_alone(false);
      }
    }
    return table;
  }

  /// The modules that live, each once per kind: the address of a dead one may be that of another by
  /// now.
  void add_modules(HookTable& table) const {
    std::map<std::pair<const void*, const LayerKind*>, std::size_t> places;
    for (const std::shared_ptr<HookTarget>& target : targets_) {
      target->module().visit([&](const ModuleView& module) {
        const auto [place, is_new] =
            places.emplace(std::pair(module.address(), &target->kind()), table.modules.size());
        if (is_new) table.modules.push_back({&target->kind(), {}});
        table.modules[place->second].targets.push_back(target);
      });
    }
  }

  void outdate() {
    table_.reset();
    compared_.store(0, std::memory_order_relaxed);
    size_.store(targets_.size(), std::memory_order_relaxed);
    version_.fetch_add(1, std::memory_order_release);
  }

  at::RecordFunctionCallback callback_;
  std::mutex mutex_;  // guards all below that is not atomic
  std::vector<std::shared_ptr<HookTarget>> targets_;
  std::shared_ptr<const HookTable> table_;
  std::atomic<std::uint64_t> version_{1};
  std::atomic<std::size_t> size_{0};      // of targets_
  std::atomic<std::size_t> compared_{0};  // modules, since the table was outdated last
  at::CallbackHandle handle_ = 0;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
