// SPDX-License-Identifier: MIT
#pragma once

#include <delve/version.hpp>

namespace delve::DELVE_ABI::detail {

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

}  // namespace delve::DELVE_ABI::detail
