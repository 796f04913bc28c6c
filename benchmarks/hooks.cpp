// SPDX-License-Identifier: MIT

// What hooks cost beside what they do: nothing while the tracker is stopped, little while it
// records.

#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <memory>       // std::unique_ptr
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <ATen/record_function.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/check_layer_sat.hpp>

#include "measure.hpp"
#include "program.hpp"

namespace {

constexpr std::int64_t kWidth = 8;
constexpr std::int64_t kBatch = 8;

/// Many layers in which as good as nothing is computed, so that hooks are most of what there is.
class Chain {
 public:
  explicit Chain(int layers) {
    for (int i = 0; i < layers; ++i) model_->push_back(torch::nn::Linear(kWidth, kWidth));
  }

  [[nodiscard]] const torch::nn::Sequential& model() const { return model_; }

  void forward() {
    const torch::NoGradGuard no_grad;
    model_->forward(input_);
  }

  void forward_and_backward() { model_->forward(input_).sum().backward(); }

 private:
  torch::nn::Sequential model_;
  torch::Tensor input_ = torch::randn({kBatch, kWidth});
};

delve::CheckLayerSatOptions quiet() {
  return delve::CheckLayerSatOptions().nosave(true).on_warning([](std::string_view) {});
}

/// A callback that does nothing, for as long as it lives: what LibTorch takes to call one.
class BareCallback {
 public:
  BareCallback()
      : handle_(at::addGlobalCallback(
            at::RecordFunctionCallback([](const at::RecordFunction&)
                                           -> std::unique_ptr<at::ObserverContext> {
              return nullptr;
            }).scopes({at::RecordScope::FUNCTION}))) {}
  BareCallback(const BareCallback&) = delete;
  BareCallback& operator=(const BareCallback&) = delete;
  ~BareCallback() { at::removeCallback(handle_); }

 private:
  at::CallbackHandle handle_;
};

/// The same steps without a callback, under a bare one and under a tracker, in turns. A round has
/// many steps, so that waiting rows are summed in each as often as in any other.
void measure_recording(int layers, int steps, std::string_view pass,
                       const std::function<void(Chain&)>& step) {
  constexpr int kStepsOfRound = 100;
  Chain chain(layers);
  std::vector<double> plain, bare, tracked;
  delve::CheckLayerSat<> tracker("", "csv", chain.model(), quiet());
  const auto time = [&] {
    return benchmarks::seconds([&] {
             for (int i = 0; i < kStepsOfRound; ++i) step(chain);
           }) /
           kStepsOfRound;
  };
  time();  // for memory that is had only once
  for (int done = 0; done < steps; done += kStepsOfRound) {
    tracker.stop();
    plain.push_back(time());
    {
      const BareCallback callback;
      bare.push_back(time());
    }
    tracker.resume();
    step(chain);  // makes the table of hooks anew
    tracked.push_back(time());
  }
  benchmarks::Line("recording")
      .add("pass", pass)
      .add("layers", layers)
      .add("steps", steps)
      .add("plain", plain)
      .add("bare", bare)
      .add("tracked", tracked)
      .print();
}

void measure_stopped() {
  Chain chain(2);
  delve::CheckLayerSat<> tracker("", "csv", chain.model(), quiet());
  chain.forward();
  const bool while_recording = at::hasGlobalCallbacks();
  tracker.stop();
  benchmarks::Line("stopped")
      .add("callbacks_while_recording", while_recording)
      .add("callbacks", at::hasGlobalCallbacks())
      .print();
}

}  // namespace

/// What run.sh has valgrind count, by its name.
extern "C" __attribute__((noinline)) void delve_benchmark_counted(Chain* chain, int steps) {
  for (int i = 0; i < steps; ++i) chain->forward_and_backward();
}

namespace {

/// Steps to be counted from outside, under a tracker, under one that was stopped, under a callback
/// that does nothing, or without any of them.
void run_counted(int layers, int steps, std::string_view state) {
  torch::set_num_threads(1);
  Chain chain(layers);
  std::optional<delve::CheckLayerSat<>> tracker;
  std::optional<BareCallback> callback;
  if (state == "stopped" || state == "recording") {
    tracker.emplace("", "csv", chain.model(), quiet());
  }
  chain.forward_and_backward();
  if (state == "stopped") tracker->stop();
  if (state == "bare") callback.emplace();
  chain.forward_and_backward();
  delve_benchmark_counted(&chain, steps);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What hooks cost.", "benchmark_hooks");
  app.require_subcommand(1);
  std::function<void()> measure;
  int layers = 200;
  int steps = 1000;

  app.add_subcommand("stopped", "Whether LibTorch has a callback while the tracker is stopped")
      ->callback([&] { measure = [&] { measure_stopped(); }; });

  CLI::App* recording = app.add_subcommand("recording", "Time a hook");
  recording->add_option("--layers", layers, "Layers of the model")->capture_default_str();
  recording->add_option("--steps", steps, "Steps, in hundreds")->capture_default_str();
  recording->callback([&] {
    measure = [&] {
      measure_recording(layers, steps, "forward", [](Chain& chain) { chain.forward(); });
      measure_recording(layers, steps, "forward and backward",
                        [](Chain& chain) { chain.forward_and_backward(); });
    };
  });

  std::string state = "untracked";
  CLI::App* counted = app.add_subcommand("counted", "Steps whose instructions valgrind counts");
  counted->add_option("--layers", layers, "Layers of the model");
  counted->add_option("--steps", steps, "Steps");
  counted->add_option("--state", state, "Under what")
      ->check(CLI::IsMember({"untracked", "bare", "stopped", "recording"}))
      ->capture_default_str();
  counted->callback([&] { measure = [&] { run_counted(layers, steps, state); }; });

  return examples::run_program(app, argc, argv, [&] {
    torch::manual_seed(0);
    measure();
  });
}
