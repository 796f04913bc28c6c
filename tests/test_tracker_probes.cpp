// SPDX-License-Identifier: MIT
// Probes while a model trains: from a forward under labels to the record.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <fstream>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/forward_hook.hpp>
#include <delve/writers/csv.hpp>

#include "catch.hpp"
#include "reference_probe.hpp"
#include "tracker.hpp"

namespace test_tracker_probes {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::is_missing;
using delve::LayerRecord;
using delve::Mode;
using delve::Products;
using delve_test::find;
using delve_test::quiet;
using delve_test::reference_lda;
using delve_test::reference_ridge;
using delve_test::ReferenceProbe;
using delve_test::value;
namespace nn = torch::nn;

namespace {

constexpr std::int64_t kClasses = 4;

CheckLayerSatOptions probing(std::vector<std::string>* messages = nullptr) {
  return quiet(messages).stats({"lsat", "probe"}).classes(kClasses);
}

struct Data {
  torch::Tensor x, y;
  [[nodiscard]] Data part(std::int64_t begin, std::int64_t end) const {
    return {x.slice(0, begin, end), y.slice(0, begin, end)};
  }
};

/// Rows whose class a linear map finds most of the time.
Data drawn(std::int64_t count, torch::Dtype type = torch::kDouble) {
  const torch::Tensor y = torch::randint(0, kClasses, {count}, torch::kLong);
  const torch::Tensor means = torch::eye(kClasses, 10, torch::kDouble) * 1.2;
  return {(torch::randn({count, 10}, torch::kDouble) + means.index_select(0, y)).to(type), y};
}

nn::Sequential mlp(torch::Dtype type = torch::kDouble) {
  nn::Sequential model(nn::Linear(10, 16), nn::Tanh(), nn::Linear(16, 8));
  model->to(type);
  return model;
}

/// Keeps what a layer gives, for a second pass.
class Dump {
 public:
  explicit Dump(const nn::Linear& layer)
      : hook_(delve::register_forward_hook(layer, [this](const delve::ForwardCall& call) {
          rows_.push_back(call.outputs.front().detach().clone());
        })) {}
  /// All rows since the last call.
  torch::Tensor take() { return torch::cat(std::exchange(rows_, {})); }

