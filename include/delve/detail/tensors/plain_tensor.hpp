// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

namespace delve::detail {

/// The same numbers without the tangent of forward-mode differentiation and without names of axes:
/// the operators that sum rows up in place refuse either. The tensor itself where it has neither.
inline at::Tensor plain_tensor(const at::Tensor& tensor) {
  at::Tensor plain = tensor;
  if (plain._fw_grad(/*level=*/0).defined()) plain = plain.detach();
  if (plain.has_names()) plain = plain.rename({});
  return plain;
}

}  // namespace delve::detail
