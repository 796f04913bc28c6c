// SPDX-License-Identifier: MIT
// Which operators a hook calls on a device, counted on the host with the device's path: each of
// them costs a device that is faster than its host about ten microseconds. Nothing here is timed.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/options.hpp>

#include "catch.hpp"
#include "operators.hpp"
#include "reference_covariance.hpp"
#include "tracker.hpp"

namespace test_operators {

using delve::LayerFamily;
using delve::Mode;
using delve::detail::kDeviceTuning;
using delve_test::Operators;
using delve_test::quiet;

namespace {

using Layer = delve::detail::ObservedLayer<double>;

/// Layers as a tracker has them, with the sums of a device.
class Layers {
 public:
  explicit Layers(const delve::CheckLayerSatOptions& options)
      : observation_(std::make_shared<delve::detail::Observation>(options)) {
    observation_->tuning = &kDeviceTuning;
  }

  /// @param output of the layer, to tell its family
  Layer& add(const torch::Tensor& output) {
    const auto family = output.dim() == 4 ? LayerFamily::Convolution : LayerFamily::Linear;
    layers_.push_back(std::make_unique<Layer>("layer" + std::to_string(layers_.size()),
                                              delve::OutputLayout{family, 0}, observation_));
    return *layers_.back();
  }

  [[nodiscard]] std::int64_t memory_left() const { return observation_->waiting_memory->left(); }

