// SPDX-License-Identifier: MIT

// Trains a small network, then replaces each of its layers by two narrow ones that keep a share of
// the variance of its outputs, and tests it again, without further training: what the directions
// that saturation does not count are worth, in accuracy, multiplications and parameters. Beside it
// the control, as many directions drawn at random.

#include <cstddef>   // std::size_t
#include <cstdint>   // std::int64_t
#include <iterator>  // std::next
#include <memory>    // std::dynamic_pointer_cast, std::shared_ptr
#include <string>    // std::string
#include <tuple>     // std::get
#include <vector>    // std::vector

#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>
#include <delve/low_rank.hpp>

#include "training.hpp"

namespace {

/// A layer of the network that is to be narrowed, and what is known of its outputs.
struct Layer {
  std::shared_ptr<torch::nn::Module> module;
  std::string name;
  delve::Covariance<> outputs;
  delve::RemovableHandle handle;
};

/// Six convolutions of 3 × 3 and a linear layer, for pictures of 32 × 32.
torch::nn::Sequential make_model(std::int64_t width) {
  torch::nn::Sequential model;
  std::int64_t in = 3;
  for (int stage = 0; stage < 3; ++stage) {
    const std::int64_t out = width << stage;
    for (int i = 0; i < 2; ++i) {
      model->push_back(
          torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1).bias(false)));
      model->push_back(torch::nn::BatchNorm2d(out));
      model->push_back(torch::nn::ReLU());
      in = out;
    }
    if (stage < 2) model->push_back(torch::nn::MaxPool2d(2));
  }
  model->push_back(torch::nn::AdaptiveAvgPool2d(1));
  model->push_back(torch::nn::Flatten());
  model->push_back(torch::nn::Linear(in, examples::kClasses));
  return model;
}

/// All layers with weights but the last, whose outputs are the answer.
std::vector<Layer> watch(torch::nn::Sequential& model) {
  std::vector<Layer> layers;
  for (const auto& child : model->named_children()) {
    if (std::dynamic_pointer_cast<torch::nn::Conv2dImpl>(child.value()) == nullptr) continue;
    layers.push_back({child.value(), child.key(), delve::Covariance<>(), {}});
  }
  for (Layer& layer : layers) {
    layer.handle =
        delve::register_forward_hook(*layer.module, [&layer](const delve::ForwardCall& call) {
          const delve::OutputLayout layout{delve::LayerFamily::Convolution};
          layer.outputs.update(delve::data_matrix(call.outputs, layout, {}));
        });
  }
  return layers;
}

/// The accuracy of one epoch; trains if there is an optimiser.
double accuracy(torch::nn::Sequential& model, const examples::Data& data, std::int64_t batch_size,
                const std::string& label, torch::optim::Optimizer* optimizer = nullptr) {
  return examples::run_epoch(model, data, optimizer, batch_size, label,
                             [&](const torch::Tensor& batch, examples::Score& score) {
                               return examples::classification_loss(
                                   model->forward(data.inputs(batch)), data.labels(batch), score);
                             })
      .mean("accuracy");
}

/// The network with each layer in its place narrowed; the other modules are shared.
template <typename Narrow>
torch::nn::Sequential narrowed(torch::nn::Sequential& model, std::vector<Layer>& layers,
                               const Narrow& narrow) {
  torch::nn::Sequential result;
  for (torch::nn::AnyModule& child : *model) {
    bool is_narrowed = false;
    for (Layer& layer : layers) {
      if (layer.module != child.ptr()) continue;
      result->extend(*narrow(layer));  // LibTorch puts no Sequential into another one
      is_narrowed = true;
    }
    if (!is_narrowed) result->push_back(child);
  }
  return result;
}

/// As many directions, of all equally.
delve::Subspace at_random(const delve::Subspace& space) {
  const torch::Tensor gaussian =
      torch::randn({space.basis.size(1), space.basis.size(2)}, torch::kDouble);
  return {std::get<0>(torch::linalg_qr(gaussian)).unsqueeze(0), space.mean};
}

struct Size {
  double multiplications;  // of one picture
  double parameters;
};

Size size_of(torch::nn::Sequential& model, torch::Device device) {
  Size size{0, 0};
  const auto fields = delve::receptive_fields(model, torch::zeros({1, 3, 32, 32}, device));
  for (const delve::LayerField& layer : fields.layers) {
    size.multiplications += static_cast<double>(layer.multiplications);
  }
  for (const torch::Tensor& parameter : model->parameters()) {
    size.parameters += static_cast<double>(parameter.numel());
  }
  return size;
}

struct LowRankSettings : examples::PictureSettings {
  std::int64_t width = 32;
  std::vector<double> shares = {1, 0.999, 0.99, 0.98, 0.95, 0.9};
};

void run(const LowRankSettings& settings) {
  examples::apply(settings);
  const auto [train, test] = examples::read_data(settings);
  torch::nn::Sequential model = make_model(settings.width);
  model->to(train.device());
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    accuracy(model, train, settings.batch_size, fmt::format("epoch {}", epoch), &optimizer);
  }

  // The directions are those of the training pictures: the test pictures are for the test alone.
  std::vector<Layer> layers = watch(model);
  accuracy(model, train, settings.batch_size, "outputs");
  for (Layer& layer : layers) layer.handle.remove();
  const double before = accuracy(model, test, settings.batch_size, "before");
  const Size size = size_of(model, train.device());
  std::string rows;
  for (const double share : settings.shares) {
    std::string kept;
    torch::nn::Sequential narrow = narrowed(model, layers, [&](Layer& layer) {
      torch::nn::Sequential pair = delve::low_rank(layer.module, layer.outputs, share);
      kept += fmt::format(" {}/{}", pair->children()[0]->as<torch::nn::Conv2d>()->weight.size(0),
                          layer.outputs.width());
      return pair;
    });
    torch::nn::Sequential random = narrowed(model, layers, [&](Layer& layer) {
      if (share == 1) return delve::low_rank(layer.module, layer.outputs, share);
      return delve::low_rank(layer.module,
                             at_random(delve::leading_subspace(layer.outputs, share)));
    });
    const Size now = size_of(narrow, train.device());
    const double found = accuracy(narrow, test, settings.batch_size, "narrow");
    const double by_chance = accuracy(random, test, settings.batch_size, "random");
    rows += fmt::format("  {:6g}    {:.4f}     {:.4f}  {:15.3f}  {:10.3f} {}\n", share, found,
                        by_chance, now.multiplications / size.multiplications,
                        now.parameters / size.parameters, kept);
  }
  fmt::print(
      "\nBefore: accuracy {:.4f}, {:.1f} million multiplications a picture, {:.0f} parameters\n\n"
      "   share  accuracy  at random  multiplications  parameters  directions kept\n{}",
      before, size.multiplications / 1e6, size.parameters, rows);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Replaces the layers of a trained network by narrow ones, and tests it again.",
               "low_rank");
  LowRankSettings settings;
  settings.epochs = 6;
  settings.batch_size = 64;
  settings.train_pictures = 10000;
  settings.test_pictures = 5000;
  examples::add_options(app, settings);
  app.add_option("--width", settings.width, "Channels of the first layer")
      ->check(CLI::Range(4, 1024))
      ->capture_default_str();
  app.add_option("--shares", settings.shares, "Shares of the variance to keep")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
