// SPDX-License-Identifier: MIT
//
// A user's program: a model of its own, trained for a few steps under a tracker. Every number of
// the tracker is computed a second time, from the layers' outputs that the model keeps.

#include <cmath>        // std::abs
#include <cstdint>      // std::int64_t
#include <cstdlib>      // EXIT_FAILURE, EXIT_SUCCESS
#include <filesystem>   // std::filesystem::exists
#include <iostream>     // std::cout
#include <map>          // std::map
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::pair
#include <vector>       // std::vector

#include <torch/torch.h>
#include <delve/delve.hpp>

#ifdef PACKAGE_VERSION
static_assert(std::string_view(DELVE_VERSION_TEXT) == PACKAGE_VERSION,
              "the headers are of the version that find_package() found");
#endif

namespace {

/// The data matrices of the layers, batch by batch.
using Seen = std::map<std::pair<std::string, delve::Mode>, std::vector<torch::Tensor>>;

struct BlockImpl : torch::nn::Module {
  BlockImpl() : conv(torch::nn::Conv2dOptions(3, 6, 3).padding(1)) {
    register_module("conv", conv);
  }

  torch::nn::Conv2d conv;
};
TORCH_MODULE(Block);

/// Reads a picture column by column.
struct ReaderImpl : torch::nn::Module {
  ReaderImpl() : lstm(torch::nn::LSTMOptions(6, 12).batch_first(true)), head(12, 4) {
    register_module("block", block);
    register_module("lstm", lstm);
    register_module("head", head);
  }

  torch::Tensor forward(const torch::Tensor& pictures) {
    torch::Tensor maps = block->conv(pictures);
    keep("block-conv", maps.permute({0, 2, 3, 1}).reshape({-1, maps.size(1)}));
    torch::relu_(maps);
    const torch::Tensor sequence = std::get<0>(lstm(maps.mean(2).transpose(1, 2)));
    keep("lstm", sequence.select(1, -1));
    const torch::Tensor scores = head(sequence.select(1, -1));
    keep("head", scores);
    return scores;
  }

  void keep(const std::string& layer, const torch::Tensor& rows) {
    const delve::Mode mode = is_training() ? delve::Mode::Train : delve::Mode::Eval;
    seen[{layer, mode}].push_back(rows.detach().to(torch::kFloat64, false, true));
  }

  Block block;
  torch::nn::LSTM lstm;
  torch::nn::Linear head;
  Seen seen;
};
TORCH_MODULE(Reader);

/// The smallest number of directions that explain 99 % of the variance.
std::int64_t intrinsic_dimensionality(const std::vector<torch::Tensor>& batches) {
  torch::Tensor rows = torch::cat(batches);
  rows = rows - rows.mean(0, true);
  const torch::Tensor covariance = rows.t().matmul(rows) / rows.size(0);
  const torch::Tensor eigenvalues = torch::linalg_eigvalsh(covariance).flip(0).clamp_min(0);
  const torch::Tensor explained = eigenvalues.cumsum(0) / eigenvalues.sum();
  return explained.lt(0.99).sum().item<std::int64_t>() + 1;
}

bool agrees(const std::string& what, const std::optional<double>& found, double expected) {
  const bool same = found && std::abs(*found - expected) < 1e-12;
  std::cout << (same ? "ok   " : "WRONG") << ' ' << what << ": "
            << (found ? std::to_string(*found) : "none") << ", expected " << expected << '\n';
  return same;
}

}  // namespace

int main() {
  torch::manual_seed(1);
  Reader model;
  delve::CheckLayerSat tracker("out/consumer", "csv", model,
                               delve::CheckLayerSatOptions().stats({"lsat", "idim"}));
  torch::optim::SGD optimizer(model->parameters(), 0.05);
  bool all_agree = true;

  for (int epoch = 0; epoch < 2; ++epoch) {
    model->seen.clear();
    model->train();
    for (int step = 0; step < 4; ++step) {
      const torch::Tensor pictures = torch::rand({32, 3, 8, 8});
      const torch::Tensor labels = torch::randint(4, {32}, torch::kLong);
      optimizer.zero_grad();
      torch::nn::functional::cross_entropy(model->forward(pictures), labels).backward();
      optimizer.step();
    }
    model->eval();
    {
      const torch::NoGradGuard no_grad;
      for (int step = 0; step < 3; ++step) model->forward(torch::randn({32, 3, 8, 8}));
    }

    const delve::EpochRecord record = tracker.add_saturations();
    if (record.epoch != epoch || record.layers.size() != model->seen.size()) {
      std::cout << "WRONG epoch " << record.epoch << " with " << record.layers.size()
                << " records of layers\n";
      all_agree = false;
    }
    for (const auto& [key, batches] : model->seen) {
      const auto& [layer, mode] = key;
      const std::string name = std::string(delve::to_string(mode)) + ' ' + layer;
      const auto expected = static_cast<double>(intrinsic_dimensionality(batches));
      const auto width = static_cast<double>(batches.front().size(1));
      all_agree &= agrees(name + " idim", tracker.last(layer, "idim", mode), expected);
      all_agree &= agrees(name + " lsat", tracker.last(layer, "lsat", mode), expected / width);
    }
  }

  tracker.close();
  if (!std::filesystem::exists("out/consumer.csv")) {
    std::cout << "WRONG out/consumer.csv is missing\n";
    all_agree = false;
  }
  return all_agree ? EXIT_SUCCESS : EXIT_FAILURE;
}
