// SPDX-License-Identifier: MIT
// What makes tracking cheaper: reports beside the training, a share of the data points; and what
// it takes of memory. Nothing here is timed: benchmarks/ does that.

#include <chrono>
#include <cmath>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/detail/tracking/random_rows.hpp>
#include <delve/writers/function.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "tracker.hpp"

using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace nn = torch::nn;

namespace {

std::vector<double> numbers_in(const EpochRecord& record) {
  std::vector<double> numbers;
  for (const delve::LayerRecord& layer : record.layers) {
    numbers.push_back(static_cast<double>(layer.samples));
    for (const delve::Value& value : layer.values) numbers.push_back(value.value);
  }
  return numbers;
}

}  // namespace

TEST_CASE("A report beside the training is the one that a report in place is", "[async]") {
  torch::manual_seed(1);
  for (const bool reset : {true, false}) {
    Net net;
    CheckLayerSat in_place("unused", "csv", net,
                           quiet().stats({"lsat", "idim", "trc"}).reset_covariance(reset));
    CheckLayerSat beside("unused", "csv", net,
                         quiet().stats({"lsat", "idim", "trc"}).reset_covariance(reset));
    std::vector<EpochRecord> expected;
    std::vector<std::shared_future<EpochRecord>> found;
    for (int epoch = 0; epoch < 4; ++epoch) {
      for (int batch = 0; batch < 3; ++batch) net->forward(pictures(40));
      beside.add_scalar("accuracy", epoch);
      found.push_back(beside.add_saturations_async());
      in_place.add_scalar("accuracy", epoch);
      expected.push_back(in_place.add_saturations());
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(reset, i);
      CHECK(found[i].get().epoch == expected[i].epoch);
      CHECK(found[i].get().scalars == expected[i].scalars);
      CHECK(numbers_in(found[i].get()) == numbers_in(expected[i]));
    }
    CHECK(beside.last("fc", "trc", Mode::Train) == in_place.last("fc", "trc", Mode::Train));
  }
}

TEST_CASE("Reports beside the training come in order, and none is left behind", "[async]") {
  Net net;
  std::vector<std::int64_t> written;
  std::vector<std::thread::id> threads;
  const auto writer = std::make_shared<delve::FunctionWriter>([&](const EpochRecord& record) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    written.push_back(record.epoch);
    threads.push_back(std::this_thread::get_id());
  });
  {
    CheckLayerSat tracker("unused", writer, net, quiet().nosave(false));
    net->forward(pictures());
    tracker.add_saturations_async();
    net->forward(pictures());
    tracker.add_saturations_async();
    net->forward(pictures());
    tracker.add_saturations(/*save=*/false);
    CHECK(written == std::vector<std::int64_t>{0, 1});  // it waited for them
    net->forward(pictures());
    tracker.add_saturations_async();
    net->forward(pictures());
  }  // and so does the end, with what came last
  CHECK(written == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(threads[0] != std::this_thread::get_id());
}

