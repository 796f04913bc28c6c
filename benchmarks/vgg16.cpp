// SPDX-License-Identifier: MIT

// What tracking VGG16 costs, or ResNet18, step by step and report by report, on the host or a GPU.
// vgg16_delve.py does the same with Delve (Python); table.py sets the two side by side.

#include <cmath>          // std::ceil, std::llround, std::sqrt
#include <cstddef>        // std::size_t
#include <cstdint>        // std::int64_t, std::uint64_t
#include <filesystem>     // std::filesystem
#include <functional>     // std::function
#include <map>            // std::map
#include <memory>         // std::make_shared, std::shared_ptr
#include <optional>       // std::optional
#include <set>            // std::set
#include <string>         // std::string
#include <string_view>    // std::string_view
#include <unordered_map>  // std::unordered_map
#include <utility>        // std::pair
#include <vector>         // std::vector

#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/cuda.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/functional/upsampling.h>
#include <torch/nn/modules/container/any.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>  // getpid
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/detail/tracking/observed_layer.hpp>

#include "measure.hpp"
#include "program.hpp"
#include "resnet.hpp"
#include "vgg.hpp"

namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

struct ModelSettings {
  std::string model = "vgg16";
  std::string device = "cpu";
  std::int64_t batch = 128;
  std::int64_t side = 32;
};

struct StepSettings : ModelSettings {
  int steps = 32;
  int pairs = 30;
  int steps_of_pair = 1;
  bool float64 = false;
  bool float32_sums = false;
  std::int64_t points_per_dimension = 0;  // 0: all
  std::int64_t pictures = 50'000;         // of an epoch
};

struct TraceSettings : ModelSettings {
  int steps = 16;
  std::string file;
};

struct ReportSettings {
  std::string device = "cpu";
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

void wait_for(const torch::Device& device) {
  if (device.is_cuda()) torch::cuda::synchronize();
}

/// What an action takes with all that it leaves to the device, in seconds.
template <typename Action>
double seconds_on(const torch::Device& device, const Action& action) {
  wait_for(device);
  return benchmarks::seconds([&] {
    action();
    wait_for(device);
  });
}

/// A model that learns random labels of random pictures.
class Training {
 public:
  explicit Training(const ModelSettings& settings)
      : device_(settings.device),
        model_(settings.model == "vgg16" ? torch::nn::AnyModule(examples::VGG())
                                         : torch::nn::AnyModule(examples::ResNet18())) {
    model()->to(device_);
    model()->train();
    adam_.emplace(model()->parameters(), torch::optim::AdamOptions(1e-4));
    pictures_ = torch::randn({settings.batch, 3, settings.side, settings.side}).to(device_);
    labels_ = torch::randint(10, {settings.batch}, torch::kLong).to(device_);
  }

  [[nodiscard]] std::shared_ptr<torch::nn::Module> model() const { return model_.ptr(); }
  [[nodiscard]] const torch::Device& device() const { return device_; }

  void step() {
    adam_->zero_grad();
    const torch::Tensor scores = model_.forward(pictures_);
    torch::nn::functional::cross_entropy(scores, labels_).backward();
    adam_->step();
  }

  void steps(int count) {
    for (int i = 0; i < count; ++i) step();
  }

  void forwards(int count) {
    const torch::NoGradGuard no_grad;
    for (int i = 0; i < count; ++i) model_.forward(pictures_);
  }

 private:
  torch::Device device_;
  torch::nn::AnyModule model_;
  std::optional<torch::optim::Adam> adam_;
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
  return seconds_on(x.device(), [&] { at::mm(x.t(), x); }) / 2;
}

/// The layers of a model under the hooks that a CheckLayerSat<Scalar> would register, timed.
template <typename Scalar>
class TimedLayers {
 public:
  TimedLayers(const std::shared_ptr<torch::nn::Module>& model,
              const delve::CheckLayerSatOptions& options) {
    const auto observation = std::make_shared<delve::detail::Observation>(options);
    for (const delve::FoundLayer& layer : delve::find_layers(model)) {
      if (layer.kind == nullptr) continue;
      const auto observed =
          std::make_shared<delve::detail::ObservedLayer<Scalar>>(layer, observation);
      layers_.push_back(observed);
      const delve::OutputLayout layout = layer.kind->layout(layer.module);
      hooks_.push_back(delve::register_forward_hook(
          layer.module, [this, observed, layout](const delve::ForwardCall& call) {
            const torch::Device device = call.outputs.front().device();
            taken_ += seconds_on(
                device, [&] { on_host_ += benchmarks::seconds([&] { observed->take(call); }); });
            product_ += half_of_product(call, layout);
          }));
    }
  }
  TimedLayers(const TimedLayers&) = delete;
  TimedLayers& operator=(const TimedLayers&) = delete;

