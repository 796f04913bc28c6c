// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/record_function.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Receives the outermost operators that this thread runs, but none of hooks or of backward.
/// Called before the hooks of the same operator. Must not throw.
class OperatorWatcher {
 public:
  OperatorWatcher() = default;
  OperatorWatcher(const OperatorWatcher&) = delete;
  OperatorWatcher& operator=(const OperatorWatcher&) = delete;
  virtual ~OperatorWatcher() = default;

  virtual void begin(const at::RecordFunction& function) noexcept = 0;
  virtual void end(const at::RecordFunction& function) noexcept = 0;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
