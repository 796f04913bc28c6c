// SPDX-License-Identifier: MIT
#include <delve/layers.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "catch.hpp"

namespace test_layers {

namespace nn = torch::nn;

namespace {

struct BlockImpl : nn::Module {
  nn::Conv2d conv = register_module("conv", nn::Conv2d(nn::Conv2dOptions(3, 4, 3)));
  nn::ReLU relu = register_module("relu", nn::ReLU());

  torch::Tensor forward(const torch::Tensor& input) { return relu(conv(input)); }
};
TORCH_MODULE(Block);

struct NetImpl : nn::Module {
  nn::Sequential blocks = register_module("blocks", nn::Sequential(Block(), Block()));
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(4, 5)));
  nn::Linear head = register_module("head", nn::Linear(5, 2));
  nn::Linear again = register_module("again", head);
};
TORCH_MODULE(Net);

std::vector<std::pair<std::string, std::string>> names_and_kinds(const delve::Modules& modules) {
  std::vector<std::pair<std::string, std::string>> result;
  for (const delve::FoundLayer& layer : delve::find_layers(modules)) {
    result.emplace_back(layer.name, layer.kind != nullptr ? std::string(layer.kind->name) : "-");
  }
  return result;
}

}  // namespace

TEST_CASE("Layers are found recursively and named by the way to them", "[layers]") {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"blocks-0-conv", "Conv2d"}, {"blocks-0-relu", "-"}, {"blocks-1-conv", "Conv2d"},
      {"blocks-1-relu", "-"},      {"lstm", "LSTM"},       {"head", "Linear"}};
  Net holder;
  CHECK(names_and_kinds(holder) == expected);
  CHECK(names_and_kinds(holder.ptr()) == expected);
  CHECK(names_and_kinds(*holder) == expected);
  NetImpl on_stack;
  CHECK(names_and_kinds(on_stack) == expected);
  CHECK(names_and_kinds(std::shared_ptr<nn::Module>(holder.ptr())) == expected);
}

TEST_CASE("A root of a known kind is found itself", "[layers]") {
  CHECK(names_and_kinds(nn::Linear(2, 2)) ==
        std::vector<std::pair<std::string, std::string>>{{"Linear", "Linear"}});
  CHECK(names_and_kinds({{"head", nn::Linear(2, 2)}}) ==
        std::vector<std::pair<std::string, std::string>>{{"head", "Linear"}});
}

TEST_CASE("Several modules are told apart by their names", "[layers]") {
  nn::Sequential generator(nn::Linear(2, 2));
  auto critic = std::make_shared<NetImpl>();
  const auto layers = names_and_kinds({{"generator", generator}, {"critic", critic}});
  REQUIRE(layers.size() == 7);
  CHECK(layers[0].first == "generator-0");
  CHECK(layers[1].first == "critic-blocks-0-conv");

  nn::Sequential other(nn::Linear(2, 2));
  CHECK_THROWS_WITH(delve::find_layers({generator, other}),
                    "delve: two layers are called \"0\"; give the modules names: {{\"first\", a}, "
                    "{\"second\", b}}");
  CHECK(delve::find_layers({generator, generator}).size() == 1);
}

TEST_CASE("Each layer knows the root that it was found in", "[layers]") {
  nn::Sequential a(nn::Linear(2, 2));
  nn::Sequential b(nn::Linear(2, 2));
  const auto layers = delve::find_layers({{"a", a}, {"b", b}});
  CHECK(layers[0].root.nn() == a.get());
  CHECK(layers[1].root.nn() == b.get());
  CHECK(layers[1].module.nn() == b->ptr(0).get());
}

TEST_CASE("No module is no model", "[layers]") {
  CHECK_THROWS_AS(delve::find_layers(nn::Sequential(nullptr)), std::invalid_argument);
  CHECK(delve::find_layers(std::vector<delve::NamedModule>()).empty());
}

}  // namespace test_layers
