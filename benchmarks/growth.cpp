// SPDX-License-Identifier: MIT

// How costs grow with the width of a layer, the data points of a batch and the number of layers, as
// tables for growth.gp.

#include <algorithm>    // std::max
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <cstdio>       // std::FILE, std::fopen
#include <filesystem>   // std::filesystem
#include <memory>       // std::unique_ptr
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>

#include "measure.hpp"
#include "program.hpp"

namespace {

using benchmarks::median;

struct Settings {
  std::filesystem::path output = "runs/benchmarks";
  std::int64_t widest = 4096;
  double seconds = 1;
};

/// The median of at least three runs, and of as many as the time allows, after one to warm up.
template <typename Action>
double median_seconds(double time, const Action& action) {
  action();
  std::vector<double> times;
  const auto begin = benchmarks::Clock::now();
  while (times.size() < 3 || benchmarks::seconds_since(begin) < time) {
    times.push_back(benchmarks::seconds(action));
  }
  return median(std::move(times));
}

/// A table with a row for each measurement, written at once.
class Table {
 public:
  Table(const std::filesystem::path& path, const std::string& header)
      : file_(std::fopen(path.c_str(), "w"), std::fclose) {
    if (!file_) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
    fmt::print(file_.get(), "{}\n", header);
    fmt::print("{}\n  {}\n", path.string(), header);
  }

  void add(std::int64_t x, const std::vector<double>& values) {
    const std::string row = fmt::format("{},{:.6g}", x, fmt::join(values, ","));
    fmt::print(file_.get(), "{}\n", row);
    fmt::print("  {}\n", row);
    std::fflush(file_.get());
    std::fflush(stdout);
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

/// A covariance that has seen these rows already, so that its memory is there.
delve::Covariance<> covariance_of(const torch::Tensor& rows) {
  delve::Covariance<> covariance;
  covariance.update(rows);
  return covariance;
}

/// So many rows are always summed at once, whatever the width.
constexpr std::int64_t kRows = 4096;

void grow_width(const Settings& settings) {
  Table table(settings.output / "growth_width.csv", "d,update,eigenvalues");
  for (std::int64_t d = 64; d <= settings.widest; d *= 2) {
    const torch::Tensor rows = torch::randn({kRows, d});
    delve::Covariance<> covariance = covariance_of(rows);
    const double update = median_seconds(settings.seconds, [&] { covariance.update(rows); });
    const torch::Tensor matrix = covariance.matrix();
    const double eigenvalues =
        median_seconds(settings.seconds, [&] { delve::symmetric_eigenvalues(matrix); });
    table.add(d, {update, eigenvalues});
  }
}

/// Small batches wait until a product is worth it: a mean over as many as are summed at once, at
/// the least.
void grow_batch(const Settings& settings) {
  constexpr std::int64_t kWidth = 512;
  Table table(settings.output / "growth_batch.csv", "n,update");
  for (std::int64_t n = 32; n <= 32768; n *= 2) {
    const torch::Tensor rows = torch::randn({n, kWidth});
    delve::Covariance<> covariance = covariance_of(rows);
    const std::int64_t updates = std::max<std::int64_t>(1, kRows / n);
    const double together = median_seconds(settings.seconds, [&] {
      for (std::int64_t i = 0; i < updates; ++i) covariance.update(rows);
    });
    table.add(n, {together / static_cast<double>(updates)});
  }
}

/// What a tracker adds to a forward of a model of many layers. Steps with and without it in turns;
/// as many at a time as are summed at once.
void grow_layers(const Settings& settings) {
  constexpr std::int64_t kWidth = 64;
  constexpr int kStepsOfRound = 32;
  Table table(settings.output / "growth_layers.csv", "layers,forward,tracking");
  const torch::NoGradGuard no_grad;
  const torch::Tensor input = torch::randn({kWidth, kWidth});
  for (int layers = 1; layers <= 256; layers *= 2) {
    torch::nn::Sequential model;
    for (int i = 0; i < layers; ++i) model->push_back(torch::nn::Linear(kWidth, kWidth));
    delve::CheckLayerSat<> tracker(
        "", "csv", model,
        delve::CheckLayerSatOptions().nosave(true).on_warning([](std::string_view) {}));
    const auto steps = [&] {
      model->forward(input);  // makes the table of hooks anew
      return benchmarks::seconds([&] {
               for (int i = 0; i < kStepsOfRound; ++i) model->forward(input);
             }) /
             kStepsOfRound;
    };
    std::vector<double> plain, difference;
    steps();
    const auto begin = benchmarks::Clock::now();
    while (plain.size() < 3 || benchmarks::seconds_since(begin) < settings.seconds) {
      tracker.stop();
      plain.push_back(steps());
      tracker.resume();
      difference.push_back(steps() - plain.back());
    }
    table.add(layers, {median(plain), median(difference)});
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("How costs grow, as tables.", "benchmark_growth");
  Settings settings;
  app.add_option("--output", settings.output, "Folder of the tables")->capture_default_str();
  app.add_option("--widest", settings.widest, "The widest layer")->capture_default_str();
  app.add_option("--seconds", settings.seconds, "Time for each number, where it takes no longer")
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    std::filesystem::create_directories(settings.output);
    grow_width(settings);
    grow_batch(settings);
    grow_layers(settings);
  });
}
