// SPDX-License-Identifier: MIT

// Trains VGG11 in several processes of this machine, each on its share of every batch, with their
// gradients averaged by Gloo, and tracks all of their data as one: bash examples/run_distributed.sh
// 4

#include <chrono>   // std::chrono::minutes
#include <cstdint>  // std::int64_t, std::uint16_t, std::uint64_t
#include <string>   // std::string
#include <vector>   // std::vector

#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "gloo_group.hpp"
#include "training.hpp"
#include "vgg.hpp"

namespace {

struct DistributedSettings : examples::PictureSettings {
  int rank = 0;
  int ranks = 1;
  std::uint16_t port = 29500;
};

/// The mean gradient of all processes, in one sum.
void average_gradients(const examples::VGG& model, const examples::GlooGroup& group, int ranks) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& parameter : model->parameters()) {
    flat.push_back(parameter.grad().flatten());
  }
  torch::Tensor all = torch::cat(flat).cpu();
  group.sum(all);
  all.div_(ranks);
  std::int64_t begin = 0;
  for (const torch::Tensor& parameter : model->parameters()) {
    torch::Tensor gradient = parameter.grad();
    gradient.copy_(all.narrow(0, begin, gradient.numel()).view_as(gradient));
    begin += gradient.numel();
  }
}

/// Goes once through this process's share of the data; the scores are those of all.
void run_epoch(examples::VGG& model, const examples::Data& data, torch::optim::Optimizer* optimizer,
               const DistributedSettings& settings, const examples::GlooGroup& group,
               const std::string& name, delve::CheckLayerSat<>& tracker) {
  const bool training = optimizer != nullptr;
  model->train(training);
  const torch::AutoGradMode gradients(training);
  // The same order in all processes. Each takes a part of every batch; what is left over at the
  // end, less than a picture for each, is left out.
  const auto order = training ? torch::randperm(data.size(), torch::kLong)
                              : torch::arange(data.size(), torch::kLong);
  // What is drawn from here on, as dropout, is each process's own.
  const auto drawn = torch::randint(std::int64_t{1} << 40U, {1}, torch::kLong);
  torch::manual_seed(static_cast<std::uint64_t>(drawn.item<std::int64_t>() + settings.rank));
  const std::int64_t batches = (data.size() + settings.batch_size - 1) / settings.batch_size;
  torch::Tensor totals = torch::zeros({3}, torch::kDouble);  // loss, hits, pictures
  for (const torch::Tensor& batch : order.to(data.device()).tensor_split(batches)) {
    const std::int64_t share = batch.size(0) / settings.ranks;
    const torch::Tensor own = batch.narrow(0, settings.rank * share, share);
    if (share == 0) continue;
    const torch::Tensor labels = data.labels(own);
    const torch::Tensor scores = model->forward(data.inputs(own));
    const torch::Tensor loss = torch::nn::functional::cross_entropy(scores, labels);
    if (training) {
      optimizer->zero_grad();
      loss.backward();
      average_gradients(model, group, settings.ranks);
      optimizer->step();
    }
    totals.add_(torch::tensor(
        {loss.item<double>() * static_cast<double>(share),
         (scores.argmax(1) == labels).sum().item<double>(), static_cast<double>(share)},
        torch::kDouble));
  }
  group.sum(totals);
  const auto mean = [&](std::int64_t i) { return (totals[i] / totals[2]).item<double>(); };
  tracker.add_scalars({{name + "-loss", mean(0)}, {name + "-accuracy", mean(1)}});
}

void run(const DistributedSettings& settings) {
  examples::apply(settings);
  const auto group = examples::GlooGroup::at_port(settings.port, settings.rank, settings.ranks,
                                                  std::chrono::minutes(5));
  const auto [train, test] = examples::read_data(settings);
  torch::manual_seed(settings.seed);  // the same weights in all processes
  examples::VGG model(examples::VGGOptions().layers(11).small_pictures(true));
  model->to(train.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile =
      (settings.output / fmt::format("{}_processes", settings.ranks)).string();
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "console"}, model,
                               delve::CheckLayerSatOptions()
                                   .stats({"lsat", "idim", "samples"})
                                   .rank(settings.rank)
                                   .sum_over_ranks([&group](torch::Tensor& tensor) {
                                     torch::Tensor here = tensor.cpu();  // where Gloo sums
                                     group.sum(here);
                                     tensor.copy_(here);
                                   }));
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    torch::manual_seed(settings.seed + static_cast<std::uint64_t>(epoch));
    run_epoch(model, train, &optimizer, settings, group, "train", tracker);
    run_epoch(model, test, nullptr, settings, group, "test", tracker);
    tracker.add_saturations();
  }
  tracker.close();
  if (settings.rank == 0) fmt::print("Table: {}.csv\n", savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("One process of a training of several; run_distributed.sh starts them all.",
               "distributed");
  DistributedSettings settings;
  settings.output = "runs/distributed";
  settings.epochs = 2;
  settings.learning_rate = 1e-4;
  settings.threads = 1;
  examples::add_options(app, settings);
  app.add_option("--rank", settings.rank, "Which of the processes this is")
      ->check(CLI::Range(0, 1023))
      ->capture_default_str();
  app.add_option("--ranks", settings.ranks, "How many there are")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--port", settings.port, "A free port of this machine")->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
