// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A copy on a device of what is in the host's memory, which nobody waits for. From memory that
/// is not pinned, CUDA copies more than 64 KB only after all that the device still has to do.
inline at::Tensor to_device(const at::Tensor& host, at::Device device) {
  return (device.is_cuda() ? host.pin_memory() : host).to(device, /*non_blocking=*/true);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
