// SPDX-License-Identifier: MIT

// Trains a variational auto-encoder on grey pictures, watching the layers of encoder and decoder,
// and has the decoder draw pictures of its own at the end.

#include <cstddef>     // std::size_t
#include <cstdint>     // std::int64_t
#include <filesystem>  // std::filesystem::path
#include <fstream>     // std::ofstream
#include <ios>         // std::ios::binary, std::streamsize
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string

#include <fmt/format.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>
#include <delve/delve.hpp>

#include "training.hpp"

namespace {

struct VAESettings : examples::PictureSettings {
  std::int64_t hidden = 400;
  std::int64_t code = 20;
};

/// A normal distribution of codes for each picture, all N × code.
struct Codes {
  torch::Tensor mean, log_variance;
};

class EncoderImpl : public torch::nn::Module {
 public:
  EncoderImpl(std::int64_t pixels, const VAESettings& settings)
      : hidden_(pixels, settings.hidden),
        mean_(settings.hidden, settings.code),
        log_variance_(settings.hidden, settings.code) {
    register_module("hidden", hidden_);
    register_module("mean", mean_);
    register_module("log_variance", log_variance_);
  }

  /// Of pictures, N × pixels.
  Codes forward(const torch::Tensor& pictures) {
    const torch::Tensor hidden = hidden_->forward(pictures).relu();
    return {mean_->forward(hidden), log_variance_->forward(hidden)};
  }

 private:
  torch::nn::Linear hidden_, mean_, log_variance_;
};
TORCH_MODULE(Encoder);

class VAEImpl : public torch::nn::Module {
 public:
  VAEImpl(std::int64_t pixels, const VAESettings& settings)
      : encoder(pixels, settings),
        decoder({{"hidden", torch::nn::Linear(settings.code, settings.hidden).ptr()},
                 {"relu", torch::nn::ReLU().ptr()},
                 {"pixels", torch::nn::Linear(settings.hidden, pixels).ptr()}}) {
    register_module("encoder", encoder);
    register_module("decoder", decoder);
  }

  /// What is minimised, a picture's mean: how badly pictures, N × pixels, are drawn again from a
  /// code, and how far its distribution is from the standard normal one (Kingma and Welling,
  /// https://arxiv.org/abs/1312.6114, equation 10 and appendix B).
  torch::Tensor loss(const torch::Tensor& pictures, examples::Score& score) {
    namespace F = torch::nn::functional;
    const Codes codes = encoder->forward(pictures);
    const torch::Tensor deviation = (codes.log_variance / 2).exp();
    const torch::Tensor code = codes.mean + deviation * torch::randn_like(deviation);
    const torch::Tensor reconstruction = F::binary_cross_entropy_with_logits(
        decoder->forward(code), pictures,
        F::BinaryCrossEntropyWithLogitsFuncOptions().reduction(torch::kSum));
    const torch::Tensor divergence =
        (codes.mean.square() + codes.log_variance.exp() - 1 - codes.log_variance).sum() / 2;
    score.add("reconstruction", reconstruction);
    score.add("divergence", divergence);
    return (reconstruction + divergence) / pictures.size(0);
  }

  Encoder encoder;
  torch::nn::Sequential decoder;  // from N × code to N × pixels, before the sigmoid
};
TORCH_MODULE(VAE);

/// Writes pictures, N × H × W from 0 to 1, as one with `columns` of them side by side, in the
/// binary form of https://netpbm.sourceforge.net/doc/pgm.html. N is a multiple of `columns`.
void write_grid(const std::filesystem::path& path, const torch::Tensor& pictures,
                std::int64_t columns) {
  const std::int64_t height = pictures.size(1), width = pictures.size(2);
  const torch::Tensor grid = pictures.view({-1, columns, height, width})
                                 .transpose(1, 2)
                                 .mul(255)
                                 .round()
                                 .to(torch::kCPU, torch::kByte)
                                 .contiguous();
  std::ofstream file(path, std::ios::binary);
  file << fmt::format("P5\n{} {}\n255\n", columns * width, pictures.size(0) / columns * height);
  file.write(static_cast<const char*>(grid.data_ptr()), static_cast<std::streamsize>(grid.numel()));
  if (!file.flush()) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
}

void run(const VAESettings& settings) {
  examples::apply(settings);
  const auto [train_data, test_data] = examples::read_data(settings);
  const std::int64_t height = train_data.height(), width = train_data.width();
  const torch::Device device = train_data.device();
  VAE model(height * width, settings);
  model->to(device);
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(settings.learning_rate));
  const std::string savefile = (settings.output / "vae").string();
  delve::CheckLayerSat tracker(savefile, {"plotcsv", "console"},
                               {{"encoder", model->encoder}, {"decoder", model->decoder}},
                               delve::CheckLayerSatOptions().stats({"lsat", "idim"}));

  const auto run_epoch = [&](const examples::Data& data, torch::optim::Optimizer* trained_by,
                             const std::string& label) {
    return examples::run_epoch(model, data, trained_by, settings.batch_size, label,
                               [&](const torch::Tensor& batch, examples::Score& score) {
                                 return model->loss(data.greys(batch).flatten(1), score);
                               });
  };
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    const std::string label = fmt::format("epoch {}", epoch);
    run_epoch(train_data, &optimizer, label + " train").report("train", tracker);
    run_epoch(test_data, nullptr, label + " test ").report("test", tracker);
    tracker.add_saturations();
  }
  tracker.close();

  const torch::NoGradGuard no_grad;
  const torch::Tensor codes = torch::randn({64, settings.code}).to(device);
  const torch::Tensor drawn = model->decoder->forward(codes).sigmoid();
  write_grid(savefile + "_generated.pgm", drawn.view({-1, height, width}), /*columns=*/8);
  fmt::print("Table:     {0}.csv\nPictures:  {0}_*_epoch_*.png\nGenerated: {0}_generated.pgm\n",
             savefile);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a variational auto-encoder, which then draws pictures.", "vae");
  VAESettings settings;
  settings.output = "runs/vae";
  settings.epochs = 5;
  settings.train_pictures = 4000;
  settings.test_pictures = 1000;
  examples::add_options(app, settings);
  app.add_option("--hidden", settings.hidden, "Width of the layer between pixels and code")
      ->check(examples::at_least_one())
      ->capture_default_str();
  app.add_option("--code", settings.code, "Size of the code")
      ->check(examples::at_least_one())
      ->capture_default_str();
  return examples::run_program(app, argc, argv, [&] { run(settings); });
}
