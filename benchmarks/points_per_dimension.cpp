// SPDX-License-Identifier: MIT

// By how much saturation changes where points_per_dimension() takes some of the data points: one
// tracker with all of them and one for each number of points, on one network while it trains.

#include <algorithm>  // std::max
#include <cmath>      // std::abs
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t, std::uint64_t
#include <memory>     // std::make_unique, std::unique_ptr
#include <string>     // std::string
#include <vector>     // std::vector

#include <torch/nn/modules/container/any.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "measure.hpp"
#include "picture_steps.hpp"
#include "resnet.hpp"
#include "training.hpp"
#include "vgg.hpp"

namespace {

using Tracker = delve::CheckLayerSat<>;

struct PointsSettings : examples::PictureSettings {
  std::string model = "vgg16-bn";
  int steps = 100;
  std::vector<std::int64_t> points = {100, 300, 1000, 3000};
};

torch::nn::AnyModule model_of(const std::string& name) {
  if (name == "vgg16-bn") {
    return torch::nn::AnyModule(
        examples::VGG(examples::VGGOptions().batch_norm(true).small_pictures(true)));
  }
  return torch::nn::AnyModule(
      examples::ResNet18(examples::ResNetOptions().early_downsampling(name == "resnet18")));
}

std::unique_ptr<Tracker> tracker_of(const torch::nn::AnyModule& model,
                                    const delve::CheckLayerSatOptions& options) {
  return std::make_unique<Tracker>("", "csv", delve::Modules(model.ptr()), options);
}

/// Prints by how much some of the points differ from all of them, in percentage points of
/// saturation, over the layers of which they are fewer.
void compare(const delve::EpochRecord& all, const delve::EpochRecord& some, std::int64_t points,
             const PointsSettings& settings) {
  std::vector<double> differences;
  double sum = 0, largest = 0;
  double work = 0, least_work = 0;  // multiplications and additions, n · d²
  std::string worst = "none";
  for (std::size_t i = 0; i < all.layers.size(); ++i) {
    const delve::LayerRecord& layer = all.layers[i];
    const delve::LayerRecord& other = some.layers.at(i);
    const auto square = static_cast<double>(layer.width * layer.width);
    work += static_cast<double>(layer.samples) * square;
    least_work += static_cast<double>(other.samples) * square;
    if (other.samples == layer.samples) continue;
    const double difference = 100 * (other.values.at(0).value - layer.values.at(0).value);
    differences.push_back(difference);
    sum += std::abs(difference);
    if (std::abs(difference) > largest) worst = layer.layer;
    largest = std::max(largest, std::abs(difference));
  }
  benchmarks::Line("points")
      .add("model", settings.model)
      .add("points_per_dimension", static_cast<int>(points))
      .add("seed", static_cast<int>(settings.seed))
      .add("epoch", static_cast<int>(all.epoch))
      .add("pictures", static_cast<int>(settings.steps * settings.batch_size))
      .add("layers", static_cast<int>(all.layers.size()))
      .add("strided", static_cast<int>(differences.size()))
      .add("mean", differences.empty() ? 0 : sum / static_cast<double>(differences.size()))
      .add("mean_of_all_layers", sum / static_cast<double>(all.layers.size()))
      .add("largest", largest)
      .add("of", worst)
      .add("differences", differences)
      .add("work", least_work / work)
      .print();
}

void run(const PointsSettings& settings) {
  examples::apply(settings);
  const examples::Data data = examples::read_data(settings).train;
  torch::nn::AnyModule model = model_of(settings.model);
  model.ptr()->to(data.device());
  model.ptr()->train();
  torch::optim::SGD optimizer(
      model.ptr()->parameters(),
      torch::optim::SGDOptions(settings.learning_rate).momentum(0.9).weight_decay(5e-4));

  const auto options = delve::CheckLayerSatOptions().nosave(true).sample_seed(settings.seed);
  const auto all = tracker_of(model, options);
  std::vector<std::unique_ptr<Tracker>> others;
  for (const std::int64_t points : settings.points) {
    auto fewer = options;
    others.push_back(tracker_of(model, fewer.points_per_dimension(points)));
  }
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    double loss = 0;
    const double seconds = benchmarks::seconds([&] {
      loss = benchmarks::train_steps(data, settings, optimizer, [&](const torch::Tensor& pictures) {
        return model.forward(pictures);
      });
    });
    const delve::EpochRecord exact = all->add_saturations();
    benchmarks::Line("training")
        .add("model", settings.model)
        .add("seed", static_cast<int>(settings.seed))
        .add("epoch", epoch)
        .add("loss", loss)
        .add("seconds", seconds)
        .print();
    for (std::size_t i = 0; i < others.size(); ++i) {
      const delve::EpochRecord record = others[i]->add_saturations();
      // All of them take all points in the first epoch.
      if (epoch > 0) compare(exact, record, settings.points[i], settings);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The error that points_per_dimension() makes, while a network trains.",
               "benchmark_points_per_dimension");
  PointsSettings settings;
  settings.epochs = 4;
  settings.learning_rate = 0.005;
  settings.train_pictures = examples::kAllPictures;
  settings.test_pictures = 1;
  examples::add_options(app, settings);
  app.add_option("--model", settings.model, "The model; resnet18-full without early downsampling")
      ->check(CLI::IsMember({"vgg16-bn", "resnet18", "resnet18-full"}))
      ->capture_default_str();
  app.add_option("--steps", settings.steps, "Steps an epoch, each of pictures drawn anew")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_option("--points", settings.points, "Points a dimension to be compared with all")
      ->check(examples::at_least_one())
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
