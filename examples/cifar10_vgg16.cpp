// SPDX-License-Identifier: MIT

// Trains VGG16 on CIFAR-10, or on Fashion-MNIST where that is what there is, and reports after each
// epoch how much of their space its 16 layers fill. What concerns delve are the lines with
// `tracker`.

#include <string>  // std::string

#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "autocast.hpp"
#include "training.hpp"
#include "vgg.hpp"

namespace {

struct VGGSettings : examples::PictureSettings {
  std::string model = "vgg16";
  bool amp = false;
  bool full = false;
  bool probe = false;
};

void add_options(CLI::App& app, VGGSettings& settings) {
  examples::add_options(app, settings);
  app.add_option("--model", settings.model, "Model, with or without batch normalisation")
      ->check(CLI::IsMember({"vgg16", "vgg16_bn"}))
      ->capture_default_str();
  examples::add_probe_option(app, settings.probe);
  app.add_flag("--amp", settings.amp, "Compute in bfloat16 where that is safe");
  app.add_flag("--full", settings.full,
               "A whole training, for a GPU: of what is not given, 10 epochs, all pictures, and "
               "1024 of them a step");
}

/// What is not given is short, so that the example ends within minutes on a laptop, or whole.
void apply_full(const CLI::App& app, VGGSettings& settings) {
  if (!settings.full) return;
  if (app.count("--epochs") == 0) settings.epochs = 10;
  if (app.count("--batch-size") == 0) settings.batch_size = 1024;
  if (app.count("--train-pictures") == 0) settings.train_pictures = examples::kAllPictures;
  if (app.count("--test-pictures") == 0) settings.test_pictures = examples::kAllPictures;
}

void run(const VGGSettings& settings) {
  examples::apply(settings);
  const auto [train_data, test_data] = examples::read_data(settings);
  const torch::Device device = train_data.device();
  fmt::print("{} on {}{}; epochs: {}, pictures a step: {}\n", settings.model, device.str(),
             settings.amp ? " in bfloat16" : "", settings.epochs, settings.batch_size);
  if (!settings.full) {
    fmt::print("This is a short run, to see delve at work. --full trains on all pictures.\n");
  }

  examples::VGG model(examples::VGGOptions().batch_norm(settings.model == "vgg16_bn"));
  model->to(device);
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / settings.model).string();
  auto tracker_options = delve::CheckLayerSatOptions().stats({"lsat", "idim"});
  if (settings.probe) tracker_options.stats({"lsat", "idim", "probe"}).classes(examples::kClasses);
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "html", "console"}, model, tracker_options);

  // Goes once through the data, and trains if there is an optimiser.
  const auto run_epoch = [&](const examples::Data& data, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_epoch(model, data, trained_by, settings.batch_size, label,
                               [&](const torch::Tensor& batch, examples::Score& score) {
                                 const torch::Tensor classes = data.labels(batch);
                                 const auto labels = tracker.labels(classes);
                                 torch::Tensor outputs;
                                 {
                                   const examples::Autocast autocast(device, settings.amp);
                                   outputs = model->forward(data.inputs(batch)).to(torch::kFloat);
                                 }
                                 return examples::classification_loss(outputs, classes, score);
                               });
  };
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::string label = fmt::format("epoch {}", epoch);
    run_epoch(train_data, &optimizer, label + " train").report("train", tracker);
    run_epoch(test_data, nullptr, label + " test ").report("test", tracker);
    tracker.add_saturations();
  }
  tracker.close();
  fmt::print("Table:    {0}.csv\nPictures: {0}_*_epoch_*.png\nReport:   {0}.html\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains VGG16 and reports how much of their space its layers fill.",
               "cifar10_vgg16");
  VGGSettings settings;
  settings.output = "runs/vgg16";
  settings.epochs = 2;
  settings.learning_rate = 1e-4;
  add_options(app, settings);
  return examples::run_program(app, argc, argv, [&] {
    apply_full(app, settings);
    run(settings);
  });
}
