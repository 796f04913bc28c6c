// SPDX-License-Identifier: MIT

// What tracking VGG16 costs, step by step and report by report. vgg16_delve.py does the same with
// Delve (Python); table.py sets the two side by side.

#include <cmath>          // std::ceil, std::sqrt
#include <cstddef>        // std::size_t
#include <cstdint>        // std::int64_t, std::uint64_t
#include <filesystem>     // std::filesystem
#include <functional>     // std::function
#include <memory>         // std::make_shared, std::shared_ptr
#include <string>         // std::string
#include <string_view>    // std::string_view
#include <unordered_map>  // std::unordered_map
#include <utility>        // std::pair
#include <vector>         // std::vector

#include <torch/nn/functional/loss.h>
#include <torch/nn/functional/upsampling.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>  // getpid
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/detail/observed_layer.hpp>

#include "measure.hpp"
#include "program.hpp"
#include "vgg.hpp"

namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

struct StepSettings {
  std::int64_t batch = 128;
  int steps = 32;
  int pairs = 30;
  bool float64 = false;
};

struct ReportSettings {
  double samples_per_dimension = 2;
  std::string stats = "leading";
  std::int64_t widest = 4096;
  int repeats = 3;
};

struct SamplingSettings {
  int batches = 8;
  int seeds = 3;
};

// What is asked for: what hangs on the leading eigenvalues, and what on all of them.
const Strings kLeading = {"lsat", "idim", "trc", "dtrc", "participation_ratio", "stable_rank"};
const Strings kSmall = {"lsat", "idim", "logdet", "effective_rank", "entropy"};

/// VGG16 that learns random labels of random pictures.
class Training {
 public:
  explicit Training(std::int64_t batch)
      : pictures_(torch::randn({batch, 3, 32, 32})),
        labels_(torch::randint(10, {batch}, torch::kLong)) {
    model_->train();
  }

  [[nodiscard]] const examples::VGG& model() const { return model_; }

  void step() {
    adam_.zero_grad();
    torch::nn::functional::cross_entropy(model_->forward(pictures_), labels_).backward();
    adam_.step();
  }

 private:
  examples::VGG model_;
  torch::optim::Adam adam_{model_->parameters(), torch::optim::AdamOptions(1e-4)};
  torch::Tensor pictures_, labels_;
};

delve::CheckLayerSatOptions quiet(const Strings& stats) {
  return delve::CheckLayerSatOptions().stats(stats).on_warning([](std::string_view) {});
}

/// Half the time of the product of a layer's data with itself, the part that a sum of half of all
/// products of features cannot do without.
double half_of_product(const delve::ForwardCall& call, const delve::OutputLayout& layout) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor rows = delve::data_matrix(call.outputs, layout, {}).detach();
  const torch::Tensor x = rows.reshape({-1, rows.size(-1)}).contiguous();
  return benchmarks::seconds([&] { at::mm(x.t(), x); }) / 2;
}

/// The layers of a model under the hooks that a CheckLayerSat would register, timed.
class TimedLayers {
 public:
  TimedLayers(const examples::VGG& model, const Strings& stats) {
    const auto observation = std::make_shared<delve::detail::Observation>(quiet(stats));
    for (const delve::FoundLayer& layer : delve::find_layers(model)) {
      if (layer.kind == nullptr) continue;
      const auto observed =
          std::make_shared<delve::detail::ObservedLayer<double>>(layer, observation);
      const delve::OutputLayout layout = layer.kind->layout(layer.module);
      hooks_.push_back(delve::register_forward_hook(
          layer.module, [this, observed, layout](const delve::ForwardCall& call) {
            taken_ += benchmarks::seconds([&] { observed->take(call); });
            product_ += half_of_product(call, layout);
          }));
    }
  }
  TimedLayers(const TimedLayers&) = delete;
  TimedLayers& operator=(const TimedLayers&) = delete;

  struct Step {
    double callbacks, product;  // seconds, summed over the layers
  };

  /// What has passed since the last call.
  Step next_step() {
    const Step step{taken_, product_};
    taken_ = product_ = 0;
    return step;
  }

 private:
  std::vector<delve::RemovableHandle> hooks_;
  double taken_ = 0;
  double product_ = 0;
};

