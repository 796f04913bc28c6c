// SPDX-License-Identifier: MIT
// TorchScript modules, loaded from files that Python wrote (tests/data/script/make.py).

#include <map>
#include <string>
#include <vector>

#include <torch/script.h>
#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "events.hpp"
#include "tracker.hpp"

namespace test_script {

using delve::CheckLayerSat;
using delve::Mode;
using delve_test::Events;
using delve_test::find;
using delve_test::quiet;
using Names = std::vector<std::string>;

namespace {

torch::jit::Module load(const std::string& name) {
  return torch::jit::load(delve_test::data("script/" + name + ".pt"));
}

/// What the network returns: its result, which is the head's output, and each layer's output.
std::map<std::string, torch::Tensor> run(torch::jit::Module& net, const torch::Tensor& input) {
  const auto outputs = net.forward({input}).toTuple()->elements().vec();
  std::map<std::string, torch::Tensor> by_name;
  const Names names = {"head", "first", "block-conv", "up", "lstm"};
  for (std::size_t i = 0; i < names.size(); ++i) by_name[names[i]] = outputs.at(i).toTensor();
  return by_name;
}

/// Hooks on all layers of a network, by name.
struct Watched {
  explicit Watched(const torch::jit::Module& net) {
    for (const delve::FoundLayer& layer : delve::find_layers(net)) {
      if (layer.kind == nullptr || !layer.kind->by_default) continue;
      handles.push_back(delve::register_forward_hook(layer.module, events[layer.name].hook()));
    }
  }

  std::map<std::string, Events> events;
  std::vector<delve::RemovableHandle> handles;
};

}  // namespace

TEST_CASE("Layers of a TorchScript module bear the names that Python gives them", "[script]") {
  for (const std::string file : {"scripted", "traced"}) {
    const torch::jit::Module net = load(file);
    CHECK(CheckLayerSat("unused", "csv", net, quiet()).layer_names() ==
          Names{"first", "block-conv", "up", "lstm", "head"});
    CHECK(CheckLayerSat("unused", "csv", {{"net", net}}, quiet().also_track({"BatchNorm2d"}))
              .layer_names() ==
          Names{"net-first", "net-block-conv", "net-block-norm", "net-up", "net-lstm", "net-head"});
  }
}

TEST_CASE("A TorchScript module is seen in every run, trained or not", "[script]") {
  torch::manual_seed(1);
  for (const std::string file : {"scripted", "traced"}) {
    torch::jit::Module net = load(file);
    Watched watched(net);
    std::vector<torch::Tensor> parameters;
    for (const auto& parameter : net.parameters()) parameters.push_back(parameter);
    torch::optim::SGD sgd(parameters, 0.01);
    std::size_t runs = 0;
    const auto check = [&](const std::map<std::string, torch::Tensor>& outputs) {
      ++runs;
      for (const auto& [name, output] : outputs) {
        CAPTURE(file, runs, name);
        REQUIRE(watched.events[name].count() == static_cast<int>(runs));
        CHECK(torch::allclose(watched.events[name][runs - 1].output, output));
      }
    };
    // Interpreted first, optimised after some runs.
    for (int step = 0; step < 5; ++step) {
      const auto outputs = run(net, torch::randn({4, 3, 9, 9}));
      check(outputs);
      outputs.at("head").square().sum().backward();
      sgd.step();
      sgd.zero_grad();
    }
    for (int step = 0; step < 4; ++step) {
      const torch::NoGradGuard no_grad;
      check(run(net, torch::randn({4, 3, 9, 9})));
    }
    for (int step = 0; step < 4; ++step) {
      const c10::InferenceMode inference;
      check(run(net, torch::randn({4, 3, 9, 9})));
    }
  }
}

TEST_CASE("A TorchScript module's mode is its own", "[script][mode]") {
  torch::manual_seed(2);
  torch::jit::Module net = load("scripted");
  CheckLayerSat tracker("unused", "csv", net, quiet().stats({"trc"}));
  net.train();
  run(net, torch::randn({4, 3, 9, 9}));
  net.eval();
  torch::Tensor eval_output;
  {
    const torch::NoGradGuard no_grad;
    eval_output = run(net, torch::randn({20, 3, 9, 9})).at("head");
    net.attr("head").toModule().train();  // and each of its layers has its own
    run(net, torch::randn({5, 3, 9, 9}));
  }
  const delve::EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "first", Mode::Train)->samples == 4 * 7 * 7);
  CHECK(find(record, "first", Mode::Eval)->samples == 25 * 7 * 7);
  CHECK(find(record, "head", Mode::Train)->samples == 9);
  CHECK(find(record, "head", Mode::Eval)->samples == 20);
  CHECK(find(record, "lstm", Mode::Eval)->samples == 25);  // the last timestep of each series
  CHECK(find(record, "head", Mode::Eval)->values[0].value ==
        Approx(eval_output.to(torch::kDouble).var(0, false).sum().item<double>()).epsilon(1e-5));
}

TEST_CASE("A TorchScript module is not kept alive, and its copy is another one", "[script]") {
  auto net = std::make_unique<torch::jit::Module>(load("scripted"));
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", *net, quiet(&messages));
  torch::jit::Module copy = net->deepcopy();
  run(copy, torch::randn({4, 3, 9, 9}));
  CHECK(tracker.add_saturations().layers.empty());
  const c10::weak_intrusive_ptr<c10::ivalue::Object> object(net->_ivalue());
  net.reset();
  CHECK(object.expired());
  run(copy, torch::randn({4, 3, 9, 9}));
  CHECK(tracker.add_saturations().layers.empty());
}

TEST_CASE("A frozen TorchScript module is refused by name", "[script][misuse]") {
  const torch::jit::Module frozen = load("frozen");
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", {{"teacher", frozen}}, quiet()),
                    ContainsSubstring("the TorchScript module \"teacher\" has no parameters"));
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", frozen, quiet()), ContainsSubstring("\"Net\""));
}

}  // namespace test_script
