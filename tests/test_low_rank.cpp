// SPDX-License-Identifier: MIT
#include <delve/low_rank.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <delve/covariance.hpp>
#include <delve/features.hpp>
#include <delve/forward_hook.hpp>
#include <delve/layer_kind.hpp>
#include <delve/pca.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_low_rank {

using delve::Covariance;
using delve::low_rank;
using delve::Subspace;
namespace nn = torch::nn;

namespace {

/// A layer, its input, and how its outputs become rows.
struct Case {
  std::string name;
  std::shared_ptr<nn::Module> layer;
  torch::Tensor input;
  int positions;  // axes of them; -1: Linear
  std::int64_t groups = 1;
};

torch::Tensor forward(const std::shared_ptr<nn::Module>& layer, const torch::Tensor& input) {
  if (const auto linear = std::dynamic_pointer_cast<nn::LinearImpl>(layer)) {
    return linear->forward(input);
  }
  if (const auto conv = std::dynamic_pointer_cast<nn::Conv1dImpl>(layer)) {
    return conv->forward(input);
  }
  if (const auto conv = std::dynamic_pointer_cast<nn::Conv3dImpl>(layer)) {
    return conv->forward(input);
  }
  return std::dynamic_pointer_cast<nn::Conv2dImpl>(layer)->forward(input);
}

torch::Tensor rows_of(const torch::Tensor& output, int positions) {
  const delve::OutputLayout layout =
      positions < 0 ? delve::OutputLayout{delve::LayerFamily::Linear}
                    : delve::OutputLayout{delve::LayerFamily::Convolution, positions};
  return delve::data_matrix({output}, layout, {}).flatten(0, -2);
}

/// What the hook of a layer sees of its outputs.
Covariance<double> outputs_of(const Case& it) {
  Covariance<double> covariance(delve::Products::Float64);
  auto handle = delve::register_forward_hook(*it.layer, [&](const delve::ForwardCall& call) {
    covariance.update(rows_of(call.outputs.front(), it.positions));
  });
  const torch::NoGradGuard no_grad;
  forward(it.layer, it.input);
  handle.remove();
  return covariance;
}

/// Projected by the singular value decomposition of the rows of each group, on as many directions
/// as the group needs that needs most.
torch::Tensor by_svd(const torch::Tensor& output, const Case& it, double share) {
  const torch::Tensor rows = rows_of(output, it.positions).to(torch::kDouble);
  const std::int64_t size = rows.size(1) / it.groups;
  std::int64_t kept = 1;
  const auto each_group = [&](const auto& act) {
    for (std::int64_t group = 0; group < it.groups; ++group) {
      const torch::Tensor own = rows.narrow(1, group * size, size);
      const torch::Tensor mean = own.mean(0);
      act(own - mean, mean);
    }
  };
  each_group([&](const torch::Tensor& centred, const torch::Tensor&) {
    const torch::Tensor squares = torch::linalg_svdvals(centred).square();
    const torch::Tensor shares = squares.cumsum(0) / squares.sum();
    kept = std::max(kept, shares.lt(share).sum().item<std::int64_t>() + 1);
  });
  std::vector<torch::Tensor> projected;
  each_group([&](const torch::Tensor& centred, const torch::Tensor& mean) {
    const torch::Tensor v =
        std::get<2>(torch::linalg_svd(centred, /*full_matrices=*/false)).narrow(0, 0, kept).t();
    projected.push_back(centred.mm(v).mm(v.t()) + mean);
  });
  return torch::cat(projected, 1);
}

double relative_error(const torch::Tensor& found, const torch::Tensor& expected) {
  REQUIRE(found.sizes() == expected.sizes());
  return ((found.to(torch::kDouble) - expected).abs().max() / expected.abs().max()).item<double>();
}

/// Inputs far from 0 of which few directions of the channels have most of the variance.
torch::Tensor input_of(std::vector<std::int64_t> shape, std::int64_t channel_axis) {
  const std::int64_t channels = shape[static_cast<std::size_t>(channel_axis)];
  shape.erase(shape.begin() + channel_axis);
  shape.push_back(channels);
  const torch::Tensor mixing = torch::randn({channels, channels});
  return (torch::matmul(torch::randn(shape) * torch::logspace(0, -2, channels), mixing) + 2)
      .movedim(-1, channel_axis)
      .contiguous();
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool bias : {true, false}) {
    all.push_back({"linear", nn::Linear(nn::LinearOptions(12, 20).bias(bias)).ptr(),
                   input_of({200, 12}, 1), -1});
    all.push_back({"linear of series", nn::Linear(nn::LinearOptions(12, 20).bias(bias)).ptr(),
                   input_of({9, 30, 12}, 2), -1});
    all.push_back({"conv1d", nn::Conv1d(nn::Conv1dOptions(6, 24, 3).stride(2).bias(bias)).ptr(),
                   input_of({20, 6, 21}, 1), 1});
    all.push_back({"conv2d", nn::Conv2d(nn::Conv2dOptions(6, 24, {3, 5}).bias(bias)).ptr(),
                   input_of({6, 6, 11, 9}, 1), 2});
    all.push_back({"conv3d",
                   nn::Conv3d(nn::Conv3dOptions(6, 24, 2).dilation({1, 2, 1}).bias(bias)).ptr(),
                   input_of({4, 6, 5, 6, 5}, 1), 3});
    for (const std::int64_t groups : {2, 3}) {
      all.push_back({"grouped conv2d",
                     nn::Conv2d(nn::Conv2dOptions(6, 24, 3).groups(groups).bias(bias)).ptr(),
                     input_of({6, 6, 9, 9}, 1), 2, groups});
    }
  }
  // A kernel for each input channel, and four outputs each.
  all.push_back({"conv2d with a multiplier",
                 nn::Conv2d(nn::Conv2dOptions(3, 24, 5).groups(3)).ptr(),
                 input_of({6, 3, 11, 11}, 1), 2, 3});
  all.push_back({"grouped conv1d", nn::Conv1d(nn::Conv1dOptions(6, 24, 5).groups(2)).ptr(),
                 input_of({20, 6, 21}, 1), 1, 2});
  all.push_back(
      {"conv2d, same",
       nn::Conv2d(nn::Conv2dOptions(6, 24, {3, 4}).padding(torch::kSame).dilation(2)).ptr(),
       input_of({6, 6, 11, 9}, 1), 2});
  const std::vector<nn::detail::conv_padding_mode_t> modes = {torch::kZeros, torch::kReflect,
                                                              torch::kReplicate, torch::kCircular};
  for (std::size_t mode = 0; mode < modes.size(); ++mode) {
    const std::string name = "padding mode " + std::to_string(mode);
    all.push_back(
        {name, nn::Conv1d(nn::Conv1dOptions(6, 24, 5).padding(2).padding_mode(modes[mode])).ptr(),
         input_of({20, 6, 21}, 1), 1});
    all.push_back({name,
                   nn::Conv2d(nn::Conv2dOptions(6, 24, {3, 5})
                                  .padding({1, 3})
                                  .stride({2, 1})
                                  .padding_mode(modes[mode]))
                       .ptr(),
                   input_of({6, 6, 11, 9}, 1), 2});
    if (mode == 1) continue;  // LibTorch 1.13 reflects no three axes
    all.push_back(
        {name, nn::Conv3d(nn::Conv3dOptions(6, 24, 2).padding(1).padding_mode(modes[mode])).ptr(),
         input_of({4, 6, 5, 6, 5}, 1), 3});
  }
  return all;
}

}  // namespace

