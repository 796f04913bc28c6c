// SPDX-License-Identifier: MIT
#pragma once

// What the examples that train on pictures have in common.

#include <array>      // std::array
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <iostream>   // std::cout
#include <stdexcept>  // std::logic_error, std::runtime_error
#include <string>     // std::string
#include <utility>    // std::pair
#include <vector>     // std::vector

#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/optimizer.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>

#include "data_sets.hpp"
#include "program.hpp"
#include "progress.hpp"

namespace examples {

struct PictureSettings : Settings {
  std::string data = "auto";
  std::string data_set = "auto";
  std::string device = "auto";
  std::int64_t batch_size = 32;
  std::size_t train_pictures = 1000;
  std::size_t test_pictures = 500;
};

/// How many kinds of picture there are: ten, in each of the data sets.
constexpr std::int64_t kClasses = 10;

inline void add_options(CLI::App& app, PictureSettings& settings) {
  std::vector<std::string> keys = {"auto"};
  for (const DataSet& set : data_sets()) keys.push_back(set.key);
  app.add_option("--data", settings.data, "Folder of the pictures; auto: the data set's own")
      ->capture_default_str();
  app.add_option("--dataset", settings.data_set, "Pictures; auto: the first of these that is there")
      ->check(CLI::IsMember(keys))
      ->capture_default_str();
  app.add_option("--train-pictures", settings.train_pictures, "Use the first N for training")
      ->check(at_least_one())
      ->capture_default_str();
  app.add_option("--test-pictures", settings.test_pictures, "Use the first N for testing")
      ->check(at_least_one())
      ->capture_default_str();
  app.add_option("--batch-size", settings.batch_size, "Pictures a step")
      ->check(at_least_one())
      ->capture_default_str();
  app.add_option("--device", settings.device, "Device; auto: CUDA where there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  add_options(app, static_cast<Settings&>(settings));
}

inline void add_probe_option(CLI::App& app, bool& probe) {
  app.add_flag("--probe", probe, "Report what a linear probe on each layer achieves, too");
}

inline torch::Device find_device(const std::string& wanted) {
  const bool has_cuda = torch::cuda::is_available();
  if (wanted == "cuda" && !has_cuda) throw std::runtime_error("--device cuda: there is none");
  return wanted == "cpu" || !has_cuda ? torch::kCPU : torch::kCUDA;
}

/// One part of a data set, on the device where it is used.
class Data {
 public:
  Data(const DataSource& source, Split split, std::size_t limit, torch::Device device)
      : mean_(per_channel(source.set.mean).to(device)),
        deviation_(per_channel(source.set.deviation).to(device)) {
    Pictures pictures = source.set.read(source.folder, split, limit);
    if (pictures.size() == 0) {
      throw std::runtime_error(fmt::format("there are no pictures in {}", source.folder.string()));
    }
    const auto sizes = [&] {
      std::vector<std::int64_t> result;
      for (const std::size_t size :
           {pictures.size(), pictures.channels, pictures.height, pictures.width}) {
        result.push_back(static_cast<std::int64_t>(size));
      }
      return result;
    }();
    pixels_ = torch::from_blob(pictures.pixels.data(), sizes, torch::kByte).clone().to(device);
    labels_ = torch::from_blob(pictures.labels.data(), sizes[0], torch::kByte)
                  .to(torch::TensorOptions(device).dtype(torch::kLong));
  }

  [[nodiscard]] std::int64_t size() const { return labels_.size(0); }
  [[nodiscard]] std::int64_t channels() const { return pixels_.size(1); }
  [[nodiscard]] std::int64_t height() const { return pixels_.size(2); }
  [[nodiscard]] std::int64_t width() const { return pixels_.size(3); }
  [[nodiscard]] torch::Device device() const { return labels_.device(); }

  /// The pictures `which`, N × 3 × H × W, each channel with mean 0 and deviation 1.
  [[nodiscard]] torch::Tensor inputs(const torch::Tensor& which) const {
    return (pixels_.index_select(0, which).to(torch::kFloat) - mean_) / deviation_;
  }
  /// The pictures `which` without their colours, N × H × W, from 0, black, to 1, white.
  [[nodiscard]] torch::Tensor greys(const torch::Tensor& which) const {
    return pixels_.index_select(0, which).to(torch::kFloat).mean(1) / 255;
  }
  [[nodiscard]] torch::Tensor labels(const torch::Tensor& which) const {
    return labels_.index_select(0, which);
  }

 private:
  static torch::Tensor per_channel(const std::array<float, 3>& share) {
    return torch::tensor({share[0], share[1], share[2]}).mul(255).view({3, 1, 1});
  }

  torch::Tensor mean_, deviation_;  // 3 × 1 × 1, 0 … 255
  torch::Tensor pixels_;            // N × 3 × H × W, bytes
  torch::Tensor labels_;            // N
};

struct TrainAndTest {
  Data train, test;
};

/// Reads the pictures that the settings name onto the device that they name, and says so.
inline TrainAndTest read_data(const PictureSettings& settings) {
  const torch::Device device = find_device(settings.device);
  const DataSource source = find_data(settings.data, settings.data_set);
  TrainAndTest data{Data(source, Split::Train, settings.train_pictures, device),
                    Data(source, Split::Test, settings.test_pictures, device)};
  fmt::print("{} from {}: {} training and {} test pictures\n", source.set.title,
             source.folder.string(), data.train.size(), data.test.size());
  return data;
}

/// Means over the pictures of an epoch, by name. Sums stay on the device until they are read.
class Score {
 public:
  /// Adds a sum over the pictures of a batch.
  void add(const std::string& name, const torch::Tensor& sum) {
    for (auto& [known, total] : sums_) {
      if (known != name) continue;
      total = total.defined() ? total + sum.detach() : sum.detach();
      return;
    }
    sums_.emplace_back(name, sum.detach());
  }
  void add_pictures(std::int64_t count) { pictures_ += count; }

  [[nodiscard]] std::int64_t pictures() const { return pictures_; }
  [[nodiscard]] double mean(const std::string& name) const {
    for (const auto& [known, total] : sums_) {
      if (known == name) return total.item<double>() / static_cast<double>(pictures_);
    }
    throw std::logic_error("there is no score " + name);
  }

  /// Gives all means to a tracker: "train-loss", "train-accuracy" if the prefix is "train".
  template <typename Tracker>
  void report(const std::string& prefix, Tracker& tracker) const {
    for (const auto& [name, total] : sums_) tracker.add_scalar(prefix + "-" + name, mean(name));
  }

 private:
  // The loss comes first in tables.
  std::vector<std::pair<std::string, torch::Tensor>> sums_ = {{"loss", {}}};
  std::int64_t pictures_ = 0;
};

/// The mean cross entropy of class scores, N × classes. Counts the hits among them as "accuracy".
inline torch::Tensor classification_loss(const torch::Tensor& class_scores,
                                         const torch::Tensor& labels, Score& score) {
  score.add("accuracy", (class_scores.argmax(1) == labels).sum());
  return torch::nn::functional::cross_entropy(class_scores, labels);
}

/// Goes once through the data: trains the model if there is an optimiser, else tests it.
/// @param loss_of is given the numbers of a batch's pictures, and the score of the epoch, to which
///   it may add; returns the batch's mean loss, which comes into the score as "loss"
template <typename Model, typename LossOf>
Score run_epoch(Model& model, const Data& data, torch::optim::Optimizer* optimizer,
                std::int64_t batch_size, const std::string& label, const LossOf& loss_of) {
  const bool training = optimizer != nullptr;
  model->train(training);
  const torch::AutoGradMode gradients(training);
  const auto order = torch::TensorOptions(torch::kLong);
  const torch::Tensor all =
      training ? torch::randperm(data.size(), order) : torch::arange(data.size(), order);
  // Batches of nearly equal size: a last one of a single picture would make poor batch statistics.
  const std::int64_t batches = (data.size() + batch_size - 1) / batch_size;

  Score score;
  Progress progress(std::cout, stdout_is_terminal(), label, data.size());
  for (const torch::Tensor& batch : all.to(data.device()).tensor_split(batches)) {
    const torch::Tensor loss = loss_of(batch, score);
    if (training) {
      optimizer->zero_grad();
      loss.backward();
      optimizer->step();
    }
    score.add("loss", loss * batch.size(0));
    score.add_pictures(batch.size(0));
    if (progress.due(score.pictures())) progress.show(score.pictures(), score.mean("loss"));
  }
  return score;
}

/// Has the learning rate fall evenly, from `rate` to nothing at the end of the last epoch.
inline void decay_learning_rate(torch::optim::Optimizer& optimizer, double rate, int epoch,
                                int epochs) {
  for (torch::optim::OptimizerParamGroup& group : optimizer.param_groups()) {
    group.options().set_lr(rate * (1 - (epoch + 0.5) / epochs));
  }
}

/// The same for a model that gives class scores of a batch's pictures. The tracker is told what
/// they show.
template <typename Model, typename Tracker>
Score run_classification_epoch(Model& model, const Data& data, torch::optim::Optimizer* optimizer,
                               std::int64_t batch_size, const std::string& label,
                               Tracker& tracker) {
  return run_epoch(model, data, optimizer, batch_size, label,
                   [&](const torch::Tensor& batch, Score& score) {
                     const torch::Tensor classes = data.labels(batch);
                     const auto labels = tracker.labels(classes);
                     return classification_loss(model->forward(data.inputs(batch)), classes, score);
                   });
}

}  // namespace examples
