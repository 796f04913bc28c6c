// SPDX-License-Identifier: MIT
#include <delve/check_layer_sat.hpp>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_check_layer_sat_options {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace nn = torch::nn;

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
  CHECK(message(quiet().stats({"idim", "lsat@0.9"}).average_sat(true)) ==
        head + "average_sat is true; it must be false where stats holds no \"lsat\"");
  CHECK(message(quiet().stats({})) == head + "stats is empty; it must be at least one name");
  CHECK(message(quiet().stats({"lsat", "lsat"})) ==
        head +
            "stats is a list with \"lsat\" and \"lsat\"; it must be without one of these, "
            "which produce the same column");
  CHECK(message(quiet().stats({"sat"})).find("\"sat\" is not a statistic; known ones are lsat") !=
        std::string::npos);
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Every Nth call is recorded by layer and mode, where that is the rule",
          "[tracker][options]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net,
                        quiet().log_interval(3).log_sampling(delve::LogSampling::Every));
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
  CHECK(tracked(quiet().layer_filter([](const delve::FoundLayer& layer) {
          return layer.name == "conv" && layer.kind->name == "Conv2d";
        })) == Names{"conv"});
  std::vector<std::string> messages;
  CHECK(tracked(quiet(&messages).ignore_layer_names({"fc", "fcc"})) == Names{"conv"});
  CHECK(messages == Names{"ignore_layer_names holds \"fcc\", but no layer has that name"});
}

TEST_CASE("Nothing to track is an error that lists what there is", "[tracker][misuse]") {
  CHECK_THROWS_WITH(
      CheckLayerSat("unused", "csv", nn::Sequential(nn::ReLU(), nn::Flatten()), quiet()),
      "delve::CheckLayerSat: there is no layer to track. Found: torch::nn::ReLUImpl (not of a kind "
      "that can be tracked): 0; torch::nn::FlattenImpl (not of a kind that can be tracked): 1. "
      "Kinds that can be tracked: " +
          delve::layer_kind_names());
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", nn::ReLU(), quiet()),
                    "delve::CheckLayerSat: there is no layer to track. Found: torch::nn::ReLUImpl "
                    "(not of a kind that can be tracked). Kinds that can be tracked: " +
                        delve::layer_kind_names());
  CHECK_THROWS_WITH(
      CheckLayerSat("unused", "csv", Net(), quiet().ignore_layer_names({"conv", "fc"})),
      "delve::CheckLayerSat: there is no layer to track. Found: torch::nn::Conv2dImpl (in "
      "ignore_layer_names()): conv; torch::nn::LinearImpl (in ignore_layer_names()): fc. Kinds "
      "that can be tracked: " +
          delve::layer_kind_names());
}

TEST_CASE("verbose lists what is left out, and why", "[tracker][options]") {
  nn::Sequential model(nn::Conv2d(3, 4, 3), nn::BatchNorm2d(4), nn::ReLU(), nn::ReLU(), nn::ReLU(),
                       nn::ReLU(), nn::ReLU(), nn::Linear(4, 2), nn::Linear(2, 2), nn::PReLU());
  std::ostringstream heard;
  std::streambuf* const usual = std::cerr.rdbuf(heard.rdbuf());
  CheckLayerSat(
      "unused", "csv", model,
      quiet()
          .verbose(true)
          .also_track({"PReLU"})
          .include_conv(false)
          .ignore_layer_names({"7"})
          .layer_filter([](const delve::FoundLayer& layer) { return layer.name != "9"; }));
  std::cerr.rdbuf(usual);
  CHECK(
      heard.str() ==
      "delve: tracking 1 layer: 8\n"
      "delve: left out: torch::nn::Conv2dImpl (include_conv(false)): 0; torch::nn::BatchNorm2dImpl "
      "(only with also_track({\"BatchNorm2d\"})): 1; torch::nn::ReLUImpl (not of a kind that can "
      "be tracked): 2, 3, 4 and 2 more; torch::nn::LinearImpl (in ignore_layer_names()): 7; "
      "torch::nn::PReLUImpl (by layer_filter()): 9\n");
}

TEST_CASE("Without a reset, reports are of all data so far", "[tracker][options]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().reset_covariance(false));
  net->forward(pictures(60));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 60);
  net->forward(pictures(40));
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 100);
}

TEST_CASE("Calls that make no sense throw", "[tracker][misuse]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  CHECK_THROWS_AS(tracker.add_scalar("", 1), std::invalid_argument);
  CHECK_THROWS_WITH(tracker.last("cnv", "lsat", Mode::Train),
                    "delve::CheckLayerSat::last: no layer \"cnv\"; the layers are conv, fc");
  CHECK_THROWS_WITH(tracker.last("conv", "idim", Mode::Train),
                    "delve::CheckLayerSat::last: no statistic \"idim\"; the statistics are lsat");
  CHECK_FALSE(tracker.last("conv", "lsat", Mode::Train));
  tracker.close();
  tracker.close();
  CHECK_THROWS_WITH(tracker.add_saturations(),
                    "delve::CheckLayerSat::add_saturations: the tracker is closed");
  CHECK_THROWS_AS(tracker.add_scalar("accuracy", 1), std::logic_error);
  CHECK_THROWS_AS(tracker.resume(), std::logic_error);
  CHECK_THROWS_AS(tracker.save(), std::logic_error);
}

