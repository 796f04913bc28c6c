// SPDX-License-Identifier: MIT
// How far the covariance of a layer turns from epoch to epoch, and by chance.

#include <delve/detail/tracking/drift.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "reference_covariance.hpp"
#include "tracker.hpp"

namespace test_drift {

using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::is_missing;
using delve::Mode;
using delve::detail::chance_drift;
using delve::detail::drift_between;
using delve::detail::shape_of;
using delve_test::quiet;
using delve_test::two_pass;
namespace nn = torch::nn;

namespace {

double value(const EpochRecord& record, const std::string& layer, Mode mode,
             const std::string& stat) {
  const delve::LayerRecord* found = delve_test::find(record, layer, mode);
  REQUIRE(found != nullptr);
  for (const delve::Value& it : found->values) {
    if (it.stat == stat) return it.value;
  }
  FAIL("no value of " << stat);
  return 0;
}

/// By the definition, in float64.
double cosine_distance(const torch::Tensor& a, const torch::Tensor& b) {
  return 1 - ((a * b).sum() / (a.norm() * b.norm())).item<double>();
}

torch::Tensor random_sigma(std::int64_t width) {
  const torch::Tensor root = torch::randn({width, width}, torch::kDouble);
  return root.mm(torch::logspace(0, -2, width, 10, torch::kDouble).diag()).mm(root.t());
}

/// A rotation at random: Haar's measure, by the signs of R's diagonal.
torch::Tensor random_rotation(std::int64_t width) {
  const auto [q, r] = torch::linalg_qr(torch::randn({width, width}, torch::kDouble));
  return q * r.diagonal().sign();
}

}  // namespace

TEST_CASE("Drift is 0 for a multiple, sin² of the angle between two lines, and 1 between others",
          "[drift]") {
  torch::manual_seed(1);
  const torch::Tensor sigma = random_sigma(7);
  CHECK(drift_between(shape_of(sigma), shape_of(sigma)) == 0);
  CHECK(drift_between(shape_of(sigma), shape_of(sigma * 1024)) == 0);
  CHECK(drift_between(shape_of(sigma), shape_of(sigma * 1e150)) < 1e-12);
  for (const double angle : {1e-3, 0.1, 0.7, 1.5}) {
    const auto line = [](double at) {
      const torch::Tensor x = torch::tensor({std::cos(at), std::sin(at)}, torch::kDouble);
      return torch::outer(x, x);
    };
    CAPTURE(angle);
    CHECK(drift_between(shape_of(line(0.3)), shape_of(line(0.3 + angle))) ==
          Approx(std::pow(std::sin(angle), 2)).epsilon(1e-4));
  }
  const torch::Tensor halves = torch::tensor({1.0, 1.0, 0.0, 0.0}, torch::kDouble);
  CHECK(drift_between(shape_of(halves.diag()), shape_of((1 - halves).diag())) == Approx(1));
  // Of equal variance in all directions, none can turn.
  CHECK(chance_drift(shape_of(torch::eye(7, torch::kDouble)),
                     shape_of(torch::eye(7, torch::kDouble))) == Approx(0).margin(1e-12));
}

TEST_CASE("Drift agrees with its definition in float64", "[drift]") {
  torch::manual_seed(2);
  for (const std::int64_t width : {1, 2, 5, 40, 200}) {
    const torch::Tensor a = random_sigma(width);
    for (const double step : {1.0, 0.1, 1e-2}) {
      const torch::Tensor b = a + step * random_sigma(width);
      CAPTURE(width, step);
      CHECK(drift_between(shape_of(a), shape_of(b)) ==
            Approx(cosine_distance(a, b)).epsilon(1e-4).margin(1e-9));
    }
    const double ratio = std::pow(a.trace().item<double>() / a.norm().item<double>(), 2);
    CHECK(shape_of(a).participation_ratio == Approx(ratio).epsilon(1e-10));
  }
}

TEST_CASE("What drift is between unrelated directions is foreseen", "[drift]") {
  torch::manual_seed(3);
  for (const std::int64_t width : {3, 12}) {
    const torch::Tensor a = random_sigma(width);
    const torch::Tensor b = random_sigma(width);
    constexpr int draws = 2000;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < draws; ++i) {
      const torch::Tensor turn = random_rotation(width);
      const double drift = cosine_distance(a, turn.mm(b).mm(turn.t()));
      sum += drift;
      squares += drift * drift;
    }
    const double mean = sum / draws;
    const double error = std::sqrt((squares / draws - mean * mean) / draws);
    CAPTURE(width, mean, error);
    CHECK(std::abs(chance_drift(shape_of(a), shape_of(b)) - mean) < 4 * error);
  }
}

