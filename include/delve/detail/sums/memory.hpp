// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max, std::min
#include <cstdint>      // std::int64_t
#include <fstream>      // std::ifstream
#include <limits>       // std::numeric_limits
#include <optional>     // std::optional
#include <stdexcept>    // std::runtime_error
#include <string>       // std::getline, std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>

namespace delve::detail {

/// The host's memory that can be had without swapping, in bytes: MemAvailable of Linux, or what the
/// limit of a container (cgroup v2) leaves where that is less. Unset where the system tells none.
inline std::optional<std::int64_t> available_memory() {
  std::optional<std::int64_t> available;
  std::ifstream system("/proc/meminfo");
  for (std::string line; !available && std::getline(system, line);) {
    const std::string_view name = "MemAvailable:";
    if (line.compare(0, name.size(), name) == 0) {
      available = std::stoll(line.substr(name.size())) * 1024;
    }
  }
  std::int64_t limit = 0;  // "max" is no number: no limit
  std::int64_t used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    available = std::min(available.value_or(std::numeric_limits<std::int64_t>::max()),
                         std::max<std::int64_t>(0, limit - used));
  }
  return available;
}

/// The host has less memory than something needs.
class NotEnoughMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Refuses to take more of the host's memory than there is. Linux would grant it, and end the
/// process when it is used.
/// @throws NotEnoughMemory which says how much there is; what to do about it is the caller's to say
inline void require_memory(double bytes, std::string_view purpose) {
  constexpr double worth_asking = 64e6;
  if (bytes < worth_asking) return;
  const std::optional<std::int64_t> available = available_memory();
  if (!available || bytes <= static_cast<double>(*available)) return;
  constexpr double giga = 1e9;
  throw NotEnoughMemory(fmt::format("{} would take {:.1f} GB, but only {:.1f} GB is free", purpose,
                                    bytes / giga, static_cast<double>(*available) / giga));
}

}  // namespace delve::detail
