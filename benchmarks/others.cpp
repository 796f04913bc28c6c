// SPDX-License-Identifier: MIT

// What other ways to look at layers take in the hooks of VGG16, beside the tracker: all of them on
// the outputs of the same forwards, in turns, by the same LibTorch. They are written as their
// users, or their tools, do it in Python.

#include <cstdint>     // std::int64_t
#include <functional>  // std::function
#include <map>         // std::map
#include <memory>      // std::make_shared, std::shared_ptr
#include <string>      // std::string
#include <vector>      // std::vector

#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/detail/tracking/observed_layer.hpp>

#include "calls.hpp"
#include "measure.hpp"
#include "program.hpp"
#include "vgg.hpp"

namespace {

struct OtherSettings {
  std::int64_t batch = 128;
  int rounds = 20;
};

/// The rows (n, d) that Delve and the tracker look at: each position of a map is one.
torch::Tensor rows_of(const torch::Tensor& output) {
  return output.dim() == 4 ? output.permute({0, 2, 3, 1}).flatten(0, 2) : output;
}

/// Something that is done with the output of each layer of a forward.
struct Way {
  std::string name;
  std::function<void(std::size_t layer, const delve::ForwardCall& call)> take;
};

std::vector<Way> ways(const examples::VGG& model) {
  using Layer = delve::detail::ObservedLayer<double>;
  const auto observation =
      std::make_shared<delve::detail::Observation>(delve::CheckLayerSatOptions().nosave(true));
  auto layers = std::make_shared<std::vector<std::shared_ptr<Layer>>>();
  for (const delve::FoundLayer& layer : delve::find_layers(model)) {
    if (layer.kind != nullptr) layers->push_back(std::make_shared<Layer>(layer, observation));
  }
  const auto kept = std::make_shared<std::map<std::size_t, torch::Tensor>>();
  return {
      {"delve-cpp", [layers](std::size_t i, const auto& call) { (*layers)[i]->take(call); }},
      {"torch.cov of each batch",
       [kept](std::size_t i, const auto& call) {
         (*kept)[i] = torch::cov(rows_of(call.outputs[0]).t());
       }},
      {"outputs kept on the host",
       [kept](std::size_t i, const auto& call) {
         (*kept)[i] = call.outputs[0].to(torch::kCPU, torch::kFloat, /*non_blocking=*/false,
                                         /*copy=*/true);
       }},
      {"a histogram of each output",
       [kept](std::size_t i, const auto& call) {
         const torch::Tensor& output = call.outputs[0];
         (*kept)[i] = torch::histc(output, 64, output.min().item(), output.max().item());
       }},
      {"mean and deviation of each output",
       [kept](std::size_t i, const auto& call) {
         const torch::Tensor& output = call.outputs[0];
         (*kept)[i] = torch::stack({output.mean(), output.std()});
       }},
  };
}

void run(const OtherSettings& settings) {
  torch::manual_seed(0);
  examples::VGG model;
  const torch::Tensor pictures = torch::randn({settings.batch, 3, 32, 32});
  const std::vector<delve::ForwardCall> calls = benchmarks::calls_of(model, pictures);
  const std::vector<Way> all = ways(model);
  std::vector<std::vector<double>> times(all.size());
  std::vector<double> sums(all.size());
  const torch::NoGradGuard no_grad;
  for (int round = -1; round < settings.rounds; ++round) {
    for (std::size_t way = 0; way < all.size(); ++way) {
      const double taken = benchmarks::seconds([&] {
        for (std::size_t i = 0; i < calls.size(); ++i) all[way].take(i, calls[i]);
      });
      if (round < 0) continue;
      times[way].push_back(taken);
      sums[way] += taken;
    }
  }
  for (std::size_t way = 0; way < all.size(); ++way) {
    // The tracker sums what has waited now and then, so that the mean is fair to it.
    benchmarks::Line("hooks of a forward")
        .add("way", all[way].name)
        .add("batch", static_cast<int>(settings.batch))
        .add("mean", sums[way] / settings.rounds)
        .add("median", benchmarks::median(times[way]))
        .add("beside_delve_cpp", sums[way] / sums[0])
        .print();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures other ways to look at layers beside the tracker.", "benchmark_others");
  OtherSettings settings;
  app.add_option("--batch", settings.batch, "Pictures a step")->capture_default_str();
  app.add_option("--rounds", settings.rounds, "Forwards")->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