TEST_CASE("A tracker reports the drift of what it saw, from the second epoch on", "[drift]") {
  torch::manual_seed(4);
  for (const std::int64_t batch : {600, 7}) {  // 7: the rows wait, fewer than dimensions
    nn::Linear layer(12, 9);
    CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"lsat", "drift"}));
    const torch::Tensor inputs = torch::randn({batch, 12}) * torch::logspace(0, -1, 12) + 30;
    torch::Tensor last;
    for (int epoch = 0; epoch < 3; ++epoch) {
      layer->train();
      const torch::Tensor output = torch::cat({layer(inputs), layer(inputs * 1.01)}).detach();
      layer->eval();
      layer(inputs);
      const EpochRecord record = tracker.add_saturations();
      const torch::Tensor sigma = two_pass(output);
      const double drift = value(record, "Linear", Mode::Train, "drift");
      const double chance = value(record, "Linear", Mode::Train, "drift_chance");
      CAPTURE(batch, epoch);
      if (epoch == 0) {
        CHECK(is_missing(drift));
        CHECK(is_missing(chance));
      } else {
        CHECK(drift == Approx(cosine_distance(sigma, last)).epsilon(1e-3));
        CHECK(drift > 1e-3);
        CHECK(drift < chance);
        const auto ratio = [](const torch::Tensor& it) {
          return std::pow(it.trace().item<double>() / it.norm().item<double>(), 2);
        };
        CHECK(chance == Approx(1 - std::sqrt(ratio(sigma) * ratio(last)) / 9).epsilon(1e-4));
        CHECK(tracker.last("Linear", "drift", Mode::Eval).has_value());
      }
      // Two forwards: one in each half, whichever that is.
      CHECK(value(record, "Linear", Mode::Train, "drift_floor") ==
            Approx(cosine_distance(two_pass(layer(inputs)), two_pass(layer(inputs * 1.01))) / 2)
                .epsilon(1e-3)
                .margin(1e-9));
      for (const delve::Value& it : delve_test::find(record, "Linear", Mode::Eval)->values) {
        CHECK(it.stat != "drift_floor");  // an evaluation repeats its data
      }
      last = sigma;
      torch::NoGradGuard no_grad;
      layer->weight.add_(0.05 * torch::randn({9, 12}));
    }
    CHECK(tracker.problems().size() == (batch == 7 ? 1 : 0));  // few data points
  }
}

TEST_CASE("The noise floor is the drift of a layer that stays as it is", "[drift]") {
  torch::manual_seed(5);
  nn::Linear layer(8, 8);
  const torch::Tensor scales = torch::logspace(0, -1, 8);
  CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"drift"}));
  double floor = 0;
  double drift = 0;
  constexpr int epochs = 60;
  for (int epoch = 0; epoch <= epochs; ++epoch) {
    for (int batch = 0; batch < 20; ++batch) layer(torch::randn({32, 8}) * scales);
    const EpochRecord record = tracker.add_saturations();
    floor += value(record, "Linear", Mode::Train, "drift_floor");
    if (epoch > 0) drift += value(record, "Linear", Mode::Train, "drift");
  }
  floor /= epochs + 1;
  drift /= epochs;
  CAPTURE(floor, drift);
  CHECK(floor == Approx(drift).epsilon(0.15));
  CHECK(drift < 0.01);
}

TEST_CASE("What alternates within a step does not part the halves", "[drift]") {
  torch::manual_seed(6);
  nn::Linear layer(6, 6);
  CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"drift"}));
  const torch::Tensor real = torch::logspace(0, -2, 6);
  for (int step = 0; step < 400; ++step) {  // as a discriminator sees them
    layer(torch::randn({16, 6}) * real);
    layer(torch::randn({16, 6}) * real.flip(0));
  }
  // Parted by real and fake it would be 0.3 and more.
  CHECK(value(tracker.add_saturations(), "Linear", Mode::Train, "drift_floor") < 0.02);
}

