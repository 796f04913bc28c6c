// SPDX-License-Identifier: MIT
// The VGG16 and the batches that delve_side.py left, through this library; see README.md.

#include <filesystem>
#include <string>

#include <torch/torch.h>

#include <delve/delve.hpp>

#include "npy.hpp"
#include "vgg.hpp"

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  examples::VGG model;
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    parameter.value().copy_(delve_test::read_npy(folder / ("param." + parameter.key() + ".npy")));
  }
  model->eval();
  delve::CheckLayerSat tracker(
      (folder / "ours").string(), "csv", model,
      delve::CheckLayerSatOptions().stats({"lsat", "idim"}).idim_rule(delve::IdimRule::Delve));
  for (int i = 0; std::filesystem::exists(folder / ("input." + std::to_string(i) + ".npy")); ++i) {
    model->forward(delve_test::read_npy(folder / ("input." + std::to_string(i) + ".npy")));
  }
  tracker.add_saturations();
}
