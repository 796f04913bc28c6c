// SPDX-License-Identifier: MIT
#pragma once

// What the benchmarks that train on pictures have in common: their steps.

#include <cmath>      // std::isfinite
#include <stdexcept>  // std::runtime_error

#include <torch/nn/functional/loss.h>
#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include "training.hpp"

namespace benchmarks {

/// Trains for some steps, each on pictures drawn anew. Returns the mean loss.
/// @param settings with steps, beside those of all examples
/// @param forward gives the scores of some pictures
template <typename Settings, typename Forward>
double train_steps(const examples::Data& data, const Settings& settings,
                   torch::optim::Optimizer& optimizer, const Forward& forward) {
  double loss_sum = 0;
  for (int step = 0; step < settings.steps; ++step) {
    const torch::Tensor which =
        torch::randint(data.size(), {settings.batch_size}, torch::kLong).to(data.device());
    const torch::Tensor loss =
        torch::nn::functional::cross_entropy(forward(data.inputs(which)), data.labels(which));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    loss_sum += loss.item<double>();
    if (!std::isfinite(loss_sum)) {
      throw std::runtime_error("the training diverged: choose a lower --learning-rate");
    }
  }
  return loss_sum / settings.steps;
}

}  // namespace benchmarks
