// SPDX-License-Identifier: MIT
// The models and batches that delve_side.py left, through this library; see README.md.

#include <filesystem>
#include <string>
#include <vector>

#include <torch/script.h>
#include <torch/torch.h>

#include <delve/delve.hpp>

#include "npy.hpp"
#include "vgg.hpp"

namespace {

namespace fs = std::filesystem;

std::vector<torch::Tensor> batches_in(const fs::path& folder) {
  std::vector<torch::Tensor> batches;
  for (int i = 0; fs::exists(folder / ("input." + std::to_string(i) + ".npy")); ++i) {
    batches.push_back(delve_test::read_npy(folder / ("input." + std::to_string(i) + ".npy")));
  }
  return batches;
}

delve::CheckLayerSatOptions options() {
  return delve::CheckLayerSatOptions().stats({"lsat", "idim"}).idim_rule(delve::IdimRule::Delve);
}

void run_vgg16(const fs::path& folder) {
  examples::VGG model;
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    parameter.value().copy_(delve_test::read_npy(folder / ("param." + parameter.key() + ".npy")));
  }
  model->eval();
  delve::CheckLayerSat tracker((folder / "ours").string(), "csv", model, options());
  for (const torch::Tensor& batch : batches_in(folder)) model->forward(batch);
  tracker.add_saturations();
}

/// Trains a TorchScript model by a step a batch.
void train(const fs::path& folder, const std::string& name) {
  torch::jit::Module model = torch::jit::load((folder / (name + ".pt")).string());
  model.train();
  delve::CheckLayerSat tracker((folder / name).string(), "csv", model, options());
  std::vector<torch::Tensor> parameters;
  for (const auto& parameter : model.parameters()) parameters.push_back(parameter);
  torch::optim::SGD sgd(parameters, torch::optim::SGDOptions(0.01));
  std::int64_t i = 0;
  for (const torch::Tensor& batch : batches_in(folder)) {
    sgd.zero_grad();
    const torch::Tensor labels = (torch::arange(batch.size(0), torch::kLong) + i++).remainder(10);
    torch::nn::functional::cross_entropy(model.forward({batch}).toTensor(), labels).backward();
    sgd.step();
  }
  tracker.add_saturations();
}

}  // namespace

int main(int, char** argv) {
  const std::string model = argv[1];
  const fs::path folder = argv[2];
  if (model == "vgg16") {
    run_vgg16(folder);
  } else {
    train(folder, "scripted");
    train(folder, "traced");
  }
}