TEST_CASE("Training goes on during a report, into the next epoch", "[async]") {
  Net net;
  std::promise<void> go_on;
  const std::shared_future<void> may_go_on = go_on.get_future().share();
  const auto slow = std::make_shared<delve::FunctionWriter>(
      [may_go_on](const EpochRecord&) { may_go_on.wait(); });
  CheckLayerSat tracker("unused", slow, net, quiet().nosave(false));
  net->forward(pictures(60));
  const auto first = tracker.add_saturations_async();
  net->forward(pictures(70));  // while the report is held up
  CHECK(first.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  go_on.set_value();
  CHECK(find(first.get(), "fc", Mode::Train)->samples == 60);
  CHECK(find(tracker.add_saturations(), "fc", Mode::Train)->samples == 70);
  tracker.close();
  CHECK_THROWS_AS(tracker.add_saturations_async(), std::logic_error);
}

TEST_CASE("Each row is drawn with the same probability", "[sampling]") {
  const std::int64_t width = 3;
  for (const double rate : {0.5, 0.3, 0.07}) {
    delve::detail::RandomRows rows(rate, 7);
    const std::int64_t samples = 4;
    const std::int64_t positions = 25;
    const torch::Tensor numbers = torch::arange(samples * positions, torch::kDouble)
                                      .view({samples, positions, 1})
                                      .expand({samples, positions, width});
    torch::Tensor hits = torch::zeros({samples * positions}, torch::kDouble);
    const int draws = 4000;
    for (int draw = 0; draw < draws; ++draw) {
      const torch::Tensor picked = rows.pick(numbers);
      REQUIRE(picked.size(1) == width);
      hits.index_add_(0, picked.select(1, 0).to(torch::kLong),
                      torch::ones({picked.size(0)}, torch::kDouble));
    }
    // Five standard deviations of a binomial count.
    const double deviation = std::sqrt(draws * rate * (1 - rate)) / draws;
    CAPTURE(rate);
    CHECK(((hits / draws - rate).abs() < 5 * deviation + 1e-9).all().item<bool>());
  }
}

TEST_CASE("A share of the data points gives the covariance of all, on average", "[sampling]") {
  torch::manual_seed(2);
  nn::Conv2d conv(nn::Conv2dOptions(2, 4, 3));
  const torch::Tensor input = torch::randn({8, 2, 18, 18});
  const auto trace = [&](double rate, std::uint64_t seed) {
    CheckLayerSat tracker("unused", "csv", {{"conv", conv}},
                          quiet().stats({"trc", "samples"}).sample_rate(rate).sample_seed(seed));
    for (int batch = 0; batch < 4; ++batch) conv(input + batch);
    const EpochRecord record = tracker.add_saturations();
    const auto& values = record.layers.at(0).values;
    CHECK(values[1].value == Approx(rate * 4 * 8 * 256).epsilon(0.01));
    return values[0].value;
  };
  const double exact = trace(1, 0);
  double sum = 0;
  double squares = 0;
  const int seeds = 40;
  for (int seed = 0; seed < seeds; ++seed) {
    const double relative = trace(0.1, static_cast<std::uint64_t>(seed)) / exact - 1;
    sum += relative;
    squares += relative * relative;
  }
  const double mean = sum / seeds;
  const double deviation = std::sqrt(squares / seeds - mean * mean);
  CHECK(deviation < 0.1);
  CHECK(std::abs(mean) < 4 * deviation / std::sqrt(seeds) + 1e-3);
  CHECK(trace(0.1, 5) == trace(0.1, 5));
  CHECK(trace(0.1, 5) != trace(0.1, 6));

  CHECK_THROWS_WITH(
      CheckLayerSat("unused", "csv", {{"conv", conv}}, quiet().sample_rate(0)),
      "delve::CheckLayerSatOptions: sample_rate is 0; it must be above 0 and at most 1");
}

TEST_CASE("Memory is told by layer, and is small where there is little data", "[memory]") {
  nn::Sequential net(nn::Linear(8, 1000), nn::Linear(1000, 16));
  CheckLayerSat tracker("unused", "csv", net, quiet());
  const auto bytes = [&](std::size_t layer) { return tracker.memory_usage().at(layer).second; };
  CHECK(bytes(0) == 0);
  net->forward(torch::randn({30, 8}));
  // Thirty rows wait, in room for a thousand of float32; there is no d × d sum yet.
  CHECK(bytes(0) >= 1000 * 1000 * 4);
  CHECK(bytes(0) < 1000 * 1000 * 4 + 100'000);
  for (int batch = 0; batch < 80; ++batch) net->forward(torch::randn({30, 8}));
  CHECK(bytes(0) > 1000 * 1000 * 8);
  CHECK(bytes(0) < 1000 * 1000 * (8 + 4) + 100'000);
  // Of narrow layers, up to 256 KB of rows wait.
  CHECK(bytes(1) < 256 * 1024 + 10'000);
  CHECK(tracker.memory_usage().at(1).first == "1");
  tracker.add_saturations();
  CHECK(bytes(0) == 0);
}
