// SPDX-License-Identifier: MIT
#include <delve/receptive_field.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/field_advice.hpp>
#include <delve/layer_field.hpp>
#include <delve/writers/html.hpp>

#include "autocast.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"
#include "resnet.hpp"
#include "tracker.hpp"
#include "vgg.hpp"

namespace test_receptive_field {

using delve::AxisField;
using delve::LayerField;
using delve::receptive_fields;
using delve::ReceptiveFields;
namespace nn = torch::nn;
namespace F = torch::nn::functional;

namespace {

const LayerField& row(const ReceptiveFields& fields, const std::string& layer) {
  for (const LayerField& field : fields.layers) {
    if (field.layer == layer) return field;
  }
  throw std::logic_error("no layer " + layer);
}

/// Least and most of each axis; −1 where everything is seen.
using Range = std::pair<std::int64_t, std::int64_t>;
std::vector<Range> ranges(const LayerField& layer) {
  std::vector<Range> ranges;
  for (const AxisField& axis : layer.axes) {
    CHECK(axis.unknown.empty());
    ranges.emplace_back(axis.least.value_or(-1), axis.most.value_or(-1));
  }
  return ranges;
}

/// A model that is one function, with layers to look at.
struct NetImpl : nn::Module {
  std::function<torch::Tensor(NetImpl&, const torch::Tensor&)> run;
  std::vector<nn::AnyModule> layers;

  template <typename Layer>
  std::size_t add(const Layer& layer) {
    register_module("layer" + std::to_string(layers.size()), layer.ptr());
    layers.emplace_back(layer.ptr());
    return layers.size() - 1;
  }
  torch::Tensor forward(const torch::Tensor& input) { return run(*this, input); }
};

/// What the last layer sees, a 1 × 1 convolution behind a function.
LayerField behind(const std::function<torch::Tensor(const torch::Tensor&)>& function,
                  const torch::Tensor& input) {
  NetImpl net;
  const auto rank = input.dim();
  const torch::Tensor example = function(input.clone());
  if (rank == 3) {
    net.add(nn::Conv1d(example.size(1), 2, 1));
  } else if (rank == 4) {
    net.add(nn::Conv2d(example.size(1), 2, 1));
  } else {
    net.add(nn::Conv3d(example.size(1), 2, 1));
  }
  net.run = [&](NetImpl& self, const torch::Tensor& x) {
    return self.layers[0].forward(function(x));
  };
  return receptive_fields(net, input).layers.at(0);
}

struct Step {
  std::int64_t kernel;
  std::int64_t stride;
};

/// r and jump after these, by the formula r += (k − 1)·j, j *= s.
std::int64_t field_of(const std::vector<Step>& steps) {
  std::int64_t field = 1;
  std::int64_t jump = 1;
  for (const Step& step : steps) {
    field += (step.kernel - 1) * jump;
    jump *= step.stride;
  }
  return field;
}

}  // namespace

TEST_CASE("Fields of VGG are those of the formula", "[fields]") {
  const auto [vgg, plan] =
      GENERATE(values<std::pair<int, std::string>>({{11, "1M1M11M11M11M"},
                                                    {13, "11M11M11M11M11M"},
                                                    {16, "11M11M111M111M111M"},
                                                    {19, "11M11M1111M1111M1111M"}}));
  // Of the same plan: a convolution for each 1, a pool for each M.
  nn::Sequential model;
  std::vector<std::int64_t> expected;
  std::vector<Step> steps;
  std::int64_t in = 3;
  for (const char step : plan) {
    if (step == 'M') {
      model->push_back(nn::MaxPool2d(2));
      steps.push_back({2, 2});
      continue;
    }
    model->push_back(nn::Conv2d(nn::Conv2dOptions(in, 4, 3).padding(1)));
    model->push_back(nn::ReLU(nn::ReLUOptions(/*inplace=*/true)));
    in = 4;
    steps.push_back({3, 1});
    expected.push_back(field_of(steps));
  }
  const ReceptiveFields fields = receptive_fields(model, torch::randn({2, 3, 32, 32}));
  REQUIRE(fields.layers.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Range both{expected[i], expected[i]};
    CHECK(ranges(fields.layers[i]) == std::vector<Range>{both, both});
    const std::int64_t before = i == 0 ? 1 : *fields.layers[i].axes[0].least_before;
    const bool is_covered = 32 / static_cast<int>(fields.layers[i].axes[0].stride) <= 3;
    CHECK(fields.layers[i].is_border == ((before >= 32 && expected[i] > 32) || is_covered));
    CHECK(fields.layers[i].is_critical == (expected[i] > 32));
  }
  if (vgg != 16) return;
  // As the tool of the paper's authors has them (rfa_toolbox; ResNet18 below, too).
  const delve::FeasibleInputSizes sizes = delve::feasible_input_sizes(fields);
  CHECK(sizes.lower == std::vector<std::int64_t>{196, 196});
  CHECK(sizes.upper == std::vector<std::int64_t>{212, 212});
  CHECK(sizes.without_border == std::vector<std::int64_t>{165, 165});
}

namespace {

/// All ways through a ResNet of basic blocks: each block by its two convolutions or by its
/// shortcut. Calls back with the steps up to and with each convolution.
void walk_resnet(const std::vector<int>& blocks,
                 const std::function<void(const std::string&, const std::vector<Step>&)>& visit) {
  const std::function<void(std::size_t, int, std::vector<Step>)> walk =
      [&](std::size_t stage, int block, std::vector<Step> steps) {
        if (stage == blocks.size()) return;
        if (block == blocks[stage]) {
          walk(stage + 1, 0, std::move(steps));
          return;
        }
        const std::string name =
            "layer" + std::to_string(stage + 1) + "-" + std::to_string(block) + "-";
        const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
        std::vector<Step> inner = steps;
        inner.push_back({3, stride});
        visit(name + "conv1", inner);
        inner.push_back({3, 1});
        visit(name + "conv2", inner);
        walk(stage, block + 1, inner);
        std::vector<Step> shortcut = steps;
        if (stride == 2) {
          shortcut.push_back({1, 2});
          visit(name + "downsample-0", shortcut);
        }
        walk(stage, block + 1, shortcut);
      };
  walk(0, 0, {{7, 2}, {3, 2}});
}

}  // namespace

namespace {

/// Least and most of each convolution behind the stem.
std::map<std::string, Range> ranges_of_paths(const std::vector<int>& blocks) {
  std::map<std::string, Range> expected;
  walk_resnet(blocks, [&](const std::string& name, const std::vector<Step>& steps) {
    const std::int64_t field = field_of(steps);
    const auto [known, is_new] = expected.emplace(name, Range{field, field});
    known->second = {std::min(known->second.first, field), std::max(known->second.second, field)};
  });
  return expected;
}

/// ResNet of basic blocks, narrow.
struct DeepResNetImpl : nn::Module {
  nn::Sequential body;

  explicit DeepResNetImpl(const std::vector<int>& blocks) {
    body->push_back("conv1", nn::Conv2d(nn::Conv2dOptions(3, 4, 7).stride(2).padding(3)));
    body->push_back("pool", nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).padding(1)));
    std::int64_t in = 4;
    for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
      const std::int64_t out = std::int64_t{4} << stage;
      for (int block = 0; block < blocks[stage]; ++block) {
        const std::string name = "layer" + std::to_string(stage + 1) + "-" + std::to_string(block);
        body->push_back(std::string(name),
                        examples::BasicBlock(in, out, stage > 0 && block == 0 ? 2 : 1));
        in = out;
      }
    }
    register_module("body", body);
  }
  torch::Tensor forward(const torch::Tensor& x) { return body->forward(x); }
};

}  // namespace

