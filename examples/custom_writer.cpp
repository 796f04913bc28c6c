// SPDX-License-Identifier: MIT

// A writer that you define, in custom_writer.hpp, beside one that comes with delve.

#include <iostream>  // std::cout
#include <memory>    // std::make_shared

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>
#include <delve/delve.hpp>

#include "custom_writer.hpp"

int main() {
  torch::manual_seed(0);
  torch::nn::Sequential model(torch::nn::Linear(8, 32), torch::nn::ReLU(),
                              torch::nn::Linear(32, 16), torch::nn::ReLU(),
                              torch::nn::Linear(16, 1));
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(1e-2));
  delve::CheckLayerSat tracker(
      "runs/custom_writer", {"csv", std::make_shared<examples::MarkdownWriter>(std::cout)}, model);

  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int step = 0; step < 50; ++step) {
      const torch::Tensor input = torch::randn({64, 8});
      const torch::Tensor target = input.square().sum(1, /*keepdim=*/true);
      optimizer.zero_grad();
      torch::nn::functional::mse_loss(model->forward(input), target).backward();
      optimizer.step();
    }
    tracker.add_saturations();
  }
}
