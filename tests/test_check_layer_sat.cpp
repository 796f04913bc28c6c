// SPDX-License-Identifier: MIT
#include <delve/check_layer_sat.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/writers/function.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_check_layer_sat {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace nn = torch::nn;

namespace {

/// Saturation by its definition, in float64, of rows that were kept.
double saturation_of(const torch::Tensor& rows) {
  const torch::Tensor centred = rows.to(torch::kDouble) - rows.to(torch::kDouble).mean(0);
  const torch::Tensor values = torch::linalg_eigvalsh(centred.t().mm(centred)).flip(0).clamp_min(0);
  const torch::Tensor explained = values.cumsum(0) / values.sum();
  const auto below = (explained < 0.99).sum().item<std::int64_t>();
  return static_cast<double>(below + 1) / static_cast<double>(rows.size(1));
}

}  // namespace

TEMPLATE_TEST_CASE("A report is of all data of its epoch, by mode", "[tracker]", float, double) {
  torch::manual_seed(1);
  Net net;
  CheckLayerSat<TestType> tracker("unused", "csv", net,
                                  quiet().stats({"lsat", "idim", "trc"}).average_sat(true));
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<torch::Tensor> conv_rows;
    std::vector<torch::Tensor> fc_rows;
    for (int batch = 0; batch < 4; ++batch) {
      net->train();
      net->forward(pictures(40)).sum().backward();
      net->eval();
      const torch::NoGradGuard no_grad;
      const torch::Tensor input = pictures(20 + batch);
      conv_rows.push_back(net->conv(input).permute({0, 2, 3, 1}).reshape({-1, 6}));
      fc_rows.push_back(net->forward(input));  // counts conv's forward a second time
      conv_rows.push_back(conv_rows.back());
    }
    const EpochRecord record = tracker.add_saturations();
    CHECK(record.epoch == epoch);
    REQUIRE(record.layers.size() == 4);
    const torch::Tensor conv = torch::cat(conv_rows);
    const torch::Tensor fc = torch::cat(fc_rows);
    const LayerRecord& conv_eval = *find(record, "conv", Mode::Eval);
    const LayerRecord& fc_eval = *find(record, "fc", Mode::Eval);
    CHECK(conv_eval.samples == conv.size(0));
    CHECK(conv_eval.width == 6);
    CHECK(conv_eval.values[0].value == saturation_of(conv));
    CHECK(fc_eval.values[0].value == saturation_of(fc));
    CHECK(fc_eval.values[1].value == 5 * saturation_of(fc));
    CHECK(fc_eval.values[2].value ==
          Approx(fc.to(torch::kDouble).var(0, false).sum().template item<double>()).epsilon(1e-5));
    CHECK(find(record, "fc", Mode::Train)->samples == 160);
    CHECK(tracker.last("conv", "lsat", Mode::Eval) == saturation_of(conv));
    REQUIRE(record.scalars.size() == 2);
    CHECK(record.scalars[1].first == "average-eval-sat");
    CHECK(record.scalars[1].second == (saturation_of(conv) + saturation_of(fc)) / 2);
  }
}

TEST_CASE("Layers come in the order of their forward", "[tracker]") {
  struct BackwardsImpl : nn::Module {
    nn::Linear last = register_module("last", nn::Linear(4, 3));
    nn::Linear never = register_module("never", nn::Linear(4, 3));
    nn::Linear first = register_module("first", nn::Linear(2, 4));
  };
  BackwardsImpl net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  net.last(net.first(torch::randn({50, 2})));
  const EpochRecord record = tracker.add_saturations();
  REQUIRE(record.layers.size() == 3);
  CHECK(record.layers[0].layer == "first");
  CHECK(record.layers[1].layer == "last");
  CHECK(record.layers[2].layer == "never");
  CHECK(record.layers[2].status == delve::Status::NoData);
  CHECK(std::isnan(record.layers[2].values[0].value));
  CHECK_FALSE(tracker.last("never", "lsat", Mode::Train));
}