  void end_epoch() {
    for (const auto& layer : layers_) static_cast<void>(layer->end_epoch());
  }

  struct Step {
    double callbacks, on_host, product;  // seconds, summed over the layers
  };

  /// What has passed since the last call.
  Step next_step() {
    const Step step{taken_, on_host_, product_};
    taken_ = on_host_ = product_ = 0;
    return step;
  }

 private:
  std::vector<std::shared_ptr<delve::detail::ObservedLayer<Scalar>>> layers_;
  std::vector<delve::RemovableHandle> hooks_;
  double taken_ = 0;
  double on_host_ = 0;
  double product_ = 0;
};

/// What all measurements of steps have in common.
benchmarks::Line line_of(std::string_view measurement, const Training& training,
                         const StepSettings& settings) {
  benchmarks::Line line(measurement);
  line.add("batch", static_cast<int>(settings.batch));
  // As it was before there were others.
  if (settings.model != "vgg16") line.add("model", settings.model);
  if (settings.side != 32) line.add("side_of_pictures", static_cast<int>(settings.side));
  if (!training.device().is_cpu()) line.add("device", settings.device);
  return line;
}

std::string variant_of(const StepSettings& settings) {
  if (settings.points_per_dimension > 0) {
    return fmt::format("{} points per dimension", settings.points_per_dimension);
  }
  return settings.float64 ? "float64" : settings.float32_sums ? "float32 sums" : "float32";
}

/// Options by which layers take as few points as with points_per_dimension() in an epoch that
/// follows on one of so many pictures, if it is one of so few steps that they follow on.
delve::CheckLayerSatOptions in_proportion(delve::CheckLayerSatOptions options,
                                          const StepSettings& settings, int steps) {
  const double share = static_cast<double>(steps) * static_cast<double>(settings.batch) /
                       static_cast<double>(settings.pictures);
  return options.points_per_dimension(
      std::llround(static_cast<double>(settings.points_per_dimension) * share));
}

/// Time inside the callbacks, step by step. Rows that wait make a step dear now and then, so that
/// only a mean over many steps is fair.
template <typename Scalar>
void measure_callbacks(Training& training, const StepSettings& settings, const Strings& stats) {
  const bool takes_all = settings.points_per_dimension == 0;
  delve::CheckLayerSatOptions options = quiet(stats);
  if (!takes_all) options = in_proportion(options, settings, settings.steps);
  TimedLayers<Scalar> layers(training.model(), options);
  if (!takes_all) {
    training.forwards(settings.steps);
    layers.end_epoch();
  }
  // A device loads code when it first runs it, that which sums waiting rows only after some steps.
  training.steps(training.device().is_cpu() ? 1 : settings.steps);
  layers.next_step();
  std::vector<double> callbacks, on_host, product;
  for (int i = 0; i < settings.steps; ++i) {
    training.step();
    const auto step = layers.next_step();
    callbacks.push_back(step.callbacks);
    on_host.push_back(step.on_host);
    product.push_back(step.product);
  }
  benchmarks::Line line = line_of("callbacks", training, settings);
  line.add("variant", variant_of(settings)).add("seconds", callbacks);
  if (!training.device().is_cpu()) line.add("on_host", on_host);
  line.print();
  line_of("product", training, settings).add("seconds", product).print();
}

/// Whole steps, tracked and not. Which comes first alternates, so that drift favours neither.
template <typename Scalar>
void measure_pairs(Training& training, const StepSettings& settings, const Strings& stats) {
  delve::CheckLayerSat<Scalar> tracker("", "csv", training.model(), quiet(stats).nosave(true));
  std::vector<double> tracked, untracked;
  const auto measure = [&](bool is_tracked, std::vector<double>& times) {
    if (is_tracked) {
      tracker.resume();
    } else {
      tracker.stop();
    }
    times.push_back(seconds_on(training.device(), [&] { training.steps(settings.steps_of_pair); }) /
                    settings.steps_of_pair);
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
  line_of("pairs", training, settings)
      .add("variant", variant_of(settings))
      .add("tracked", tracked)
      .add("untracked", untracked)
      .print();
}

template <typename Scalar>
void measure_steps(const StepSettings& settings) {
  Training training(settings);
  const Strings& stats = settings.float64 ? kSmall : kLeading;
  measure_callbacks<Scalar>(training, settings, stats);
  if (settings.pairs > 0) measure_pairs<Scalar>(training, settings, stats);
}

/// What a profiler sees the host ask of CUDA, tracked and untracked: how many kernels are launched,
/// how often it waits, and what is copied between host and device.
void measure_trace(const TraceSettings& settings) {
  namespace profiler = torch::autograd::profiler;
  using torch::profiler::impl::ActivityType;
  Training training(settings);
  delve::CheckLayerSat<> tracker("", "csv", training.model(), quiet(kLeading).nosave(true));
  const profiler::ProfilerConfig config(profiler::ProfilerState::KINETO);
  std::set<ActivityType> activities{ActivityType::CPU};
  if (training.device().is_cuda()) activities.insert(ActivityType::CUDA);
  for (const bool is_tracked : {true, false}) {
    if (!is_tracked) tracker.stop();
    // The first batches choose the shift.
    training.steps(settings.steps);
    wait_for(training.device());
    profiler::prepareProfiler(config, activities);
    profiler::enableProfiler(config, activities);
    training.steps(settings.steps);
    const auto result = profiler::disableProfiler();
    if (is_tracked && !settings.file.empty()) result->save(settings.file);
    std::map<std::string, int> counts;
    for (const profiler::KinetoEvent& event : result->events()) {
      const std::string name = event.name();
      const bool is_call = name.rfind("cuda", 0) == 0 || name.rfind("cuLaunch", 0) == 0;
      if (is_call || name.rfind("Memcpy", 0) == 0) ++counts[name];
    }
    for (const auto& [name, count] : counts) {
      benchmarks::Line("trace")
          .add("device", settings.device)
          .add("model", settings.model)
          .add("batch", static_cast<int>(settings.batch))
          .add("tracked", is_tracked)
          .add("event", name)
          .add("a_step", static_cast<double>(count) / settings.steps)
          .print();
    }
  }
}

/// Eigenvalues of a covariance by the device's solver, and by the host's with the copy to it.
void measure_eigenvalues(const ReportSettings& settings) {
  const torch::Device device(settings.device);
  for (std::int64_t d = 64; d <= settings.widest; d *= 2) {
    const torch::Tensor rows = torch::randn({2 * d, d}, torch::kDouble);
    const torch::Tensor matrix = torch::mm(rows.t(), rows).div_(2 * d).to(device);
    const auto measure = [&](std::string_view variant, const std::function<void()>& solve) {
      solve();
      std::vector<double> times;
      for (int i = 0; i < settings.repeats; ++i) times.push_back(seconds_on(device, solve));
      benchmarks::Line("eigenvalues")
          .add("device", settings.device)
          .add("d", static_cast<int>(d))
          .add("variant", variant)
          .add("seconds", times)
          .print();
    };
    measure("device, float64", [&] { delve::symmetric_eigenvalues(matrix); });
    measure("device, float32", [&] { delve::approximate_eigenvalues(matrix); });
    measure("host, float64", [&] { delve::symmetric_eigenvalues(matrix.cpu()); });
    measure("host, float32", [&] { delve::approximate_eigenvalues(matrix.cpu()); });
    // Of a layer in a tail: five directions have nearly all variance.
    torch::Tensor few = rows.clone();
    few.narrow(1, 0, 5).mul_(10 * std::sqrt(static_cast<double>(d)));
    const torch::Tensor tail = torch::mm(few.t(), few).div_(2 * d).to(device);
    measure("device, leading of a tail", [&] { delve::proven_leading_eigenvalues(tail, 0.99); });
  }
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
  torch::manual_seed(static_cast<std::uint64_t>(d));
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
  const torch::Device device(settings.device);
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
      if (rows.count(width) == 0)
        rows[width] = rows_of(static_cast<std::int64_t>(n), width).to(device);
    }
    for (int i = 0; i < settings.repeats; ++i) {
      for (const auto& [name, width] : layers) {
        tracker.observe(name, rows.at(width), delve::Mode::Train);
      }
      times.push_back(seconds_on(device, [&] { tracker.add_saturations(); }));
    }
    for (const auto& [name, width] : layers) {
      const auto idim = tracker.last(name, "idim", delve::Mode::Train);
      dimensionalities += fmt::format("{}{}:{}", dimensionalities.empty() ? "" : " ", name,
                                      static_cast<std::int64_t>(idim.value_or(-1)));
    }
  }
  // Not remove_all(): that of LibTorch 2.11's wheel, which comes before the compiler's, crashes.
  for (const fs::directory_entry& file : fs::directory_iterator(folder)) fs::remove(file);
  fs::remove(folder);
  benchmarks::Line line("report");
  if (!device.is_cpu()) line.add("device", settings.device);
  line.add("variant", settings.stats)
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

