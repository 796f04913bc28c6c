// SPDX-License-Identifier: MIT

// Trains an auto-encoder of two LSTMs that also classifies. It reads a picture as a sequence of
// rows, of which the first LSTM makes a code; from the code alone the second one writes the rows
// again, and a linear layer tells the class.

#include <cstdint>  // std::int64_t
#include <string>   // std::string
#include <tuple>    // std::get

#include <fmt/format.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/pimpl.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "training.hpp"

namespace {

constexpr std::int64_t kClasses = 10;

struct SequenceSettings : examples::PictureSettings {
  std::int64_t units = 64;
  std::string timesteps = "every";
};

struct Reading {
  torch::Tensor rows;          // N × T × D, the sequence again
  torch::Tensor class_scores;  // N × kClasses
};

class ClassAutoEncoderImpl : public torch::nn::Module {
 public:
  ClassAutoEncoderImpl(std::int64_t features, std::int64_t units)
      : encoder_(torch::nn::LSTMOptions(features, units).batch_first(true)),
        decoder_(torch::nn::LSTMOptions(units, units).batch_first(true)),
        rows_(units, features),
        classes_(units, kClasses) {
    register_module("encoder", encoder_);
    register_module("decoder", decoder_);
    register_module("rows", rows_);
    register_module("classes", classes_);
  }

  /// Of sequences of T steps of D features, N × T × D.
  Reading forward(const torch::Tensor& sequences) {
    const auto [outputs, state] = encoder_->forward(sequences);
    const torch::Tensor code = std::get<0>(state)[0];  // N × units
    // The decoder is shown nothing but the code, at each step.
    const torch::Tensor repeated = code.unsqueeze(1).expand({-1, sequences.size(1), -1});
    return {rows_->forward(std::get<0>(decoder_->forward(repeated))), classes_->forward(code)};
  }

 private:
  torch::nn::LSTM encoder_, decoder_;
  torch::nn::Linear rows_, classes_;
};
TORCH_MODULE(ClassAutoEncoder);

void run(const SequenceSettings& settings) {
  examples::apply(settings);
  const auto [train_data, test_data] = examples::read_data(settings);
  ClassAutoEncoder model(train_data.width(), settings.units);
  model->to(train_data.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / "lstm_autoencoder").string();
  const auto method = settings.timesteps == "every" ? delve::TimeseriesMethod::EveryTimestep
                                                    : delve::TimeseriesMethod::LastTimestep;
  delve::CheckLayerSat tracker(
      savefile, {"plotcsv", "console"}, model,
      delve::CheckLayerSatOptions().stats({"lsat", "idim"}).timeseries_method(method));

  const auto run_epoch = [&](const examples::Data& data, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_epoch(
        model, data, trained_by, settings.batch_size, label,
        [&](const torch::Tensor& batch, examples::Score& score) {
          const torch::Tensor sequences = data.inputs(batch).mean(1);  // without the colours
          const Reading reading = model->forward(sequences);
          const torch::Tensor error = torch::nn::functional::mse_loss(reading.rows, sequences);
          score.add("reconstruction-error", error * batch.size(0));
          return error +
                 examples::classification_loss(reading.class_scores, data.labels(batch), score);
        });
  };
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::string label = fmt::format("epoch {}", epoch);
    run_epoch(train_data, &optimizer, label + " train").report("train", tracker);
    run_epoch(test_data, nullptr, label + " test ").report("test", tracker);
    tracker.add_saturations();
  }
  tracker.close();
  fmt::print("Table:    {0}.csv\nPictures: {0}_*_epoch_*.png\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains an auto-encoder of LSTMs that also classifies.", "lstm_autoencoder");
  SequenceSettings settings;
  settings.output = "runs/lstm_autoencoder";
  settings.epochs = 5;
  examples::add_options(app, settings);
  app.add_option("--units", settings.units, "Units of each LSTM, and size of the code")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_option("--timesteps", settings.timesteps,
                 "Which timesteps of the LSTMs are data points: every one, or each series' last")
      ->check(CLI::IsMember({"every", "last"}))
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
