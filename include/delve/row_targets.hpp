// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/ATen.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What comes with the n rows of a batch that a Covariance takes in, on their device.
struct RowTargets {
  /// (n, c), of a floating type: finite, and zero where the mask is not set.
  at::Tensor targets;
  /// (n), bool: the others are left out, whatever they hold. Undefined: all rows count.
  at::Tensor mask = {};
};

}  // namespace DELVE_ABI
}  // namespace delve