TEST_CASE("Fields of ResNet34 are those of all its 65,536 paths", "[fields]") {
  const std::vector<int> blocks = {3, 4, 6, 3};
  const std::map<std::string, Range> expected = ranges_of_paths(blocks);
  REQUIRE(expected.size() == 35);
  DeepResNetImpl model(blocks);
  const ReceptiveFields fields = receptive_fields(model, torch::randn({1, 3, 64, 64}));
  for (const auto& [name, range] : expected) {
    CAPTURE(name);
    CHECK(ranges(row(fields, "body-" + name)) == std::vector<Range>{range, range});
  }
  CHECK(fields.largest_finite == std::vector<std::int64_t>{899, 899});
}

TEST_CASE("Fields of ResNet18 are those of all its paths", "[fields]") {
  const std::map<std::string, Range> expected = ranges_of_paths({2, 2, 2, 2});
  REQUIRE(expected.size() == 19);
  examples::ResNet18 model{examples::ResNetOptions()};
  const ReceptiveFields fields = receptive_fields(model, torch::randn({1, 3, 64, 64}));
  for (const auto& [name, range] : expected) {
    CAPTURE(name);
    CHECK(ranges(row(fields, name)) == std::vector<Range>{range, range});
  }
  CHECK(ranges(row(fields, "conv1")) == std::vector<Range>{{7, 7}, {7, 7}});
  const LayerField& head = row(fields, "fc");
  CHECK(ranges(head) == std::vector<Range>{{-1, -1}, {-1, -1}});
  CHECK(head.axes[0].largest_finite == 435);
  CHECK_FALSE(head.is_border);
  const delve::FeasibleInputSizes sizes = delve::feasible_input_sizes(fields);
  CHECK(sizes.lower[0] == 139);
  CHECK(sizes.upper[0] == 435);
  CHECK(row(fields, "layer4-1-conv2").axes[0].stride == 32);
  CHECK(row(fields, "conv1").parameters == 9408);
  CHECK(row(fields, "conv1").multiplications == 32 * 32 * 9408);
  CHECK(row(fields, "fc").multiplications == 5120);
}

TEST_CASE("Advice: an input, or downsampling to leave out, and what that costs", "[fields]") {
  const torch::Tensor pictures = torch::randn({1, 3, 32, 32});
  examples::ResNet18 model{examples::ResNetOptions()};
  const ReceptiveFields fields = receptive_fields(model, pictures);
  const delve::FieldAdvice advice = delve::advise(fields);
  CHECK(advice.border == std::vector<std::string>{
                             "layer3-0-conv2", "layer3-1-conv1", "layer3-1-conv2", "layer4-0-conv1",
                             "layer4-0-conv2", "layer4-1-conv1", "layer4-1-conv2"});
  CHECK(advice.replaceable.size() == 8);  // with the shortcut
  // The example's own cure, by counting what it does: the first two do not suffice alone.
  REQUIRE(advice.removals.size() == 1);
  CHECK(advice.removals[0].where == std::vector<std::string>{"conv1", "max_pool2d behind conv1"});
  examples::ResNet18 other{examples::ResNetOptions().early_downsampling(false)};
  const ReceptiveFields cured = receptive_fields(other, pictures);
  std::int64_t multiplications = 0;
  for (const LayerField& layer : cured.layers) multiplications += layer.multiplications;
  CHECK(advice.removals[0].multiplications == multiplications);
  CHECK(cured.removals.empty());
  CHECK(delve::advise(cured).border.empty());
  CHECK(delve::advise(cured).sentences ==
        std::vector<std::string>{"With an input of 32 × 32, no layer is a border layer."});
  // The sizes hold what they say: at that size none, one below it some.
  const std::int64_t size = advice.sizes.without_border.at(0);
  CHECK(delve::advise(receptive_fields(model, torch::randn({1, 3, size, size}))).border.empty());
  CHECK_FALSE(delve::advise(receptive_fields(model, torch::randn({1, 3, size - 1, size - 1})))
                  .border.empty());
  std::ostringstream words;
  words << advice;
  CHECK_THAT(words.str(),
             ContainsSubstring("An input of at least 128 × 128 leaves no border layer."));
  CHECK_THAT(
      words.str(),
      ContainsSubstring("Without the downsampling of conv1 and max_pool2d behind conv1, an input "
                        "of 32 × 32 leaves none either, at 15.2 times the multiplications."));
}

