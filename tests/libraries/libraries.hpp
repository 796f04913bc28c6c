// SPDX-License-Identifier: MIT
#pragma once

// What the shared libraries of this test offer to the program and to one another: nothing of
// delve's, whose symbols each of them hides.

#include <functional>
#include <vector>

#include <torch/nn/module.h>

#define FOR_OTHERS __attribute__((visibility("default")))

/// Registers the statistic "answer" (42), the writer key "notes", and a kind of layer.
FOR_OTHERS void plugin_register();
/// The answers that the writer "notes" was given.
FOR_OTHERS std::vector<double>& plugin_notes();
/// A model of a Linear, and of a layer of the plugin's kind.
FOR_OTHERS std::shared_ptr<torch::nn::Module> plugin_model();
FOR_OTHERS torch::Tensor plugin_forward(const torch::Tensor& input);
/// Counts the model's forwards.
FOR_OTHERS void plugin_hook(int& count);
FOR_OTHERS void plugin_unhook();
/// Runs an action while the tracker of the trainer's is paused by a guard of the plugin's making.
FOR_OTHERS void plugin_pause(void* tracker, const std::function<void()>& action);

/// A tracker of a library, one for each version of delve.
struct Trainer {
  std::function<void()> begin;  ///< makes a tracker of plugin_model()
  std::function<void*()> tracker;
  /// Reports an epoch: of each layer its saturation and its data points.
  std::function<std::vector<double>()> end;
  const char* version;
};
FOR_OTHERS Trainer trainer();
FOR_OTHERS Trainer trainer_of_next_version();
