// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstring>      // std::strncmp
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>
#include <c10/util/ArrayRef.h>

#include <delve/version.hpp>

// What a RecordFunction callback may read of an operator's arguments and results.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

using RecordedInputs = c10::ArrayRef<const c10::IValue>;

// RecordFunction::inputs() asserts a flag wherever NDEBUG is not defined, but only a debug LibTorch
// ever sets it: in a debug build against a release LibTorch the accessor throws. An explicit
// instantiation may name a private member ([temp.spec.general]/6), and so gets past the accessor.
template <RecordedInputs at::RecordFunction::*Member>
struct RecordedInputsAccess {
  friend RecordedInputs all_recorded_inputs(const at::RecordFunction& function) {
    return function.*Member;
  }
};
RecordedInputs all_recorded_inputs(const at::RecordFunction& function);
template struct RecordedInputsAccess<&at::RecordFunction::inputs_>;

// The same way to a member that has no accessor.
template <at::StepCallbacks at::RecordFunction::*Member>
struct StepCallbacksAccess {
  friend const at::StepCallbacks& step_callbacks(const at::RecordFunction& function) {
    return function.*Member;
  }
};
const at::StepCallbacks& step_callbacks(const at::RecordFunction& function);
template struct StepCallbacksAccess<&at::RecordFunction::step_callbacks_>;

/// Whether LibTorch calls one callback alone for this.
inline bool is_for_one_callback(const at::RecordFunction& function) {
  return step_callbacks(function).callbacks_.size() == 1;
}

/// The operator's arguments. TorchScript hands over its whole stack, the arguments last. Valid in
/// the start callback only: the boxed arguments die before the kernel runs.
inline RecordedInputs recorded_inputs(const at::RecordFunction& function) {
  const RecordedInputs all = all_recorded_inputs(function);
  const std::size_t count = function.num_inputs();
  return all.size() <= count ? all : all.slice(all.size() - count);
}

/// Whether this is an operator of LibTorch's own. Others that are recorded are scopes that the
/// user's program names, and its own operators: layers may run within these as they do without.
constexpr std::string_view kLibtorchPrefix = "aten::";

inline bool is_libtorch_operator(const at::RecordFunction& function) {
  return std::strncmp(function.name(), kLibtorchPrefix.data(), kLibtorchPrefix.size()) == 0;
}

/// The tensors among the operator's results, those in lists, too; none when its kernel threw. Valid
/// in the end callback.
inline std::vector<at::Tensor> recorded_outputs(const at::RecordFunction& function) {
  const std::vector<c10::IValue>& all = function.outputs();
  const std::size_t count = function.num_outputs();
  std::vector<at::Tensor> tensors;
  for (std::size_t i = all.size() <= count ? 0 : all.size() - count; i < all.size(); ++i) {
    if (all[i].isTensor()) {
      tensors.push_back(all[i].toTensor());
    } else if (all[i].isTensorList()) {
      for (const at::Tensor& tensor : all[i].toTensorVector()) tensors.push_back(tensor);
    }
  }
  return tensors;
}

/// The tensor at a place among the arguments, or the first one of the list there; undefined where
/// there is neither.
inline at::Tensor leading_tensor(RecordedInputs inputs, int place) {
  if (place < 0 || static_cast<std::size_t>(place) >= inputs.size()) return {};
  const c10::IValue& value = inputs[static_cast<std::size_t>(place)];
  if (value.isTensor()) return value.toTensor();
  if (!value.isTensorList()) return {};
  const auto list = value.toTensorList();
  return list.empty() ? at::Tensor() : list.get(0);
}

/// Whether the argument at a place is this flag.
inline bool is_flag(RecordedInputs inputs, int place, bool value) {
  if (place < 0 || static_cast<std::size_t>(place) >= inputs.size()) return false;
  const c10::IValue& argument = inputs[static_cast<std::size_t>(place)];
  return argument.isBool() && argument.toBool() == value;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