 private:
  std::vector<torch::Tensor> rows_;
  delve::RemovableHandle hook_;
};

/// Forwards of batches of 20 under their labels; what trains is changed after each.
template <typename Tracker>
void run(Tracker& tracker, nn::Sequential& model, const Data& data, bool trains) {
  trains ? model->train() : model->eval();
  for (std::int64_t i = 0; i < data.x.size(0); i += 20) {
    const Data batch = data.part(i, i + 20);
    const auto labels = tracker.labels(batch.y);
    const torch::Tensor output = model->forward(batch.x);
    if (!trains) continue;
    model->zero_grad();
    nn::functional::cross_entropy(output, batch.y).backward();
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters()) parameter -= 0.1 * parameter.grad();
  }
}

bool has(const EpochRecord& record, const std::string& stat) {
  for (const LayerRecord& layer : record.layers) {
    for (const delve::Value& it : layer.values) {
      if (it.stat == stat) return true;
    }
  }
  return false;
}

bool any_has(const std::vector<std::string>& messages, const std::string& text) {
  return std::any_of(messages.begin(), messages.end(), [&](const std::string& message) {
    return message.find(text) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("The accuracy is that of a second pass over the model's rows, to the sample",
          "[tracker][probe]") {
  torch::manual_seed(1);
  for (const bool is_wide : {true, false}) {
    const torch::Dtype type = is_wide ? torch::kDouble : torch::kFloat;
    nn::Sequential model = mlp(type);
    nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
    Dump dump(layer);
    CheckLayerSat tracker("unused", "csv", model, probing());
    for (int epoch = 0; epoch < 3; ++epoch) {
      const Data train = drawn(400, type);
      const Data test = drawn(300, type);
      run(tracker, model, train, true);
      const torch::Tensor train_rows = dump.take();
      run(tracker, model, test, false);
      const torch::Tensor test_rows = dump.take();
      const EpochRecord record = tracker.add_saturations();
      const ReferenceProbe expected = reference_lda(train_rows, train.y, kClasses, 0.1);
      const auto found =
          static_cast<std::int64_t>(std::lround(300 * value(record, "2", Mode::Eval, "probe")));
      const torch::Tensor scores = expected.scores(test_rows);
      const auto right = scores.argmax(1).eq(test.y).sum().item<std::int64_t>();
      const torch::Tensor best = std::get<0>(scores.topk(2, 1));
      const auto close =
          (best.select(1, 0) - best.select(1, 1)).lt(1e-5).sum().item<std::int64_t>();
      CHECK(std::abs(found - right) <= (is_wide ? 0 : close));
      CHECK(found > 100);
      // There was an evaluation.
      CHECK_FALSE(has(record, "probe_held_out"));
      CHECK(*tracker.last("2", "probe", Mode::Eval) == value(record, "2", Mode::Eval, "probe"));
    }
  }
}

TEST_CASE("What a probe gains on the layers before is known as well as McNemar says",
          "[tracker][probe]") {
  torch::manual_seed(21);
  for (const std::int64_t count : {60, 500}) {
    nn::Sequential model(nn::Linear(10, 3), nn::Tanh(), nn::Linear(3, 8), nn::Tanh(),
                         nn::Linear(8, kClasses));
    model->to(torch::kDouble);
    const std::vector<std::string> names = {"0", "2", "4"};
    std::deque<Dump> dumps;  // which moves none
    for (const std::size_t place : {0U, 2U, 4U}) {
      dumps.emplace_back(std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(place)));
    }
    CheckLayerSat tracker("unused", "csv", model, probing());
    const Data train = drawn(400);
    Data test = drawn(count);
    run(tracker, model, train, true);
    std::vector<ReferenceProbe> probes;
    for (Dump& dump : dumps) {
      probes.push_back(reference_lda(dump.take(), train.y, kClasses, 0.1));
    }
    test.y[7] = -100;  // counts for none
    run(tracker, model, test, false);
    const EpochRecord record = tracker.add_saturations();
    const torch::Tensor counts = test.y.ne(-100);
    std::vector<torch::Tensor> right;
    for (std::size_t i = 0; i < dumps.size(); ++i) {
      right.push_back(probes[i].scores(dumps[i].take()).argmax(1).eq(test.y).index({counts}));
    }
    CHECK(is_missing(value(record, "0", Mode::Eval, "probe_error")));
    std::size_t best = 0;
    for (std::size_t i = 1; i < names.size(); ++i) {
      // b and c: only one, or only the other one, was right.
      const auto n = static_cast<double>(count - 1);
      const auto b = right[i].logical_and(right[best].logical_not()).sum().item<double>();
      const auto c = right[best].logical_and(right[i].logical_not()).sum().item<double>();
      const double expected = std::sqrt((b + c - (b - c) * (b - c) / n) / (n - 1) / n);
      INFO(names[i] << ": " << b << " against " << c);
      CHECK(value(record, names[i], Mode::Eval, "probe_error") == Approx(expected).epsilon(1e-6));
      CHECK(b + c > 0);
      if (b > c) best = i;
    }
    CHECK_FALSE(has(tracker.add_saturations(), "probe_error"));
  }
}

TEST_CASE("A probe changes nothing of what else is reported", "[tracker][probe]") {
  torch::manual_seed(2);
  for (const std::int64_t count : {20, 400, 3000}) {
    nn::Sequential model = mlp();
    model->push_back(nn::Linear(8, 4));
    model->to(torch::kDouble);
    const std::vector<std::string> stats = {"lsat", "trc", "samples", "effective_rank"};
    std::vector<std::string> with = stats;
    with.insert(with.end(), {"probe", "nc1", "probe_train"});
    CheckLayerSat probing_tracker("unused", "csv", model, quiet().stats(with).classes(kClasses));
    CheckLayerSat plain("unused", "csv", model, quiet().stats(stats));
    for (int epoch = 0; epoch < 2; ++epoch) {
      run(probing_tracker, model, drawn(count), true);
      if (epoch == 0) run(probing_tracker, model, drawn(100), false);
      const EpochRecord found = probing_tracker.add_saturations();
      const EpochRecord expected = plain.add_saturations();
      REQUIRE(found.layers.size() == expected.layers.size());
      for (const LayerRecord& layer : expected.layers) {
        CHECK(find(found, layer.layer, layer.mode)->samples == layer.samples);
        for (const std::string& stat : stats) {
          const double right = value(expected, layer.layer, layer.mode, stat);
          CHECK(std::abs(value(found, layer.layer, layer.mode, stat) / right - 1) < 1e-9);
        }
      }
    }
  }
}

TEST_CASE("When a probe is fitted, applied, kept and dropped", "[tracker][probe]") {
  torch::manual_seed(3);
  nn::Sequential model = mlp();
  nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
  Dump dump(layer);
  CheckLayerSat tracker("unused", "csv", model,
                        quiet().stats({"lsat", "probe", "probe_train", "nc1"}).classes(kClasses));
  const auto train = [&](std::int64_t count) {
    const Data data = drawn(count);
    run(tracker, model, data, true);
    return Data{dump.take(), data.y};
  };
  const auto evaluate = [&](std::int64_t count) {
    const Data data = drawn(count);
    run(tracker, model, data, false);
    return Data{dump.take(), data.y};
  };
  const auto fitted = [&](const Data& data) {
    return reference_lda(data.x, data.y, kClasses, 0.1);
  };
  const auto both = [](const Data& a, const Data& b) {
    return Data{torch::cat({a.x, b.x}), torch::cat({a.y, b.y})};
  };
  const auto accuracy = [](const ReferenceProbe& probe, const Data& data) {
    return probe.accuracy(data.x, data.y);
  };

  // Before any training there is nothing to apply.
  evaluate(100);
  const EpochRecord first = tracker.add_saturations();
  CHECK(is_missing(value(first, "2", Mode::Eval, "probe")));

  // Training, evaluation; training goes on, and what was counted before is of an older fit.
  const Data a = train(200);
  evaluate(100);
  const Data b = train(200);
  const Data after = evaluate(140);
  const EpochRecord second = tracker.add_saturations();
  const ReferenceProbe of_second = fitted(both(a, b));
  CHECK(value(second, "2", Mode::Eval, "probe") ==
        Approx(accuracy(of_second, after)).margin(1e-12));
  // On the training's rows it was tried from the first fit on.
  CHECK(value(second, "2", Mode::Train, "probe_train") ==
        Approx(accuracy(fitted(a), b)).margin(1e-12));
  CHECK(value(second, "2", Mode::Train, "nc1") > 0);

  // An evaluation that comes first in an epoch has the last epoch's probe, and so has the training.
  const Data early = evaluate(160);
  const Data c = train(240);
  const EpochRecord third = tracker.add_saturations();
  CHECK(value(third, "2", Mode::Eval, "probe") == Approx(accuracy(of_second, early)).margin(1e-12));
  CHECK(value(third, "2", Mode::Train, "probe_train") ==
        Approx(accuracy(of_second, c)).margin(1e-12));

  // What training left behind is fitted to, though no evaluation asked for it.
  const Data late = evaluate(120);
  const EpochRecord fourth = tracker.add_saturations();
  CHECK(value(fourth, "2", Mode::Eval, "probe") == Approx(accuracy(fitted(c), late)).margin(1e-12));
  CHECK(is_missing(value(fourth, "2", Mode::Train, "nc1")));
}

TEST_CASE("Each epoch's probe is of its own training, whatever covariances are",
          "[tracker][probe]") {
  torch::manual_seed(4);
  nn::Sequential model = mlp();
  nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
  Dump dump(layer);
  CheckLayerSat tracker("unused", "csv", model, probing().reset_covariance(false));
  for (int epoch = 0; epoch < 3; ++epoch) {
    const Data train = drawn(300);
    const Data test = drawn(200);
    run(tracker, model, train, true);
    const torch::Tensor rows = dump.take();
    run(tracker, model, test, false);
    const torch::Tensor test_rows = dump.take();
    const EpochRecord record = tracker.add_saturations();
    CHECK(value(record, "2", Mode::Eval, "probe") ==
          Approx(reference_lda(rows, train.y, kClasses, 0.1).accuracy(test_rows, test.y))
              .margin(1e-12));
    CHECK(find(record, "2", Mode::Train)->samples == 300 * (epoch + 1));
  }
}

TEST_CASE("A frozen layer's probe is trained by what the model trains on", "[tracker][probe]") {
  torch::manual_seed(5);
  nn::Sequential model = mlp();
  nn::Linear frozen = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(0));
  Dump dump(frozen);
  CheckLayerSat tracker("unused", "csv", model,
                        quiet().stats({"lsat", "probe", "nc1"}).classes(kClasses));
  const Data train = drawn(300);
  const Data test = drawn(200);
  model->train();
  frozen->eval();
  for (std::int64_t i = 0; i < 300; i += 20) {
    const auto labels = tracker.labels(train.y.slice(0, i, i + 20));
    model->forward(train.x.slice(0, i, i + 20));
  }
  const torch::Tensor rows = dump.take();
  run(tracker, model, test, false);
  const torch::Tensor test_rows = dump.take();
  const EpochRecord record = tracker.add_saturations();
  CHECK(value(record, "0", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, train.y, kClasses, 0.1).accuracy(test_rows, test.y))
            .margin(1e-12));
  CHECK(value(record, "0", Mode::Train, "nc1") > 0);
  CHECK(find(record, "0", Mode::Eval)->samples == 500);
}

TEST_CASE("Without an evaluation, samples of the training are held out", "[tracker][probe]") {
  torch::manual_seed(6);
  nn::Sequential model = mlp();
  CheckLayerSat tracker("unused", "csv", model, probing().sample_seed(3));
  CheckLayerSat again("unused", "csv", model, probing().sample_seed(3));
  CheckLayerSat other("unused", "csv", model, probing().sample_seed(4));
  for (const std::int64_t count : {400, 30000}) {
    const Data data = drawn(count);
    model->train();
    const torch::NoGradGuard no_grad;
    for (std::int64_t i = 0; i < count; i += 50) {
      const torch::Tensor y = data.y.slice(0, i, i + 50);
      const auto one = tracker.labels(y);
      const auto two = again.labels(y);
      const auto three = other.labels(y);
      model->forward(data.x.slice(0, i, i + 50));
    }
    for (const auto& [name, bytes] : tracker.memory_usage()) {
      // No more than 2,048 rows wait, beside sums and rows that wait for a product.
      const std::int64_t width = name == "0" ? 16 : 8;
      CHECK(bytes < 8 * width * (2048 + 4096 + 2 * 4096));
    }
    const EpochRecord record = tracker.add_saturations();
    const double found = value(record, "0", Mode::Train, "probe_held_out");
    // Half of the samples, fitted to, do as well on the other half.
    const auto one = tracker.paused();
    const auto two = again.paused();
    const auto three = other.paused();
    const torch::Tensor rows =
        std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(0))->forward(data.x);
    const double expected =
        reference_lda(rows.slice(0, 0, count / 2), data.y.slice(0, 0, count / 2), kClasses, 0.1)
            .accuracy(rows.slice(0, count / 2), data.y.slice(0, count / 2));
    const double few = std::min(static_cast<double>(count) / 5, 1000.0);
    CHECK(std::abs(found - expected) < 4 * std::sqrt(0.25 / few));
    CHECK(is_missing(value(record, "0", Mode::Eval, "probe")));
    CHECK(value(again.add_saturations(), "0", Mode::Train, "probe_held_out") == found);
    CHECK(value(other.add_saturations(), "0", Mode::Train, "probe_held_out") != found);
    CHECK(find(record, "0", Mode::Train)->samples == count);
  }
}