TEST_CASE("Operators read what their definition says", "[fields]") {
  const torch::Tensor sound = torch::randn({2, 4, 40});
  const auto field = [&](const std::function<torch::Tensor(const torch::Tensor&)>& function) {
    const std::vector<Range> found = ranges(behind(function, sound));
    REQUIRE(found.size() == 1);
    return found[0];
  };
  const auto conv = [](const torch::Tensor& x, std::int64_t kernel, std::int64_t stride,
                       std::int64_t padding, std::int64_t dilation) {
    return torch::conv1d(x, torch::randn({4, x.size(1), kernel}), {}, stride, padding, dilation);
  };
  CHECK(field([](const torch::Tensor& x) { return x; }) == Range{1, 1});
  CHECK(field([&](const auto& x) { return conv(x, 3, 1, 1, 4); }) == Range{9, 9});
  CHECK(field([&](const auto& x) { return conv(conv(x, 3, 2, 0, 1), 3, 2, 1, 2); }) ==
        Range{11, 11});
  // Different centres: a symmetric k3 beside a causal k5 sees 6, not 5.
  CHECK(field([&](const auto& x) {
          return conv(x, 3, 1, 1, 1) + conv(torch::constant_pad_nd(x, {4, 0}), 5, 1, 0, 1);
        }) == Range{3, 6});
  // A transposed k3 of stride 2 sees 1, 2, 1, 2.
  CHECK(field([](const auto& x) {
          return torch::conv_transpose1d(x, torch::randn({4, 4, 3}), {}, 2, 1);
        }) == Range{1, 2});
  CHECK(field([](const auto& x) { return torch::max_pool1d(x, 3, 2, 0, 1, true); }) == Range{3, 3});
  CHECK(field([](const auto& x) { return torch::adaptive_avg_pool1d(x, 10); }) == Range{4, 4});
  CHECK(field([](const auto& x) { return torch::adaptive_avg_pool1d(x, 40); }) == Range{1, 1});
  CHECK(field([](const auto& x) { return torch::adaptive_avg_pool1d(x, 15); }) == Range{3, 4});
  CHECK(field([](const auto& x) { return torch::upsample_nearest1d(x, 80); }) == Range{1, 1});
  CHECK(field([](const auto& x) { return torch::upsample_linear1d(x, 80, false); }) == Range{2, 2});
  CHECK(field([](const auto& x) { return torch::upsample_linear1d(x, 79, true); }) == Range{1, 2});
  CHECK(field([](const auto& x) { return x.unfold(2, 3, 2).sum(-1); }) == Range{3, 3});
  CHECK(field([&](const auto& x) { return conv(x, 3, 1, 1, 1).flip(2); }) == Range{3, 3});
  CHECK(field([&](const auto& x) {
          return conv(x.index({"...", torch::indexing::Slice(1, {}, 2)}), 3, 1, 1, 1);
        }) == Range{5, 5});
  CHECK(field([](const auto& x) { return torch::softmax(x, 2); }) == Range{-1, -1});
  CHECK(field([](const auto& x) { return torch::softmax(x, 1); }) == Range{1, 1});
  CHECK(field([](const auto& x) { return x.cumsum(2); }) == Range{-1, -1});
  CHECK(field([](const auto& x) { return x * torch::sigmoid(x.mean(2, true)); }) == Range{1, -1});
  CHECK(field([](const auto& x) { return torch::matmul(torch::randn({6, 4}), x); }) == Range{1, 1});
  CHECK(field([](const auto& x) {
          return torch::matmul(x, torch::randn({40, 9}));
        }) == Range{-1, -1});
  CHECK(field([](const auto& x) {
          return torch::bmm(x, torch::softmax(torch::bmm(x.transpose(1, 2), x), -1));
        }) == Range{-1, -1});
  CHECK(field([](const auto& x) {
          return F::linear(x.transpose(1, 2), torch::randn({5, 4})).transpose(1, 2);
        }) == Range{1, 1});
  CHECK(field([&](const auto& x) {
          return torch::cat({conv(x, 3, 1, 1, 1), x}, 1);
        }) == Range{1, 3});
  CHECK(field([&](const auto& x) {
          return conv(torch::cat({torch::zeros({2, 4, 5}), x}, 2), 3, 1, 1, 1);
        }) == Range{3, 3});
  CHECK(field([&](const auto& x) {
          return torch::cat({conv(x, 3, 1, 1, 1), conv(x, 5, 1, 2, 1)}, 2);
        }) == Range{3, 5});
  CHECK(field([&](const auto& x) { return x.roll(3, 2); }) == Range{1, 1});
  CHECK(field([&](const auto& x) { return x.view({2, 2, 2, 40}).flatten(1, 2); }) == Range{1, 1});
  CHECK(field([&](const auto& x) { return x.repeat_interleave(2, 2); }) == Range{1, 1});
  CHECK(field([&](const auto& x) {
          const auto parts = conv(x, 3, 1, 1, 1).chunk(2, 1);
          return torch::cat({parts[1], x}, 1);
        }) == Range{1, 3});
  CHECK(field([&](const auto& x) {
          torch::Tensor sum = x * 1;
          sum += conv(x, 5, 1, 2, 1);
          return sum.relu_();
        }) == Range{1, 5});
  // Positions that are joined or moved about have an end.
  CHECK(field([&](const auto& x) {
          return torch::cat({conv(x, 3, 1, 1, 1), conv(x, 5, 1, 2, 1)}, 2).narrow(2, 0, 40);
        }) == Range{3, 3});
  CHECK(
      behind([&](const auto& x) { return conv(x.roll(3, 2), 3, 1, 1, 1); }, sound).axes[0].inside ==
      40);
  CHECK(field([&](const auto& x) { return conv(x.roll(3, 2), 3, 1, 1, 1); }).second == 40);
  CHECK(field([](const auto& x) { return torch::glu(torch::cat({x, x}, 2), 2); }) == Range{-1, -1});
  CHECK(field([](const auto& x) { return torch::glu(torch::cat({x, x}, 1), 1); }) == Range{1, 1});
  const torch::Tensor constant = torch::randn({1, 4, 40}, torch::kDouble);
  CHECK(field([&](const auto& x) { return conv(x, 5, 1, 2, 1) + constant.type_as(x); }) ==
        Range{5, 5});
  CHECK(field([&](const auto& x) {
          return torch::max(constant.to(torch::kFloat), conv(x, 5, 1, 2, 1));
        }) == Range{5, 5});
  CHECK(field([&](const auto& x) { return at::normal(conv(x, 5, 1, 2, 1), 1.); }) == Range{5, 5});
  CHECK(field([&](const auto& x) {
          return torch::where(x > 0, conv(x, 5, 1, 2, 1), conv(x, 7, 1, 3, 1));
        }) == Range{1, 7});
  CHECK(field([&](const auto& x) {  // one half is changed, and stays what it is
          const auto halves = (x * 1).chunk(2, 2);
          halves[0].mul_(2);
          return halves[1] + 0;
        }) == Range{1, 1});
  CHECK(field([&](const auto& x) {
          torch::Tensor out = torch::empty({2, 4, 40});
          torch::add_out(out, x, conv(x, 5, 1, 2, 1));
          return out;
        }) == Range{1, 5});
  CHECK(field([&](const auto& x) {
          nn::GRU gru(nn::GRUOptions(4, 4).batch_first(true));
          return std::get<0>(gru->forward(x.transpose(1, 2))).transpose(1, 2);
        }) == Range{-1, -1});
  CHECK(field([](const auto& x) {  // each number back where it was the largest
          const auto [pooled, places] =
              torch::max_pool2d_with_indices(x.unsqueeze(-1), {2, 1}, {2, 1});
          return torch::max_unpool2d(pooled, places, {40, 1}).squeeze(-1);
        }) == Range{2, 2});
  CHECK(field([&](const auto& x) {  // written through a view of half the channels
          torch::Tensor both = x * 1;
          both.narrow(1, 0, 2).add_(conv(x, 5, 1, 2, 1).narrow(1, 0, 2));
          return both;
        }) == Range{1, 5});
}

TEST_CASE("Pictures, films and their axes", "[fields]") {
  const torch::Tensor picture = torch::randn({2, 4, 24, 20});
  CHECK(ranges(behind(
            [](const torch::Tensor& x) {
              return torch::conv2d(x, torch::randn({8, 4, 3, 5}), {}, {1, 2}, {1, 2});
            },
            picture)) == std::vector<Range>{{3, 3}, {5, 5}});
  CHECK(ranges(behind([](const torch::Tensor& x) { return torch::pixel_shuffle(x, 2); },
                      picture)) == std::vector<Range>{{1, 1}, {1, 1}});
  CHECK(
      ranges(behind(
          [](const torch::Tensor& x) { return torch::avg_pool2d(torch::pixel_unshuffle(x, 2), 2); },
          picture)) == std::vector<Range>{{4, 4}, {4, 4}});
  // Attention along one axis alone: rows stay apart.
  CHECK(ranges(behind(
            [](const torch::Tensor& x) {
              const torch::Tensor rows = x.permute({0, 2, 3, 1});
              const torch::Tensor weights =
                  torch::softmax(torch::matmul(rows, rows.transpose(-1, -2)), -1);
              return torch::matmul(weights, rows).permute({0, 3, 1, 2});
            },
            picture)) == std::vector<Range>{{1, 1}, {-1, -1}});
  CHECK(ranges(behind(
            [](const torch::Tensor& x) {
              return torch::einsum("bchw,bcHw->bHhw", {x, x}).narrow(1, 0, 4);
            },
            picture)) == std::vector<Range>{{-1, -1}, {1, 1}});
  CHECK(ranges(behind([](const torch::Tensor& x) { return x.flatten(2).view(x.sizes()); },
                      picture)) == std::vector<Range>{{1, 1}, {1, 1}});
  CHECK(ranges(behind(
            [](const torch::Tensor& x) {
              return torch::max_pool3d(x, {1, 2, 2}, {1, 2, 2});
            },
            torch::randn({1, 4, 6, 8, 8}))) == std::vector<Range>{{1, 1}, {2, 2}, {2, 2}});
}

