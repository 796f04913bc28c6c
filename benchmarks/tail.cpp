// SPDX-License-Identifier: MIT

// What a report of VGG16 takes where its last layers are a tail: a tracker whose statistics are
// read off the leading eigenvalues, beside one that needs all of them, on one network while it
// trains.

#include <cstdint>  // std::int64_t
#include <string>   // std::string

#include <fmt/format.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "measure.hpp"
#include "picture_steps.hpp"
#include "training.hpp"
#include "vgg.hpp"

namespace {

struct TailSettings : examples::PictureSettings {
  int steps = 20;
  bool batch_norm = false;
};

/// "features-0:64 features-2:60": what idim says of each layer.
std::string dimensionalities(const delve::EpochRecord& record) {
  std::string text;
  for (const delve::LayerRecord& layer : record.layers) {
    for (const delve::Value& value : layer.values) {
      if (value.stat != "idim") continue;
      text += fmt::format("{}{}:{}", text.empty() ? "" : " ", layer.layer, value.value);
    }
  }
  return text;
}

void run(const TailSettings& settings) {
  examples::apply(settings);
  const examples::Data data = examples::read_data(settings).train;
  examples::VGG model(examples::VGGOptions().batch_norm(settings.batch_norm));
  model->to(data.device());
  model->train();
  torch::optim::SGD optimizer(model->parameters(),
                              torch::optim::SGDOptions(settings.learning_rate).momentum(0.9));
  const auto options = delve::CheckLayerSatOptions().nosave(true);
  delve::CheckLayerSat leading("", "csv", model,
                               delve::CheckLayerSatOptions(options).stats({"lsat", "idim"}));
  delve::CheckLayerSat all(
      "", "csv", model, delve::CheckLayerSatOptions(options).stats({"lsat", "idim", "explained"}));
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const double loss = benchmarks::train_steps(
        data, settings, optimizer,
        [&](const torch::Tensor& pictures) { return model->forward(pictures); });
    delve::EpochRecord of_leading;
    delve::EpochRecord of_all;
    const double leading_seconds =
        benchmarks::seconds([&] { of_leading = leading.add_saturations(); });
    const double all_seconds = benchmarks::seconds([&] { of_all = all.add_saturations(); });
    benchmarks::Line("tail")
        .add("epoch", epoch)
        .add("loss", loss)
        .add("leading_seconds", leading_seconds)
        .add("all_seconds", all_seconds)
        .add("idim", dimensionalities(of_leading))
        .add("alike", dimensionalities(of_leading) == dimensionalities(of_all))
        .print();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What a report takes where the last layers are a tail.", "benchmark_tail");
  TailSettings settings;
  settings.epochs = 2;
  settings.learning_rate = 0.01;
  settings.train_pictures = examples::kAllPictures;
  settings.test_pictures = 1;
  examples::add_options(app, settings);
  app.add_option("--steps", settings.steps, "Steps an epoch, each of pictures drawn anew")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_flag("--batch-norm", settings.batch_norm, "VGG16-BN");
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