 private:
  std::shared_ptr<delve::detail::Observation> observation_;
  std::vector<std::unique_ptr<Layer>> layers_;
};

/// What a number of hooks called.
struct Calls {
  int most_computing = 0, most_views = 0, most_empties = 0;  // of one hook
  double computing = 0, views = 0, empties = 0;              // a hook
  int more_than_one = 0;  // hooks that called more than one that computes
  bool waited = false;
};

Calls calls_of(Layer& layer, const torch::Tensor& output, int hooks, Mode mode = Mode::Train) {
  Calls calls;
  for (int i = 0; i < hooks; ++i) {
    const Operators operators;
    layer.take(output, mode);
    const auto most = [](int& so_far, int now) { so_far = std::max(so_far, now); };
    most(calls.most_computing, Operators::computing());
    most(calls.most_views, Operators::views());
    most(calls.most_empties, Operators::empties());
    calls.computing += static_cast<double>(Operators::computing()) / hooks;
    calls.views += static_cast<double>(Operators::views()) / hooks;
    calls.empties += static_cast<double>(Operators::empties()) / hooks;
    if (Operators::computing() > 1) ++calls.more_than_one;
    calls.waited = calls.waited || Operators::waited();
  }
  return calls;
}

/// How many batches of an output wait, in float32, before they are summed.
int batches_that_wait(const torch::Tensor& output) {
  const std::int64_t width = output.dim() == 4 ? output.size(1) : output.size(-1);
  return static_cast<int>(kDeviceTuning.large_capacity(width, 4) / (output.numel() / width));
}

}  // namespace

TEST_CASE("A hook whose rows wait calls one operator that computes, and one view", "[operators]") {
  torch::manual_seed(1);
  for (const torch::Tensor& output :
       {torch::randn({128, 64, 8, 8}),
        torch::randn({128, 64, 8, 8}).contiguous(torch::MemoryFormat::ChannelsLast),
        torch::randn({128, 512, 2, 2}), torch::randn({128, 512, 1, 1}), torch::randn({128, 700}),
        torch::randn({32, 16, 256}), torch::randn({64, 64, 8, 8}).to(torch::kHalf)}) {
    CAPTURE(output.sizes(), c10::toString(output.scalar_type()));
    Layers layers(quiet());
    Layer& layer = layers.add(output);
    layer.take(output, Mode::Train);  // takes the memory
    const int waiting = batches_that_wait(output);
    REQUIRE(waiting >= 8);
    for (int sum = 0; sum < 5; ++sum) {  // the fourth chooses the shift
      CAPTURE(sum);
      const Calls calls = calls_of(layer, output, waiting - 1);
      CHECK(calls.most_computing == 1);
      CHECK(calls.most_views <= 1);
      CHECK(calls.most_empties == 0);
      const Calls with_sum = calls_of(layer, output, 1);
      CHECK(with_sum.most_computing > 1);
      CHECK(with_sum.most_computing <= (sum < 4 ? 75 : 24));
      CHECK_FALSE((calls.waited || with_sum.waited));
    }
  }
}

TEST_CASE("A hook has few operators on average, and waits for none", "[operators]") {
  torch::manual_seed(2);
  struct Expected {
    std::vector<std::int64_t> shape;
    double computing, views, empties;  // a hook, at most
  };
  // Layers of VGG16 and ResNet18 with fewer samples, so that they are quick on the host.
  for (const Expected& expected :
       std::vector<Expected>{{{128, 64, 16, 16}, 5, 11, 1.2},  // summed at once
                             {{16, 256, 12, 12}, 5, 11, 1.2},
                             {{128, 64, 8, 8}, 3.7, 3.5, 0.5},  // of eight that wait
                             {{128, 128, 4, 4}, 2.5, 2.5, 0.3},
                             {{128, 512, 2, 2}, 2.5, 2.5, 0.3},
                             {{128, 512, 1, 1}, 1.5, 1.5, 0.1},
                             {{128, 1024}, 1.8, 1, 0.2},
                             {{128, 10}, 1.1, 1, 0.1}}) {
    const torch::Tensor output = torch::randn(expected.shape);
    CAPTURE(output.sizes());
    Layers layers(quiet());
    Layer& layer = layers.add(output);
    const int hooks = std::min(std::max(batches_that_wait(output), 16), 256);
    calls_of(layer, output, std::min(5 * hooks, 400));
    const Calls calls = calls_of(layer, output, hooks);
    CAPTURE(calls.computing, calls.views, calls.empties);
    CHECK(calls.computing <= expected.computing);
    CHECK(calls.views <= expected.views);
    CHECK(calls.empties <= expected.empties);
    CHECK_FALSE(calls.waited);
  }
}

TEST_CASE("Once the shift is chosen no hook looks at some of the rows", "[operators]") {
  torch::manual_seed(3);
  const torch::Tensor output = torch::randn({64, 64, 16, 16});
  Layers layers(quiet());
  Layer& layer = layers.add(output);
  const auto slices = [&] {
    const Operators operators;
    layer.take(output, Mode::Train);
    return Operators::count("slice");
  };
  for (int i = 0; i < 4; ++i) CHECK(slices() > 0);
  for (int i = 0; i < 20; ++i) CHECK(slices() == 0);
}

TEST_CASE("Modes that take turns wait apart where there is memory, and share it where not",
          "[operators]") {
  torch::manual_seed(4);
  const torch::Tensor output = torch::randn({128, 64, 4, 4});
  for (const bool is_short : {false, true}) {
    CAPTURE(is_short);
    const std::int64_t memory = kDeviceTuning.waiting_bytes * (is_short ? 1 : 3);
    Layers layers(quiet().stats({"cov", "samples"}).waiting_memory(memory));
    Layer& layer = layers.add(output);
    std::vector<torch::Tensor> trained, evaluated;
    int sums = 0;
    for (int i = 0; i < 24; ++i) {
      const bool trains = i % 4 < 3;
      const torch::Tensor maps = torch::randn({128, 64, 4, 4}) + i;
      (trains ? trained : evaluated).push_back(maps);
      const Calls calls = calls_of(layer, maps, 1, trains ? Mode::Train : Mode::Eval);
      if (i > 4 && calls.most_computing > 1) ++sums;
      CHECK_FALSE(calls.waited);
      CHECK(layers.memory_left() >= 0);
    }
    CHECK(layers.memory_left() == memory - kDeviceTuning.waiting_bytes * (is_short ? 1 : 2));
    CHECK((sums > 0) == is_short);
    const auto data = layer.end_epoch();
    CHECK(layers.memory_left() == memory);
    const auto report = layer.report(layer.end_epoch());
    CHECK(report.records.size() == 2);
    for (auto [mode, batches] :
         {std::pair(Mode::Train, trained), std::pair(Mode::Eval, evaluated)}) {
      for (const auto& [of, stream] : data.streams) {
        if (of != mode) continue;
        auto covariance = stream.covariance.copy();
        const torch::Tensor rows = torch::cat(batches).permute({0, 2, 3, 1}).reshape({-1, 64});
        CHECK(covariance.samples() == rows.size(0));
        CHECK(delve_test::relative_error(covariance.matrix(), delve_test::two_pass(rows)) < 2e-6);
      }
    }
  }
}

TEST_CASE("Layers for which no memory is left wait less, and count the same", "[operators]") {
  torch::manual_seed(5);
  const torch::Tensor output = torch::randn({128, 64, 2, 2});  // 512 rows
  Layers layers(quiet().waiting_memory(kDeviceTuning.waiting_bytes));
  Layer& first = layers.add(output);
  Layer& second = layers.add(output);
  for (Layer* layer : {&first, &second}) calls_of(*layer, output, 40);
  CHECK(layers.memory_left() == 0);
  CHECK(first.bytes() > kDeviceTuning.waiting_bytes);
  CHECK(second.bytes() < kDeviceTuning.waiting_bytes);
  CHECK(calls_of(first, output, 8).more_than_one == 0);
  CHECK(calls_of(second, output, 8).more_than_one == 8);
  for (Layer* layer : {&first, &second}) {
    const auto data = layer->end_epoch();
    CHECK(data.streams.at(0).second.covariance.samples() == 48 * 512);
  }
  CHECK(layers.memory_left() == kDeviceTuning.waiting_bytes);
}

}  // namespace test_operators
