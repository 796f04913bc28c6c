// SPDX-License-Identifier: MIT

// What receptive fields cost before a training: beside a plain forward, in turns.

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/receptive_field.hpp>

#include "measure.hpp"
#include "program.hpp"
#include "resnet.hpp"

namespace {

using benchmarks::median;

void measure(std::string_view name, bool early_downsampling, std::int64_t size, int rounds) {
  examples::ResNet18 model(examples::ResNetOptions().early_downsampling(early_downsampling));
  model->eval();
  const torch::Tensor input = torch::randn({1, 3, size, size});
  std::vector<double> plain, found;
  std::size_t removals = 0;
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(benchmarks::seconds([&] {
      const torch::NoGradGuard no_grad;
      model->forward(input);
    }));
    found.push_back(benchmarks::seconds(
        [&] { removals = delve::receptive_fields(model, input).removals.size(); }));
  }
  fmt::print("| {}, {} px | {:.1f} | {:.1f} | {} | {:.2f} |\n", name, size, median(plain) * 1e3,
             median(found) * 1e3, 2 + removals,
             median(found) / median(plain) / static_cast<double>(2 + removals));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What receptive fields cost.", "benchmark_fields");
  int rounds = 21;
  app.add_option("--rounds", rounds, "Rounds; medians are printed")->capture_default_str();
  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    fmt::print(
        "| ms (LibTorch {}, {} threads) | forward | receptive_fields() | forwards in it | "
        "each, to a plain one |\n| --- | --- | --- | --- | --- |\n",
        TORCH_VERSION, torch::get_num_threads());
    measure("ResNet18", true, 32, rounds);
    measure("ResNet18 without early downsampling", false, 32, rounds);
    measure("ResNet18", true, 224, rounds);
  });
}