TEST_CASE("Mode is the layer's, the root's, or the guard's", "[tracker][mode]") {
  torch::manual_seed(2);
  Net net;
  std::vector<std::string> messages;
  const auto samples = [](const EpochRecord& record, const std::string& layer, Mode mode) {
    const LayerRecord* found = find(record, layer, mode);
    return found == nullptr ? 0 : found->samples;
  };
  SECTION("evaluation under grad, training under no_grad") {
    CheckLayerSat tracker("unused", "csv", net, quiet());
    net->eval();
    net->forward(pictures(30));
    net->train();
    {
      const torch::NoGradGuard no_grad;
      net->forward(pictures(50));
    }
    const EpochRecord record = tracker.add_saturations();
    CHECK(samples(record, "fc", Mode::Eval) == 30);
    CHECK(samples(record, "fc", Mode::Train) == 50);
  }
  SECTION("a frozen layer counts as evaluated, and that is said once") {
    CheckLayerSat tracker("unused", "csv", net, quiet(&messages));
    net->train();
    net->conv->eval();
    for (int epoch = 0; epoch < 2; ++epoch) {
      net->forward(pictures(100));
      const EpochRecord record = tracker.add_saturations();
      CHECK(samples(record, "conv", Mode::Eval) == 1600);
      CHECK(samples(record, "conv", Mode::Train) == 0);
      CHECK(samples(record, "fc", Mode::Train) == 100);
    }
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].find("conv: in eval() while the model was training") == 0);
  }
  SECTION("the root's mode holds for all of its layers") {
    CheckLayerSat tracker("unused", "csv", net,
                          quiet(&messages).mode_from(delve::ModeSource::Root));
    net->train();
    net->conv->eval();
    net->forward(pictures(100));
    net->eval();
    net->conv->train();
    net->forward(pictures(100));
    const EpochRecord record = tracker.add_saturations();
    CHECK(samples(record, "conv", Mode::Train) == 1600);
    CHECK(samples(record, "conv", Mode::Eval) == 1600);
    CHECK(messages.empty());
  }
  SECTION("a guard overrides both") {
    CheckLayerSat tracker("unused", "csv", net, quiet());
    net->forward(pictures(10));
    {
      const auto evaluating = tracker.evaluating();
      net->forward(pictures(20));
    }
    net->forward(pictures(40));
    const EpochRecord record = tracker.add_saturations();
    CHECK(samples(record, "fc", Mode::Train) == 50);
    CHECK(samples(record, "fc", Mode::Eval) == 20);
  }
}

TEST_CASE("A stopped tracker costs nothing, and continues where it was", "[tracker]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  CHECK(tracker.is_recording());
  CHECK(at::hasGlobalCallbacks());
  net->forward(pictures(10));
  tracker.stop();
  CHECK_FALSE(tracker.is_recording());
  CHECK_FALSE(at::hasGlobalCallbacks());
  net->forward(pictures(20));
  tracker.resume();
  tracker.resume();
  net->forward(pictures(40));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 50);
  tracker.close();
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Warnings appear once, and are kept", "[tracker][problems]") {
  torch::manual_seed(3);
  Net net;
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", net, quiet(&messages));
  SECTION("no data") {
    CHECK(tracker.add_saturations().layers.empty());
    CHECK(tracker.add_saturations().layers.empty());
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].find("no layer saw data") != std::string::npos);
  }
  SECTION("little data") {
    for (int epoch = 0; epoch < 2; ++epoch) {
      net->forward(pictures(30));
      tracker.add_saturations();
    }
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].find("fc: fewer than 10 data points per dimension") == 0);
  }
  SECTION("no variance") {
    {
      const torch::NoGradGuard no_grad;
      net->fc->weight.zero_();
    }
    net->forward(pictures(100));
    const EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "fc", Mode::Train)->status == delve::Status::NoVariance);
    CHECK(find(record, "fc", Mode::Train)->values[0].value == 0);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].find("fc: output never varied") == 0);
  }
  SECTION("NaN") {
    torch::Tensor bad = pictures(100);
    bad[3][1][2][2] = std::numeric_limits<float>::quiet_NaN();
    net->forward(bad);
    net->forward(pictures(100));
    const EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "conv", Mode::Train)->samples == 1600);
    CHECK(find(record, "fc", Mode::Train)->status == delve::Status::Ok);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0] ==
          "conv, fc: batches with values that are not finite, or far too large, were left out");
  }
  CHECK(tracker.problems() == messages);
}

