// SPDX-License-Identifier: MIT
#include <delve/check_layer_sat.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <delve/writers/function.hpp>

#include "catch.hpp"

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
namespace nn = torch::nn;

namespace {

struct NetImpl : nn::Module {
  nn::Conv2d conv = register_module("conv", nn::Conv2d(nn::Conv2dOptions(2, 6, 3)));
  nn::Linear fc = register_module("fc", nn::Linear(96, 5));

  torch::Tensor forward(const torch::Tensor& input) {
    return fc(torch::relu(conv(input)).flatten(1));
  }
};
TORCH_MODULE(Net);

torch::Tensor pictures(std::int64_t count = 64) {
  return torch::randn({count, 2, 6, 6});
}

/// Options that gather what is told, so that a test can read it.
CheckLayerSatOptions quiet(std::vector<std::string>* messages = nullptr) {
  return CheckLayerSatOptions().nosave(true).on_warning([messages](std::string_view message) {
    if (messages != nullptr) messages->emplace_back(message);
  });
}

const LayerRecord* find(const EpochRecord& record, const std::string& layer, Mode mode) {
  for (const LayerRecord& it : record.layers) {
    if (it.layer == layer && it.mode == mode) return &it;
  }
  return nullptr;
}

/// Saturation by its definition, in float64, of rows that were kept.
double saturation_of(const torch::Tensor& rows) {
  const torch::Tensor centred = rows.to(torch::kDouble) - rows.to(torch::kDouble).mean(0);
  const torch::Tensor values = torch::linalg_eigvalsh(centred.t().mm(centred)).flip(0).clamp_min(0);
  const torch::Tensor explained = values.cumsum(0) / values.sum();
  const auto below = (explained < 0.99).sum().item<std::int64_t>();
  return static_cast<double>(below + 1) / static_cast<double>(rows.size(1));
}

}  // namespace

TEST_CASE("Defaults are those of Delve", "[tracker][options]") {
  const CheckLayerSatOptions options;
  CHECK(options.stats() == std::vector<std::string>{"lsat"});
  CHECK(options.sat_threshold() == 0.99);
  CHECK(options.idim_rule() == delve::IdimRule::ExplainedVariance);
  CHECK(options.log_interval() == 1);
  CHECK_FALSE(options.max_samples());
  CHECK(options.conv_method() == delve::ConvMethod::Channelwise);
  CHECK(options.timeseries_method() == delve::TimeseriesMethod::LastTimestep);
  CHECK_FALSE(options.interpolation_strategy());
  CHECK(options.interpolation_downsampling() == 32);
  CHECK_FALSE(options.layer_filter());
  CHECK(options.ignore_layer_names().empty());
  CHECK(options.include_conv());
  CHECK(options.layerwise_sat());
  CHECK_FALSE(options.average_sat());
  CHECK(options.reset_covariance());
  CHECK_FALSE(options.nosave());
  CHECK_FALSE(options.verbose());
  CHECK_FALSE(options.device());
  CHECK(options.initial_epoch() == 0);
  CHECK(options.writer_args().empty());
  CHECK(options.mode_from() == delve::ModeSource::Layer);
  CHECK_FALSE(options.products());
  CHECK_FALSE(options.on_warning());
}

TEST_CASE("Options out of their range are named with the valid ones", "[tracker][options]") {
  Net net;
  const auto message = [&](const CheckLayerSatOptions& options) -> std::string {
    try {
      CheckLayerSat tracker("unused", "csv", net, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const std::string head = "delve::CheckLayerSatOptions: ";
  CHECK(message(quiet().sat_threshold(0)) ==
        head + "sat_threshold is 0; it must be above 0 and at most 1");
  CHECK(message(quiet().sat_threshold(1.5)) ==
        head + "sat_threshold is 1.5; it must be above 0 and at most 1");
  CHECK(message(quiet().sat_threshold(std::nan(""))) ==
        head + "sat_threshold is nan; it must be above 0 and at most 1");
  CHECK(message(quiet().log_interval(0)) == head + "log_interval is 0; it must be at least 1");
  CHECK(message(quiet().max_samples(-3)) == head + "max_samples is -3; it must be at least 1");
  CHECK(message(quiet().interpolation_downsampling(0)) ==
        head + "interpolation_downsampling is 0; it must be at least 1");
  CHECK(message(quiet().initial_epoch(-1)) == head + "initial_epoch is -1; it must be at least 0");
  CHECK(message(quiet().stats({})) == head + "stats is empty; it must be at least one name");
  CHECK(message(quiet().stats({"lsat", "lsat"})) ==
        head + "stats is a list with \"lsat\" in it twice; it must be a list of different names");
  CHECK(message(quiet().stats({"sat"})).find("\"sat\" is not a statistic; known are lsat") !=
        std::string::npos);
  CHECK_FALSE(at::hasGlobalCallbacks());
}

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

TEST_CASE("Every how manieth call is counted by layer and mode", "[tracker][options]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().log_interval(3));
  for (const bool training : {true, false, true, false, true, false, true}) {
    net->train(training);
    net->forward(pictures(10));
  }
  // Training calls 1 to 4, of which the third is taken; evaluation calls 1 to 3, likewise.
  const EpochRecord first = tracker.add_saturations();
  CHECK(find(first, "fc", Mode::Train)->samples == 10);
  CHECK(find(first, "fc", Mode::Eval)->samples == 10);
  net->train();
  net->forward(pictures(10));
  net->forward(pictures(20));  // call 6
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 20);
}

TEST_CASE("A limit of samples holds by epoch, mode and batch element", "[tracker][options]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().max_samples(25));
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int batch = 0; batch < 4; ++batch) net->forward(pictures(10));
    const EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "fc", Mode::Train)->samples == 25);
    CHECK(find(record, "conv", Mode::Train)->samples == 25 * 16);
  }
}