TEST_CASE("What is not known is unknown, by its name", "[fields]") {
  const auto unknown = [](const std::function<torch::Tensor(const torch::Tensor&)>& function) {
    const LayerField layer = behind(function, torch::randn({2, 4, 16, 16}));
    REQUIRE(layer.axes.size() == 2);
    CHECK_FALSE(layer.axes[0].most);
    CHECK_FALSE(layer.is_border);
    return layer.axes[0].unknown;
  };
  CHECK(unknown([](const auto& x) { return std::get<0>(x.sort(2)); }) == "aten::sort");
  CHECK(unknown([](const auto& x) { return torch::real(torch::fft_fft(x)); }) == "aten::fft_fft");
  CHECK(unknown([](const auto& x) {
          return x.index(
              {torch::indexing::Slice(), torch::indexing::Slice(), torch::tensor({3, 1, 2})});
        }) == "aten::index");
  CHECK(unknown([](const auto& x) { return x.gather(2, torch::zeros_like(x, torch::kLong)); }) ==
        "aten::gather");
  CHECK(unknown([](const auto& x) { return x.view({2, 4, 2, 8, 16}).sum(2); }) == "aten::view");
  CHECK(unknown([](const auto& x) { return torch::rot90(x, 1, {2, 3}); }) == "aten::rot90");
  CHECK(unknown([](const auto& x) {  // a part of a buffer that knew nothing of the input
          torch::Tensor buffer = torch::zeros_like(x);
          buffer.narrow(1, 0, 2).copy_(x.narrow(1, 0, 2));
          return buffer;
        }) == "a write through a view");
  CHECK(unknown([](const auto& x) {  // another half is in the way
          const auto halves = (x * 1).chunk(2, 2);
          halves[0].add_(torch::avg_pool2d(halves[0], 3, 1, 1));
          return halves[1] + 0;
        }) == "aten::add_ through a view");
  CHECK(unknown([](const auto& x) {
          return x.repeat_interleave(2, 2) * x.mean() + std::get<0>(x.topk(1, 2));
        }) == "aten::topk");
  CHECK(unknown([](const auto& x) {  // filters made of the input
          return torch::conv2d(x, x.mean({0, 2, 3}, true).expand({3, 4, 1, 1}));
        }) == "aten::conv2d");
  CHECK(
      unknown([](const auto& x) {
        return std::get<0>(torch::fractional_max_pool2d(x, {2, 2}, {8, 8}, torch::rand({2, 4, 2})));
      }) == "aten::fractional_max_pool2d");
}

namespace {

/// A network of one or two axes, drawn from a seed: steps that each have a layer or none.
class RandomNet {
 public:
  RandomNet(unsigned seed, int axes) : random_(seed), axes_(axes) {
    const int steps = pick(3, 5);
    for (int i = 0; i < steps; ++i) steps_.push_back(step());
    layer_ =
        axes_ == 1 ? net_.add(nn::Conv1d(kChannels, 2, 1)) : net_.add(nn::Conv2d(kChannels, 2, 1));
    net_.run = [this](NetImpl& net, const torch::Tensor& x) {
      return net.layers[layer_].forward(run(x));
    };
    net_.to(torch::kDouble);
  }

  [[nodiscard]] torch::Tensor forward(const torch::Tensor& x) { return net_.forward(x); }
  NetImpl& net() { return net_; }
  [[nodiscard]] std::string layer() const { return "layer" + std::to_string(layer_); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  using Function = std::function<torch::Tensor(const torch::Tensor&)>;
  static constexpr std::int64_t kChannels = 4;

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  torch::Tensor run(torch::Tensor x) const {
    for (const Function& step : steps_) x = step(x);
    return x;
  }

  // The kernels of the axes differ by one.
  std::size_t add_conv(std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                       std::int64_t padding, std::int64_t groups = 1) {
    if (axes_ == 1) {
      return net_.add(nn::Conv1d(nn::Conv1dOptions(kChannels, kChannels, kernel)
                                     .stride(stride)
                                     .dilation(dilation)
                                     .padding(padding)
                                     .groups(groups)));
    }
    return net_.add(nn::Conv2d(nn::Conv2dOptions(kChannels, kChannels, {kernel, kernel + 1})
                                   .stride({stride, 1})
                                   .dilation({dilation, 1})
                                   .padding({padding, 1})
                                   .groups(groups)));
  }

  Function layer(std::size_t i) {
    return [this, i](const torch::Tensor& x) { return net_.layers[i].forward(x); };
  }

  /// The same positions of two branches, cut to the shorter one.
  static torch::Tensor sum(torch::Tensor a, torch::Tensor b) {
    for (std::int64_t axis = 2; axis < a.dim(); ++axis) {
      const std::int64_t size = std::min(a.size(axis), b.size(axis));
      a = a.narrow(axis, 0, size);
      b = b.narrow(axis, b.size(axis) - size, size);
    }
    return a + b;
  }

  Function step() {
    const int kernel = pick(1, 4);
    const int dilation = pick(1, 3);
    const int kind = pick(0, 13);
    text_ +=
        " " + std::to_string(kind) + ":" + std::to_string(kernel) + "," + std::to_string(dilation);
    switch (kind) {
      case 0:
        return layer(add_conv(kernel, 1, dilation, pick(0, kernel)));
      case 1:
        return layer(add_conv(kernel + 1, 2, 1, pick(0, 1)));
      case 2: {
        const Function conv = layer(add_conv(kernel, 1, 1, 1));
        return [conv](const torch::Tensor& x) { return torch::silu(conv(x)); };
      }
      case 3: {  // two branches of other kernels and paddings
        const Function a = layer(add_conv(kernel, 1, dilation, pick(0, 2)));
        const Function b = layer(add_conv(kernel + 2, 1, 1, pick(0, 2)));
        return [a, b](const torch::Tensor& x) { return sum(a(x), torch::tanh(b(x))); };
      }
      case 4: {  // a causal one beside the tensor itself
        const Function a = layer(add_conv(kernel, 1, 1, 0));
        const bool flat = axes_ == 1;
        return [a, kernel, flat](const torch::Tensor& x) {
          const torch::Tensor padded =
              flat ? F::pad(x, F::PadFuncOptions({kernel - 1, 0}))
                   : F::pad(x, F::PadFuncOptions({kernel - 2, 0, kernel - 1, 0}));
          return x + a(padded);
        };
      }
      case 5:
        if (axes_ == 1) {
          return [](const torch::Tensor& x) { return torch::avg_pool1d(x, 3, 2, 1); };
        }
        return [](const torch::Tensor& x) { return torch::avg_pool2d(x, {3, 2}, {2, 2}, {1, 0}); };
      case 6:
        if (axes_ == 1) {
          return layer(net_.add(nn::ConvTranspose1d(
              nn::ConvTranspose1dOptions(kChannels, kChannels, kernel + 1).stride(2))));
        }
        return layer(net_.add(nn::ConvTranspose2d(
            nn::ConvTranspose2dOptions(kChannels, kChannels, kernel + 1).stride(2).padding(1))));
      case 7:
        return [](const torch::Tensor& x) { return x.slice(2, 1, x.size(2), 2) * 2; };
      case 8: {  // channels last
        const Function linear = layer(net_.add(nn::Linear(kChannels, kChannels)));
        return [linear](const torch::Tensor& x) { return linear(x.movedim(1, -1)).movedim(-1, 1); };
      }
      case 9:
        return [](const torch::Tensor& x) {
          return F::interpolate(
              x, F::InterpolateFuncOptions()
                     .scale_factor(std::vector<double>(static_cast<std::size_t>(x.dim() - 2), 2.))
                     .mode(torch::kNearest));
        };
      case 10:
        if (axes_ == 1) {
          return [](const torch::Tensor& x) {
            return torch::upsample_linear1d(x, 2 * x.size(2), false);
          };
        }
        return [](const torch::Tensor& x) {
          return torch::upsample_bilinear2d(x, {x.size(2) * 3, x.size(3)}, false);
        };
      case 11: {  // joined channels
        const Function a = layer(add_conv(kernel, 1, 1, kernel / 2));
        return [a](const torch::Tensor& x) {
          const torch::Tensor other = a(x);
          torch::Tensor own = x;
          torch::Tensor cut = other;
          for (std::int64_t axis = 2; axis < x.dim(); ++axis) {
            const std::int64_t size = std::min(own.size(axis), cut.size(axis));
            own = own.narrow(axis, 0, size);
            cut = cut.narrow(axis, 0, size);
          }
          return torch::cat({own.narrow(1, 0, 2), cut.narrow(1, 1, 2)}, 1);
        };
      }
      case 12:
        return layer(add_conv(kernel, 2, dilation, pick(0, 2), kChannels));
      default: {
        const Function a = layer(add_conv(2, 1, 1, 0));
        return [a](const torch::Tensor& x) {
          torch::Tensor sum = a(x);
          for (std::int64_t axis = 2; axis < x.dim(); ++axis) sum = sum.flip(axis).flip(axis);
          return sum;
        };
      }
    }
  }

  std::mt19937 random_;
  int axes_;
  NetImpl net_;
  std::vector<Function> steps_;
  std::size_t layer_ = 0;
  std::string text_;
};

}  // namespace

TEST_CASE("Of random networks the field is the largest box of gradients", "[fields]") {
  torch::manual_seed(11);
  int compared = 0;
  for (const int axes : {1, 2}) {
    const int nets = axes == 1 ? 200 : 60;
    for (int seed = 0; seed < nets; ++seed) {
      RandomNet net(static_cast<unsigned>(seed), axes);
      const std::int64_t size = axes == 1 ? 200 : 56;
      std::vector<std::int64_t> shape = {1, 4};
      shape.insert(shape.end(), static_cast<std::size_t>(axes), size);
      const torch::Tensor input = torch::randn(shape, torch::kDouble);
      CAPTURE(axes, seed, net.text());
      const ReceptiveFields fields = receptive_fields(net.net(), input);
      const LayerField& last = row(fields, net.layer());
      REQUIRE(last.axes.size() == static_cast<std::size_t>(axes));
      const torch::Tensor leaf = input.clone().requires_grad_();
      const torch::Tensor output = net.forward(leaf);
      for (int axis = 0; axis < axes; ++axis) {
        const AxisField& field = last.axes[static_cast<std::size_t>(axis)];
        CAPTURE(axis, field.unknown, field.least.value_or(-1), field.most.value_or(-1));
        REQUIRE(field.most);
        CHECK(field.size == output.size(axis + 2));
        if (*field.most > size / 2) continue;
        // One period in the middle, at least 16 positions.
        std::int64_t longest = 0;
        const std::int64_t middle = output.size(axis + 2) / 2;
        for (std::int64_t i = std::max<std::int64_t>(middle - 8, 0);
             i < std::min(middle + 8, output.size(axis + 2)); ++i) {
          torch::Tensor unit = output.select(axis + 2, i);
          for (std::int64_t other = unit.dim() - 1; other >= 2; --other) {
            unit = unit.select(other, unit.size(other) / 2);
          }
          const torch::Tensor gradient =
              torch::autograd::grad({unit.sum()}, {leaf}, {}, /*retain_graph=*/true)[0];
          std::vector<std::int64_t> rest;
          for (std::int64_t other = 0; other < gradient.dim(); ++other) {
            if (other != axis + 2) rest.push_back(other);
          }
          const torch::Tensor seen = gradient.abs().amax(rest).nonzero();
          if (seen.size(0) == 0) continue;
          longest =
              std::max(longest, seen[-1].item<std::int64_t>() - seen[0].item<std::int64_t>() + 1);
        }
        CHECK(longest == *field.most);
        ++compared;
      }
    }
  }
  CHECK(compared > 200);
  std::cout << compared << " axes of random networks compared\n";
}

namespace {

/// All that a forward may change: parameters, buffers, modes, gradients, random numbers.
std::vector<torch::Tensor> state_of(nn::Module& model) {
  std::vector<torch::Tensor> state;
  for (const torch::Tensor& it : model.parameters()) {
    state.push_back(it.detach().clone());
    if (it.grad().defined()) state.push_back(it.grad().clone());
  }
  for (const torch::Tensor& it : model.buffers()) state.push_back(it.clone());
  state.push_back(torch::tensor(model.is_training()));
  for (const auto& module : model.modules(/*include_self=*/false)) {
    state.push_back(torch::tensor(module->is_training()));
  }
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard<std::mutex> lock(generator.mutex());
  state.push_back(generator.get_state());
  return state;
}

bool are_equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.equal(y); });
}

}  // namespace