  const auto add_device = [](CLI::App* command, std::string& device) {
    command->add_option("--device", device, "Where the model and its data are: cpu, or cuda")
        ->capture_default_str();
  };
  const auto add_model = [&](CLI::App* command, ModelSettings& settings) {
    command->add_option("--model", settings.model, "The model")
        ->check(CLI::IsMember({"vgg16", "resnet18"}))
        ->capture_default_str();
    add_device(command, settings.device);
    command->add_option("--batch", settings.batch, "Pictures a step")->capture_default_str();
    command->add_option("--side", settings.side, "Width and height of a picture")
        ->capture_default_str();
  };

  StepSettings step;
  CLI::App* step_command = app.add_subcommand("step", "Steps of a training");
  add_model(step_command, step);
  step_command->add_option("--steps", step.steps, "Steps whose callbacks are timed")
      ->capture_default_str();
  step_command->add_option("--pairs", step.pairs, "Pairs of a tracked and an untracked step")
      ->capture_default_str();
  step_command->add_option("--steps-of-pair", step.steps_of_pair, "Steps a side of a pair")
      ->capture_default_str();
  step_command->add_flag("--float64", step.float64, "With statistics that need small eigenvalues");
  step_command->add_flag("--float32-sums", step.float32_sums, "With CheckLayerSat<float>");
  step_command
      ->add_option("--points-per-dimension", step.points_per_dimension,
                   "The callbacks with this option, in an epoch after the first; 0: all points")
      ->capture_default_str();
  step_command->add_option("--pictures", step.pictures, "Of an epoch, for that")
      ->capture_default_str();
  step_command->callback([&] {
    measure = [&] { step.float32_sums ? measure_steps<float>(step) : measure_steps<double>(step); };
  });

  TraceSettings trace;
  CLI::App* trace_command =
      app.add_subcommand("trace", "What the host asks of CUDA, counted by LibTorch's profiler");
  add_model(trace_command, trace);
  trace_command->add_option("--steps", trace.steps, "Steps, tracked and untracked")
      ->capture_default_str();
  trace_command->add_option("--file", trace.file, "Where the tracked steps' trace is written");
  trace_command->callback([&] { measure = [&] { measure_trace(trace); }; });

  ReportSettings report;
  CLI::App* report_command = app.add_subcommand("report", "add_saturations()");
  add_device(report_command, report.device);
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

  ReportSettings eigenvalues;
  CLI::App* eigenvalues_command =
      app.add_subcommand("eigenvalues", "Eigenvalues by the device's solver and by the host's");
  add_device(eigenvalues_command, eigenvalues.device);
  eigenvalues_command->add_option("--widest", eigenvalues.widest, "Up to this width")
      ->capture_default_str();
  eigenvalues_command->add_option("--repeats", eigenvalues.repeats, "Solutions of each")
      ->capture_default_str();
  eigenvalues_command->callback([&] { measure = [&] { measure_eigenvalues(eigenvalues); }; });

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
