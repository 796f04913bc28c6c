// SPDX-License-Identifier: MIT
#pragma once

#include <vector>  // std::vector

#include <torch/types.h>
#include <delve/forward_hook.hpp>
#include <delve/layers.hpp>

#include "vgg.hpp"

namespace benchmarks {

/// What the layers of one forward return.
inline std::vector<delve::ForwardCall> calls_of(examples::VGG& model,
                                                const torch::Tensor& pictures) {
  std::vector<delve::ForwardCall> calls;
  std::vector<delve::RemovableHandle> hooks;
  for (const delve::FoundLayer& layer : delve::find_layers(model)) {
    if (layer.kind == nullptr) continue;
    hooks.push_back(delve::register_forward_hook(
        layer.module, [&](const delve::ForwardCall& call) { calls.push_back(call); }));
  }
  const torch::NoGradGuard no_grad;
  model->forward(pictures);
  return calls;
}

}  // namespace benchmarks