TEST_CASE("The model is left as it was, to the bit", "[fields]") {
  torch::manual_seed(3);
  nn::Sequential model(nn::Conv2d(3, 4, 3), nn::BatchNorm2d(4), nn::ReLU(), nn::Dropout(0.5),
                       nn::Conv2d(4, 2, 3));
  model->train();
  model[1]->eval();
  torch::Tensor input = torch::randn({2, 3, 12, 12});
  model->forward(input).sum().backward();
  const torch::Tensor same = input.clone();
  const auto before = state_of(*model);
  receptive_fields(model, input);
  CHECK(are_equal(state_of(*model), before));
  CHECK(torch::GradMode::is_enabled());
  receptive_fields(model, [&] {
    torch::rand({3});
    model->forward(input);
  });
  CHECK(are_equal(state_of(*model), before));
  CHECK(input.equal(same));

  // A norm that two parts share, and is frozen in one of them.
  nn::BatchNorm2d shared(4);
  nn::Sequential one(nn::Conv2d(3, 4, 3), shared);
  nn::Sequential two(nn::Conv2d(4, 4, 3), shared);
  one->train();
  two->train();
  shared->eval();
  receptive_fields({{"two", two}, {"one", one}}, [&] { two->forward(one->forward(input)); });
  CHECK_FALSE(shared->is_training());
  CHECK(one->is_training());
  CHECK(two->is_training());

  // No tracker counts what only looks at the model.
  delve::CheckLayerSat tracker("unused", "csv", model, delve_test::quiet());
  receptive_fields(model, input);
  CHECK(tracker.add_saturations().layers.empty());

  NetImpl throws;
  throws.add(nn::Conv2d(3, 4, 3));
  throws.add(nn::Dropout());
  throws.run = [](NetImpl& net, const torch::Tensor& x) -> torch::Tensor {
    net.layers[0].forward(x).add_(torch::rand({1}));
    throw std::domain_error("no");
  };
  const auto before_throw = state_of(throws);
  CHECK_THROWS_AS(receptive_fields(throws, input), std::domain_error);
  CHECK(are_equal(state_of(throws), before_throw));
  CHECK(receptive_fields(model, input).layers.size() == 2);

  // One that writes into what it is given.
  NetImpl writes;
  writes.add(nn::Conv2d(3, 4, 3));
  writes.run = [](NetImpl& net, const torch::Tensor& x) {
    return net.layers[0].forward(torch::relu_(const_cast<torch::Tensor&>(x)));
  };
  CHECK(ranges(receptive_fields(writes, input).layers.at(0)) == std::vector<Range>{{3, 3}, {3, 3}});
  CHECK(input.equal(same));
}

TEST_CASE("Models of every form are taken", "[fields]") {
  const torch::Tensor input = torch::randn({1, 3, 12, 12});
  const std::vector<Range> expected = {{3, 3}, {3, 3}};
  nn::Conv2d holder(3, 4, 3);
  nn::Conv2dImpl value(nn::Conv2dOptions(3, 4, 3));
  const auto pointer = std::make_shared<nn::Conv2dImpl>(nn::Conv2dOptions(3, 4, 3));
  nn::AnyModule any(nn::Conv2d(3, 4, 3));
  const nn::Conv2d constant(3, 4, 3);
  CHECK(ranges(receptive_fields(holder, input).layers.at(0)) == expected);
  CHECK(ranges(receptive_fields(value, input).layers.at(0)) == expected);
  CHECK(ranges(receptive_fields(pointer, input).layers.at(0)) == expected);
  CHECK(ranges(receptive_fields(any, input).layers.at(0)) == expected);
  CHECK(ranges(receptive_fields(constant, input).layers.at(0)) == expected);
  CHECK(receptive_fields(holder, input).layers[0].layer == "Conv2d");
  for (const std::string file : {"scripted", "traced"}) {
    torch::jit::Module script = torch::jit::load(delve_test::data("script/" + file + ".pt"));
    const ReceptiveFields fields = receptive_fields(script, torch::randn({2, 3, 8, 8}));
    CAPTURE(file);
    CHECK(fields.layers.at(0).layer == "first");
    CHECK(ranges(row(fields, "first")) == std::vector<Range>{{3, 3}, {3, 3}});
    CHECK(script.is_training());
  }

  // Several inputs; of one that only shares the batch nothing is asked.
  struct TwoImpl : nn::Module {
    nn::Conv2d a{register_module("a", nn::Conv2d(nn::Conv2dOptions(3, 4, 3).padding(1)))};
    nn::Conv2d b{register_module("b", nn::Conv2d(nn::Conv2dOptions(3, 4, 5).padding(2)))};
    nn::Conv2d c{register_module("c", nn::Conv2d(4, 4, 1))};
    torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& y, const torch::Tensor& time,
                          double scale) {
      return c(a(x) + b(y) * time.view({-1, 1, 1, 1}) * scale);
    }
  } two;
  const ReceptiveFields fields =
      receptive_fields(two, input, torch::randn({1, 3, 12, 12}), torch::ones({1}), 2.);
  CHECK(ranges(row(fields, "c")) == std::vector<Range>{{3, 5}, {3, 5}});
}

