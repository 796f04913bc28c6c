// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// While it lives, operators of this thread compute plainly, whatever the user's code around them
/// has set: no gradients, no inference tensors (they could not be updated later), no autocast, and
/// float32 products in float32, not in TF32 with its 10 bits.
class PlainMode {
 public:
  PlainMode() : no_inference_(false), no_autocast_(c10::autocast_dispatch_keyset) {}

 private:
  c10::InferenceMode no_inference_;  // its constructor turns gradients on, so it comes first
  at::NoGradGuard no_grad_;
  c10::impl::ExcludeDispatchKeyGuard no_autocast_;
  at::NoTF32Guard no_tf32_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