TEST_CASE("Held-out samples are out of what is fitted", "[tracker][probe]") {
  torch::manual_seed(7);
  // With as many features as samples anything is learnt by heart, and no label can be foreseen.
  nn::Linear layer(60, 60);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer,
                        probing().probe_shrinkage(1e-9).products(Products::Float64));
  const torch::Tensor x = torch::randn({70, 60}, torch::kDouble);
  const torch::Tensor y = torch::randint(0, kClasses, {70}, torch::kLong);
  {
    const auto labels = tracker.labels(y);
    layer->forward(x);
  }
  const EpochRecord record = tracker.add_saturations();
  CHECK(value(record, "Linear", Mode::Train, "probe_held_out") < 0.7);
}

TEST_CASE("An epoch of one sample has a report, whether it was held out or not",
          "[tracker][probe]") {
  torch::manual_seed(21);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer, probing());
  for (int epoch = 0; epoch < 12; ++epoch) {  // a fifth of them are drawn
    {
      const auto labels = tracker.labels(torch::ones({1}, torch::kLong));
      layer->forward(torch::randn({1, 10}, torch::kDouble));
    }
    CHECK(find(tracker.add_saturations(), "Linear", Mode::Train)->samples == 1);
  }
}

TEST_CASE("Held-out samples stay as the layer gave them", "[tracker][probe]") {
  torch::manual_seed(22);
  nn::Sequential model(nn::Linear(10, 6), nn::ReLU(nn::ReLUOptions(/*inplace=*/true)));
  model->to(torch::kDouble);
  CheckLayerSat with("unused", "csv", model, probing().stats({"trc", "probe"}));
  CheckLayerSat without("unused", "csv", model, quiet().stats({"trc"}));
  const Data data = drawn(60);
  for (std::int64_t i = 0; i < 60; ++i) {
    torch::Tensor y = data.y.slice(0, i, i + 1).clone();
    {
      const auto labels = with.labels(y);
      model->forward(data.x.slice(0, i, i + 1));
    }
    y.fill_(1000);  // a buffer that is used again
  }
  const double expected = value(without.add_saturations(), "0", Mode::Train, "trc");
  const EpochRecord record = with.add_saturations();
  CHECK(value(record, "0", Mode::Train, "trc") == Approx(expected).epsilon(1e-12));
  CHECK_FALSE(is_missing(value(record, "0", Mode::Train, "probe_held_out")));
}