TEST_CASE("Series, tokens and channels last tell where their positions are", "[fields]") {
  nn::Sequential words(nn::Embedding(20, 8), nn::Linear(8, 8));
  CHECK(ranges(row(receptive_fields(words, torch::randint(20, {3, 7})), "1")) ==
        std::vector<Range>{{1, 1}});
  CHECK(ranges(receptive_fields(nn::Linear(8, 4), torch::randn({3, 7, 8})).layers.at(0)) ==
        std::vector<Range>{{1, 1}});
  const ReceptiveFields last = receptive_fields(nn::Linear(8, 4), torch::randn({2, 6, 5, 8}));
  CHECK(last.input == std::vector<std::int64_t>{6, 5});

  struct TaggerImpl : nn::Module {
    nn::Embedding embedding{register_module("embedding", nn::Embedding(20, 8))};
    nn::LSTM lstm{register_module("lstm", nn::LSTM(nn::LSTMOptions(8, 6).batch_first(true)))};
    nn::Linear head{register_module("head", nn::Linear(6, 3))};
    torch::Tensor forward(const torch::Tensor& x) { return head(std::get<0>(lstm(embedding(x)))); }
  } tagger;
  const ReceptiveFields fields = receptive_fields(tagger, torch::randint(20, {3, 7}));
  CHECK(ranges(row(fields, "lstm")) == std::vector<Range>{{-1, -1}});
  CHECK(ranges(row(fields, "head")) == std::vector<Range>{{-1, -1}});
  CHECK(row(fields, "lstm").multiplications == 21 * (4 * 6 * 8 + 4 * 6 * 6));
  CHECK(row(fields, "head").is_map);

  // A picture that is handed over channels last, normalised and turned.
  NetImpl turned;
  turned.add(nn::Conv2d(3, 4, 3));
  turned.run = [](NetImpl& net, const torch::Tensor& x) {
    return net.layers[0].forward((x / 255 - 0.5).permute({0, 3, 1, 2}));
  };
  const ReceptiveFields picture = receptive_fields(turned, torch::rand({1, 20, 24, 3}));
  CHECK(picture.input == std::vector<std::int64_t>{20, 24});
  CHECK(ranges(picture.layers.at(0)) == std::vector<Range>{{3, 3}, {3, 3}});

  // A vision transformer: patches, a class token, attention, a head on the token.
  struct TransformerImpl : nn::Module {
    nn::Conv2d patches{
        register_module("patches", nn::Conv2d(nn::Conv2dOptions(3, 8, 4).stride(4)))};
    nn::Linear query{register_module("query", nn::Linear(8, 8))};
    nn::Linear key{register_module("key", nn::Linear(8, 8))};
    nn::Linear out{register_module("out", nn::Linear(8, 8))};
    nn::Linear head{register_module("head", nn::Linear(8, 3))};
    torch::Tensor token{register_parameter("token", torch::randn({1, 1, 8}))};
    torch::Tensor forward(const torch::Tensor& x) {
      torch::Tensor rows = patches(x).flatten(2).transpose(1, 2);
      rows = torch::cat({token.expand({x.size(0), 1, 8}), rows}, 1) + torch::randn({1, 37, 8});
      const torch::Tensor q = query(rows).view({x.size(0), 37, 2, 4}).transpose(1, 2);
      const torch::Tensor k = key(rows).view({x.size(0), 37, 2, 4}).transpose(1, 2);
      const torch::Tensor weights = torch::softmax(torch::matmul(q, k.transpose(-2, -1)), -1);
      const torch::Tensor mixed =
          torch::matmul(weights, k).transpose(1, 2).reshape({x.size(0), 37, 8});
      rows = rows + out(mixed);
      return head(rows.select(1, 0));
    }
  } transformer;
  const ReceptiveFields seen = receptive_fields(transformer, torch::randn({2, 3, 24, 24}));
  CHECK(ranges(row(seen, "patches")) == std::vector<Range>{{4, 4}, {4, 4}});
  CHECK(ranges(row(seen, "query")) == std::vector<Range>{{4, 4}, {4, 4}});
  CHECK(ranges(row(seen, "out")) == std::vector<Range>{{-1, -1}, {-1, -1}});
  CHECK(row(seen, "out").axes[0].largest_finite == 4);
  CHECK(ranges(row(seen, "head")) == std::vector<Range>{{-1, -1}, {-1, -1}});
  CHECK_FALSE(row(seen, "out").is_border);
}

TEST_CASE("What else a row holds", "[fields]") {
  // Called twice, with different fields: both.
  NetImpl twice;
  twice.add(nn::Conv1d(nn::Conv1dOptions(4, 4, 3).padding(1)));
  twice.add(nn::Conv1d(4, 4, 1));
  twice.run = [](NetImpl& net, torch::Tensor x) {
    x = net.layers[0].forward(x);
    return net.layers[0].forward(x);
  };
  const ReceptiveFields fields = receptive_fields(twice, torch::randn({2, 4, 20}));
  REQUIRE(fields.layers.size() == 3);
  CHECK(ranges(fields.layers[0]) == std::vector<Range>{{3, 3}});
  CHECK(ranges(fields.layers[1]) == std::vector<Range>{{5, 5}});
  CHECK(fields.layers[1].layer == "layer0");
  CHECK(fields.layers[2].layer == "layer1");  // did not run
  CHECK(fields.layers[2].output.empty());

  // The part of a field inside of the input; stride and centre.
  nn::Sequential wide(nn::Conv1d(nn::Conv1dOptions(1, 1, 5).padding(2).stride(2)),
                      nn::Conv1d(nn::Conv1dOptions(1, 1, 5).padding(2)));
  const ReceptiveFields inside = receptive_fields(wide, torch::randn({1, 1, 8}));
  const AxisField& axis = inside.layers[1].axes.at(0);
  CHECK(*axis.most == 13);
  CHECK(axis.inside == 8);
  CHECK(axis.stride == 2);
  CHECK(axis.centre == 0);
  CHECK(axis.size == 4);

  NetImpl normed;
  normed.add(nn::Conv2d(3, 4, 3));
  normed.add(nn::Conv2d(4, 4, 3));
  normed.run = [](NetImpl& net, const torch::Tensor& x) {
    const torch::Tensor maps = net.layers[0].forward(x);
    return net.layers[1].forward(torch::group_norm(maps, 2));
  };
  const ReceptiveFields notes = receptive_fields(normed, torch::randn({1, 3, 12, 12}));
  CHECK(notes.layers[0].notes.empty());
  CHECK(notes.layers[1].notes == std::vector<std::string>{"statistics of group_norm not counted"});
  CHECK(ranges(notes.layers[1]) == std::vector<Range>{{5, 5}, {5, 5}});

  std::ostringstream table;
  table << notes;
  CHECK(table.str() ==
        "layer   kind    output           parameters  multiplications  receptive field\n"
        "layer0  Conv2d  1 × 4 × 10 × 10         112           10,800  3\n"
        "layer1  Conv2d  1 × 4 × 8 × 8           148            9,216  5                statistics "
        "of group_norm not counted\n"
        "Input 12 × 12; 260 parameters, 20,016 multiplications. No border layer from 4 × 4 on.\n");
}

