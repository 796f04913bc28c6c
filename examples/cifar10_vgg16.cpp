// SPDX-License-Identifier: MIT

// Trains VGG16 on CIFAR-10, or on Fashion-MNIST where that is what there is, and reports after each
// epoch how much of their space its 16 layers fill. What concerns delve are the lines with
// `tracker`.

#include <array>       // std::array
#include <cstddef>     // std::size_t
#include <cstdint>     // std::int64_t, std::uint64_t
#include <cstdlib>     // EXIT_FAILURE, EXIT_SUCCESS
#include <exception>   // std::exception
#include <filesystem>  // std::filesystem::path
#include <iostream>    // std::cout
#include <limits>      // std::numeric_limits
#include <optional>    // std::optional
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>
#include <torch/cuda.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "autocast.hpp"
#include "data_sets.hpp"
#include "progress.hpp"
#include "vgg.hpp"

namespace {

using examples::Split;

struct Settings {
  std::string data = "auto";
  std::string data_set = "auto";
  std::string model = "vgg16";
  std::filesystem::path output = "runs/vgg16";
  std::string device = "auto";
  bool amp = false;
  bool full = false;
  std::optional<int> given_epochs;
  std::optional<std::int64_t> given_batch_size;
  std::optional<std::size_t> given_train_pictures, given_test_pictures;
  double learning_rate = 1e-4;
  std::uint64_t seed = 0;
  int threads = 0;

