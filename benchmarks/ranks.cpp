// SPDX-License-Identifier: MIT

// What it takes to sum an epoch of VGG16 over the processes of one machine, by Gloo:
//
//   DISTRIBUTED=build/release/benchmarks/benchmark_ranks bash examples/run_distributed.sh 2

#include <chrono>   // std::chrono::minutes
#include <cstdint>  // std::int64_t, std::uint16_t
#include <cstdlib>  // EXIT_SUCCESS
#include <map>      // std::map
#include <string>   // std::string

#include <fmt/format.h>
#include <torch/torch.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>
#include <delve/layers.hpp>

#include "gloo_group.hpp"
#include "measure.hpp"
#include "vgg.hpp"

int main(int argc, char** argv) {
  int rank = 0;
  int ranks = 1;
  std::uint16_t port = 29500;
  int rounds = 2;
  CLI::App app("One process of several; run_distributed.sh starts them all.", "benchmark_ranks");
  app.add_option("--rank", rank, "Which of the processes this is");
  app.add_option("--ranks", ranks, "How many there are");
  app.add_option("--port", port, "A free port of this machine");
  app.add_option("--rounds", rounds, "How often")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  torch::set_num_threads(1);
  torch::manual_seed(rank);
  const auto group = examples::GlooGroup::at_port(port, rank, ranks, std::chrono::minutes(5));
  // The layers of VGG16, each with twice as many data points as it has dimensions.
  const torch::nn::Linear unused(1, 1);
  std::map<std::string, torch::Tensor> rows;
  const examples::VGG model;
  for (const delve::FoundLayer& layer : delve::find_layers(model)) {
    if (layer.kind == nullptr) continue;
    const std::int64_t width = layer.kind->weight(layer.module).size(0);
    const torch::Tensor scale = torch::arange(1, width + 1, torch::kFloat).rsqrt();
    rows[layer.name] = torch::randn({2 * width, width}) * scale;
  }
  std::int64_t bytes = 0;
  double summing = 0;
  const auto options = delve::CheckLayerSatOptions().nosave(true);
  delve::CheckLayerSat alone("unused", "csv", unused, options);
  delve::CheckLayerSat together(
      "unused", "csv", unused,
      delve::CheckLayerSatOptions(options).rank(rank).sum_over_ranks([&](torch::Tensor& tensor) {
        bytes += static_cast<std::int64_t>(tensor.nbytes());
        summing += benchmarks::seconds([&] { group.sum(tensor); });
      }));
  fmt::print("{} processes, {} layers, one mode; seconds of add_saturations(), of rank {}\n", ranks,
             rows.size(), rank);
  for (int round = 0; round < rounds; ++round) {
    // Waits until all are here, so that nobody's wait for the others is counted.
    const auto report = [&](delve::CheckLayerSat<>& tracker) {
      for (const auto& [name, data] : rows) tracker.observe(name, data, delve::Mode::Train);
      group.sum(torch::zeros({1}));
      return benchmarks::seconds([&] { tracker.add_saturations(); });
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