TEST_CASE("Rows to ignore may hold anything, in training and in evaluation", "[tracker][probe]") {
  torch::manual_seed(23);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer, probing());
  Data data = drawn(200);
  data.y.slice(0, 0, 50).fill_(-100);
  data.x.slice(0, 0, 50).fill_(std::numeric_limits<double>::quiet_NaN());
  for (const bool trains : {true, false}) {
    layer->train(trains);
    const auto labels = tracker.labels(data.y);
    layer->forward(data.x);
  }
  const EpochRecord record = tracker.add_saturations();
  const Data kept = data.part(50, 200);
  const torch::Tensor rows = layer->forward(kept.x).detach();
  CHECK(value(record, "Linear", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, kept.y, kClasses, 0.1).accuracy(rows, kept.y)).margin(1e-12));
}

TEST_CASE("max_samples counts as without probes where the batch is the second axis",
          "[tracker][probe]") {
  torch::manual_seed(24);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat with("unused", "csv", layer, probing().stats({"trc", "probe"}).max_samples(6));
  CheckLayerSat without("unused", "csv", layer, quiet().stats({"trc"}).max_samples(6));
  {
    const auto labels = with.labels(torch::arange(4) % kClasses);
    layer->forward(torch::randn({10, 4, 10}, torch::kDouble));
  }
  const EpochRecord found = with.add_saturations();
  const EpochRecord expected = without.add_saturations();
  CHECK(find(found, "Linear", Mode::Train)->samples == 24);
  CHECK(value(found, "Linear", Mode::Train, "trc") ==
        Approx(value(expected, "Linear", Mode::Train, "trc")).epsilon(1e-12));
}

