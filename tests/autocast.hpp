// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace delve_test {

/// Autocast on the CPU while it lives. The functions for this have other names in other versions of
/// LibTorch; what they do is this.
class AutocastCpu {
 public:
  AutocastCpu() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, false); }
  ~AutocastCpu() { c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, true); }
  AutocastCpu(const AutocastCpu&) = delete;
  AutocastCpu& operator=(const AutocastCpu&) = delete;
};

}  // namespace delve_test