TEST_CASE("Drift changes no other number, with probes as without", "[drift]") {
  const auto run = [](std::vector<std::string> stats, bool has_probe) {
    torch::manual_seed(7);
    nn::Linear layer(10, 6);
    CheckLayerSat tracker("unused", "csv", layer,
                          quiet().stats(std::move(stats)).classes(has_probe ? 3 : 0));
    for (int batch = 0; batch < 9; ++batch) {
      const auto labels = tracker.labels(torch::randint(3, {40}, torch::kLong));
      layer(torch::randn({40, 10}) + 5);
    }
    return tracker.add_saturations();
  };
  for (const bool has_probe : {false, true}) {
    std::vector<std::string> stats = {"lsat", "trc", "samples", "logdet"};
    if (has_probe) stats.emplace_back("nc1");
    const EpochRecord plain = run(stats, has_probe);
    const std::vector<std::string> common = stats;
    stats.emplace_back("drift");
    const EpochRecord with = run(stats, has_probe);
    for (const std::string& stat : common) {
      CAPTURE(stat, has_probe);
      CHECK(value(with, "Linear", Mode::Train, stat) ==
            Approx(value(plain, "Linear", Mode::Train, stat)).epsilon(1e-9));
    }
    CHECK(value(with, "Linear", Mode::Train, "samples") == 360);
    CHECK_FALSE(is_missing(value(with, "Linear", Mode::Train, "drift_floor")));
  }
}

TEST_CASE("Where no two epochs can be compared, drift is missing, and why is reported",
          "[drift][misuse]") {
  torch::manual_seed(8);
  {
    std::vector<std::string> messages;
    nn::Linear layer(4, 4);
    CheckLayerSat tracker("unused", "csv", layer,
                          quiet(&messages).stats({"drift"}).reset_covariance(false));
    REQUIRE(messages.size() == 1);
    CHECK_THAT(messages[0], ContainsSubstring("reset_covariance(false)"));
    for (int epoch = 0; epoch < 3; ++epoch) {
      layer(torch::randn({100, 4}));
      const EpochRecord record = tracker.add_saturations();
      for (const char* stat : {"drift", "drift_floor", "drift_chance"}) {
        CHECK(is_missing(value(record, "Linear", Mode::Train, stat)));
      }
    }
    CHECK(messages.size() == 1);
  }
  {
    std::vector<std::string> messages;
    nn::Conv1d layer(nn::Conv1dOptions(1, 2, 1));
    CheckLayerSat tracker(
        "unused", "csv", layer,
        quiet(&messages).stats({"drift"}).conv_method(delve::ConvMethod::Flatten));
    const std::vector<std::pair<std::int64_t, bool>> epochs = {
        {3, false}, {3, true}, {4, false}, {4, true}, {5, false}};
    for (const auto& [length, is_comparable] : epochs) {
      layer(torch::randn({200, 1, length}));
      const EpochRecord record = tracker.add_saturations();
      CHECK(is_missing(value(record, "Conv1d", Mode::Train, "drift")) != is_comparable);
    }
    REQUIRE(messages.size() == 1);  // once, though it happened twice
    CHECK_THAT(messages[0], ContainsSubstring("8 features, and had 6"));
  }
  {
    nn::Linear layer(4, 4);
    CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"drift"}));
    for (int epoch = 0; epoch < 4; ++epoch) {  // dead in the second one
      layer(epoch == 1 ? torch::zeros({60, 4}) : torch::randn({60, 4}));
      const double drift = value(tracker.add_saturations(), "Linear", Mode::Train, "drift");
      CHECK(is_missing(drift) == (epoch < 3));
    }
  }
}

TEST_CASE("An epoch is compared with the last one that had data, also beside the training",
          "[drift][async]") {
  torch::manual_seed(9);
  nn::Linear layer(5, 5);
  CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"drift"}));
  const torch::Tensor inputs = torch::randn({300, 5});
  for (int epoch = 0; epoch < 6; ++epoch) {
    layer->train();
    layer(torch::randn({300, 5}));
    layer->eval();
    if (epoch % 2 == 0) layer(inputs);
    const EpochRecord record = tracker.add_saturations_async().get();
    CHECK((delve_test::find(record, "Linear", Mode::Eval) != nullptr) == (epoch % 2 == 0));
    if (epoch % 2 == 0) {
      const double drift = value(record, "Linear", Mode::Eval, "drift");
      CHECK(is_missing(drift) == (epoch == 0));
      if (epoch > 0) CHECK(drift == 0);  // the same data, the same weights
    }
    CHECK(is_missing(value(record, "Linear", Mode::Train, "drift")) == (epoch == 0));
  }
}

TEST_CASE("Drift takes d² numbers a mode, where it is requested, and says so", "[drift][memory]") {
  const auto bytes = [](std::vector<std::string> stats) {
    nn::Linear layer(4, 500);
    CheckLayerSat tracker("unused", "csv", layer, quiet().stats(std::move(stats)));
    layer(torch::randn({600, 4}));
    tracker.add_saturations();
    return tracker.memory_usage().at(0).second;
  };
  CHECK(bytes({"lsat"}) == 0);
  CHECK(bytes({"drift"}) == 500 * 500 * 4);
}

}  // namespace test_drift
