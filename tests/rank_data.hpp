// SPDX-License-Identifier: MIT
#pragma once

// What processes that are ranks have in common with the test that starts them.

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t
#include <vector>   // std::vector

#include <torch/torch.h>

namespace delve_test {

constexpr std::int64_t kRankInputs = 9;
constexpr std::int64_t kRankOutputs = 8;
constexpr int kRankEpochs = 3;

/// One linear layer with the same weights in all processes.
inline torch::nn::Linear rank_model() {
  torch::manual_seed(11);
  torch::nn::Linear model(kRankInputs, kRankOutputs);
  model->to(torch::kDouble);
  return model;
}

/// Its inputs on each rank in an epoch: shards of unequal size, the mean 10⁴ times the spread.
inline std::vector<torch::Tensor> rank_inputs(std::size_t ranks, int epoch) {
  torch::manual_seed(static_cast<std::uint64_t>(100 + epoch));
  std::vector<torch::Tensor> shards;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const std::int64_t size = std::vector<std::int64_t>{500, 40, 3, 1200}[rank % 4];
    const auto scales = torch::logspace(0, -1, kRankInputs, 10, torch::kDouble);
    shards.push_back(torch::randn({size, kRankInputs}, torch::kDouble) * scales + 1e4 +
                     0.2 * static_cast<double>(rank));
  }
  return shards;
}

}  // namespace delve_test
