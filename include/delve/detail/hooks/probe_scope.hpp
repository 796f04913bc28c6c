// SPDX-License-Identifier: MIT
#pragma once

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

DELVE_SHARED inline int& probes_of_thread() {
  thread_local int count = 0;
  return count;
}

/// While it lives, what runs in its thread only serves to look at a model, and no tracker counts
/// it.
class ProbeScope {
 public:
  ProbeScope() { ++probes_of_thread(); }
  ProbeScope(const ProbeScope&) = delete;
  ProbeScope& operator=(const ProbeScope&) = delete;
  ~ProbeScope() { --probes_of_thread(); }
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
