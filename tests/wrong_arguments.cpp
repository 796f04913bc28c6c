// SPDX-License-Identifier: MIT

// Each of these calls is wrong. What the compiler says of them, and in which order, is held against
// wrong_arguments.cmake.

#include <initializer_list>
#include <memory>

#include <torch/nn/modules/container/sequential.h>
#include <torch/optim/sgd.h>

#include <delve/check_layer_sat.hpp>

void raw_pointer(torch::nn::Module* model) {
  const delve::CheckLayerSat tracker("run", "csv", model);
}

void optimizer(const torch::optim::SGD& optimizer) {
  const delve::CheckLayerSat tracker("run", "csv", optimizer, delve::CheckLayerSatOptions());
}

void number_of_writers(torch::nn::Sequential& model) {
  const delve::CheckLayerSat tracker("run", 2, model);
}

void list_through_make_unique(torch::nn::Sequential& model) {
  const std::initializer_list<const char*> keys = {"csv", "console"};
  const auto tracker = std::make_unique<delve::CheckLayerSat<>>("run", keys, model);
}
