// SPDX-License-Identifier: MIT

// Trains VGG11, and saves model, optimiser and tracker after every epoch, so that a training that
// was stopped goes on where it was: with --resume after its last epoch, in the table as in the
// model.

#include <cstdint>     // std::int64_t
#include <filesystem>  // std::filesystem
#include <optional>    // std::optional
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <utility>     // std::move

#include <ATen/core/ivalue.h>
#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/serialize/archive.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "training.hpp"
#include "vgg.hpp"

namespace {

struct DeepSettings : examples::PictureSettings {
  bool resume = false;
};

/// Saves what a training needs to go on after `epochs` epochs. A file that was there is replaced
/// whole, or left as it was.
void save_checkpoint(const std::filesystem::path& path, const examples::VGG& model,
                     const torch::optim::Optimizer& optimizer,
                     const delve::CheckLayerSat<>& tracker, std::int64_t epochs) {
  torch::serialize::OutputArchive model_part, optimizer_part, tracker_part, archive;
  model->save(model_part);
  optimizer.save(optimizer_part);
  tracker_part << tracker;
  archive.write("model", model_part);
  archive.write("optimizer", optimizer_part);
  archive.write("tracker", tracker_part);
  archive.write("epochs", c10::IValue(epochs));
  std::filesystem::path unfinished = path;
  unfinished += ".part";
  archive.save_to(unfinished.string());
  std::filesystem::rename(unfinished, path);
}

/// What was saved. Model and optimiser are set to it.
struct Checkpoint {
  torch::serialize::InputArchive tracker;
  std::int64_t epochs;  ///< after how many it was
};

Checkpoint load_checkpoint(const std::filesystem::path& path, examples::VGG& model,
                           torch::optim::Optimizer& optimizer, torch::Device device) {
  if (!std::filesystem::exists(path)) {
    throw std::runtime_error(fmt::format("--resume: there is no {}", path.string()));
  }
  torch::serialize::InputArchive archive, model_part, optimizer_part, tracker_part;
  archive.load_from(path.string(), device);
  archive.read("model", model_part);
  archive.read("optimizer", optimizer_part);
  archive.read("tracker", tracker_part);
  model->load(model_part);
  optimizer.load(optimizer_part);
  c10::IValue epochs;
  archive.read("epochs", epochs);
  return {std::move(tracker_part), epochs.toInt()};
}

void run(const DeepSettings& settings) {
  examples::apply(settings);
  const auto [train_data, test_data] = examples::read_data(settings);
  // The linear layers for large pictures hold 119 of VGG11's 129 million parameters. They have
  // nothing to do here, and would be saved after every epoch.
  examples::VGG model(examples::VGGOptions().layers(11).small_pictures(true));
  model->to(train_data.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));

  const std::filesystem::path savefile = settings.output / "vgg11";
  std::filesystem::path checkpoint = savefile;
  checkpoint += ".pt";
  std::int64_t first_epoch = 0;
  std::optional<Checkpoint> saved;
  if (settings.resume) {
    saved = load_checkpoint(checkpoint, model, optimizer, train_data.device());
    first_epoch = saved->epochs;
    fmt::print("{} has {} epochs; resuming to {}\n", checkpoint.string(), first_epoch,
               settings.epochs);
  }
  delve::CheckLayerSat tracker(
      savefile.string(), {"plotcsv", "console"}, model,
      delve::CheckLayerSatOptions().stats({"lsat", "idim", "drift"}).initial_epoch(first_epoch));
  // Drift compares with the epoch before the stop.
  if (saved) saved->tracker >> tracker;

  const auto run_epoch = [&](const examples::Data& data, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_classification_epoch(model, data, trained_by, settings.batch_size, label,
                                              tracker);
  };
  for (std::int64_t epoch = first_epoch; epoch < settings.epochs; ++epoch) {
    // An epoch's order and dropout hang on its number alone, so that they are the same after a
    // stop.
    torch::manual_seed(settings.seed + static_cast<std::uint64_t>(epoch));
    const std::string label = fmt::format("epoch {}", epoch);
    run_epoch(train_data, &optimizer, label + " train").report("train", tracker);
    run_epoch(test_data, nullptr, label + " test ").report("test", tracker);
    // The table first: were it last, a stop in between would leave it an epoch short.
    tracker.add_saturations();
    save_checkpoint(checkpoint, model, optimizer, tracker, epoch + 1);
  }
  tracker.close();
  fmt::print("Table:    {0}.csv\nPictures: {0}_*_epoch_*.png\nModel:    {1}\n", savefile.string(),
             checkpoint.string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains VGG11, and goes on with a training that was stopped.", "example_deep");
  DeepSettings settings;
  settings.output = "runs/deep";
  settings.epochs = 2;
  settings.learning_rate = 1e-4;
  examples::add_options(app, settings);
  app.add_flag("--resume", settings.resume,
               "Go on after the last epoch of the run in --output; --epochs counts from its start");
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