TEST_CASE("Numbers are foreseen, and R² is that of their definition", "[tracker][probe]") {
  torch::manual_seed(8);
  nn::Sequential model = mlp();
  nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
  Dump dump(layer);
  for (const std::int64_t targets : {1, 3}) {
    CheckLayerSat tracker("unused", "csv", model,
                          quiet().stats({"probe_r2"}).targets(targets).products(Products::Float64));
    const torch::Tensor map = torch::randn({10, targets}, torch::kDouble);
    const auto pass = [&](std::int64_t count, bool trains) {
      trains ? model->train() : model->eval();
      const Data data = drawn(count);
      const torch::Tensor y = data.x.mm(map) + 1e6 + torch::randn({count, targets}, torch::kDouble);
      for (std::int64_t i = 0; i < count; i += 20) {
        const torch::Tensor some = y.slice(0, i, i + 20);
        const auto guard = tracker.targets(targets == 1 ? some.squeeze(1) : some);
        model->forward(data.x.slice(0, i, i + 20));
      }
      return Data{dump.take(), y};
    };
    const Data train = pass(400, true);
    const Data test = pass(200, false);
    const EpochRecord record = tracker.add_saturations();
    const ReferenceProbe probe = reference_ridge(train.x, train.y, 1e-3);
    const double left = (test.y - probe.scores(test.x)).square().sum().item<double>();
    const double all = (test.y - test.y.mean(0)).square().sum().item<double>();
    CHECK(value(record, "2", Mode::Eval, "probe_r2") == Approx(1 - left / all).epsilon(1e-9));
    CHECK_THROWS_AS(tracker.labels(torch::zeros({3}, torch::kLong)), std::logic_error);

    pass(600, true);
    const EpochRecord held_out = tracker.add_saturations();
    CHECK(value(held_out, "2", Mode::Train, "probe_r2_held_out") ==
          Approx(1 - left / all).margin(0.2));
  }
}

TEST_CASE("A convolution's maps are pooled to as many positions as the options allow",
          "[tracker][probe]") {
  torch::manual_seed(9);
  struct Case {
    std::int64_t channels, size, pooling, features, side;
  };
  for (const Case& it :
       {Case{8, 12, 4, 1024, 4}, Case{8, 12, 4, 100, 2}, Case{8, 12, 4, 9, 1},
        Case{8, 3, 4, 1024, 2}, Case{100, 12, 4, 1024, 2}, Case{8, 12, 2, 1024, 2}}) {
    nn::Conv2d conv(nn::Conv2dOptions(2, it.channels, 3).padding(1));
    conv->to(torch::kDouble);
    CheckLayerSat tracker("unused", "csv", conv,
                          probing()
                              .probe_pooling(it.pooling)
                              .probe_features(it.features)
                              .products(Products::Float64));
    const auto pass = [&](std::int64_t count, bool trains) {
      conv->train(trains);
      const torch::Tensor y = torch::randint(0, kClasses, {count}, torch::kLong);
      torch::Tensor x = torch::randn({count, 2, it.size, it.size}, torch::kDouble) * 0.5;
      x.select(1, 0) += y.view({-1, 1, 1}) * 0.1;
      const auto labels = tracker.labels(y);
      const torch::Tensor maps = conv->forward(x).detach();
      return Data{torch::adaptive_avg_pool2d(maps, {it.side, it.side}).flatten(1), y};
    };
    const Data train = pass(300, true);
    const Data test = pass(200, false);
    const EpochRecord record = tracker.add_saturations();
    CHECK(value(record, "Conv2d", Mode::Eval, "probe") ==
          Approx(reference_lda(train.x, train.y, kClasses, 0.1).accuracy(test.x, test.y))
              .margin(1e-12));
  }
}

TEST_CASE("Convolutions of one and of three axes are pooled, too", "[tracker][probe]") {
  torch::manual_seed(10);
  nn::Sequential model(nn::Conv1d(1, 3, 3), nn::Flatten(),
                       nn::Unflatten(nn::UnflattenOptions(1, {1, 3, 3, 6})), nn::Conv3d(1, 2, 2));
  model->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", model, probing());
  const Data data = drawn(200);
  for (const bool trains : {true, false}) {
    trains ? model->train() : model->eval();
    const auto labels = tracker.labels(data.y);
    model->forward(torch::cat({data.x, data.x}, 1).unsqueeze(1));
  }
  const EpochRecord record = tracker.add_saturations();
  for (const char* layer : {"0", "3"}) CHECK(value(record, layer, Mode::Eval, "probe") > 0.3);
}

