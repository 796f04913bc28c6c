// SPDX-License-Identifier: MIT

// What it takes to sum an epoch of VGG16 over the processes of one machine, by Gloo:
//
//   DISTRIBUTED=build/release/benchmarks/benchmark_ranks bash examples/run_distributed.sh 2

#include <chrono>      // std::chrono
#include <cstdint>     // std::int64_t, std::uint16_t
#include <cstdlib>     // EXIT_SUCCESS
#include <functional>  // std::function

#include <fmt/format.h>
#include <torch/torch.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>

#include "gloo_group.hpp"
#include "vgg.hpp"

namespace {

double seconds_of(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  int rank = 0;
  int ranks = 1;
  std::uint16_t port = 29500;
  int rounds = 3;
  CLI::App app("One process of several; run_distributed.sh starts them all.", "benchmark_ranks");
  app.add_option("--rank", rank, "Which of the processes this is");
  app.add_option("--ranks", ranks, "How many there are");
  app.add_option("--port", port, "A free port of this machine");
  app.add_option("--rounds", rounds, "How often")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  torch::set_num_threads(1);
  torch::manual_seed(rank);
  const torch::NoGradGuard no_grad;
  const auto group = examples::GlooGroup::at_port(port, rank, ranks, std::chrono::minutes(5));
  examples::VGG model{examples::VGGOptions()};
  model->train();
  std::int64_t bytes = 0;
  double summing = 0;
  const auto options = delve::CheckLayerSatOptions().nosave(true);
  delve::CheckLayerSat alone("unused", "csv", model, options);
  alone.stop();
  delve::CheckLayerSat together(
      "unused", "csv", model,
      delve::CheckLayerSatOptions(options).rank(rank).sum_over_ranks([&](torch::Tensor& tensor) {
        bytes += static_cast<std::int64_t>(tensor.nbytes());
        summing += seconds_of([&] { group.sum(tensor); });
      }));
  together.stop();
  const torch::Tensor pictures = torch::randn({64, 3, 32, 32});
  fmt::print("{} processes, VGG16, one mode; seconds of add_saturations(), of rank {}\n", ranks,
             rank);
  for (int round = 0; round < rounds; ++round) {
    // Waits until all are here, so that nobody's wait for the others is counted.
    const auto report = [&](delve::CheckLayerSat<>& tracker) {
      tracker.resume();
      for (int i = 0; i < 3; ++i) model->forward(pictures);
      tracker.stop();
      group.sum(torch::zeros({1}));
      return seconds_of([&] { tracker.add_saturations(); });
    };
    const double own = report(alone);
    bytes = 0;
    summing = 0;
    const double all = report(together);
    fmt::print("own data {:.2f}, of all {:.2f}; of it in the function {:.2f}, for {:.1f} MB\n", own,
               all, summing, static_cast<double>(bytes) / 1e6);
  }
  return EXIT_SUCCESS;
}