TEST_CASE("Layers without data are named once, while others have some", "[tracker][problems]") {
  nn::Sequential model;
  for (int i = 0; i < 9; ++i) model->push_back("part" + std::to_string(i), nn::Linear(4, 4));
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", model, quiet(&messages));
  const auto run = [&](int part) {
    model->ptr(static_cast<std::size_t>(part))->as<nn::Linear>()->forward(torch::randn({50, 4}));
  };
  for (int epoch = 0; epoch < 2; ++epoch) {
    model->train();
    run(0);
    run(1);
    model->eval();
    run(0);
    tracker.add_saturations();
  }
  REQUIRE(messages.size() == 2);
  CHECK(messages[0].find("part2, part3, part4 and 4 more (all in problems()): saw no data while "
                         "other layers did. Likely causes: ") == 0);
  CHECK(messages[1].find("part1: saw data in training and none in evaluation") == 0);
  const std::vector<std::string> problems = tracker.problems();
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].find("part2, part3, part4, part5, part6, part7, part8: saw no data") == 0);
  run(0);
  run(1);
  run(2);  // what is seen later is no problem any more, nor is it reported again
  tracker.add_saturations();
  CHECK(messages.size() == 2);
}

TEST_CASE("Part of an epoch is marked, reported or dropped at the end", "[tracker][writers]") {
  using delve::PartialEpoch;
  const auto choice = GENERATE(PartialEpoch::Mark, PartialEpoch::Report, PartialEpoch::Drop);
  const bool throws = GENERATE(false, true);
  CAPTURE(static_cast<int>(choice), throws);
  std::vector<EpochRecord> written;
  auto writer = std::make_shared<delve::FunctionWriter>(
      [&](const EpochRecord& record) { written.push_back(record); });
  Net net;
  try {
    CheckLayerSat tracker("unused", writer, net, quiet().nosave(false).partial_epoch(choice));
    net->forward(pictures(100));
    tracker.add_saturations();
    net->forward(pictures(7));
    if (throws) throw std::runtime_error("out of data");
  } catch (const std::runtime_error&) {
  }
  if (choice == PartialEpoch::Drop) {
    CHECK(written.size() == 1);
    return;
  }
  REQUIRE(written.size() == 2);
  CHECK(find(written[1], "fc", Mode::Train)->samples == 7);
  const std::vector<std::pair<std::string, double>> mark = {{"partial-epoch", 1}};
  const bool is_marked = choice == PartialEpoch::Mark || throws;
  CHECK((written[1].scalars == (is_marked ? mark : decltype(mark)())));
  CHECK(written[0].scalars.empty());
}

TEST_CASE("A layer's width may change, which is said and does no harm", "[tracker][problems]") {
  nn::Linear linear(4, 6);
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", linear, quiet(&messages));
  linear(torch::randn({100, 4}));
  linear->weight = torch::randn({9, 4});
  linear->bias = torch::randn({9});
  linear(torch::randn({100, 4}));
  linear(torch::randn({100, 4}));
  const EpochRecord record = tracker.add_saturations();
  CHECK(record.layers[0].width == 6);
  CHECK(record.layers[0].samples == 100);
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("Linear: its output could not be taken in") == 0);
}

TEST_CASE("Sums follow the model to another type in mid-epoch", "[tracker]") {
  torch::manual_seed(4);
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  net->forward(pictures(100));
  net->to(torch::kDouble);
  net->forward(pictures(100).to(torch::kDouble));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 200);
  CHECK(tracker.problems().empty());
}

TEST_CASE("Writers get each epoch in order, and the rest at the end", "[tracker][writers]") {
  Net net;
  std::vector<EpochRecord> written;
  auto writer = std::make_shared<delve::FunctionWriter>(
      [&](const EpochRecord& record) { written.push_back(record); });
  {
    CheckLayerSat tracker("unused", writer, net, quiet().nosave(false).initial_epoch(7));
    tracker.add_scalar("accuracy", 0.1);
    tracker.add_scalar("accuracy", 0.2);
    net->forward(pictures(100));
    tracker.add_saturations();
    CHECK(written.size() == 1);
    net->forward(pictures(100));
    tracker.add_saturations(/*save=*/false);
    CHECK(written.size() == 1);
    tracker.save();
    CHECK(written.size() == 2);
    net->forward(pictures(100));
  }
  REQUIRE(written.size() == 3);
  CHECK(written[0].epoch == 7);
  CHECK(written[0].scalars == std::vector<std::pair<std::string, double>>{{"accuracy", 0.2}});
  CHECK(written[1].epoch == 8);
  CHECK(written[1].scalars.empty());
  CHECK(written[2].epoch == 9);
  CHECK(written[2].layers.size() == 2);
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("A writer that fails is reported once, and the others continue", "[tracker][writers]") {
  Net net;
  int written = 0;
  std::vector<std::string> messages;
  auto failing = std::make_shared<delve::FunctionWriter>(
      [](const EpochRecord&) { throw std::runtime_error("the disk is full"); });
  auto counting = std::make_shared<delve::FunctionWriter>([&](const EpochRecord&) { ++written; });
  CheckLayerSat tracker("unused", {failing, counting}, net, quiet(&messages).nosave(false));
  for (int epoch = 0; epoch < 3; ++epoch) {
    net->forward(pictures(100));
    tracker.add_saturations();
  }
  CHECK(written == 3);
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("the disk is full") != std::string::npos);
}