TEST_CASE("Which layers are tracked is chosen", "[tracker][options]") {
  Net net;
  const auto tracked = [&](const CheckLayerSatOptions& options) {
    return CheckLayerSat("unused", "csv", net, options).layer_names();
  };
  using Names = std::vector<std::string>;
  CHECK(tracked(quiet()) == Names{"conv", "fc"});
  CHECK(tracked(quiet().include_conv(false)) == Names{"fc"});
  CHECK(tracked(quiet().ignore_layer_names({"fc"})) == Names{"conv"});
  CHECK(tracked(quiet().layer_filter([](const std::string& name, const nn::Module& module) {
          return name == "conv" && module.name() == "torch::nn::Conv2dImpl";
        })) == Names{"conv"});
  std::vector<std::string> messages;
  CHECK(tracked(quiet(&messages).ignore_layer_names({"fc", "fcc"})) == Names{"conv"});
  CHECK(messages == Names{"ignore_layer_names holds \"fcc\", and no layer is called so"});
}

TEST_CASE("Nothing to track is an error that lists what there is", "[tracker][misuse]") {
  CHECK_THROWS_WITH(
      CheckLayerSat("unused", "csv", nn::Sequential(nn::ReLU(), nn::Flatten()), quiet()),
      "delve::CheckLayerSat: there is no layer to track. Found: 0 (torch::nn::ReLUImpl), 1 "
      "(torch::nn::FlattenImpl). Kinds that can be tracked: Conv2d, Linear, LSTM");
  CHECK_THROWS_WITH(
      CheckLayerSat("unused", "csv", Net(), quiet().ignore_layer_names({"conv", "fc"})),
      "delve::CheckLayerSat: there is no layer to track. Found: conv (torch::nn::Conv2dImpl, left "
      "out by the options), fc (torch::nn::LinearImpl, left out by the options). Kinds that can be "
      "tracked: Conv2d, Linear, LSTM");
}

TEST_CASE("A stopped tracker costs nothing, and goes on where it was", "[tracker]") {
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

TEST_CASE("Without a reset, reports are of all data so far", "[tracker][options]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().reset_covariance(false));
  net->forward(pictures(60));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 60);
  net->forward(pictures(40));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 100);
}

TEST_CASE("What is odd is said once, and kept", "[tracker][problems]") {
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
    CHECK(messages[0].find("fc: fewer than 10 data points a dimension") == 0);
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
    CHECK(messages[0].find("fc: always returned the same") == 0);
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

TEST_CASE("A writer that fails is told of once, and the others go on", "[tracker][writers]") {
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

TEST_CASE("Calls that make no sense throw", "[tracker][misuse]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  CHECK_THROWS_AS(tracker.add_scalar("", 1), std::invalid_argument);
  CHECK_THROWS_WITH(tracker.last("cnv", "lsat", Mode::Train),
                    "delve::CheckLayerSat::last: no layer \"cnv\"; there are conv, fc");
  CHECK_THROWS_WITH(tracker.last("conv", "idim", Mode::Train),
                    "delve::CheckLayerSat::last: no statistic \"idim\"; there are lsat");
  CHECK_FALSE(tracker.last("conv", "lsat", Mode::Train));
  tracker.close();
  tracker.close();
  CHECK_THROWS_WITH(tracker.add_saturations(),
                    "delve::CheckLayerSat::add_saturations: the tracker is closed");
  CHECK_THROWS_AS(tracker.add_scalar("accuracy", 1), std::logic_error);
  CHECK_THROWS_AS(tracker.resume(), std::logic_error);
  CHECK_THROWS_AS(tracker.save(), std::logic_error);
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
  second.resume();
  CHECK_FALSE(second.is_recording());
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

TEST_CASE("A handler may use the tracker that it is told by", "[tracker][problems]") {
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
