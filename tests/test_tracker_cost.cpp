// SPDX-License-Identifier: MIT
// What makes tracking cheaper: reports beside the training, a share of the data points; and what
// it takes of memory. Nothing here is timed: benchmarks/ does that.

#include <chrono>
#include <cmath>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/detail/tracking/random_rows.hpp>
#include <delve/detail/tracking/strided_points.hpp>
#include <delve/writers/function.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "reference_covariance.hpp"
#include "tracker.hpp"

namespace test_tracker_cost {

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

/// Σ of a layer in training, of which "cov" is the only statistic.
torch::Tensor sigma_of(const EpochRecord& record, const std::string& layer) {
  const auto& sigma = *find(record, layer, Mode::Train)->arrays.at(0).array;
  torch::Tensor matrix = torch::empty({sigma.rows(), sigma.cols()}, torch::kDouble);
  for (Eigen::Index i = 0; i < sigma.rows(); ++i) {
    for (Eigen::Index j = 0; j < sigma.cols(); ++j) matrix[i][j] = sigma(i, j);
  }
  return matrix;
}

/// χ² of counts that are all expected to be the same, less its mean, in standard deviations.
double excess_of_chi_squared(const std::vector<double>& counts) {
  const auto cells = static_cast<double>(counts.size());
  const double expected = std::accumulate(counts.begin(), counts.end(), 0.0) / cells;
  double sum = 0;
  for (const double count : counts) sum += (count - expected) * (count - expected) / expected;
  return (sum - (cells - 1)) / std::sqrt(2 * (cells - 1));
}

}  // namespace