namespace {

/// An operator of a program's own, of which LibTorch knows nothing but the name.
torch::Tensor neighbours(const torch::Tensor& x) {
  torch::Tensor sum = torch::empty(x.sizes());
  const float* const from = x.data_ptr<float>();
  float* const to = sum.data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i) to[i] = from[i] + from[(i + 1) % x.numel()];
  return sum;
}

/// And one that LibTorch's make up.
torch::Tensor doubled(const torch::Tensor& x) {
  return torch::avg_pool1d(x, 2);
}

torch::Tensor& blur_(torch::Tensor& x) {
  float* const data = x.data_ptr<float>();
  for (std::int64_t i = 1; i < x.numel(); ++i) data[i] += data[i - 1];
  return x;
}

TORCH_LIBRARY(delve_test, library) {
  library.def("neighbours", neighbours);
  library.def("doubled", doubled);
  library.def("blur_(Tensor(a!) x) -> Tensor(a!)");
  library.impl("blur_", c10::DispatchKey::CPU, blur_);
}

torch::Tensor run_own(const char* name, const torch::Tensor& x) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(name, "")
      .typed<torch::Tensor(const torch::Tensor&)>()
      .call(x);
}

}  // namespace

TEST_CASE("A program's own operators are unknown, or known by what is in them", "[fields]") {
  const torch::Tensor sound = torch::randn({1, 4, 16});
  const LayerField hidden = behind(
      [](const torch::Tensor& x) { return run_own("delve_test::neighbours", x.contiguous()); },
      sound);
  REQUIRE(hidden.axes.size() == 1);
  CHECK(hidden.axes[0].unknown == "delve_test::neighbours");
  const LayerField blurred = behind(
      [](const torch::Tensor& x) {
        torch::Tensor own = x * 1;
        return c10::Dispatcher::singleton()
            .findSchemaOrThrow("delve_test::blur_", "")
            .typed<torch::Tensor&(torch::Tensor&)>()
            .call(own);
      },
      sound);
  CHECK(blurred.axes[0].unknown == "delve_test::blur_");
  CHECK(ranges(behind([](const torch::Tensor& x) { return run_own("delve_test::doubled", x); },
                      sound)) == std::vector<Range>{{2, 2}});
  CHECK(ranges(behind(
            [](const torch::Tensor& x) {
              RECORD_FUNCTION("a scope of the program", std::vector<c10::IValue>{x});
              return torch::avg_pool1d(x, 2);
            },
            sound)) == std::vector<Range>{{2, 2}});
}

TEST_CASE("Under autocast the fields are the same", "[fields]") {
  nn::Sequential model(nn::Conv2d(3, 4, 3), nn::ReLU(), nn::Conv2d(4, 4, 3), nn::Flatten(),
                       nn::Linear(256, 5));
  const delve_test::Autocast autocast;
  const ReceptiveFields fields = receptive_fields(model, torch::randn({1, 3, 12, 12}));
  CHECK(ranges(row(fields, "2")) == std::vector<Range>{{5, 5}, {5, 5}});
  CHECK(ranges(row(fields, "4")) == std::vector<Range>{{-1, -1}, {-1, -1}});
}

TEST_CASE("A function may call the model, and several models", "[fields]") {
  nn::Conv2d encoder(3, 4, 3);
  nn::ConvTranspose2d decoder(nn::ConvTranspose2dOptions(4, 3, 4).stride(2));
  const torch::Tensor input = torch::randn({1, 3, 12, 12});
  const ReceptiveFields fields = receptive_fields({{"encoder", encoder}, {"decoder", decoder}},
                                                  [&] { decoder(encoder(input)); });
  CHECK(ranges(row(fields, "encoder")) == std::vector<Range>{{3, 3}, {3, 3}});
  CHECK(ranges(row(fields, "decoder")) == std::vector<Range>{{4, 4}, {4, 4}});
  // The input is that of the first layer.
  nn::Linear linear(5, 4);
  const ReceptiveFields rows = receptive_fields(linear, [&] { linear(torch::randn({3, 9, 5})); });
  CHECK(rows.input == std::vector<std::int64_t>{9});
  CHECK(ranges(rows.layers.at(0)) == std::vector<Range>{{1, 1}});
}

TEST_CASE("What cannot be answered is refused, and says why", "[fields][misuse]") {
  nn::Linear linear(4, 2);
  const torch::Tensor rows = torch::randn({8, 4});
  CHECK_THROWS_WITH(receptive_fields(linear, rows),
                    ContainsSubstring("the input has no axis of positions"));
  CHECK_THROWS_WITH(receptive_fields(nn::Sequential(nn::ReLU()), torch::randn({1, 3, 8, 8})),
                    ContainsSubstring("the model has no layer of a known kind"));
  CHECK_THROWS_WITH(receptive_fields(linear, [] {}),
                    ContainsSubstring("no layer of the model ran"));
  {
    const at::RecordFunctionGuard off(false);
    nn::Conv2d conv(3, 4, 3);
    CHECK_THROWS_WITH(receptive_fields(conv, torch::randn({1, 3, 8, 8})),
                      ContainsSubstring("at::RecordFunctionGuard(false)"));
  }
}

namespace {

/// The fields of a record, by layer.
const LayerField& field_of(const delve::EpochRecord& record, const std::string& layer) {
  for (const LayerField& field : record.fields) {
    if (field.layer == layer) return field;
  }
  throw std::logic_error("no field of " + layer);
}

delve::CheckLayerSatOptions with_fields(std::vector<std::string>* messages = nullptr) {
  return delve_test::quiet(messages).receptive_field(true);
}

}  // namespace

TEST_CASE("A layer's inputs limit how many directions it can fill", "[fields]") {
  const auto limit = [](const auto& layer, const torch::Tensor& input) {
    return receptive_fields(nn::Sequential(layer), input).layers.at(0).rank_limit;
  };
  const torch::Tensor pictures = torch::randn({2, 32, 6, 6});
  const auto conv = [](std::int64_t out, std::int64_t kernel, std::int64_t groups) {
    return nn::Conv2d(nn::Conv2dOptions(32, out, kernel).groups(groups));
  };
  CHECK(limit(conv(64, 1, 1), pictures) == 0.5);
  CHECK(limit(conv(64, 3, 1), pictures) == 1);
  CHECK(limit(conv(16, 1, 1), pictures) == 1);
  CHECK(limit(conv(32, 3, 32), pictures) == 1);      // depthwise: nine inputs each
  CHECK(limit(conv(128, 1, 32), pictures) == 0.25);  // four of one input
  CHECK(limit(nn::Linear(6, 24), pictures) == 0.25);
  // What a layer's data shows never exceeds it.
  nn::Conv2d layer = conv(64, 1, 1);
  delve::CheckLayerSat tracker("unused", "csv", layer, delve_test::quiet());
  layer->forward(torch::randn({64, 32, 6, 6}));
  CHECK(tracker.add_saturations().layers.at(0).values.at(0).value <= 0.5);
}