/// Time inside the callbacks, step by step. Rows that wait make a step dear now and then, so that
/// only a mean over many steps is fair.
void measure_callbacks(Training& training, const StepSettings& settings, const Strings& stats) {
  TimedLayers layers(training.model(), stats);
  training.step();
  layers.next_step();
  std::vector<double> callbacks, product;
  for (int i = 0; i < settings.steps; ++i) {
    training.step();
    const TimedLayers::Step step = layers.next_step();
    callbacks.push_back(step.callbacks);
    product.push_back(step.product);
  }
  const int batch = static_cast<int>(settings.batch);
  benchmarks::Line("callbacks")
      .add("variant", settings.float64 ? "float64" : "float32")
      .add("batch", batch)
      .add("seconds", callbacks)
      .print();
  benchmarks::Line("product").add("batch", batch).add("seconds", product).print();
}

/// Whole steps, tracked and not. Which comes first alternates, so that drift favours neither.
void measure_pairs(Training& training, const StepSettings& settings, const Strings& stats) {
  delve::CheckLayerSat<> tracker("", "csv", training.model(), quiet(stats).nosave(true));
  std::vector<double> tracked, untracked;
  const auto measure = [&](bool is_tracked, std::vector<double>& times) {
    if (is_tracked) {
      tracker.resume();
    } else {
      tracker.stop();
    }
    times.push_back(benchmarks::seconds([&] { training.step(); }));
  };
  std::vector<double> warm_up;
  measure(true, warm_up);
  measure(false, warm_up);
  for (int i = 0; i < settings.pairs; ++i) {
    if (i % 2 == 0) measure(true, tracked);
    measure(false, untracked);
    if (i % 2 != 0) measure(true, tracked);
  }
  tracker.stop();
  benchmarks::Line("pairs")
      .add("variant", settings.float64 ? "float64" : "float32")
      .add("batch", static_cast<int>(settings.batch))
      .add("tracked", tracked)
      .add("untracked", untracked)
      .print();
}

void measure_steps(const StepSettings& settings) {
  Training training(settings.batch);
  const Strings& stats = settings.float64 ? kSmall : kLeading;
  measure_callbacks(training, settings, stats);
  if (settings.pairs > 0) measure_pairs(training, settings, stats);
}

/// The tracked layers of VGG16 and their widths.
std::vector<std::pair<std::string, std::int64_t>> layers_up_to(std::int64_t widest) {
  const examples::VGG model;
  std::vector<std::pair<std::string, std::int64_t>> layers;
  for (const delve::FoundLayer& layer : delve::find_layers(model)) {
    if (layer.kind == nullptr) continue;
    const std::int64_t width = layer.kind->weight(layer.module).size(0);
    if (width <= widest) layers.emplace_back(layer.name, width);
  }
  return layers;
}

/// (n, d) of variances that fall as those of layers do, correlated throughout. The generator makes
/// the same in Python, so that both sides report of the same data.
torch::Tensor rows_of(std::int64_t n, std::int64_t d) {
  torch::manual_seed(d);
  const torch::Tensor scale = torch::arange(1, d + 1, torch::kFloat).rsqrt();
  const torch::Tensor causes = torch::randn({n, d}) * scale;
  const torch::Tensor mixture = torch::randn({d, d}) / std::sqrt(static_cast<double>(d));
  return torch::mm(causes, mixture);
}

void measure_reports(const ReportSettings& settings) {
  const fs::path folder =
      fs::temp_directory_path() / ("delve_benchmark_" + std::to_string(::getpid()));
  const Strings& stats = settings.stats == "small" ? kSmall : kLeading;
  std::vector<double> times;
  std::string dimensionalities;
  {
    // Where there is no module to track, there is no tracker.
    const torch::nn::Linear unused(1, 1);
    // The rule does not matter for the time; by Delve's the two sides can be compared.
    delve::CheckLayerSat<> tracker((folder / "report").string(), "csv", unused,
                                   quiet(stats).idim_rule(delve::IdimRule::Delve));
    const auto layers = layers_up_to(settings.widest);
    std::unordered_map<std::int64_t, torch::Tensor> rows;
    for (const auto& [name, width] : layers) {
      const double n = std::ceil(static_cast<double>(width) * settings.samples_per_dimension);
      if (rows.count(width) == 0) rows[width] = rows_of(static_cast<std::int64_t>(n), width);
    }
    for (int i = 0; i < settings.repeats; ++i) {
      for (const auto& [name, width] : layers) {
        tracker.observe(name, rows.at(width), delve::Mode::Train);
      }
      times.push_back(benchmarks::seconds([&] { tracker.add_saturations(); }));
    }
    for (const auto& [name, width] : layers) {
      const auto idim = tracker.last(name, "idim", delve::Mode::Train);
      dimensionalities += fmt::format("{}{}:{}", dimensionalities.empty() ? "" : " ", name,
                                      static_cast<std::int64_t>(idim.value_or(-1)));
    }
  }
  fs::remove_all(folder);
  benchmarks::Line("report")
      .add("variant", settings.stats)
      .add("samples_per_dimension", settings.samples_per_dimension)
      .add("seconds", times)
      .add("idim", dimensionalities)
      .print();
}