  // What is not given is short, so that the example ends within minutes on a laptop.
  [[nodiscard]] int epochs() const { return given_epochs.value_or(full ? 10 : 2); }
  [[nodiscard]] std::int64_t batch_size() const {
    return given_batch_size.value_or(full ? 1024 : 32);
  }
  [[nodiscard]] std::size_t pictures(Split split) const {
    if (split == Split::Train) {
      return given_train_pictures.value_or(full ? examples::kAllPictures : 1000);
    }
    return given_test_pictures.value_or(full ? examples::kAllPictures : 500);
  }
};

void add_options(CLI::App& app, Settings& settings) {
  const CLI::Range at_least_one(1, std::numeric_limits<int>::max());
  std::vector<std::string> keys = {"auto"};
  for (const examples::DataSet& set : examples::data_sets()) keys.push_back(set.key);
  app.add_option("--data", settings.data, "Folder of the pictures; auto: the data set's own")
      ->capture_default_str();
  app.add_option("--dataset", settings.data_set, "Pictures; auto: the first of these that is there")
      ->check(CLI::IsMember(keys))
      ->capture_default_str();
  app.add_option("--model", settings.model, "Model, with or without batch normalisation")
      ->check(CLI::IsMember({"vgg16", "vgg16_bn"}))
      ->capture_default_str();
  app.add_option("--output", settings.output, "Folder for the table and the plots")
      ->capture_default_str();
  app.add_option("--epochs", settings.given_epochs, "Epochs [2; with --full 10]")
      ->check(at_least_one);
  app.add_option("--batch-size", settings.given_batch_size,
                 "Pictures a step [32; with --full 1024]")
      ->check(at_least_one);
  app.add_option("--train-pictures", settings.given_train_pictures,
                 "Use the first N for training [1000; with --full all]")
      ->check(at_least_one);
  app.add_option("--test-pictures", settings.given_test_pictures,
                 "Use the first N for testing [500; with --full all]")
      ->check(at_least_one);
  app.add_flag("--full", settings.full, "A whole training, for a GPU");
  app.add_option("--device", settings.device, "Device; auto: CUDA where there is one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_flag("--amp", settings.amp, "Compute in bfloat16 where that is safe");
  app.add_option("--learning-rate", settings.learning_rate, "Adam's")->capture_default_str();
  app.add_option("--seed", settings.seed, "Of weights, order and dropout")->capture_default_str();
  app.add_option("--threads", settings.threads, "Threads on the CPU; 0: LibTorch decides")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

torch::Device find_device(const std::string& wanted) {
  const bool has_cuda = torch::cuda::is_available();
  if (wanted == "cuda" && !has_cuda) throw std::runtime_error("--device cuda: there is none");
  return wanted == "cpu" || !has_cuda ? torch::kCPU : torch::kCUDA;
}

/// One part of a data set, on the device where it is used.
class Data {
 public:
  Data(const examples::DataSource& source, Split split, std::size_t limit, torch::Device device)
      : mean_(per_channel(source.set.mean).to(device)),
        deviation_(per_channel(source.set.deviation).to(device)) {
    examples::Pictures pictures = source.set.read(source.folder, split, limit);
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
  [[nodiscard]] torch::Device device() const { return labels_.device(); }

  /// What the model gets of the pictures `which`: each channel with mean 0 and deviation 1.
  [[nodiscard]] torch::Tensor inputs(const torch::Tensor& which) const {
    return (pixels_.index_select(0, which).to(torch::kFloat) - mean_) / deviation_;
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

/// Loss and accuracy of what was added so far. Sums stay on the device until they are read.
class Score {
 public:
  void add(const torch::Tensor& loss, const torch::Tensor& outputs, const torch::Tensor& labels) {
    loss_ = loss_ + loss.detach() * labels.size(0);
    hits_ = hits_ + (outputs.argmax(1) == labels).sum();
    pictures_ += labels.size(0);
  }

  [[nodiscard]] std::int64_t pictures() const { return pictures_; }
  [[nodiscard]] double loss() const { return mean(loss_); }
  [[nodiscard]] double accuracy() const { return mean(hits_); }

 private:
  [[nodiscard]] double mean(const torch::Tensor& sum) const {
    return sum.item<double>() / static_cast<double>(pictures_);
  }

  torch::Tensor loss_ = torch::zeros({});
  torch::Tensor hits_ = torch::zeros({}, torch::kLong);
  std::int64_t pictures_ = 0;
};

/// Goes once through the data: trains the model if there is an optimiser, else tests it.
Score run_epoch(examples::VGG& model, const Data& data, torch::optim::Optimizer* optimizer,
                const Settings& settings, const std::string& label) {
  const bool training = optimizer != nullptr;
  model->train(training);
  const torch::AutoGradMode gradients(training);
  const auto order = torch::TensorOptions(torch::kLong);
  const torch::Tensor all =
      training ? torch::randperm(data.size(), order) : torch::arange(data.size(), order);
  // Batches of nearly equal size: a last one of a single picture would make poor batch statistics.
  const std::int64_t batches = (data.size() + settings.batch_size() - 1) / settings.batch_size();

  Score score;
  examples::Progress progress(std::cout, examples::stdout_is_terminal(), label, data.size());
  for (const torch::Tensor& batch : all.to(data.device()).tensor_split(batches)) {
    const torch::Tensor labels = data.labels(batch);
    torch::Tensor outputs;
    {
      const examples::Autocast autocast(data.device(), settings.amp);
      outputs = model->forward(data.inputs(batch)).to(torch::kFloat);
    }
    const torch::Tensor loss = torch::nn::functional::cross_entropy(outputs, labels);
    if (training) {
      optimizer->zero_grad();
      loss.backward();
      optimizer->step();
    }
    score.add(loss, outputs.detach(), labels);
    if (progress.due(score.pictures())) progress.show(score.pictures(), score.loss());
  }
  return score;
}

void run(const Settings& settings) {
  torch::manual_seed(settings.seed);
  if (settings.threads > 0) torch::set_num_threads(settings.threads);
  const torch::Device device = find_device(settings.device);

  const examples::DataSource source = examples::find_data(settings.data, settings.data_set);
  const Data train_data(source, Split::Train, settings.pictures(Split::Train), device);
  const Data test_data(source, Split::Test, settings.pictures(Split::Test), device);
  fmt::print("{} from {}: {} training and {} test pictures\n", source.set.title,
             source.folder.string(), train_data.size(), test_data.size());
  fmt::print("{} on {}{}; epochs: {}, pictures a step: {}\n", settings.model, device.str(),
             settings.amp ? " in bfloat16" : "", settings.epochs(), settings.batch_size());
  if (!settings.full) {
    fmt::print("This is a short run, to see delve at work. --full trains on all pictures.\n");
  }

  examples::VGG model(examples::VGGOptions().batch_norm(settings.model == "vgg16_bn"));
  model->to(device);
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / settings.model).string();
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "console"}, model,
                               delve::CheckLayerSatOptions().stats({"lsat", "idim"}));

  for (int epoch = 0; epoch < settings.epochs(); ++epoch) {
    const std::string label = fmt::format("epoch {}", epoch);
    const Score train = run_epoch(model, train_data, &optimizer, settings, label + " train");
    const Score test = run_epoch(model, test_data, nullptr, settings, label + " test ");
    tracker.add_scalar("train-loss", train.loss());
    tracker.add_scalar("train-accuracy", train.accuracy());
    tracker.add_scalar("test-loss", test.loss());
    tracker.add_scalar("test-accuracy", test.accuracy());
    tracker.add_saturations();
  }
  tracker.close();
  fmt::print("Table:    {0}.csv\nPictures: {0}_*_epoch_*.png\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains VGG16 and reports how much of their space its layers fill.");
  Settings settings;
  add_options(app, settings);
  try {
    app.parse(argc, argv);
    run(settings);
  } catch (const CLI::ParseError& error) {  // --help, too, is one
    return app.exit(error) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const c10::Error& error) {
    fmt::print(stderr, "cifar10_vgg16: {}\n", error.what_without_backtrace());
    return EXIT_FAILURE;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cifar10_vgg16: {}\n", error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