TEST_CASE("A page has receptive fields without being asked, and the run's settings",
          "[fields][tracker][html]") {
  torch::manual_seed(5);
  const std::string savefile = "page_of_tracker";
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(3, 4, 3).stride(2).padding(1)), nn::ReLU(),
                       nn::Conv2d(nn::Conv2dOptions(4, 4, 3).stride(2).padding(1)), nn::ReLU(),
                       nn::Conv2d(nn::Conv2dOptions(4, 4, 5).padding(2)), nn::ReLU(),
                       nn::Conv2d(nn::Conv2dOptions(4, 4, 3).padding(1)), nn::Flatten(),
                       nn::Linear(16, 2), nn::Dropout());
  std::vector<std::string> messages;
  {
    delve::CheckLayerSat tracker(savefile, {"html"}, model,
                                 delve::CheckLayerSatOptions().sat_threshold(0.9).on_warning(
                                     [&](std::string_view it) { messages.emplace_back(it); }));
    model->forward(torch::randn({64, 3, 8, 8}));
    const delve::EpochRecord record = tracker.add_saturations();
    CHECK(record.fields.size() == 5);
    tracker.close();
  }
  CHECK(messages.empty());
  const std::string page = delve_test::read(savefile + ".html");
  CHECK(page.find("<dt>sat_threshold</dt><dd>0.9</dd>") != std::string::npos);
  CHECK(page.find("Behind the border") != std::string::npos);
  CHECK(page.find("<h2>What was reported</h2><p>Nothing.</p>") != std::string::npos);

  // Without an axis of positions there are none, of which nobody is told: nobody asked.
  nn::Linear layer(3, 2);
  delve::CheckLayerSat tracker(savefile, {"html"}, layer,
                               delve::CheckLayerSatOptions().on_warning(
                                   [&](std::string_view it) { messages.emplace_back(it); }));
  layer->forward(torch::randn({64, 3}));
  CHECK(tracker.add_saturations().fields.empty());
  tracker.close();
  CHECK(messages.empty());
}

TEST_CASE("A tracker finds the same fields in training, once for each size", "[fields][tracker]") {
  torch::manual_seed(7);
  examples::ResNet18 model{examples::ResNetOptions()};
  const ReceptiveFields expected = receptive_fields(model, torch::randn({2, 3, 40, 40}));
  std::vector<std::string> messages;
  delve::CheckLayerSat tracker("unused", "csv", model, with_fields(&messages));
  torch::optim::SGD sgd(model->parameters(), 0.01);
  const auto step = [&](std::int64_t size) {
    model->forward(torch::randn({2, 3, size, size})).sum().backward();
    sgd.step();
    sgd.zero_grad();
  };
  step(40);
  step(40);
  const delve::EpochRecord first = tracker.add_saturations();
  REQUIRE(first.fields.size() == expected.layers.size());
  for (const LayerField& layer : expected.layers) {
    CAPTURE(layer.layer);
    const LayerField& found = field_of(first, layer.layer);
    CHECK(ranges(found) == ranges(layer));
    CHECK(found.is_border == layer.is_border);
    CHECK(found.multiplications == layer.multiplications);
    CHECK(found.calls == 1);
  }
  step(40);
  CHECK(tracker.add_saturations().fields.empty());
  step(64);
  step(40);
  step(64);
  const delve::EpochRecord other = tracker.add_saturations();
  CHECK(other.fields.size() == expected.layers.size());
  CHECK(field_of(other, "fc").axes[0].input == 64);
  CHECK_FALSE(field_of(other, "layer3-1-conv1").is_border);
  for (const std::string& message : messages) {
    CHECK(message.find("receptive") == std::string::npos);
  }
}

TEST_CASE("Training is the same to the bit while fields are found", "[fields][tracker]") {
  const auto trained = [](bool finds) {
    torch::manual_seed(8);
    nn::Sequential model(nn::Conv2d(3, 4, 3), nn::BatchNorm2d(4), nn::ReLU(true), nn::Dropout(0.5),
                         nn::Conv2d(4, 4, 3), nn::Flatten(), nn::Linear(256, 2));
    delve::CheckLayerSat tracker("unused", "csv", model,
                                 delve_test::quiet().receptive_field(finds));
    torch::optim::Adam adam(model->parameters(), 0.01);
    for (int i = 0; i < 4; ++i) {
      model->forward(torch::randn({8, 3, 12, 12})).pow(2).sum().backward();
      adam.step();
      adam.zero_grad();
    }
    return state_of(*model);
  };
  CHECK(are_equal(trained(true), trained(false)));
}

TEST_CASE("Several networks, threads, and layers that are called again", "[fields][tracker]") {
  nn::Sequential generator(nn::ConvTranspose2d(nn::ConvTranspose2dOptions(2, 3, 4).stride(2)),
                           nn::ReLU(), nn::Conv2d(3, 3, 3));
  nn::Sequential critic(nn::Conv2d(3, 4, 3), nn::Conv2d(4, 1, 3));
  delve::CheckLayerSat tracker("unused", "csv", {{"generator", generator}, {"critic", critic}},
                               with_fields());
  const auto step = [&] {
    const torch::Tensor made = generator->forward(torch::randn({2, 2, 8, 8}));
    critic->forward(torch::randn({2, 3, 16, 16}));
    critic->forward(made);
  };
  step();
  const delve::EpochRecord record = tracker.add_saturations();
  // Three neighbours behind a transposed k4 of stride 2.
  CHECK(ranges(field_of(record, "generator-2")) == std::vector<Range>{{3, 3}, {3, 3}});
  // The critic's input is its own: real and made pictures are of one size.
  CHECK(ranges(field_of(record, "critic-1")) == std::vector<Range>{{5, 5}, {5, 5}});
  CHECK(record.fields.size() == 4);

  // In a thread that the tracker does not know, the second forward is watched.
  nn::Sequential model(nn::Conv1d(2, 2, 3), nn::Conv1d(2, 2, 3));
  delve::CheckLayerSat other("unused", "csv", model, with_fields());
  std::thread([&] {
    for (int i = 0; i < 3; ++i) model->forward(torch::randn({2, 2, 20}));
  }).join();
  CHECK(ranges(field_of(other.add_saturations(), "1")) == std::vector<Range>{{5, 5}});

  // Nothing of what is paused.
  delve::CheckLayerSat paused("unused", "csv", model, with_fields());
  {
    const auto guard = paused.paused();
    model->forward(torch::randn({2, 2, 30}));
  }
  model->forward(torch::randn({2, 2, 20}));
  CHECK(field_of(paused.add_saturations(), "1").axes[0].input == 20);
}

TEST_CASE("Where there are no fields, that is reported once", "[fields][tracker]") {
  std::vector<std::string> messages;
  nn::Linear linear(4, 2);
  delve::CheckLayerSat tracker("unused", "csv", linear, with_fields(&messages));
  for (int epoch = 0; epoch < 2; ++epoch) {
    linear(torch::randn({50, 4}));
    CHECK(tracker.add_saturations().fields.empty());
  }
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] ==
        "receptive_field: no tracked layer was called with an input that has an axis of positions, "
        "as pictures and series have; there are no receptive fields");

  messages.clear();
  NetImpl net;
  net.add(nn::Conv1d(4, 4, 3));
  net.add(nn::Conv1d(4, 4, 3));
  net.run = [](NetImpl& self, const torch::Tensor& x) {
    return self.layers[1].forward(std::get<0>(self.layers[0].forward(x).sort(2)));
  };
  delve::CheckLayerSat unknown("unused", "csv", net, with_fields(&messages));
  net.forward(torch::randn({30, 4, 20}));
  CHECK(field_of(unknown.add_saturations(), "layer1").axes[0].unknown == "aten::sort");
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] ==
        "receptive_field: what aten::sort reads is not known, so there is no receptive "
        "field for layer1 and what follows");
}

}  // namespace test_receptive_field
