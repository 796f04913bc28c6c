// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::find
#include <cstddef>      // std::ptrdiff_t, std::size_t
#include <functional>   // std::function
#include <iostream>     // std::cerr
#include <mutex>        // std::mutex
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How many of many names a message lists.
constexpr std::size_t kNamesHeard = 3;

/// The one place for all that went wrong and did not stop the training. Each problem is reported
/// once. Thread-safe.
class Problems {
 public:
  using Handler = std::function<void(std::string_view)>;

  /// @param handler receives each problem; where it is empty, stderr does
  explicit Problems(Handler handler) : handler_(std::move(handler)) {}

  /// The handler is called with no lock held, and may use the tracker. What it throws is dropped.
  /// @param key what the problem is called; a second one of that name is not reported
  /// @param message for messages()
  /// @param heard what the handler receives instead; empty: the same
  void tell_once(std::string key, const std::string& message, std::string heard = {}) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!told_.insert(std::move(key)).second) return;
      messages_.push_back(message);
    }
    if (heard.empty()) heard = message;
    if (!handler_) {
      std::cerr << "delve: " << heard << '\n';
      return;
    }
    try {
      handler_(heard);
    } catch (...) {
      std::cerr << "delve: " << heard << "\ndelve: on_warning threw when it received this\n";
    }
  }

  /// Reports a problem that several things may have, for each of them once. Of many the handler
  /// hears three names and how many more there are; messages() has all.
  /// @param names of those that have it now
  /// @param sentence that says it of them, without the names
  void tell_once_of(const std::vector<std::string>& names, const std::string& sentence) {
    std::vector<std::string> news;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const std::string& name : names) {
        if (told_.insert(sentence + name).second) news.push_back(name);
      }
    }
    if (news.empty()) return;
    const std::string all = fmt::format("{}", fmt::join(news, ", "));
    const std::string some = first_of(news, kNamesHeard, " (all in problems())");
    tell_once(all + sentence, all + ": " + sentence, some + ": " + sentence);
  }

  /// All messages so far, in the order of their appearance.
  [[nodiscard]] std::vector<std::string> messages() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return messages_;
  }

  /// What is read comes before what was reported meanwhile, and is not reported again.
  template <typename Archive>
  void state(Archive& archive) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if constexpr (Archive::kReads) {
      std::set<std::string> told;
      std::vector<std::string> messages;
      archive(told, messages);
      told_.merge(told);
      for (const std::string& message : messages_) {
        if (std::find(messages.begin(), messages.end(), message) == messages.end()) {
          messages.push_back(message);
        }
      }
      messages_ = std::move(messages);
    } else {
      archive(told_, messages_);
    }
  }

 private:
  Handler handler_;
  mutable std::mutex mutex_;  // guards all below
  std::set<std::string> told_;
  std::vector<std::string> messages_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
