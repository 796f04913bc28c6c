// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>    // std::atomic
#include <memory>    // std::make_shared, std::shared_ptr
#include <optional>  // std::optional
#include <utility>   // std::move
#include <vector>    // std::vector

#include <delve/mode.hpp>

namespace delve::detail {

/// What the program says of the forwards of a tracker's layers, over what the modules say
/// themselves. Thread-safe.
struct ModeSwitches {
  std::atomic<int> evaluating{0};  ///< guards that count for all threads
  std::atomic<int> in_threads{0};  ///< guards of any thread that count for it alone
};

/// One guard of a thread.
struct ThreadMode {
  const ModeSwitches* tracker;
  std::optional<Mode> mode;  ///< unset: what runs is not counted
};

/// The guards of this thread, the innermost last. A guard that was destroyed in another thread is
/// null there, and dropped with the next look.
inline std::vector<std::weak_ptr<const ThreadMode>>& thread_modes() {
  thread_local std::vector<std::weak_ptr<const ThreadMode>> modes;
  return modes;
}

/// Sets what counts in this thread, until it is destroyed.
class ThreadModeGuard {
 public:
  ThreadModeGuard(std::shared_ptr<ModeSwitches> switches, std::optional<Mode> mode)
      : switches_(std::move(switches)),
        own_(std::make_shared<const ThreadMode>(ThreadMode{switches_.get(), mode})) {
    thread_modes().push_back(own_);
    ++switches_->in_threads;
  }
  ThreadModeGuard(const ThreadModeGuard&) = delete;
  ThreadModeGuard& operator=(const ThreadModeGuard&) = delete;
  ~ThreadModeGuard() {
    --switches_->in_threads;
    own_.reset();
  }

 private:
  std::shared_ptr<ModeSwitches> switches_;
  std::shared_ptr<const ThreadMode> own_;
};

/// What the innermost guard of this thread says; null where the tracker has none in it.
inline std::shared_ptr<const ThreadMode> innermost_mode(const ModeSwitches& switches) {
  if (switches.in_threads.load() == 0) return nullptr;
  std::vector<std::weak_ptr<const ThreadMode>>& modes = thread_modes();
  while (!modes.empty() && modes.back().expired()) modes.pop_back();
  for (auto place = modes.rbegin(); place != modes.rend(); ++place) {
    std::shared_ptr<const ThreadMode> guard = place->lock();
    if (guard && guard->tracker == &switches) return guard;
  }
  return nullptr;
}

}  // namespace delve::detail
