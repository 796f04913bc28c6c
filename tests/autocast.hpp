// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace delve_test {

/// Autocast while it lives. The functions for this have other names in other versions of LibTorch;
/// what they do is this.
class Autocast {
 public:
  explicit Autocast(c10::DispatchKey key = c10::DispatchKey::AutocastCPU) : key_(key) {
    c10::impl::tls_set_dispatch_key_excluded(key_, false);
  }
  ~Autocast() { c10::impl::tls_set_dispatch_key_excluded(key_, true); }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DispatchKey key_;
};

}  // namespace delve_test