TEST_CASE("Nothing is written where nothing is to be saved", "[tracker][writers]") {
  const std::filesystem::path folder = "tracker/nosave";
  std::filesystem::remove_all(folder);
  Net net;
  {
    CheckLayerSat tracker((folder / "run").string(), "csv", net, quiet());
    net->forward(pictures(100));
    CHECK(tracker.add_saturations().layers.size() == 2);
  }
  CHECK_FALSE(std::filesystem::exists(folder));
}

TEST_CASE("Several trackers watch one model, and either may go first", "[tracker]") {
  torch::manual_seed(5);
  auto net = std::make_unique<Net>();
  auto first = std::make_unique<CheckLayerSat<double>>("unused", "csv", *net, quiet());
  CheckLayerSat<float> second("unused", "csv", *net, quiet());
  (*net)->forward(pictures(100));
  CHECK(find(first->add_saturations(), "fc", Mode::Train)->samples == 100);
  first.reset();
  (*net)->forward(pictures(100));
  net.reset();
  CHECK(find(second.add_saturations(), "fc", Mode::Train)->samples == 200);
  second.stop();
  second.resume();  // of a model that is gone nothing can be recorded
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("A tracked model is cloned, saved and loaded as before", "[tracker]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  nn::Sequential model(nn::Linear(3, 3));
  CheckLayerSat other("unused", "csv", model, quiet());
  auto clone = std::dynamic_pointer_cast<nn::SequentialImpl>(model->clone());
  clone->forward(torch::randn({100, 3}));
  CHECK(other.add_saturations().layers.empty());
  std::stringstream stream;
  torch::save(model, stream);
  torch::load(model, stream);
  model->forward(torch::randn({100, 3}));
  CHECK(other.add_saturations().layers.size() == 1);
}

TEST_CASE("No forward is lost that falls into a report", "[tracker][threads]") {
  torch::manual_seed(7);
  const bool resets = GENERATE(true, false);
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().reset_covariance(resets));
  constexpr int kForwards = 300;
  std::thread thread([&] {
    for (int i = 0; i < kForwards; ++i) net->forward(pictures(4));
  });
  std::int64_t seen = 0;
  const auto report = [&] {
    const EpochRecord record = tracker.add_saturations();
    const LayerRecord* layer = find(record, "fc", Mode::Train);
    if (layer != nullptr) seen = layer->samples + (resets ? seen : 0);
  };
  for (int epoch = 0; epoch < 20; ++epoch) report();
  thread.join();
  report();
  CHECK(seen == kForwards * 4);
}

TEST_CASE("A handler may use the tracker that calls it", "[tracker][problems]") {
  Net net;
  CheckLayerSat<double>* tracker = nullptr;
  int told = 0;
  CheckLayerSat<double> watching(
      "unused", "csv", net, CheckLayerSatOptions().nosave(true).on_warning([&](std::string_view) {
        if (++told == 1) tracker->close();
        throw 1;  // not even an exception
      }));
  tracker = &watching;
  net->forward(pictures(10));
  net->fc->weight = torch::randn({9, 96});
  net->fc->bias = torch::randn({9});
  net->forward(pictures(10));
  CHECK(told >= 1);
  CHECK_FALSE(watching.is_recording());
}

TEST_CASE("Layers run in several threads at once", "[tracker][threads]") {
  torch::manual_seed(6);
  Net shared;
  CheckLayerSat tracker("unused", "csv", shared, quiet());
  std::vector<std::thread> threads;
  std::vector<std::int64_t> own_samples(8);
  for (std::int64_t& samples : own_samples) {
    threads.emplace_back([&] {
      Net own;
      CheckLayerSat mine("unused", "csv", own, quiet());
      for (int batch = 0; batch < 20; ++batch) {
        shared->forward(pictures(5));
        own->forward(pictures(10)).sum().backward();
      }
      samples = find(mine.add_saturations(), "fc", Mode::Train)->samples;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(own_samples == std::vector<std::int64_t>(8, 200));
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "fc", Mode::Train)->samples == 8 * 20 * 5);
  CHECK(find(record, "conv", Mode::Train)->samples == 8 * 20 * 5 * 16);
}

}  // namespace test_check_layer_sat