TEST_CASE("Positions have labels of their own, or those of their sample", "[tracker][probe]") {
  torch::manual_seed(11);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  const torch::Tensor means = torch::randn({kClasses, 10}, torch::kDouble);
  // (…, 10) of classes (…)
  const auto rows_of = [&](const torch::Tensor& y) {
    std::vector<std::int64_t> shape = y.sizes().vec();
    shape.push_back(10);
    return means.index_select(0, y.flatten()).view(shape) + torch::randn(shape, torch::kDouble);
  };
  const auto accuracy = [&](const torch::Tensor& labels, const torch::Tensor& y) {
    CheckLayerSat tracker("unused", "csv", layer, probing());
    std::vector<torch::Tensor> rows;
    for (const bool trains : {true, false}) {
      layer->train(trains);
      const auto guard = tracker.labels(labels);
      rows.push_back(layer->forward(rows_of(y)).detach().flatten(0, -2));
    }
    const double found = value(tracker.add_saturations(), "Linear", Mode::Eval, "probe");
    const double expected =
        reference_lda(rows[0], y.flatten(), kClasses, 0.1).accuracy(rows[1], y.flatten());
    return std::pair(found, expected);
  };
  const auto draw = [](at::IntArrayRef shape) {
    return torch::randint(0, kClasses, shape, torch::kLong);
  };
  {
    const torch::Tensor y = draw({30, 7});
    const auto [found, expected] = accuracy(y, y);
    CHECK(found == Approx(expected).margin(1e-12));
  }
  {
    const torch::Tensor y = draw({30, 3, 4});
    const auto [found, expected] = accuracy(y, y);
    CHECK(found == Approx(expected).margin(1e-12));
  }
  {  // one label a sample: (B)
    const torch::Tensor y = draw({30});
    const auto [found, expected] = accuracy(y, y.unsqueeze(1).expand({30, 7}).contiguous());
    CHECK(found == Approx(expected).margin(1e-12));
  }
  {  // the batch is the second axis
    const torch::Tensor y = draw({30});
    const auto [found, expected] = accuracy(y, y.unsqueeze(0).expand({7, 30}).contiguous());
    CHECK(found == Approx(expected).margin(1e-12));
  }
  {  // shares of each class
    const torch::Tensor y = draw({30, 7});
    const auto [found, expected] = accuracy(torch::one_hot(y, kClasses).to(torch::kFloat), y);
    CHECK(found == Approx(expected).margin(1e-12));
  }
}

TEST_CASE("A recurrent layer's rows are those of its timeseries method", "[tracker][probe]") {
  torch::manual_seed(12);
  for (const bool batch_first : {true, false}) {
    for (const auto method :
         {delve::TimeseriesMethod::LastTimestep, delve::TimeseriesMethod::EveryTimestep}) {
      nn::LSTM lstm(nn::LSTMOptions(5, 6).batch_first(batch_first));
      lstm->to(torch::kDouble);
      CheckLayerSat tracker("unused", "csv", lstm, probing().timeseries_method(method));
      const bool is_last = method == delve::TimeseriesMethod::LastTimestep;
      const torch::Tensor y = is_last ? torch::randint(0, kClasses, {40}, torch::kLong)
                                      : torch::randint(0, kClasses,
                                                       batch_first ? at::IntArrayRef({40, 9})
                                                                   : at::IntArrayRef({9, 40}),
                                                       torch::kLong);
      const auto pass = [&](bool trains) {
        lstm->train(trains);
        torch::Tensor x =
            torch::randn(batch_first ? at::IntArrayRef({40, 9, 5}) : at::IntArrayRef({9, 40, 5}),
                         torch::kDouble);
        x.select(2, 0) += is_last ? y.unsqueeze(batch_first ? 1 : 0) : y;
        const auto labels = tracker.labels(y);
        const torch::Tensor output = std::get<0>(lstm->forward(x)).detach();
        return is_last ? output.select(batch_first ? 1 : 0, 8) : output.flatten(0, 1);
      };
      const torch::Tensor train = pass(true);
      const torch::Tensor test = pass(false);
      CHECK(value(tracker.add_saturations(), "LSTM", Mode::Eval, "probe") ==
            Approx(reference_lda(train, y.flatten(), kClasses, 0.1).accuracy(test, y.flatten()))
                .margin(1e-12));
    }
  }
}

TEST_CASE("Labels that do not fit are reported once, and left out", "[tracker][probe]") {
  torch::manual_seed(13);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  const auto messages_of = [&](const torch::Tensor& x, const torch::Tensor& labels) {
    std::vector<std::string> messages;
    CheckLayerSat tracker("unused", "csv", layer, probing(&messages));
    layer->train();
    for (int i = 0; i < 3; ++i) {
      const auto guard = tracker.labels(labels);
      layer->forward(x);
    }
    layer->eval();
    {
      const auto guard = tracker.labels(labels);
      layer->forward(x);
    }
    const EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "Linear", Mode::Train)->samples == 3 * x.numel() / 10);
    CHECK(value(record, "Linear", Mode::Train, "lsat") > 0);
    CHECK(is_missing(value(record, "Linear", Mode::Eval, "probe")));
    return messages;
  };
  const torch::Tensor x = torch::randn({80, 10}, torch::kDouble);
  const torch::Tensor good = torch::arange(80) % kClasses;
  CHECK(any_has(messages_of(x, good.narrow(0, 0, 79)),
                "Linear: labels fit neither the samples nor the positions of its output"));
  torch::Tensor bad = good.clone();
  bad[3] = kClasses;
  CHECK(any_has(messages_of(x, bad), "4 batches were left out of all probes for an invalid label"));
  CHECK(any_has(messages_of(x, good.to(torch::kFloat)),
                "labels(): what is given is of type Float and shape (80); shares need a last axis "
                "with one entry per class"));
  CHECK(any_has(messages_of(x, torch::Tensor()), "labels(): what is given is undefined"));
  CHECK(any_has(messages_of(x.view({8, 10, 10}).narrow(1, 0, 8).contiguous(), good.narrow(0, 0, 8)),
                "Linear: the first two axes of its output are of one size"));
}