TEST_CASE("Two narrow layers give the projected outputs of every kind of layer", "[low_rank]") {
  torch::manual_seed(1);
  const torch::NoGradGuard no_grad;
  int narrowed = 0;
  for (Case& it : cases()) {
    for (const auto type : {torch::kFloat, torch::kDouble}) {
      it.layer->to(type);
      it.input = it.input.to(type);
      Covariance<double> outputs = outputs_of(it);
      const torch::Tensor whole = forward(it.layer, it.input);
      REQUIRE(outputs.samples() == rows_of(whole, it.positions).size(0));
      for (const double share : {0.6, 0.95}) {
        CAPTURE(it.name, it.groups, share, c10::toString(type));
        nn::Sequential narrow = low_rank(it.layer, outputs, share);
        if (narrow->size() == 1) continue;
        ++narrowed;
        const torch::Tensor found = narrow->forward(it.input);
        CHECK(found.sizes() == whole.sizes());
        CHECK(found.scalar_type() == type);
        const torch::Tensor rows = rows_of(found, it.positions);
        const double rounding = type == torch::kFloat ? 1e-5 : 1e-9;
        CHECK(relative_error(rows, by_svd(whole, it, share)) < rounding);
        if (it.groups > 1) continue;
        delve::LinearPCA pca(delve::LinearPCAOptions(rows.size(1)).threshold(share));
        pca(rows_of(whole, it.positions));
        pca->eval();
        CHECK(relative_error(rows, pca(rows_of(whole, it.positions)).to(torch::kDouble)) <
              rounding);
      }
    }
  }
  CHECK(narrowed > 80);
}

