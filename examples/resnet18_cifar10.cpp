// SPDX-License-Identifier: MIT

// The seed of it all, to be repeated: ResNet18 on pictures of 32 × 32 has a tail of layers whose
// data needs next to no directions; without its early downsampling it has none, and is better. Run
// twice, with and without --no-early-downsampling, and have delve-plot draw both.

#include <cstdint>   // std::int64_t
#include <iostream>  // std::cout
#include <string>    // std::string

#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/receptive_field.hpp>

#include "resnet.hpp"
#include "training.hpp"

namespace {

struct ResNetSettings : examples::PictureSettings {
  bool no_early_downsampling = false;
  std::int64_t width = 64;
  int stages = 4;
  std::string name;
  bool probe = false;
  bool decay = false;
};

void run(const ResNetSettings& settings) {
  examples::apply(settings);
  const auto [train_data, test_data] = examples::read_data(settings);
  const std::string name = !settings.name.empty()           ? settings.name
                           : settings.no_early_downsampling ? "resnet18_no_early_downsampling"
                                                            : "resnet18";
  fmt::print("{} on {}; epochs: {}, pictures a step: {}\n", name, train_data.device().str(),
             settings.epochs, settings.batch_size);

  examples::ResNet18 model(examples::ResNetOptions()
                               .early_downsampling(!settings.no_early_downsampling)
                               .width(settings.width)
                               .stages(settings.stages));
  model->to(train_data.device());
  // Known before any training: what each layer sees, and whether that is more than there is.
  const delve::ReceptiveFields fields =
      delve::receptive_fields(model, torch::zeros({1, 3, 32, 32}, train_data.device()));
  std::cout << fields << delve::advise(fields) << std::flush;
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / name).string();
  auto options = delve::CheckLayerSatOptions()
                     .stats({"lsat", "idim"})
                     .receptive_field(true)
                     .writer_args({{"primary_metric", "test-accuracy"}});
  if (settings.probe) options.stats({"lsat", "idim", "probe"}).classes(examples::kClasses);
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "html", "console"}, model, options);

  // Goes once through the data, and trains if there is an optimiser.
  const auto run_epoch = [&](const examples::Data& data, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_classification_epoch(model, data, trained_by, settings.batch_size, label,
                                              tracker);
  };
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::string label = fmt::format("epoch {}", epoch);
    if (settings.decay) {
      examples::decay_learning_rate(optimizer, settings.learning_rate, epoch, settings.epochs);
    }
    run_epoch(train_data, &optimizer, label + " train").report("train", tracker);
    run_epoch(test_data, nullptr, label + " test ").report("test", tracker);
    tracker.add_saturations();
  }
  tracker.close();
  fmt::print("Table:  {0}.csv\nReport: {0}.html\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains ResNet18 on small pictures, with or without its early downsampling.",
               "resnet18_cifar10");
  ResNetSettings settings;
  settings.output = "runs/resnet18";
  settings.epochs = 5;
  settings.batch_size = 64;
  settings.train_pictures = 2000;
  settings.test_pictures = 1000;
  examples::add_options(app, settings);
  examples::add_probe_option(app, settings.probe);
  app.add_flag("--no-early-downsampling", settings.no_early_downsampling,
               "First convolution with stride 1 instead of 2, and no max-pool behind it");
  app.add_flag("--decay", settings.decay,
               "Let the learning rate fall over the epochs, in equal steps, to nearly nothing");
  app.add_option("--width", settings.width, "Features of the first stage")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--stages", settings.stages, "Stages of two blocks, of four")
      ->check(CLI::Range(1, 4))
      ->capture_default_str();
  app.add_option("--name", settings.name, "Name of the table and the pictures [resnet18…]");
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
