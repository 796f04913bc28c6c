// SPDX-License-Identifier: MIT
//
// The least that shows that delve is there whole. Data on a line stays on a line in a linear layer:
// one direction of three. Only the writer in use is compiled; main.cpp has all of them.

#include <cstdlib>   // EXIT_FAILURE, EXIT_SUCCESS
#include <iostream>  // std::cout
#include <memory>    // std::make_shared
#include <optional>  // std::optional

#define DELVE_REGISTERED_ELSEWHERE
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>
#include <delve/delve.hpp>

int main() {
  torch::manual_seed(1);
  torch::nn::Linear model(4, 3);
  delve::CheckLayerSat tracker("out/small", std::make_shared<delve::CsvWriter>("out/small"), model,
                               delve::CheckLayerSatOptions().stats({"idim"}));
  model->forward(torch::randn({100, 1}).expand({100, 4}));
  const delve::EpochRecord record = tracker.add_saturations();
  tracker.close();

  const delve::LayerRecord& layer = record.layers.at(0);
  const std::optional<double> directions = tracker.last(layer.layer, "idim", delve::Mode::Train);
  std::cout << "delve " << DELVE_VERSION_MAJOR << '.' << DELVE_VERSION_MINOR << '.'
            << DELVE_VERSION_PATCH << ": " << directions.value_or(-1) << " direction, expected 1\n";
  return directions == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
