// SPDX-License-Identifier: MIT

// Trains networks of six linear layers, 10, 100 and 300 units wide, and shows for which of them
// the task is too much, and which have room to spare.

#include <cstdint>  // std::int64_t
#include <string>   // std::string
#include <vector>   // std::vector

#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "training.hpp"

namespace {

constexpr std::int64_t kLayers = 6, kClasses = 10;

/// fc1 to fc6, with a ReLU between any two.
torch::nn::Sequential make_model(std::int64_t inputs, std::int64_t width) {
  torch::nn::Sequential model;
  for (std::int64_t i = 1; i <= kLayers; ++i) {
    const std::int64_t outputs = i == kLayers ? kClasses : width;
    model->push_back(fmt::format("fc{}", i), torch::nn::Linear(inputs, outputs));
    if (i < kLayers) model->push_back(fmt::format("relu{}", i), torch::nn::ReLU());
    inputs = outputs;
  }
  return model;
}

/// What is left at the end of a training.
struct Result {
  std::int64_t width;
  double accuracy;                  // on the test pictures, 0 … 1
  std::vector<double> saturations;  // of each layer, on the test pictures, 0 … 1
};

Result train(std::int64_t width, const examples::TrainAndTest& data,
             const examples::PictureSettings& settings) {
  torch::manual_seed(settings.seed);
  torch::nn::Sequential model =
      make_model(data.train.channels() * data.train.height() * data.train.width(), width);
  model->to(data.train.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / fmt::format("h{}", width)).string();
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "console"}, model);

  const auto run_epoch = [&](const examples::Data& pictures, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_epoch(
        model, pictures, trained_by, settings.batch_size, label,
        [&](const torch::Tensor& batch, examples::Score& score) {
          const torch::Tensor outputs = model->forward(pictures.inputs(batch).flatten(1));
          return examples::classification_loss(outputs, pictures.labels(batch), score);
        });
  };
  Result result{width, 0, {}};
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::string label = fmt::format("h {} epoch {}", width, epoch);
    run_epoch(data.train, &optimizer, label + " train").report("train", tracker);
    const examples::Score test = run_epoch(data.test, nullptr, label + " test ");
    test.report("test", tracker);
    result.accuracy = test.mean("accuracy");
    tracker.add_saturations();
  }
  for (const std::string& layer : tracker.layer_names()) {
    result.saturations.push_back(tracker.last(layer, "lsat", delve::Mode::Eval).value_or(0));
  }
  tracker.close();
  return result;
}

void run(const examples::PictureSettings& settings, const std::vector<std::int64_t>& widths) {
  examples::apply(settings);
  const examples::TrainAndTest data = examples::read_data(settings);
  std::vector<Result> results;
  for (const std::int64_t width : widths) results.push_back(train(width, data, settings));

  fmt::print("\nSaturation on the test pictures, after the last epoch\n\n      h  accuracy");
  for (std::int64_t i = 1; i <= kLayers; ++i) fmt::print("      fc{}", i);
  for (const Result& result : results) {
    fmt::print("\n  {:>5}  {:8.3f}", result.width, result.accuracy);
    for (const double saturation : result.saturations) fmt::print("  {:5.1f} %", 100 * saturation);
  }
  const std::string savefile = (settings.output / "h").string();
  fmt::print("\n\nTables:   {0}*.csv\nPictures: {0}*_epoch_*.png\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows how saturation depends on the width of six linear layers.", "example_fc");
  examples::PictureSettings settings;
  settings.output = "runs/fc";
  settings.epochs = 4;
  settings.train_pictures = 4000;
  settings.test_pictures = 3000;
  std::vector<std::int64_t> widths = {10, 100, 300};
  examples::add_options(app, settings);
  app.add_option("--widths", widths, "Widths of the layers, one training each")
      ->check(examples::at_least_one())
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings, widths); });
}
