// SPDX-License-Identifier: MIT
// What the snippets of the hand-written pages take for granted; snippets.cmake makes sources of
// them. They are compiled, not run, so that nothing here needs a body.
#pragma once

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>
#include <torch/torch.h>
#include <delve/delve.hpp>

// A snippet shows how something is made, not what becomes of it, and makes it under the name by
// which the next one knows it.
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"

namespace snippets {

extern torch::nn::Sequential model;
extern const int epochs;
extern const double accuracy;
extern const torch::Tensor input;
extern std::vector<std::pair<torch::Tensor, torch::Tensor>> batches, test_batches;
extern delve::CheckLayerSat<> tracker;

double train(torch::nn::Sequential& model);     ///< @return the loss
double evaluate(torch::nn::Sequential& model);  ///< @return the accuracy

class MyWriter final : public delve::Writer {
  void write_epoch(const delve::EpochRecord& record) override;
};

}  // namespace snippets
