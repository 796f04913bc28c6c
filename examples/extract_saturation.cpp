// SPDX-License-Identifier: MIT

// Saturation of a network of two linear layers, through its training, for several widths of the
// first. Its inputs have 100 features, but lie close to a space of 12 dimensions. More the layer
// does not need, however wide it is: the wider, the lower its saturation.

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t
#include <string>   // std::string
#include <vector>   // std::vector

#include <fmt/format.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "program.hpp"

namespace {

constexpr std::int64_t kInputs = 100, kOutputs = 10, kHiddenCauses = 12;

struct RegressionSettings : examples::Settings {
  std::vector<std::int64_t> widths = {8, 32, 128};
  std::int64_t samples = 1500;
  std::int64_t batch_size = 32;
};

struct Samples {
  torch::Tensor inputs;   // N × kInputs
  torch::Tensor targets;  // N × kOutputs
};

/// Inputs and targets that both hang on the same few causes.
Samples make_samples(std::int64_t count) {
  const torch::Tensor causes = torch::randn({count, kHiddenCauses});
  const torch::Tensor noise = 0.01 * torch::randn({count, kInputs});
  return {causes.matmul(torch::randn({kHiddenCauses, kInputs})) / 3 + noise,
          torch::tanh(causes.matmul(torch::randn({kHiddenCauses, kOutputs})) / 3)};
}

/// Trains a network whose first layer is `width` wide; returns that layer's saturation in each
/// epoch, from 0 to 1.
std::vector<double> train(std::int64_t width, const Samples& samples,
                          const RegressionSettings& settings) {
  torch::manual_seed(settings.seed);
  torch::nn::Sequential model({{"linear1", torch::nn::Linear(kInputs, width).ptr()},
                               {"relu", torch::nn::ReLU().ptr()},
                               {"linear2", torch::nn::Linear(width, kOutputs).ptr()}});
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / fmt::format("width{}", width)).string();
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "console"}, model,
                               delve::CheckLayerSatOptions().stats({"lsat", "idim"}));

  std::vector<double> saturations;
  const std::int64_t count = samples.inputs.size(0);
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    double loss_sum = 0;
    for (const torch::Tensor& batch : torch::randperm(count).split(settings.batch_size)) {
      const torch::Tensor outputs = model->forward(samples.inputs.index_select(0, batch));
      const torch::Tensor loss =
          torch::nn::functional::mse_loss(outputs, samples.targets.index_select(0, batch));
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      loss_sum += loss.item<double>() * static_cast<double>(batch.size(0));
    }
    tracker.add_scalar("train-loss", loss_sum / static_cast<double>(count));
    tracker.add_saturations();
    saturations.push_back(tracker.last("linear1", "lsat", delve::Mode::Train).value_or(0));
  }
  tracker.close();
  return saturations;
}

void run(const RegressionSettings& settings) {
  examples::apply(settings);
  const Samples samples = make_samples(settings.samples);
  std::vector<std::vector<double>> saturations;
  for (const std::int64_t width : settings.widths) {
    fmt::print("\nA first layer of {} units\n", width);
    saturations.push_back(train(width, samples, settings));
  }

  fmt::print("\nSaturation of the first layer by its width\n\n  epoch");
  for (const std::int64_t width : settings.widths) fmt::print("  {:>7}", width);
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    fmt::print("\n  {:>5}", epoch);
    for (const std::vector<double>& of_width : saturations) {
      fmt::print("  {:5.1f} %", 100 * of_width[static_cast<std::size_t>(epoch)]);
    }
  }
  const std::string savefile = (settings.output / "width").string();
  fmt::print("\n\nTables:   {0}*.csv\nPictures: {0}*_epoch_*.png\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows saturation through training, for layers of several widths.",
               "extract_saturation");
  RegressionSettings settings;
  settings.output = "runs/extract_saturation";
  settings.epochs = 8;
  examples::add_options(app, settings);
  app.add_option("--widths", settings.widths, "Widths of the first layer, one training each")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_option("--samples", settings.samples, "Samples to train on")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_option("--batch-size", settings.batch_size, "Samples a step")
      ->check(examples::at_least_one())
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
