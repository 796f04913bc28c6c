// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>    // std::atomic
#include <memory>    // std::shared_ptr
#include <optional>  // std::optional

#include <delve/detail/tracking/thread_guard.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What the program says of the forwards of a tracker's layers; overrides what the modules say
/// themselves. Thread-safe.
struct ModeSwitches {
  std::atomic<int> evaluating{0};  ///< guards that count for all threads
  std::atomic<int> in_threads{0};  ///< guards of any thread that count for it alone
};

/// What one guard of a thread says.
struct DELVE_SHARED ThreadMode {
  using Owner = ModeSwitches;
  const Owner* owner;
  std::optional<Mode> mode;  ///< unset: what runs is not counted
};

using ThreadModeGuard = ThreadGuard<ThreadMode>;

/// What the innermost guard of this thread says; null where the tracker has none in it.
inline std::shared_ptr<const ThreadMode> innermost_mode(const ModeSwitches& switches) {
  return innermost<ThreadMode>(switches);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