TEST_CASE("An asynchronous report equals one that waits", "[async]") {
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

TEST_CASE("Training continues during a report, into the next epoch", "[async]") {
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

TEST_CASE("The offsets of a stride part a forward's points among them", "[sampling]") {
  for (const delve::detail::PointStride stride : std::vector<delve::detail::PointStride>{
           {1, 1}, {1, 3}, {1, 25}, {1, 29}, {3, 1}, {3, 4}, {7, 25}, {40, 2}}) {
    for (const bool has_positions : {true, false}) {
      CAPTURE(stride.samples, stride.positions, has_positions);
      const torch::Tensor numbers = torch::arange(has_positions ? 6 * 25 : 6);
      const torch::Tensor rows = has_positions ? numbers.view({6, 25, 1}) : numbers.view({6, 1});
      std::vector<torch::Tensor> picked;
      for (std::int64_t offset = 0; offset < stride.points(); ++offset) {
        picked.push_back(stride.pick(rows, offset).reshape({-1}));
        CHECK(picked.back().numel() <= (6 / stride.samples + 1) * (25 / stride.positions + 1));
      }
      CHECK(torch::equal(std::get<0>(torch::cat(picked).sort()), numbers));
    }
  }
  // A view, in either layout.
  const torch::Tensor maps = torch::randn({4, 3, 5, 5});
  const torch::Tensor rows = maps.movedim(1, -1).flatten(1, -2);
  CHECK(delve::detail::PointStride{2, 7}.pick(rows, 8).data_ptr<float>() ==
        &maps.data_ptr<float>()[75 + 1]);
}

TEST_CASE("A stride leaves so many points a dimension, and meets all columns", "[sampling]") {
  using delve::detail::PointCount;
  const auto stride = [](std::int64_t points, std::int64_t width, std::int64_t positions,
                         std::int64_t points_per_dimension) {
    const auto found =
        delve::detail::stride_for(PointCount{points, width, positions}, points_per_dimension);
    return std::vector<std::int64_t>{found.samples, found.positions};
  };
  using Stride = std::vector<std::int64_t>;
  CHECK(stride(0, 0, 1, 1000) == Stride{1, 1});
  CHECK(stride(64'000, 64, 1024, 1000) == Stride{1, 1});
  CHECK(stride(64'001, 64, 1024, 1000) == Stride{1, 3});             // 2 is every second column
  CHECK(stride(64'000 * 156 / 5, 64, 1024, 1000) == Stride{1, 33});  // 32 is one column
  CHECK(stride(50'000 * 1024, 64, 1024, 1000) == Stride{1, 801});
  CHECK(stride(50'000 * 4, 512, 4, 10) == Stride{10, 4});  // 39.06 / 4
  CHECK(stride(50'000, 10, 1, 1000) == Stride{5, 1});
  for (const std::int64_t positions : {1, 4, 49, 64, 1024, 3136}) {
    for (const double wanted : {1.5, 2.0, 7.3, 60.0, 1000.0, 123456.7}) {
      const auto found =
          delve::detail::stride_for(PointCount{std::lround(wanted * 1000), 10, positions}, 100);
      CAPTURE(positions, wanted);
      CHECK(static_cast<double>(found.points()) >= wanted);
      CHECK(static_cast<double>(found.points()) < wanted + 2 + static_cast<double>(positions));
      CHECK((found.samples > 1 || std::gcd(found.positions, positions) == 1));
      CHECK((found.samples == 1 || found.positions == positions));
    }
  }
}

TEST_CASE("Offsets are uniform for each of a step's calls", "[sampling]") {
  for (const std::int64_t stride : {2, 12, 60, 801}) {
    for (const std::int64_t calls : {1, 2, 3, 4}) {
      for (std::int64_t call = 0; call < calls; ++call) {
        std::vector<double> hits(static_cast<std::size_t>(stride));
        for (std::int64_t step = 0; step < 10 * stride; ++step) {
          const std::uint64_t bits =
              delve::detail::forward_bits(3, "features-0", "train", step * calls + call);
          ++hits[bits % static_cast<std::uint64_t>(stride)];
        }
        CAPTURE(stride, calls, call);
        CHECK(std::abs(excess_of_chi_squared(hits)) < 5);
      }
    }
  }
  const auto bits = [](std::uint64_t seed, const char* layer, const char* mode) {
    return delve::detail::forward_bits(seed, layer, mode, 5);
  };
  const auto here = bits(1, "a", "train");
  CHECK(here == bits(1, "a", "train"));
  CHECK(here != bits(2, "a", "train"));
  CHECK(here != bits(1, "b", "train"));
  CHECK(here != bits(1, "a", "eval"));
  CHECK(bits(1, "train", "eval") != bits(1, "eval", "train"));
}

TEST_CASE("Each position has the same share, however often a step calls the layer", "[sampling]") {
  constexpr std::int64_t side = 5;
  constexpr std::int64_t positions = side * side;
  constexpr std::int64_t stride = 12;  // 2, 3 and 4 divide it
  constexpr std::int64_t steps = 10 * stride;
  nn::Linear unused(1, 1);
  for (const std::int64_t calls : {1, 2, 3, 4}) {
    CheckLayerSat tracker(
        "unused", "csv", unused,
        quiet().stats({"cov"}).sample_seed(5).points_per_dimension(steps / stride));
    // One feature for each position of each of a step's calls, 1 there and 0 elsewhere.
    const torch::Tensor maps = torch::eye(calls * positions, torch::kDouble)
                                   .view({calls, positions, calls * positions})
                                   .transpose(1, 2)
                                   .reshape({calls, 1, calls * positions, side, side});
    const auto epoch = [&] {
      for (std::int64_t step = 0; step < steps; ++step) {
        for (std::int64_t call = 0; call < calls; ++call) {
          tracker.observe("maps", maps[call], Mode::Train, delve::LayerFamily::Convolution);
        }
      }
      return tracker.add_saturations();
    };
    CHECK(find(epoch(), "maps", Mode::Train)->samples == steps * calls * positions);
    const EpochRecord record = epoch();
    const auto samples = static_cast<double>(find(record, "maps", Mode::Train)->samples);
    CHECK(samples == Approx(steps * calls * positions / stride).epsilon(0.1));
    // A share p has the variance p(1 − p), and all of them are below one half.
    const torch::Tensor variances = sigma_of(record, "maps").diagonal();
    const torch::Tensor hits = (1 - (1 - 4 * variances).sqrt()) / 2 * samples;
    CHECK((hits - hits.round()).abs().max().item<double>() < 1e-6);
    for (std::int64_t call = 0; call < calls; ++call) {
      CAPTURE(calls, call);
      const torch::Tensor of_call = hits.narrow(0, call * positions, positions).round();
      CHECK(torch::equal(of_call.narrow(0, 0, positions - stride),
                         of_call.narrow(0, stride, positions - stride)));
      const torch::Tensor first = of_call.narrow(0, 0, stride).contiguous();
      CHECK(first.sum().item<double>() == steps);
      const auto* counts = first.data_ptr<double>();
      CHECK(excess_of_chi_squared({counts, counts + stride}) < 5);
    }
  }
}

TEST_CASE("So many points a dimension give the covariance of all, on average", "[sampling]") {
  torch::manual_seed(3);
  // What each position shows differs from column to column and from line to line.
  const torch::Tensor place = torch::arange(16, torch::kDouble);
  std::vector<torch::Tensor> batches;
  for (int batch = 0; batch < 6; ++batch) {
    batches.push_back(torch::randn({8, 4, 16, 16}, torch::kDouble));
    batches.back().select(1, 0).add_(place * 0.2);
    batches.back().select(1, 1).add_(place.unsqueeze(1) * 0.2 + batch);
  }
  const torch::Tensor rows = torch::cat(batches).permute({0, 2, 3, 1}).reshape({-1, 4});
  const torch::Tensor expected = delve_test::two_pass(rows);
  nn::Linear unused(1, 1);
  const auto sigma = [&](std::uint64_t seed) {
    CheckLayerSat tracker("unused", "csv", unused,
                          quiet().stats({"cov"}).points_per_dimension(150).sample_seed(seed));
    const auto epoch = [&] {
      for (const torch::Tensor& batch : batches) {
        tracker.observe("maps", batch, Mode::Train, delve::LayerFamily::Convolution);
      }
      return tracker.add_saturations();
    };
    CHECK(delve_test::relative_error(sigma_of(epoch(), "maps"), expected) < 1e-12);
    const EpochRecord record = epoch();
    CHECK(find(record, "maps", Mode::Train)->samples == Approx(4 * 150).epsilon(0.1));
    return sigma_of(record, "maps");
  };
  std::vector<torch::Tensor> found;
  for (std::uint64_t seed = 0; seed < 60; ++seed) found.push_back(sigma(seed));
  const torch::Tensor all = torch::stack(found);
  const torch::Tensor scale = expected.diagonal().max();
  const torch::Tensor error = (all.mean(0) - expected).abs() / scale;
  const torch::Tensor deviation = all.std(0) / scale;
  CHECK(deviation.max().item<double>() < 0.1);
  CHECK(deviation.min().item<double>() > 1e-3);
  // Four standard errors, and what n points make of a mean that is theirs: 1/n.
  CHECK((error < 4 * deviation / std::sqrt(60.0) + 1.0 / 600).all().item<bool>());
  CHECK(torch::equal(sigma(7), found[7]));
}

TEST_CASE("An epoch takes as many points as the one before foretells, the modes apart",
          "[sampling]") {
  torch::manual_seed(4);
  nn::Conv2d conv(nn::Conv2dOptions(2, 6, 3));
  nn::Linear fc(5, 6);
  fc->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", {{"conv", conv}, {"fc", fc}},
                        quiet().stats({"samples"}).points_per_dimension(100));
  const auto train = [&](int batches) {
    for (int batch = 0; batch < batches; ++batch) {
      conv(torch::randn({8, 2, 12, 12}));  // 100 positions
      fc(torch::randn({90, 5}, torch::kDouble));
    }
  };
  const auto samples = [](const EpochRecord& record, const std::string& layer, Mode mode) {
    return find(record, layer, mode)->samples;
  };
  train(15);
  const EpochRecord first = tracker.add_saturations();
  CHECK(samples(first, "conv", Mode::Train) == 15 * 800);
  CHECK(samples(first, "fc", Mode::Train) == 15 * 90);
  train(15);
  conv->eval();
  conv(torch::randn({8, 2, 12, 12}));
  conv->train();
  const EpochRecord second = tracker.add_saturations();
  // 12,000 for 600: one of 21. 1,350 for 600: one of 3.
  CHECK(samples(second, "conv", Mode::Train) == Approx(12'000. / 21).epsilon(0.06));
  CHECK(samples(second, "fc", Mode::Train) == 1'350 / 3);
  CHECK(samples(second, "conv", Mode::Eval) == 800);
  // No data: the stride stays. Then half as much: it was foreseen for more.
  tracker.add_saturations();
  train(7);
  const EpochRecord third = tracker.add_saturations();
  CHECK(samples(third, "conv", Mode::Train) == Approx(5'600. / 21).epsilon(0.1));
  train(7);
  const EpochRecord fourth = tracker.add_saturations();
  CHECK(samples(fourth, "conv", Mode::Train) == Approx(5'600. / 11).epsilon(0.1));
  CHECK(samples(fourth, "fc", Mode::Train) == 630 / 2);
}

TEST_CASE("Memory is reported by layer, and is small where there is little data", "[memory]") {
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

}  // namespace test_tracker_cost
