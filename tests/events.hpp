// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>  // std::size_t
#include <mutex>    // std::mutex
#include <vector>   // std::vector

#include <delve/forward_hook.hpp>

namespace delve_test {

/// Keeps what hooks were told, as it was at that time. Thread-safe while it is added to.
class Events {
 public:
  struct Event {
    torch::Tensor output;  // a copy
    std::vector<torch::Tensor> outputs;
    bool training;
  };

  delve::ForwardHook hook() {
    return [this](const delve::ForwardCall& call) {
      const std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back({call.outputs[0].detach().clone(), call.outputs, call.training});
    };
  }

  [[nodiscard]] int count() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int>(events_.size());
  }
  void clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.clear();
  }
  [[nodiscard]] const Event& operator[](std::size_t i) const { return events_.at(i); }

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace delve_test