/// Pictures that are smooth, as photographs are: noise of 8 × 8, made larger.
torch::Tensor smooth_pictures(std::int64_t batch) {
  namespace F = torch::nn::functional;
  return F::interpolate(torch::randn({batch, 3, 8, 8}), F::InterpolateFuncOptions()
                                                            .size(std::vector<std::int64_t>{32, 32})
                                                            .mode(torch::kBilinear)
                                                            .align_corners(false));
}

/// By how much the saturation of VGG16's convolutions changes where only some of their data points
/// are taken.
void measure_sampling(const SamplingSettings& settings) {
  const torch::NoGradGuard no_grad;
  examples::VGG model;
  model->eval();
  std::vector<torch::Tensor> batches;
  for (int i = 0; i < settings.batches; ++i) batches.push_back(smooth_pictures(64));

  struct Trial {
    std::vector<double> saturation;
    double seconds;
  };
  const auto trial = [&](double rate, int seed) {
    delve::CheckLayerSat<> tracker(
        "", "csv", model,
        quiet({"lsat"})
            .nosave(true)
            .ignore_layer_names({"classifier-0", "classifier-3", "classifier-6"})
            .sample_rate(rate)
            .sample_seed(static_cast<std::uint64_t>(seed)));
    Trial result{{}, benchmarks::seconds([&] {
                   for (const torch::Tensor& batch : batches) model->forward(batch);
                 })};
    for (const delve::LayerRecord& layer : tracker.add_saturations().layers) {
      result.saturation.push_back(layer.values.front().value);
    }
    return result;
  };
  const double untracked = benchmarks::seconds([&] {
    for (const torch::Tensor& batch : batches) model->forward(batch);
  });
  const Trial all = trial(1, 0);
  for (const double rate : {1.0, 0.5, 0.2, 0.1, 0.05}) {
    std::vector<double> differences, times;
    for (int seed = 0; seed < settings.seeds; ++seed) {
      const Trial some = trial(rate, seed);
      times.push_back(some.seconds - untracked);
      for (std::size_t i = 0; i < all.saturation.size(); ++i) {
        differences.push_back(some.saturation[i] - all.saturation[i]);
      }
    }
    benchmarks::Line("sampling")
        .add("rate", rate)
        .add("layers", static_cast<int>(all.saturation.size()))
        .add("differences", differences)
        .add("seconds", times)
        .print();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What tracking VGG16 costs.", "benchmark_vgg16");
  app.require_subcommand(1);
  std::function<void()> measure;

  StepSettings step;
  CLI::App* step_command = app.add_subcommand("step", "Steps of a training");
  step_command->add_option("--batch", step.batch, "Pictures a step")->capture_default_str();
  step_command->add_option("--steps", step.steps, "Steps whose callbacks are timed")
      ->capture_default_str();
  step_command->add_option("--pairs", step.pairs, "Pairs of a tracked and an untracked step")
      ->capture_default_str();
  step_command->add_flag("--float64", step.float64, "With statistics that need small eigenvalues");
  step_command->callback([&] { measure = [&] { measure_steps(step); }; });

  ReportSettings report;
  CLI::App* report_command = app.add_subcommand("report", "add_saturations()");
  report_command
      ->add_option("--samples-per-dimension", report.samples_per_dimension,
                   "Data points of each layer, in widths of the layer")
      ->capture_default_str();
  report_command->add_option("--stats", report.stats, "Which eigenvalues the statistics hang on")
      ->check(CLI::IsMember({"leading", "small"}))
      ->capture_default_str();
  report_command->add_option("--widest", report.widest, "Leave wider layers out")
      ->capture_default_str();
  report_command->add_option("--repeats", report.repeats, "Reports")->capture_default_str();
  report_command->callback([&] { measure = [&] { measure_reports(report); }; });

  SamplingSettings sampling;
  CLI::App* sampling_command = app.add_subcommand("sampling", "The error that sample_rate() makes");
  sampling_command->add_option("--batches", sampling.batches, "Batches of 64 pictures")
      ->capture_default_str();
  sampling_command->add_option("--seeds", sampling.seeds, "Draws at each rate")
      ->capture_default_str();
  sampling_command->callback([&] { measure = [&] { measure_sampling(sampling); }; });

  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    measure();
  });
}
