// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of
#include <functional>   // std::less
#include <mutex>        // std::lock_guard, std::mutex
#include <set>          // std::set
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

/// The same text, in memory that stays. Thread-safe.
inline std::string_view kept_name(std::string_view name) {
  static auto& mutex = *new std::mutex();
  static auto& names = *new std::set<std::string, std::less<>>();
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = names.find(name);
  return found != names.end() ? *found : *names.emplace(name).first;
}

inline bool is_mode_name(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
  };
  return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), is_allowed);
}

}  // namespace detail

/// Which of a layer's streams of data a value describes: what passed while it trained, while it was
/// evaluated, or while the program said that something else went on ("acting", "fake"). A small
/// value, to be copied and compared; equal where the names are.
class Mode {
 public:
  static const Mode Train;  ///< "train"
  static const Mode Eval;   ///< "eval"

  /// Train.
  constexpr Mode() : Mode(BuiltIn::Train) {}

  /// A stream of the program's own. Thread-safe.
  /// @param name letters, digits and '.', not beginning with '.': other signs separate the
  ///   parts of column and file names
  /// @throws std::invalid_argument where it is not such a name
  explicit Mode(std::string_view name) : name_(detail::kept_name(checked(name))) {}

  [[nodiscard]] constexpr std::string_view name() const { return name_; }

  friend constexpr bool operator==(Mode a, Mode b) { return a.name_ == b.name_; }
  friend constexpr bool operator!=(Mode a, Mode b) { return !(a == b); }
  /// Train comes first, then Eval, then the others by their names.
  friend constexpr bool operator<(Mode a, Mode b) {
    return a.rank() != b.rank() ? a.rank() < b.rank() : a.name_ < b.name_;
  }

 private:
  enum class BuiltIn { Train, Eval };
  constexpr explicit Mode(BuiltIn which) : name_(which == BuiltIn::Train ? "train" : "eval") {}

  static std::string_view checked(std::string_view name) {
    if (detail::is_mode_name(name)) return name;
    throw std::invalid_argument(fmt::format(
        "delve::Mode: the name is \"{}\"; it must be of letters, digits and '.', and not begin "
        "with '.'",
        name));
  }

  [[nodiscard]] constexpr int rank() const {
    return name_ == "train" ? 0 : name_ == "eval" ? 1 : 2;
  }

  std::string_view name_;  // of memory that stays
};

inline constexpr Mode Mode::Train{Mode::BuiltIn::Train};
inline constexpr Mode Mode::Eval{Mode::BuiltIn::Eval};

[[nodiscard]] constexpr std::string_view to_string(Mode mode) {
  return mode.name();
}

}  // namespace DELVE_ABI
}  // namespace delve
