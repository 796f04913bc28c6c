// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Without names of axes, which LibTorch 2.15 does not know any more.
template <typename Tensor>
auto without_names(const Tensor& tensor, int /*preferred*/) -> decltype(tensor.rename({})) {
  return tensor.has_names() ? tensor.rename({}) : tensor;
}
template <typename Tensor>
Tensor without_names(const Tensor& tensor, long /*else*/) {
  return tensor;
}

/// The same numbers without the tangent of forward-mode differentiation and without names of axes:
/// the operators that sum rows up in place refuse either. The tensor itself where it has neither.
inline at::Tensor plain_tensor(const at::Tensor& tensor) {
  at::Tensor plain = tensor;
  if (plain._fw_grad(/*level=*/0).defined()) plain = plain.detach();
  return without_names(plain, 0);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