TEST_CASE("A layer that would not get smaller comes back as it is", "[low_rank]") {
  torch::manual_seed(2);
  for (Case& it : cases()) {
    Covariance<double> outputs = outputs_of(it);
    CAPTURE(it.name);
    const nn::Sequential whole = low_rank(it.layer, outputs, 1);
    REQUIRE(whole->size() == 1);
    CHECK(whole->children()[0] == it.layer);
  }
  // 8 · (8 + 8) multiplications for 64, and of k = 3: 3 · 16 = 48.
  nn::Linear square(8, 8);
  const Case even{"square", square.ptr(), torch::randn({5000, 8}), -1};
  {
    const torch::NoGradGuard no_grad;
    square->weight.copy_(torch::eye(8));
  }
  Covariance<double> outputs = outputs_of(even);
  for (const auto& [share, kept] :
       std::vector<std::pair<double, std::int64_t>>{{0.3, 3}, {0.45, 4}, {0.8, 7}}) {
    const Subspace space = delve::leading_subspace(outputs, share);
    CAPTURE(share);
    CHECK(space.basis.size(2) == kept);
    const nn::Sequential narrow = low_rank(square, outputs, share);
    CHECK(narrow->size() == (kept * 16 < 64 ? 2 : 1));  // 4 · 16: as many, and slower
  }
}

TEST_CASE("No other subspace of that size comes nearer to the outputs", "[low_rank]") {
  torch::manual_seed(3);
  const torch::NoGradGuard no_grad;
  nn::Conv2d conv(nn::Conv2dOptions(8, 32, 3).padding(1));
  const Case it{"conv", conv.ptr(), input_of({8, 8, 10, 10}, 1), 2};
  Covariance<double> outputs = outputs_of(it);
  const Subspace leading = delve::leading_subspace(outputs, 0.8);
  const torch::Tensor whole = conv(it.input);
  const auto lost = [&](const Subspace& space) {
    nn::Sequential narrow = low_rank(conv, space);
    REQUIRE(narrow->size() == 2);
    return (narrow->forward(it.input) - whole).square().sum().item<double>();
  };
  const double least = lost(leading);
  // The variance in the directions left out.
  const torch::Tensor values = torch::linalg_eigvalsh(outputs.matrix()).flip(0);
  CHECK(
      least ==
      Approx(
          values.narrow(0, leading.basis.size(2), 32 - leading.basis.size(2)).sum().item<double>() *
          static_cast<double>(outputs.samples()))
          .epsilon(1e-3));
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const torch::Tensor basis =
        delve::detail::random_basis(32, seed, torch::kCPU).narrow(1, 0, leading.basis.size(2));
    CHECK(lost({basis.unsqueeze(0), leading.mean}) > 2 * least);
  }
}