TEST_CASE("Missing labels are reported once", "[tracker][probe]") {
  torch::manual_seed(14);
  nn::Linear layer(10, 6);
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", layer, probing(&messages));
  layer->forward(torch::randn({80, 10}));
  tracker.add_saturations();
  CHECK(any_has(messages, "no forward ran under a guard of labels() or targets()"));

  std::vector<std::string> others;
  CheckLayerSat evaluated("unused", "csv", layer, probing(&others));
  layer->forward(torch::randn({80, 10}));
  layer->eval();
  {
    const auto guard = evaluated.labels(torch::arange(80) % kClasses);
    layer->forward(torch::randn({80, 10}));
  }
  evaluated.add_saturations();
  CHECK(any_has(others, "Linear: it was evaluated under labels(), and trained without"));
  evaluated.stop();

  // Another thread's guard is not this one's.
  const torch::Tensor y = torch::arange(80) % kClasses;
  const auto labels = tracker.labels(y);
  std::thread([&] { layer->forward(torch::randn({80, 10})); }).join();
  tracker.add_saturations();
  CHECK(any_has(messages, "Linear: it ran in a thread without a guard of labels()"));
}

TEST_CASE("Each thread has labels of its own, and each tracker", "[tracker][probe]") {
  torch::manual_seed(15);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat one("unused", "csv", layer, probing());
  CheckLayerSat two("unused", "csv", layer, probing());
  const Data a = drawn(300);
  const Data b = drawn(300);
  for (const bool trains : {true, false}) {
    layer->train(trains);
    const auto pass = [&](const Data& data) {
      const auto right = one.labels(data.y);
      const auto wrong = two.labels(torch::roll(data.y, 1));
      layer->forward(data.x);
    };
    std::thread other([&] { pass(a); });
    pass(b);
    other.join();
  }
  const Data all{torch::cat({a.x, b.x}), torch::cat({a.y, b.y})};
  const torch::Tensor rows = layer->forward(all.x).detach();
  CHECK(value(one.add_saturations(), "Linear", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, all.y, kClasses, 0.1).accuracy(rows, all.y)).margin(1e-12));
  CHECK(value(two.add_saturations(), "Linear", Mode::Eval, "probe") < 0.5);
}

TEST_CASE("A report in another thread fits what the next evaluation needs", "[tracker][probe]") {
  torch::manual_seed(16);
  nn::Sequential model = mlp();
  nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
  Dump dump(layer);
  CheckLayerSat tracker("unused", "csv", model, quiet().stats({"probe", "nc1"}).classes(kClasses));
  const Data train = drawn(400);
  run(tracker, model, train, true);
  const torch::Tensor rows = dump.take();
  const auto first = tracker.add_saturations_async();
  const Data test = drawn(200);
  run(tracker, model, test, false);
  const torch::Tensor test_rows = dump.take();
  const auto second = tracker.add_saturations_async();
  CHECK(value(first.get(), "2", Mode::Train, "probe_held_out") > 0.3);
  CHECK(value(first.get(), "2", Mode::Train, "nc1") > 0);
  // Fitted without the samples that were held out.
  CHECK(
      value(second.get(), "2", Mode::Eval, "probe") ==
      Approx(reference_lda(rows, train.y, kClasses, 0.1).accuracy(test_rows, test.y)).margin(0.05));
}

TEST_CASE("What is taken is the same for both: log_interval, max_samples", "[tracker][probe]") {
  torch::manual_seed(17);
  nn::Sequential model = mlp();
  nn::Linear layer = std::dynamic_pointer_cast<nn::LinearImpl>(model->ptr(2));
  Dump dump(layer);
  CheckLayerSat tracker(
      "unused", "csv", model,
      probing().log_interval(2).log_sampling(delve::LogSampling::Every).max_samples(150));
  const Data train = drawn(400);
  run(tracker, model, train, true);
  const auto taken = [](const torch::Tensor& tensor, std::int64_t most) {
    std::vector<torch::Tensor> parts;
    for (std::int64_t i = 20; i < tensor.size(0); i += 40)
      parts.push_back(tensor.slice(0, i, i + 20));
    return torch::cat(parts).slice(0, 0, most);
  };
  const torch::Tensor rows = taken(dump.take(), 150);
  const Data test = drawn(200);
  run(tracker, model, test, false);
  const torch::Tensor test_rows = taken(dump.take(), 150);
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "2", Mode::Train)->samples == 150);
  CHECK(value(record, "2", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, taken(train.y, 150), kClasses, 0.1)
                   .accuracy(test_rows, taken(test.y, 150)))
            .margin(1e-12));
}

TEST_CASE("A share of the rows is taken of covariances, and all of probes", "[tracker][probe]") {
  torch::manual_seed(18);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer, probing().sample_rate(0.25));
  const Data data = drawn(400);
  for (const bool trains : {true, false}) {
    layer->train(trains);
    const auto labels = tracker.labels(data.y);
    layer->forward(data.x);
  }
  const torch::Tensor rows = layer->forward(data.x).detach();
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "Linear", Mode::Train)->samples == 100);
  CHECK(value(record, "Linear", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, data.y, kClasses, 0.1).accuracy(rows, data.y)).margin(1e-12));
}

