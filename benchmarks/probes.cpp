// SPDX-License-Identifier: MIT

// What probes cost beside what covariances do: what the hooks of VGG16 take for each, in turns, as
// shares of a step.

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <memory>       // std::make_shared, std::shared_ptr
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <torch/cuda.h>
#include <torch/nn/functional/loss.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/detail/probes/labelled_batch.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/detail/tracking/thread_guard.hpp>

#include "calls.hpp"
#include "measure.hpp"
#include "program.hpp"
#include "vgg.hpp"

namespace {

struct ProbeSettings {
  std::string device = "cpu";
  std::int64_t batch = 128;
  std::int64_t features = 1024;
  int rounds = 32;
};

/// The layers of a model as a tracker with these options has them.
class Layers {
 public:
  Layers(const examples::VGG& model, delve::CheckLayerSatOptions options)
      : observation_(std::make_shared<delve::detail::Observation>(std::move(options))) {
    for (const delve::FoundLayer& layer : delve::find_layers(model)) {
      if (layer.kind == nullptr) continue;
      layers_.push_back(std::make_shared<Layer>(layer, observation_));
    }
  }

  /// Takes a forward in, as its hooks do.
  void take(const std::vector<delve::ForwardCall>& calls, const torch::Tensor& labels) {
    const auto& settings = observation_->settings;
    std::optional<delve::detail::ThreadGuard<delve::detail::ThreadLabels>> guard;
    if (settings.has_probes()) {
      const auto batch = std::make_shared<const delve::detail::BatchLabels>(
          labels, settings.probe(), observation_->labels);
      guard.emplace(observation_->labels, delve::detail::ThreadLabels{nullptr, batch});
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->take(calls[i]);
  }

 private:
  using Layer = delve::detail::ObservedLayer<double>;
  std::shared_ptr<delve::detail::Observation> observation_;
  std::vector<std::shared_ptr<Layer>> layers_;
};

void run(const ProbeSettings& settings) {
  torch::manual_seed(0);
  const torch::Device device(settings.device);
  examples::VGG model;
  model->to(device);
  const torch::Tensor pictures = torch::randn({settings.batch, 3, 32, 32}).to(device);
  const torch::Tensor classes = torch::randint(10, {settings.batch}, torch::kLong);
  const auto seconds = [&](const std::function<void()>& action) {
    if (device.is_cuda()) torch::cuda::synchronize();
    return benchmarks::seconds([&] {
      action();
      if (device.is_cuda()) torch::cuda::synchronize();
    });
  };
  const auto quiet = delve::CheckLayerSatOptions().nosave(true).on_warning([](std::string_view) {});
  auto with_probes = quiet;
  with_probes.stats({"lsat", "probe"}).classes(10).probe_features(settings.features);
  for (const bool trains : {true, false}) {
    Layers plain(model, quiet);
    Layers probing(model, with_probes);
    model->train();
    if (!trains)
      probing.take(benchmarks::calls_of(model, pictures), classes);  // what there is to be tried
    model->train(trains);
    const std::vector<delve::ForwardCall> calls = benchmarks::calls_of(model, pictures);
    const auto step = [&] {
      const torch::Tensor scores = model->forward(pictures);
      if (!trains) return;
      model->zero_grad();
      torch::nn::functional::cross_entropy(scores, classes.to(device)).backward();
    };
    // Rows that wait make a forward dear now and then, so that only sums over many are fair.
    double without = 0, covariances = 0, probes = 0;
    for (int round = -2; round < settings.rounds; ++round) {
      const torch::AutoGradMode gradients(trains);
      const double times[] = {round % 8 == 0 ? seconds(step) : 0,
                              seconds([&] { plain.take(calls, classes); }),
                              seconds([&] { probing.take(calls, classes); })};
      if (round < 0) continue;
      without += times[0] * 8;
      covariances += times[1];
      probes += times[2] - times[1];
    }
    benchmarks::Line(trains ? "training step" : "evaluation")
        .add("device", settings.device)
        .add("batch", static_cast<int>(settings.batch))
        .add("probe_features", static_cast<int>(settings.features))
        .add("seconds", without / settings.rounds)
        .add("covariances", covariances / without)
        .add("probes", probes / without)
        .add("probes_to_covariances", probes / covariances)
        .print();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures what probes cost beside covariances.", "benchmark_probes");
  ProbeSettings settings;
  app.add_option("--device", settings.device, "Device")->capture_default_str();
  app.add_option("--batch", settings.batch, "Pictures a step")->capture_default_str();
  app.add_option("--features", settings.features, "Most features of a convolution's probe")
      ->capture_default_str();
  app.add_option("--rounds", settings.rounds, "Forwards")->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
