// SPDX-License-Identifier: MIT
#pragma once

#include <functional>  // std::function
#include <vector>      // std::vector

#include <torch/types.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a forward hook receives of one forward pass of its module.
struct ForwardCall {
  torch::Tensor input;                 ///< the first tensor that the module's operator took
  std::vector<torch::Tensor> outputs;  ///< at least one; an LSTM gives output, h_n and c_n
  bool training;                       ///< the module's is_training() when its forward began
};

/// @see register_forward_hook
using ForwardHook = std::function<void(const ForwardCall& call)>;

}  // namespace DELVE_ABI
}  // namespace delve
