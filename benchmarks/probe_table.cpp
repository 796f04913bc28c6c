// SPDX-License-Identifier: MIT

// How probes compare with logistic regressions: trains a ResNet18 with probes on, then stores what
// each of its layers puts out for all pictures, with the weights at rest. probe_table.py fits the
// regressions to it, and prints both.

#include <algorithm>    // std::find, std::min
#include <cstdint>      // std::int64_t
#include <filesystem>   // std::filesystem::path, …
#include <fstream>      // std::ofstream
#include <ios>          // std::ios
#include <map>          // std::map
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <torch/nn/functional/pooling.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/receptive_field.hpp>

#include "program.hpp"
#include "resnet.hpp"
#include "training.hpp"

namespace {

struct TableSettings : examples::PictureSettings {
  std::int64_t width = 32;
  bool no_early_downsampling = false;
};

/// Positions a side that a map is averaged to, where it has as many: as Delve's authors do.
constexpr std::int64_t kPositions = 4;

void write(const std::filesystem::path& path, const torch::Tensor& tensor) {
  const torch::Tensor numbers = tensor.cpu().contiguous();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(numbers.data_ptr()),
             static_cast<std::streamsize>(numbers.nbytes()));
  if (!file.flush()) throw std::runtime_error(fmt::format("{} cannot be written", path.string()));
}

/// Stores the outputs of these layers, float32, a row a picture, in LAYER_SPLIT.bin.
void store(examples::ResNet18& model, const std::vector<std::string>& layers,
           const examples::Data& data, std::string_view split, const TableSettings& settings) {
  std::map<std::string, std::vector<torch::Tensor>> rows;
  std::vector<delve::RemovableHandle> handles;
  for (const delve::FoundLayer& layer : delve::find_layers(model)) {
    if (std::find(layers.begin(), layers.end(), layer.name) == layers.end()) continue;
    handles.push_back(delve::register_forward_hook(
        layer.module, [&own = rows[layer.name]](const delve::ForwardCall& call) {
          torch::Tensor output = call.outputs[0];
          if (output.dim() == 4) {
            output = torch::adaptive_avg_pool2d(output, {std::min(kPositions, output.size(2)),
                                                         std::min(kPositions, output.size(3))});
          }
          own.push_back(output.flatten(1).cpu());
        }));
  }
  model->eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor all = torch::arange(data.size(), data.device());
  for (const torch::Tensor& batch : all.split(settings.batch_size)) {
    model->forward(data.inputs(batch));
  }
  for (const auto& [layer, batches] : rows) {
    write(settings.output / fmt::format("{}_{}.bin", layer, split), torch::cat(batches));
  }
  write(settings.output / fmt::format("labels_{}.bin", split), data.labels(all));
}

void run(const TableSettings& settings) {
  examples::apply(settings);
  std::filesystem::create_directories(settings.output);
  const auto [train_data, test_data] = examples::read_data(settings);
  examples::ResNet18 model(examples::ResNetOptions()
                               .early_downsampling(!settings.no_early_downsampling)
                               .width(settings.width));
  model->to(train_data.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  delve::CheckLayerSat tracker((settings.output / "probes").string(), {"csv"}, model,
                               delve::CheckLayerSatOptions()
                                   .stats({"lsat", "probe"})
                                   .classes(examples::kClasses)
                                   .receptive_field(true));
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    // Falls to nothing: the sums of the last epoch are of weights that hardly move.
    examples::decay_learning_rate(optimizer, settings.learning_rate, epoch, settings.epochs);
    for (const bool trains : {true, false}) {
      examples::run_classification_epoch(
          model, trains ? train_data : test_data, trains ? &optimizer : nullptr,
          settings.batch_size, fmt::format("epoch {} {}", epoch, trains ? "train" : "test "),
          tracker)
          .report(trains ? "train" : "test", tracker);
    }
    tracker.add_saturations();
  }
  tracker.close();
  const std::vector<std::string> layers = tracker.layer_names();
  store(model, layers, train_data, "train", settings);
  store(model, layers, test_data, "test", settings);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Stores what the layers of a ResNet18 put out, for probe_table.py.");
  TableSettings settings;
  settings.output = "runs/probe_table";
  settings.batch_size = 128;
  settings.train_pictures = 10000;
  settings.test_pictures = 2000;
  settings.epochs = 4;
  settings.learning_rate = 0.003;
  examples::add_options(app, settings);
  app.add_option("--width", settings.width, "Features of the first stage")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_flag("--no-early-downsampling", settings.no_early_downsampling,
               "The first convolution with stride 1, and no pooling behind it");
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
