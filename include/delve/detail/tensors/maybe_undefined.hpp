// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t

#include <ATen/ATen.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

// The same as LibTorch's, for tensors that may be undefined.

inline at::Tensor clone_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.clone() : tensor;
}

inline at::Tensor moved_to(const at::Tensor& tensor, at::Device device) {
  return tensor.defined() ? tensor.to(device) : tensor;
}

inline std::int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