TEST_CASE("Narrow layers are trained on, and the old one stays as it was", "[low_rank]") {
  torch::manual_seed(4);
  for (const bool is_trained : {true, false}) {
    nn::Linear layer(16, 32);
    layer->train(is_trained);
    layer->weight.set_requires_grad(is_trained);
    const torch::Tensor before = layer->weight.detach().clone();
    const torch::Tensor bias = layer->bias.detach().clone();
    const Case it{"linear", layer.ptr(), input_of({300, 16}, 1), -1};
    Covariance<double> outputs = outputs_of(it);
    nn::Sequential narrow = low_rank(layer, outputs, 0.9);
    REQUIRE(narrow->size() == 2);
    CHECK(narrow->parameters().size() == 4);
    for (const torch::Tensor& parameter : narrow->parameters()) {
      CHECK(parameter.is_leaf());
      CHECK(parameter.requires_grad() == is_trained);
    }
    CHECK(narrow->children()[0]->is_training() == is_trained);
    if (is_trained) {
      torch::optim::SGD optimizer(narrow->parameters(), torch::optim::SGDOptions(1e-3));
      const torch::Tensor target = layer(it.input).detach();
      const auto loss = [&] { return torch::mse_loss(narrow->forward(it.input), target * 0.9); };
      const double first = loss().item<double>();
      for (int step = 0; step < 20; ++step) {
        optimizer.zero_grad();
        loss().backward();
        optimizer.step();
      }
      CHECK(loss().item<double>() < first);
    }
    CHECK(torch::equal(layer->weight, before));
    CHECK(torch::equal(layer->bias, bias));
  }
}

TEST_CASE("What cannot be narrowed is refused with the reason", "[low_rank][misuse]") {
  torch::manual_seed(5);
  nn::Linear layer(6, 8);
  const Case it{"linear", layer.ptr(), torch::randn({100, 6}), -1};
  Covariance<double> outputs = outputs_of(it);
  for (const double share : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_WITH(low_rank(layer, outputs, share),
                      ContainsSubstring("share is") && ContainsSubstring("above 0 and at most 1"));
  }
  nn::Conv2d depthwise(nn::Conv2dOptions(8, 8, 3).groups(8));
  CHECK_THROWS_WITH(low_rank(depthwise, outputs, 0.9),
                    ContainsSubstring("groups is 8") && ContainsSubstring("depthwise"));
  nn::ConvTranspose2d transposed(3, 8, 3);
  CHECK_THROWS_WITH(low_rank(transposed, outputs, 0.9), ContainsSubstring("Conv1d, Conv2d"));
  CHECK_THROWS_WITH(low_rank(std::shared_ptr<nn::Module>(), outputs, 0.9),
                    ContainsSubstring("module is null"));
  nn::Linear wider(6, 9);
  CHECK_THROWS_WITH(low_rank(wider, outputs, 0.9),
                    "delve::low_rank: the covariance is of 8 features; the module has 9");
  Covariance<double> empty;
  CHECK_THROWS_AS(low_rank(layer, empty, 0.9), std::invalid_argument);
  CHECK_THROWS_AS(delve::leading_subspace(empty, 0.9), std::invalid_argument);
  CHECK_THROWS_WITH(delve::leading_subspace(outputs, 0.9, 3), ContainsSubstring("groups is 3"));
  const torch::Tensor mean = torch::zeros({8}, torch::kDouble);
  const torch::Tensor good = torch::eye(8, torch::kDouble).narrow(1, 0, 2).unsqueeze(0);
  CHECK(low_rank(layer, Subspace{good, mean})->size() == 2);
  for (const Subspace& bad : {Subspace{{}, mean}, Subspace{good, {}}, Subspace{good[0], mean},
                              Subspace{good, mean.narrow(0, 0, 7)},
                              Subspace{good.narrow(1, 0, 7), mean}, Subspace{good * 2, mean},
                              Subspace{good * NAN, mean}, Subspace{good.narrow(2, 0, 0), mean}}) {
    CHECK_THROWS_WITH(low_rank(layer, bad), ContainsSubstring("delve::low_rank: space: "));
  }
}

}  // namespace test_low_rank
