// SPDX-License-Identifier: MIT

// Many epochs of a tiny model through every writer: what grows with the number of epochs.

#include <unistd.h>  // sysconf

#include <algorithm>    // std::max
#include <cstddef>      // std::ptrdiff_t, std::size_t
#include <filesystem>   // std::filesystem
#include <fstream>      // std::ifstream, std::ofstream
#include <iterator>     // std::distance
#include <memory>       // std::make_shared, std::shared_ptr
#include <numeric>      // std::accumulate
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::pair
#include <vector>       // std::vector

#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
#include <delve/writers/tensorboard.hpp>

#include "measure.hpp"
#include "program.hpp"

namespace {

struct Settings {
  std::filesystem::path output = "runs/soak";
  int epochs = 2000;
  int epochs_per_picture = 100;
};

/// Another writer's, with a clock around each epoch.
class TimedWriter final : public delve::Writer {
 public:
  TimedWriter(std::shared_ptr<delve::Writer> writer, int epochs_per_write)
      : writer_(std::move(writer)), epochs_per_write_(epochs_per_write) {
    writer_->on_problem([this](std::string_view message) { report(std::string(message)); });
  }

  /// Of each epoch that was written.
  [[nodiscard]] const std::vector<double>& times() const { return times_; }

 protected:
  void write_epoch(const delve::EpochRecord& record) override {
    if (record.epoch % epochs_per_write_ != 0) return;
    times_.push_back(benchmarks::seconds([&] { writer_->write(record); }));
  }
  void finish() override { writer_->close(); }

 private:
  std::shared_ptr<delve::Writer> writer_;
  int epochs_per_write_;
  std::vector<double> times_;
};

double resident_bytes() {
  double all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::ptrdiff_t open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

/// The slope of the straight line through these numbers, by least squares.
double slope(const std::vector<double>& numbers, std::size_t begin) {
  const auto count = static_cast<double>(numbers.size() - begin);
  double sum = 0, sum_x = 0, sum_xx = 0, sum_xy = 0;
  for (std::size_t i = begin; i < numbers.size(); ++i) {
    const auto x = static_cast<double>(i - begin);
    sum += numbers[i];
    sum_x += x;
    sum_xx += x * x;
    sum_xy += x * numbers[i];
  }
  return (count * sum_xy - sum_x * sum) / (count * sum_xx - sum_x * sum_x);
}

/// In milliseconds.
double mean_of(const std::vector<double>& times, std::size_t begin, std::size_t end) {
  const auto at = [&](std::size_t i) { return times.begin() + static_cast<std::ptrdiff_t>(i); };
  return 1e3 * std::accumulate(at(begin), at(end), 0.0) / static_cast<double>(end - begin);
}

void soak(const Settings& settings) {
  std::filesystem::remove_all(settings.output);
  std::filesystem::create_directories(settings.output);
  const std::string savefile = (settings.output / "run").string();
  std::ofstream console(settings.output / "console.txt");

  std::vector<std::pair<std::string, std::shared_ptr<TimedWriter>>> writers;
  const auto add = [&](const std::string& name, std::shared_ptr<delve::Writer> writer, int every) {
    writers.emplace_back(name, std::make_shared<TimedWriter>(std::move(writer), every));
  };
  add("csv", std::make_shared<delve::CsvWriter>(savefile), 1);
  add("json", std::make_shared<delve::JsonWriter>(savefile), 1);
  add("npy", std::make_shared<delve::NpyWriter>(savefile), 1);
  add("tensorboard", std::make_shared<delve::TensorBoardWriter>(savefile), 1);
  add("console", std::make_shared<delve::ConsoleWriter>(delve::ConsoleOptions{&console}), 1);
  // A picture is a run of gnuplot, so there is one now and then.
  add("plot", std::make_shared<delve::PlotWriter>(savefile), settings.epochs_per_picture);

  torch::nn::Sequential model(torch::nn::Linear(6, 5), torch::nn::Linear(5, 4));
  std::vector<double> memory;
  std::vector<double> own_times;
  const std::ptrdiff_t files_before = open_files();
  std::ptrdiff_t files_after = 0;
  {
    delve::CheckLayerSat<> tracker("unused", std::vector<std::string>(), model,
                                   delve::CheckLayerSatOptions().stats({"lsat", "idim", "trc"}));
    for (int epoch = 0; epoch < settings.epochs; ++epoch) {
      const torch::NoGradGuard no_grad;
      model->forward(torch::randn({100, 6}));
      tracker.add_scalar("accuracy", epoch / 1e4);
      delve::EpochRecord record;
      own_times.push_back(benchmarks::seconds([&] { record = tracker.add_saturations(); }));
      for (const auto& [name, writer] : writers) writer->write(record);
      memory.push_back(resident_bytes());
    }
    for (const auto& [name, writer] : writers) writer->close();
    files_after = open_files();
    for (const std::string& problem : tracker.problems()) fmt::print("problem: {}\n", problem);
  }

  const std::size_t warm = memory.size() / 10;
  fmt::print("{} epochs, seed 0, {} layers of one mode, 3 statistics\n", settings.epochs, 2);
  fmt::print(
      "resident memory: {:.1f} MiB after {} epochs, {:.1f} MiB at the end, {:.0f} bytes an "
      "epoch\n",
      memory[warm] / 0x1p20, warm, memory.back() / 0x1p20, slope(memory, warm));
  fmt::print("open files: {} before, {} after\n", files_before, files_after);
  fmt::print("ms an epoch      first tenth   last tenth\n");
  const auto print = [](const std::string& name, const std::vector<double>& times) {
    const std::size_t tenth = std::max<std::size_t>(times.size() / 10, 1);
    fmt::print("{:14} {:13.3f} {:12.3f}\n", name, mean_of(times, 0, tenth),
               mean_of(times, times.size() - tenth, times.size()));
  };
  print("tracker", own_times);
  for (const auto& [name, writer] : writers) print(name, writer->times());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What grows with the number of epochs.", "benchmark_soak");
  Settings settings;
  app.add_option("--output", settings.output, "Folder of the files; it is emptied")
      ->capture_default_str();
  app.add_option("--epochs", settings.epochs, "Epochs")
      ->check(CLI::Range(20, 1000000))
      ->capture_default_str();
  app.add_option("--epochs-per-picture", settings.epochs_per_picture, "Every which one is drawn")
      ->check(examples::at_least_one())
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    soak(settings);
  });
}
