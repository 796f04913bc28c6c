// SPDX-License-Identifier: MIT
#pragma once

#include <functional>   // std::function
#include <iostream>     // std::cerr
#include <mutex>        // std::mutex
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

namespace delve::detail {

/// The one place for all that went wrong and did not stop the training. Each problem is told once.
/// Thread-safe.
class Problems {
 public:
  using Handler = std::function<void(std::string_view)>;

  /// @param handler is told of each problem; where it is empty, stderr is
  explicit Problems(Handler handler) : handler_(std::move(handler)) {}

  /// The handler is called with no lock held, and may use the tracker. What it throws is dropped.
  /// @param key what the problem is called; a second one of that name is not told
  void tell_once(std::string key, const std::string& message) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!told_.insert(std::move(key)).second) return;
      messages_.push_back(message);
    }
    if (!handler_) {
      std::cerr << "delve: " << message << '\n';
      return;
    }
    try {
      handler_(message);
    } catch (...) {
      std::cerr << "delve: " << message << "\ndelve: on_warning threw when it was told this\n";
    }
  }

  /// Tells of a problem that several things may have, of each of them once.
  /// @param names of those that have it now
  /// @param sentence that says it of them, without the names
  void tell_once_of(const std::vector<std::string>& names, const std::string& sentence) {
    std::string news;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const std::string& name : names) {
        if (!told_.insert(sentence + name).second) continue;
        news.append(news.empty() ? "" : ", ").append(name);
      }
    }
    if (!news.empty()) tell_once(news + sentence, news + ": " + sentence);
  }

  /// All messages so far, in the order of their appearance.
  [[nodiscard]] std::vector<std::string> messages() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return messages_;
  }

 private:
  Handler handler_;
  mutable std::mutex mutex_;  // guards all below
  std::set<std::string> told_;
  std::vector<std::string> messages_;
};

}  // namespace delve::detail