TEST_CASE("Some points a dimension are taken of covariances, and all of probes",
          "[tracker][probe]") {
  torch::manual_seed(21);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer, probing().points_per_dimension(10));
  EpochRecord record;
  for (int epoch = 0; epoch < 2; ++epoch) {
    const Data data = drawn(401);
    for (const bool trains : {true, false}) {
      layer->train(trains);
      const auto labels = tracker.labels(data.y);
      layer->forward(data.x);
    }
    const torch::Tensor rows = layer->forward(data.x).detach();
    record = tracker.add_saturations();
    const auto samples = find(record, "Linear", Mode::Train)->samples;
    CAPTURE(epoch, samples);
    CHECK((epoch == 0 ? samples == 401 : samples == 57 || samples == 58));  // one of 7
    CHECK(value(record, "Linear", Mode::Eval, "probe") ==
          Approx(reference_lda(rows, data.y, kClasses, 0.1).accuracy(rows, data.y)).margin(1e-12));
  }
}

TEST_CASE("Rows to ignore and bad batches leave the covariance as it is", "[tracker][probe]") {
  torch::manual_seed(19);
  nn::Linear layer(10, 6);
  layer->to(torch::kDouble);
  CheckLayerSat tracker("unused", "csv", layer, probing());
  const Data data = drawn(400);
  torch::Tensor y = data.y.clone();
  y.slice(0, 0, 100).fill_(-7);
  torch::Tensor nan = data.x.clone();
  nan[300][2] = std::numeric_limits<double>::quiet_NaN();
  for (const bool trains : {true, false}) {
    layer->train(trains);
    {
      const auto labels = tracker.labels(data.y);
      layer->forward(nan);
    }
    const auto labels = tracker.labels(y, /*ignore_index=*/-7);
    layer->forward(data.x);
  }
  const EpochRecord record = tracker.add_saturations();
  const torch::Tensor rows = layer->forward(data.x.slice(0, 100)).detach();
  CHECK(find(record, "Linear", Mode::Train)->samples == 400);
  CHECK(find(record, "Linear", Mode::Train)->skipped_batches == 1);
  const torch::Tensor kept = y.slice(0, 100);
  CHECK(value(record, "Linear", Mode::Eval, "probe") ==
        Approx(reference_lda(rows, kept, kClasses, 0.1).accuracy(rows, kept)).margin(1e-12));
}

TEST_CASE("Columns of probes bear their names", "[tracker][probe]") {
  torch::manual_seed(20);
  nn::Sequential model = mlp();
  {
    CheckLayerSat tracker("probe_columns", "csv", model,
                          CheckLayerSatOptions()
                              .stats({"lsat", "probe", "probe_train", "nc1"})
                              .classes(kClasses)
                              .on_warning([](std::string_view) {}));
    run(tracker, model, drawn(200), true);
    run(tracker, model, drawn(100), false);
    tracker.add_saturations();
    run(tracker, model, drawn(200), true);
    tracker.add_saturations();
  }
  std::ifstream file("probe_columns.csv");
  std::string header;
  std::getline(file, header);
  for (const char* name : {"eval-probe-accuracy_2", "train-probe-accuracy_2",
                           "train-neural-collapse_2", "train-held-out-probe-accuracy_2"}) {
    CHECK(header.find(name) != std::string::npos);
  }
}

TEST_CASE("Probes without what they foresee are refused, and the other way round",
          "[tracker][probe]") {
  nn::Linear layer(10, 6);
  const auto fault = [&](const CheckLayerSatOptions& options) -> std::string {
    try {
      const CheckLayerSat<double> tracker("unused", "csv", layer, options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(fault(quiet().stats({"probe"})) ==
        "delve::CheckLayerSatOptions: classes is 0; it must be above 0 where stats holds one of "
        "\"probe\", \"probe_train\", \"nc1\"");
  CHECK(fault(quiet().classes(3)) ==
        "delve::CheckLayerSatOptions: classes is 3; it must be 0 where stats holds none of "
        "\"probe\", \"probe_train\", \"nc1\"");
  CHECK(
      fault(quiet().stats({"probe"}).classes(5000)).find("classes is 5000; it must be 2 to 4096") !=
      std::string::npos);
  CHECK(fault(quiet().stats({"probe_r2"})).find("targets is 0") != std::string::npos);
  CHECK(fault(quiet().stats({"probe_r2", "probe"}).targets(2).classes(2)).find("targets is 2") !=
        std::string::npos);
  CheckLayerSat plain("unused", "csv", layer, quiet());
  const auto nothing = plain.labels(torch::zeros({3}, torch::kLong));
  const auto nothing_else = plain.targets(torch::Tensor());
  CheckLayerSat of_classes("unused", "csv", layer, probing());
  CHECK_THROWS_AS(of_classes.targets(torch::zeros({3})), std::logic_error);

  // 4 TB of sums.
  nn::Linear wide(nn::LinearOptions(1, 700000).bias(false));
  try {
    CheckLayerSat<double> refused("unused", "csv", wide, probing());
    FAIL("it was taken");
  } catch (const std::invalid_argument& error) {
    CHECK(std::string(error.what()).find("the sums of all probes, up to 39") != std::string::npos);
  }
}

}  // namespace test_tracker_probes
