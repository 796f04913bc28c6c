// SPDX-License-Identifier: MIT

// What small models pay, whose own work is little: forward and backward without a tracker, with
// one, and with one that records one of eight forwards, in turns.

#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <tuple>        // std::get
#include <vector>       // std::vector

#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>

#include "measure.hpp"
#include "program.hpp"

namespace {

using benchmarks::median;

struct Subject {
  std::string name;
  delve::Modules model;
  std::function<void()> step;  // forward and backward
};

Subject linear(std::int64_t width, int layers, std::int64_t batch) {
  torch::nn::Sequential model;
  for (int i = 0; i < layers; ++i) model->push_back(torch::nn::Linear(width, width));
  const torch::Tensor input = torch::randn({batch, width});
  return {fmt::format("Linear({0}, {0}) × {1}, batch {2}", width, layers, batch), model,
          [model, input]() mutable { model->forward(input).sum().backward(); }};
}

Subject lstm(std::int64_t width, std::int64_t batch) {
  torch::nn::LSTMCell cell(width, width);
  const torch::Tensor input = torch::randn({batch, width});
  return {fmt::format("LSTMCell({0}, {0}), batch {1}", width, batch), cell,
          [cell, input]() mutable { std::get<0>(cell->forward(input)).sum().backward(); }};
}

/// As in PPO: a policy and a value of two hidden layers.
Subject policy(std::int64_t batch) {
  torch::nn::Sequential model(torch::nn::Linear(8, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 4));
  const torch::Tensor input = torch::randn({batch, 8});
  return {fmt::format("policy 8-64-64-4, batch {}", batch), model,
          [model, input]() mutable { model->forward(input).sum().backward(); }};
}

void measure(Subject subject, int rounds) {
  constexpr int kStepsOfRound = 200;
  const auto options = [] {
    return delve::CheckLayerSatOptions().nosave(true).on_warning([](std::string_view) {});
  };
  delve::CheckLayerSat<> all("", "csv", subject.model, options());
  delve::CheckLayerSat<> eighth("", "csv", subject.model, options().log_interval(8));
  all.stop();
  eighth.stop();
  const auto time = [&] {
    subject.step();  // makes the table of hooks anew
    return benchmarks::seconds([&] {
             for (int i = 0; i < kStepsOfRound; ++i) subject.step();
           }) /
           kStepsOfRound * 1e6;
  };
  time();
  std::vector<double> plain, tracked, sampled;
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(time());
    all.resume();
    tracked.push_back(time());
    all.stop();
    eighth.resume();
    sampled.push_back(time());
    eighth.stop();
  }
  fmt::print("| {} | {:.0f} | {:.0f} ({:.2f}) | {:.0f} ({:.2f}) |\n", subject.name, median(plain),
             median(tracked), median(tracked) / median(plain), median(sampled),
             median(sampled) / median(plain));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What small models pay.", "benchmark_small");
  int rounds = 21;
  app.add_option("--rounds", rounds, "Rounds of 200 steps; medians are printed")
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    fmt::print(
        "| forward and backward, µs (LibTorch {}, {} threads) | plain | tracked | one of 8 |\n",
        TORCH_VERSION, torch::get_num_threads());
    fmt::print("| --- | --- | --- | --- |\n");
    for (const std::int64_t batch : {1, 32, 512}) {
      for (const int layers : {1, 16}) measure(linear(16, layers, batch), rounds);
    }
    for (const std::int64_t batch : {1, 64}) measure(lstm(64, batch), rounds);
    for (const std::int64_t batch : {1, 256}) measure(policy(batch), rounds);
  });
}