TEST_CASE("Activations of any type are taken in, and rows go to the requested device",
          "[tracker][options]") {
  for (const auto type : {torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    torch::manual_seed(9);
    nn::Linear layer(6, 4);
    layer->to(type);
    CheckLayerSat anywhere("unused", "csv", layer, quiet().stats({"trc"}));
    CheckLayerSat on_cpu("unused", "csv", layer, quiet().stats({"trc"}).device(torch::kCPU));
    const torch::Tensor output = layer(torch::randn({300, 6}).to(type)).to(torch::kDouble);
    const double trace = output.var(0, /*unbiased=*/false).sum().item<double>();
    for (auto* tracker : {&anywhere, &on_cpu}) {
      const delve::EpochRecord record = tracker->add_saturations();
      CHECK(record.layers.at(0).samples == 300);
      CHECK(record.layers[0].values.at(0).value == Approx(trace).epsilon(1e-5));
    }
  }
}

TEST_CASE("A layer's seed is the same with every standard library", "[tracker][options]") {
  // The first three: test vectors of the authors of FNV (draft-eastlake-fnv, appendix C).
  CHECK(delve::detail::fnv1a("") == 0xCBF29CE484222325U);
  CHECK(delve::detail::fnv1a("a") == 0xAF63DC4C8601EC8CU);
  CHECK(delve::detail::fnv1a("foobar") == 0x85944171F73967E8U);
}

TEST_CASE("One of N forwards is recorded, drawn by the seed", "[tracker][options][sampling]") {
  const auto recorded = [](std::uint64_t seed, std::int64_t interval) {
    const CheckLayerSatOptions options =
        CheckLayerSatOptions().log_interval(interval).sample_seed(seed);
    std::vector<std::int64_t> calls;
    for (std::int64_t call = 0; call < 300 * interval; ++call) {
      if (delve::detail::is_recorded(call, Mode::Train, options)) calls.push_back(call);
    }
    return calls;
  };
  for (const std::int64_t interval : {2, 3, 6, 7}) {
    const std::vector<std::int64_t> calls = recorded(1, interval);
    CAPTURE(interval);
    REQUIRE(calls.size() == 300);
    std::vector<int> places(static_cast<std::size_t>(interval));
    for (std::size_t i = 0; i < calls.size(); ++i) {
      CHECK(calls[i] / interval == static_cast<std::int64_t>(i));
      ++places[static_cast<std::size_t>(calls[i] % interval)];
    }
    // Within five standard deviations of a fair draw.
    const double share = 300.0 / static_cast<double>(interval);
    for (const int count : places) CHECK(std::abs(count - share) < 5 * std::sqrt(share));
    CHECK(calls == recorded(1, interval));
    CHECK(calls != recorded(2, interval));
  }
}

TEST_CASE("The interval meets no pattern of calls that repeat within a step",
          "[tracker][options][sampling]") {
  // A discriminator runs three times a step: on real data, which fill few directions, and twice on
  // fake ones, which fill others. With every third or sixth call only one of these is seen.
  constexpr int kSteps = 120;
  const auto mean_idim = [&](std::int64_t interval, delve::LogSampling sampling, int seeds) {
    double sum = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      torch::manual_seed(5);
      torch::nn::Linear layer(12, 12);
      const torch::NoGradGuard no_grad;
      layer->weight.copy_(torch::eye(12));
      CheckLayerSat tracker(
          "unused", "csv", layer,
          quiet().stats({"idim"}).log_interval(interval).log_sampling(sampling).sample_seed(
              static_cast<std::uint64_t>(seed)));
      const torch::Tensor masks = torch::zeros({3, 12});
      masks[0].slice(0, 0, 1).fill_(1);
      masks[1].slice(0, 1, 4).fill_(1);
      masks[2].slice(0, 4, 7).fill_(1);
      for (int step = 0; step < kSteps; ++step) {
        for (int call = 0; call < 3; ++call) layer(torch::randn({16, 12}) * masks[call]);
      }
      sum += tracker.add_saturations().layers.at(0).values.at(0).value;
    }
    return sum / seeds;
  };
  const double all = mean_idim(1, delve::LogSampling::Random, 1);
  CHECK(all == 7);
  for (const std::int64_t interval : {2, 3, 5, 6}) {
    CAPTURE(interval);
    // So many forwards of three kinds, drawn fairly, show all seven directions.
    CHECK(mean_idim(interval, delve::LogSampling::Random, 20) == Approx(all).margin(0.05));
  }
  CHECK(mean_idim(3, delve::LogSampling::Every, 1) < 4);
  CHECK(mean_idim(6, delve::LogSampling::Every, 1) < 4);
}

}  // namespace test_check_layer_sat_options
