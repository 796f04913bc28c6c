// SPDX-License-Identifier: MIT
// Faults of data, of the program around a tracker, and of the solver. Each is injected into the
// training of a small network, which must give the same with a tracker as without, to the last bit;
// the tracker must tell it once, by the layer's name, and go on with right numbers, those of the
// layer beside it above all.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/torch.h>
#include <unistd.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_faulty_data {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve::Status;
using delve_test::find;
namespace nn = torch::nn;

// Under the address sanitizer, too, memory that there is not is to be an exception.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1";
}

namespace {

using Messages = std::vector<std::string>;

constexpr std::uint64_t kSeed = 20;
constexpr int kSteps = 3;  // of an epoch
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// As delve_test::quiet(), without what is said of layers that a case does not call.
delve::CheckLayerSatOptions quiet(std::vector<std::string>* messages = nullptr) {
  return delve_test::quiet().on_warning([messages](std::string_view message) {
    const bool is_of_uncalled = message.find("saw no data while other layers did") != message.npos;
    if (messages != nullptr && !is_of_uncalled) messages->emplace_back(message);
  });
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A layer that meets a fault, and one that must not suffer from it.
struct PairImpl : nn::Module {
  explicit PairImpl(std::int64_t width)
      : faulty(register_module("faulty", nn::Linear(4, width))),
        beside(register_module("beside", nn::Linear(4, 5))) {}
  nn::Linear faulty;
  nn::Linear beside;
};
TORCH_MODULE(Pair);

/// Runs the layer with the fault once. Returns what is to be optimised.
using Step = std::function<torch::Tensor(Pair& net, int step)>;

/// What an epoch of training gave.
struct Training {
  std::vector<torch::Tensor> faulty;  // what each step gave
  std::vector<torch::Tensor> beside;
  std::vector<torch::Tensor> gradients;
};

/// Trains as programs do: gradients that are not finite do not reach the weights.
Training train(Pair& net, const Step& step) {
  Training training;
  for (int i = 0; i < kSteps; ++i) {
    net->zero_grad();
    const torch::Tensor beside = net->beside(torch::randn({40, 4}).to(net->beside->weight.dtype()));
    const torch::Tensor faulty = step(net, i);
    const torch::Tensor loss = beside.mean() + faulty.tanh().sum();
    loss.backward();
    training.beside.push_back(beside.detach().clone());
    training.faulty.push_back(faulty.detach().clone());
    for (const torch::Tensor& parameter : net->parameters()) {
      if (!parameter.grad().defined()) continue;
      training.gradients.push_back(parameter.grad().clone());
      const torch::NoGradGuard no_grad;
      if (parameter.grad().isfinite().all().item<bool>()) parameter.sub_(parameter.grad(), 0.01);
    }
  }
  return training;
}

bool is_same(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) {
    same = a[i].sizes() == b[i].sizes() && torch::allclose(a[i], b[i], 0, 0, /*equal_nan=*/true);
  }
  return same;
}

/// Dimensionality and trace by their definitions, in float64, of rows that were kept.
void check_numbers(const LayerRecord& layer, const std::vector<torch::Tensor>& outputs) {
  CAPTURE(layer.layer);
  const torch::Tensor rows = torch::cat(outputs).to(torch::kDouble);
  const torch::Tensor centred = rows - rows.mean(0);
  const torch::Tensor values =
      torch::linalg_eigvalsh(centred.t().mm(centred) / rows.size(0)).flip(0).clamp_min(0);
  const torch::Tensor explained = values.cumsum(0) / values.sum();
  const auto below = (explained < 0.99).sum().item<std::int64_t>();
  CHECK(layer.samples == rows.size(0));
  CHECK(layer.width == rows.size(1));
  CHECK(layer.status == Status::Ok);
  CHECK(layer.values.at(0).value == static_cast<double>(below + 1));
  CHECK(layer.values.at(1).value == Approx(values.sum().item<double>()).epsilon(1e-4));
}

CheckLayerSatOptions numbers(Messages& messages) {
  return quiet(&messages).stats({"idim", "trc"});
}

struct Epoch {
  Training training;
  LayerRecord faulty;
};

struct Trial {
  std::array<Epoch, 2> epochs;
  Messages messages;
};

/// Two epochs of training, without a tracker and with one, that must not differ.
Trial tried(const Step& step, std::int64_t width = 5, torch::ScalarType type = torch::kFloat) {
  CAPTURE(kSeed);
  at::set_num_threads(1);  // several share out their work differently from run to run
  torch::manual_seed(kSeed);
  Pair plain(width);
  plain->to(type);
  const std::array<Training, 2> expected = {train(plain, step), train(plain, step)};

  torch::manual_seed(kSeed);
  Pair net(width);
  net->to(type);
  Trial trial;
  CheckLayerSat tracker("unused", "csv", net, numbers(trial.messages));
  Messages told_first;
  for (std::size_t i = 0; i < trial.epochs.size(); ++i) {
    Training training = train(net, step);
    CHECK(is_same(training.faulty, expected.at(i).faulty));
    CHECK(is_same(training.beside, expected.at(i).beside));
    CHECK(is_same(training.gradients, expected.at(i).gradients));
    const EpochRecord record = tracker.add_saturations();
    REQUIRE(find(record, "beside", Mode::Train) != nullptr);
    REQUIRE(find(record, "faulty", Mode::Train) != nullptr);
    check_numbers(*find(record, "beside", Mode::Train), training.beside);
    trial.epochs.at(i) = {std::move(training), *find(record, "faulty", Mode::Train)};
    if (i == 0) told_first = trial.messages;
  }
  CHECK(trial.messages == told_first);  // once, not once an epoch
  CHECK(tracker.problems() == trial.messages);
  return trial;
}

torch::Tensor good_batch(std::int64_t size = 40) {
  return torch::randn({size, 4});
}

std::vector<torch::Tensor> without(std::vector<torch::Tensor> outputs, int step) {
  outputs.erase(outputs.begin() + step);
  return outputs;
}

}  // namespace

TEST_CASE("A batch that is not finite is left out, wherever it comes", "[faults][data]") {
  const double poison = GENERATE(values({kNaN, kInfinity, -kInfinity}));
  const int bad_step = GENERATE(0, 1, 2);
  const std::int64_t size = GENERATE(40, 3000);  // rows that wait, and rows summed at once
  CAPTURE(poison, bad_step, size);
  const Trial trial = tried([&](Pair& net, int step) {
    torch::Tensor input = good_batch(size);
    if (step == bad_step) input[size / 2][1] = poison;
    return net->faulty(input);
  });
  for (const Epoch& epoch : trial.epochs) {
    check_numbers(epoch.faulty, without(epoch.training.faulty, bad_step));
    CHECK(epoch.faulty.skipped_batches == 1);
  }
  CHECK(trial.messages ==
        Messages{"faulty: batches with values that are not finite, or far too large, were left "
                 "out"});
}

TEST_CASE("Where every batch is bad, values are missing, and both are reported", "[faults][data]") {
  const Trial trial = tried([&](Pair& net, int) {
    return net->faulty(torch::full({40, 4}, kNaN, torch::kFloat));
  });
  for (const Epoch& epoch : trial.epochs) {
    CHECK(epoch.faulty.samples == 0);
    CHECK(epoch.faulty.skipped_batches == 3);
    CHECK(epoch.faulty.status == Status::NoData);
    CHECK(std::isnan(epoch.faulty.values.at(0).value));
  }
  CHECK(trial.messages.size() == 1);
}

TEST_CASE("A batch that varies little, or not at all, counts as it is", "[faults][data]") {
  const int odd_step = GENERATE(0, 1, 2);
  const auto [name, odd_batch] = GENERATE(table<std::string, torch::Tensor>({
      {"zeros", torch::zeros({40, 4})},
      {"a constant", torch::full({40, 4}, 0.1)},
      {"one sample", torch::full({1, 4}, 2.5)},
      {"one sample without a batch axis", torch::full({4}, 2.5)},
      {"denormal numbers", torch::linspace(-1, 1, 160).view({40, 4}) * 1e-40},
      {"an expanded row", torch::linspace(-1, 1, 4).expand({40, 4})},
      {"a transposed view", torch::linspace(-1, 1, 160).view({4, 40}).t()},
      {"every other row and column",
       torch::linspace(-1, 1, 640).view({80, 8}).slice(0, 0, 80, 2).slice(1, 0, 8, 2)},
  }));
  CAPTURE(name, odd_step);
  const Trial trial = tried([&, &batch = odd_batch](Pair& net, int step) {
    return net->faulty(step == odd_step ? batch : good_batch());
  });
  for (const Epoch& epoch : trial.epochs) {
    std::vector<torch::Tensor> rows;
    for (const torch::Tensor& output : epoch.training.faulty) rows.push_back(output.view({-1, 5}));
    check_numbers(epoch.faulty, rows);
  }
  CHECK(trial.messages.empty());
}

TEST_CASE("An empty batch changes nothing", "[faults][data]") {
  const int odd_step = GENERATE(0, 1, 2);
  const Trial trial = tried([&](Pair& net, int step) {
    return net->faulty(step == odd_step ? torch::empty({0, 4}) : good_batch());
  });
  for (const Epoch& epoch : trial.epochs) check_numbers(epoch.faulty, epoch.training.faulty);
  CHECK(trial.messages.empty());
  const Trial all_empty = tried([](Pair& net, int) { return net->faulty(torch::empty({0, 4})); });
  CHECK(all_empty.epochs[1].faulty.status == Status::NoData);
  CHECK(all_empty.messages.empty());
}

TEST_CASE("A layer that always gives the same has no variance, which is reported",
          "[faults][data]") {
  const double constant = GENERATE(0.0, 0.1, -1e20);
  const std::int64_t size = GENERATE(1, 40, 3000);
  CAPTURE(constant, size);
  const Trial trial = tried([&](Pair& net, int) {
    const torch::NoGradGuard no_grad;
    net->faulty->weight.zero_();
    net->faulty->bias.fill_(constant);
    const torch::AutoGradMode grad(true);
    return net->faulty(good_batch(size));
  });
  for (const Epoch& epoch : trial.epochs) {
    CHECK(epoch.faulty.samples == kSteps * size);
    CHECK(epoch.faulty.status == Status::NoVariance);
    CHECK(epoch.faulty.values.at(0).value == 0);
    CHECK(epoch.faulty.values.at(1).value == 0);
  }
  REQUIRE(!trial.messages.empty());
  CHECK(trial.messages[0] ==
        "faulty: output never varied, so that saturation and dimensionality are 0");
  CHECK(trial.messages.size() == (size == 1 ? 2 : 1));  // of one sample, that they are few as well
}

TEST_CASE("Values of 1e30 count, unless they appear suddenly", "[faults][data]") {
  const int odd_step = GENERATE(-1, 0, 2);  // -1: all are so large
  const std::int64_t size = GENERATE(40, 3000);
  CAPTURE(odd_step, size);
  const Trial trial = tried([&](Pair& net, int step) {
    const bool is_large = odd_step < 0 || step == odd_step;
    return net->faulty(good_batch(size) * (is_large ? 1e30 : 1.0));
  });
  // Small batches wait, and are judged by all of them together.
  const bool is_left_out = odd_step == 2 && size == 3000;
  for (const Epoch& epoch : trial.epochs) {
    const std::vector<torch::Tensor>& outputs = epoch.training.faulty;
    check_numbers(epoch.faulty, is_left_out ? without(outputs, odd_step) : outputs);
  }
  CHECK(trial.messages.size() == (is_left_out ? 1 : 0));
}

TEST_CASE("Layers of no feature, of one, and of more than there are samples", "[faults][data]") {
  const std::int64_t width = GENERATE(0, 1, 300);
  CAPTURE(width);
  const Trial trial = tried([](Pair& net, int) { return net->faulty(good_batch()); }, width);
  for (const Epoch& epoch : trial.epochs) {
    if (width == 0) {
      CHECK(epoch.faulty.status == Status::NoData);
      CHECK(std::isnan(epoch.faulty.values.at(0).value));
    } else {
      check_numbers(epoch.faulty, epoch.training.faulty);
    }
  }
  CHECK(trial.messages.size() == (width == 300 ? 1 : 0));
  if (width == 300) {
    CHECK_THAT(trial.messages[0], ContainsSubstring("faulty: fewer than 10 data points"));
  }
}

TEST_CASE("Few samples of 20,000 features are reported without a matrix of 20,000 rows",
          "[faults][data][memory]") {
  torch::manual_seed(kSeed);
  nn::Linear wide(4, 20000);
  Messages messages;
  CheckLayerSat tracker("unused", "csv", {{"wide", wide}}, numbers(messages));
  const torch::Tensor output = wide(good_batch()).detach().to(torch::kDouble);
  // A matrix of 20,000 rows takes 3.2 GB.
  CHECK(tracker.memory_usage().at(0).second < 200'000'000);
  const EpochRecord record = tracker.add_saturations();
  REQUIRE(record.layers.size() == 1);
  CHECK(record.layers[0].status == Status::Ok);
  CHECK(record.layers[0].values.at(0).value <= 4);  // the inputs have 4 directions
  CHECK(record.layers[0].values.at(1).value ==
        Approx(output.var(0, /*unbiased=*/false).sum().item<double>()).epsilon(1e-4));
  CHECK(messages.size() == 1);  // that they are few
}

TEST_CASE("A matrix that there is no memory for is reported, and training continues",
          "[faults][data][memory]") {
  struct WideImpl : nn::Module {
    nn::Linear wide = register_module("wide", nn::Linear(4, 20000));
    nn::Linear beside = register_module("beside", nn::Linear(4, 5));
  };
  torch::manual_seed(kSeed);
  WideImpl net;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));

  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  REQUIRE(pages > 0);
  const rlimit as_it_was = limit;
  // The outputs of 2,500 samples take 200 MB, their covariance 3,200 MB.
  limit.rlim_cur = pages * static_cast<std::uint64_t>(getpagesize()) + 2'000'000'000;
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  std::vector<torch::Tensor> beside;
  for (int batch = 0; batch < 2; ++batch) {
    const torch::Tensor input = good_batch(2500);
    const torch::Tensor output = net.wide(input);
    CHECK(torch::allclose(output, torch::addmm(net.wide->bias, input, net.wide->weight.t())));
    output.mean().backward();
    beside.push_back(net.beside(input).detach());
  }
  const EpochRecord record = tracker.add_saturations();
  REQUIRE(setrlimit(RLIMIT_AS, &as_it_was) == 0);

  check_numbers(*find(record, "beside", Mode::Train), beside);
  CHECK(find(record, "wide", Mode::Train)->status == Status::NoData);
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("wide: its output could not be taken in"));
  // Of LibTorch, or where the machine has less, foreseen.
  CHECK_THAT(messages[0],
             ContainsSubstring("3200160000 bytes") || ContainsSubstring("would take 6.4 GB"));
}

TEST_CASE("More memory than there is, is refused before it is taken", "[faults][data][memory]") {
  delve_test::Net net;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  // A row that is there 3,000 times takes little; 8 bytes · 2 · 10⁶ · 10⁶ no machine has.
  const torch::Tensor rows = torch::ones({1, 1'000'000}).expand({3000, 1'000'000});
  const torch::Tensor beside = torch::randn({40, 5});
  tracker.observe("wide", rows, Mode::Train);
  tracker.observe("wide", rows, Mode::Train);
  tracker.observe("beside", beside, Mode::Train);
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "wide", Mode::Train)->status == Status::NoData);
  check_numbers(*find(record, "beside", Mode::Train), {beside});
  REQUIRE(messages.size() == 2);  // the other one is of the model's layers, which were not called
  CHECK_THAT(messages[0], ContainsSubstring("wide: its output could not be taken in"));
  CHECK_THAT(messages[0],
             ContainsSubstring("the covariance of 1000000 features would take 16000.0 GB"));
  CHECK_THAT(messages[0], ContainsSubstring("ignore_layer_names()"));
}

TEST_CASE("A tensor without data spoils nothing that was summed", "[faults][data]") {
  const int meta_step = GENERATE(0, 1, 2);
  torch::manual_seed(kSeed);
  delve_test::Net net;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  std::vector<torch::Tensor> good;
  for (int step = 0; step < 3; ++step) {
    const torch::Tensor rows = torch::randn({60, 5});
    if (step != meta_step) good.push_back(rows);
    tracker.observe("x", step == meta_step ? rows.to(torch::kMeta) : rows, Mode::Train);
  }
  const EpochRecord record = tracker.add_saturations();
  check_numbers(*find(record, "x", Mode::Train), good);
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("device meta"));
}

TEST_CASE("A tensor that is no floating-point data is left out, and reported", "[faults][data]") {
  const auto [name, odd, reason] = GENERATE(table<std::string, torch::Tensor, std::string>({
      {"integers", torch::arange(20).view({4, 5}), "type Long"},
      {"truth values", torch::ones({4, 5}, torch::kBool), "type Bool"},
      {"complex numbers", torch::ones({4, 5}, torch::kComplexFloat), "type ComplexFloat"},
      {"a sparse tensor", torch::eye(5).to_sparse(), ""},
      {"a quantised tensor", torch::quantize_per_tensor(torch::ones({4, 5}), 0.1, 0, torch::kQInt8),
       "type QInt8"},
      {"a single number", torch::tensor(1.5), ""},
      {"no tensor", torch::Tensor(), ""},
      {"another width", torch::ones({4, 6}), "6 features, the ones before 5"},
  }));
  const int odd_step = GENERATE(1, 2);
  CAPTURE(name, odd_step);
  torch::manual_seed(kSeed);
  Pair net(5);
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<torch::Tensor> rows;
    std::vector<torch::Tensor> beside;
    for (int step = 0; step < kSteps; ++step) {
      beside.push_back(net->beside(good_batch()).detach());
      if (step == odd_step) {
        tracker.observe("attention", odd, Mode::Train);
      } else {
        rows.push_back(torch::randn({40, 5}));
        tracker.observe("attention", rows.back(), Mode::Train);
      }
    }
    const EpochRecord record = tracker.add_saturations();
    check_numbers(*find(record, "attention", Mode::Train), rows);
    check_numbers(*find(record, "beside", Mode::Train), beside);
  }
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0],
             ContainsSubstring("attention: its output could not be taken in and is left out: "));
  CHECK_THAT(messages[0], ContainsSubstring(reason));
}

TEST_CASE("Strange tensors from elsewhere are taken in by their values", "[faults][data]") {
  torch::manual_seed(kSeed);
  const torch::Tensor rows = torch::randn({60, 5});
  const auto [name, output, expected, family] =
      GENERATE_COPY(table<std::string, torch::Tensor, torch::Tensor, delve::LayerFamily>({
          {"an expanded one", rows.unsqueeze(1).expand({60, 7, 5}),
           rows.unsqueeze(1).repeat({1, 7, 1}), delve::LayerFamily::Linear},
          {"a transposed one", rows.t().contiguous().t(), rows, delve::LayerFamily::Linear},
          {"a part of one", torch::cat({rows, rows, rows}, 1).narrow(1, 5, 5), rows,
           delve::LayerFamily::Linear},
          {"maps expanded over the batch", rows.t().view({1, 5, 6, 10}).expand({3, 5, 6, 10}),
           rows.repeat({3, 1}), delve::LayerFamily::Convolution},
          {"maps with the axes in another order",
           rows.view({6, 10, 5}).permute({2, 1, 0}).unsqueeze(0), rows,
           delve::LayerFamily::Convolution},
      }));
  CAPTURE(kSeed, name);
  Pair net(5);
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  const torch::Tensor before = output.clone();
  tracker.observe("strange", output, Mode::Train, family);
  CHECK(torch::equal(output, before));
  check_numbers(*find(tracker.add_saturations(), "strange", Mode::Train),
                {expected.reshape({-1, 5})});
  CHECK(messages.empty());
}

TEST_CASE("Tangents and names change nothing, whatever the size of the batch", "[faults][data]") {
  torch::manual_seed(kSeed);
  const std::vector<torch::Tensor> inputs = {torch::randn({3000, 4}), torch::randn({20, 4}),
                                             torch::randn({3000, 4}), torch::randn({400, 4})};
  const bool has_tangent = GENERATE(true, false);
  CAPTURE(kSeed, has_tangent);
  Pair net(5);
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  delve::Covariance<double> by_hand;
  std::vector<torch::Tensor> expected;
  const std::uint64_t level = torch::autograd::ForwardADLevel::get_next_idx();
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& input : inputs) {
    expected.push_back(input.matmul(net->faulty->weight.detach().clone().t()) +
                       net->faulty->bias.detach().clone());
    const std::vector<torch::Dimname> names = {
        torch::Dimname::fromSymbol(torch::Symbol::dimname("batch")),
        torch::Dimname::fromSymbol(torch::Symbol::dimname("features"))};
    const torch::Tensor odd = has_tangent ? torch::_make_dual(input, torch::ones_like(input),
                                                              static_cast<std::int64_t>(level))
                                          : input.rename(torch::DimnameList(names));
    const torch::Tensor output = net->faulty(odd);
    CHECK((has_tangent ? output._fw_grad(level).defined() : output.has_names()));
    by_hand.update(output);
  }
  const EpochRecord record = tracker.add_saturations();
  torch::autograd::ForwardADLevel::release_idx(level);
  CHECK(find(record, "faulty", Mode::Train)->samples == 6420);
  check_numbers(*find(record, "faulty", Mode::Train), expected);
  CHECK(by_hand.samples() == 6420);
  CHECK(messages.empty());
}

TEST_CASE("A model may change in mid-epoch, and every output counts", "[faults][model]") {
  const auto [name, change] = GENERATE(table<std::string, std::function<void(Pair&)>>({
      {"to float64", [](Pair& net) { net->to(torch::kDouble); }},
      {"a new weight",
       [](Pair& net) {
         net->faulty->weight = torch::randn({5, 4});
       }},
      {"new data of the weight",
       [](Pair& net) { net->faulty->weight.set_data(torch::randn({5, 4})); }},
      {"a weight that is a view",
       [](Pair& net) { net->faulty->weight = torch::randn({4, 10}).t().narrow(0, 3, 5); }},
      {"the weight of the layer beside it",
       [](Pair& net) { net->faulty->weight = net->beside->weight; }},
      {"frozen", [](Pair& net) { net->faulty->weight.requires_grad_(false); }},
  }));
  CAPTURE(name);
  const Trial trial = tried([&, &change = change](Pair& net, int step) {
    if (step == 1) change(net);
    return net->faulty(good_batch().to(net->faulty->weight.dtype()));
  });
  for (const Epoch& epoch : trial.epochs) {
    std::vector<torch::Tensor> outputs;
    for (const torch::Tensor& output : epoch.training.faulty) {
      outputs.push_back(output.to(torch::kDouble));
    }
    check_numbers(epoch.faulty, outputs);
  }
  CHECK(trial.messages.empty());
}

TEST_CASE("Layers that share weight and bias are reported, and a third one is right",
          "[faults][model]") {
  struct TripleImpl : nn::Module {
    nn::Linear encoder = register_module("encoder", nn::Linear(4, 5));
    nn::Linear twin = register_module("twin", nn::Linear(4, 5));
    nn::Linear beside = register_module("beside", nn::Linear(4, 5));
  };
  torch::manual_seed(kSeed);
  TripleImpl net;
  net.twin->weight = net.encoder->weight;
  net.twin->bias = net.encoder->bias;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<torch::Tensor> both;
    std::vector<torch::Tensor> beside;
    for (int step = 0; step < kSteps; ++step) {
      both.push_back(net.encoder(good_batch()).detach());
      both.push_back(net.twin(good_batch()).detach());
      beside.push_back(net.beside(good_batch()).detach());
    }
    const EpochRecord record = tracker.add_saturations();
    check_numbers(*find(record, "encoder", Mode::Train), both);
    check_numbers(*find(record, "beside", Mode::Train), beside);
    CHECK(find(record, "twin", Mode::Train)->status == Status::NoData);
  }
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("encoder, twin: share weight and bias"));
}

namespace {

/// A network whose inner part may throw, in the middle of a forward.
struct InnerImpl : nn::Module {
  nn::Linear before = register_module("before", nn::Linear(4, 5));
  nn::Linear after = register_module("after", nn::Linear(5, 4));
  bool throws = false;

  torch::Tensor forward(const torch::Tensor& input) {
    const torch::Tensor hidden = before(input);
    if (throws) throw std::runtime_error("the user's own");
    return after(hidden);
  }
};
TORCH_MODULE(Inner);

struct OuterImpl : nn::Module {
  nn::Linear first = register_module("first", nn::Linear(4, 4));
  Inner inner = register_module("inner", Inner());
  nn::Linear last = register_module("last", nn::Linear(4, 2));

  torch::Tensor forward(const torch::Tensor& input) { return last(inner(first(input))); }
};
TORCH_MODULE(Outer);

}  // namespace

TEST_CASE("What a forward throws reaches the user, and the next one counts", "[faults][program]") {
  torch::manual_seed(kSeed);
  // With three axes a Linear adds its bias by an operator of its own.
  const bool with_time = GENERATE(false, true);
  const int times = GENERATE(1, 100);
  CAPTURE(kSeed, with_time, times);
  Outer net;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, quiet(&messages));
  const auto input = [&] { return with_time ? torch::randn({20, 5, 4}) : torch::randn({100, 4}); };
  net->forward(input()).sum().backward();
  net->inner->throws = true;
  for (int i = 0; i < times; ++i) {
    CHECK_THROWS_WITH(net->forward(input()), "the user's own");
    CHECK_THROWS_AS(net->last(torch::randn({3, 5})), c10::Error);
  }
  net->inner->throws = false;
  net->forward(input()).sum().backward();
  const EpochRecord record = tracker.add_saturations();
  const auto samples = [&](const std::string& layer) {
    return find(record, layer, Mode::Train)->samples;
  };
  CHECK(samples("first") == 200 + 100 * times);
  CHECK(samples("inner-before") == 200 + 100 * times);
  CHECK(samples("inner-after") == 200);
  CHECK(samples("last") == 200);
  CHECK(messages.empty());
}

TEST_CASE("What a backward throws reaches the user, and the next forward counts",
          "[faults][program]") {
  torch::manual_seed(kSeed);
  Outer net;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  for (int i = 0; i < 3; ++i) {
    const torch::Tensor output = net->forward(good_batch());
    output.register_hook(
        [](const torch::Tensor&) -> torch::Tensor { throw std::runtime_error("the user's own"); });
    CHECK_THROWS_WITH(output.sum().backward(), ContainsSubstring("the user's own"));
  }
  net->forward(good_batch()).sum().backward();
  const EpochRecord record = tracker.add_saturations();
  for (const LayerRecord& layer : record.layers) CHECK(layer.samples == 160);
  CHECK(record.layers.size() == 4);
}

TEST_CASE("A bias that cannot be added leaves nothing behind", "[faults][program]") {
  torch::manual_seed(kSeed);
  Pair net(5);
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, numbers(messages));
  const torch::Tensor bias = net->faulty->bias;
  std::vector<torch::Tensor> outputs;
  std::vector<torch::Tensor> beside;
  for (int step = 0; step < kSteps; ++step) {
    net->faulty->bias = torch::randn({7});
    CHECK_THROWS_AS(net->faulty(torch::randn({8, 5, 4})), c10::Error);
    CHECK_THROWS_AS(net->faulty(torch::randn({8, 4})), c10::Error);
    net->faulty->bias = bias;
    outputs.push_back(net->faulty(torch::randn({20, 5, 4})).detach().reshape({-1, 5}));
    beside.push_back(net->beside(good_batch()).detach());
  }
  const EpochRecord record = tracker.add_saturations();
  check_numbers(*find(record, "faulty", Mode::Train), outputs);
  check_numbers(*find(record, "beside", Mode::Train), beside);
  CHECK(messages.empty());
}

TEST_CASE("Model and tracker may be destroyed in any order, in mid-epoch", "[faults][program]") {
  torch::manual_seed(kSeed);
  SECTION("the model first") {
    Messages messages;
    auto net = std::make_unique<Pair>(5);
    CheckLayerSat tracker("unused", "csv", *net, numbers(messages));
    const torch::Tensor output = (*net)->faulty(good_batch(60)).detach();
    const torch::Tensor beside = (*net)->beside(good_batch(60)).detach();
    net.reset();
    const EpochRecord record = tracker.add_saturations();
    check_numbers(*find(record, "faulty", Mode::Train), {output});
    check_numbers(*find(record, "beside", Mode::Train), {beside});
    CHECK(tracker.add_saturations().layers.empty());
    tracker.close();
    REQUIRE(messages.size() == 1);
    CHECK_THAT(messages[0], ContainsSubstring("no layer saw data"));
  }
  SECTION("the tracker first, between forward and backward") {
    Pair net(5);
    auto tracker = std::make_unique<CheckLayerSat<>>("unused", "csv", net, quiet());
    const torch::Tensor loss = net->faulty(good_batch()).sum();
    tracker.reset();
    loss.backward();
    CHECK(net->faulty->weight.grad().defined());
    CHECK_FALSE(at::hasGlobalCallbacks());
  }
  SECTION("the tracker within the forward, by a hook of the user's own") {
    Pair net(5);
    auto tracker = std::make_unique<CheckLayerSat<>>("unused", "csv", net, quiet());
    const auto handle = delve::register_forward_hook(
        net->beside, [&](const delve::ForwardCall&) { tracker.reset(); });
    net->beside(good_batch()).sum().backward();
    net->faulty(good_batch()).sum().backward();
    CHECK(tracker == nullptr);
    CHECK_NOTHROW(handle.check());
  }
}

TEST_CASE("Where the solver has no answer, status says so beside the values", "[faults][solver]") {
  // Squares of 1e200 overflow float64, and so does their covariance.
  const std::int64_t size = GENERATE(3, 40, 3000);
  CAPTURE(size);
  const Trial trial = tried(
      [&](Pair& net, int) { return net->faulty(good_batch(size).to(torch::kDouble) * 1e200); }, 5,
      torch::kDouble);
  for (const Epoch& epoch : trial.epochs) {
    CHECK(epoch.faulty.status == Status::NotConverged);
    CHECK(epoch.faulty.samples == kSteps * size);
    for (const delve::Value& value : epoch.faulty.values) CHECK(std::isnan(value.value));
  }
  REQUIRE(!trial.messages.empty());
  CHECK(trial.messages[0] ==
        "faulty: eigenvalues could not be computed; statistics based on them are missing");
}

TEST_CASE("No statistic throws out of a report, whatever the sums are", "[faults][solver]") {
  static const bool is_registered = [] {
    delve::register_statistic(
        {"failing", "failing", [](const delve::LayerMeasurement& it) -> double {
           if (it.samples == 40) throw std::runtime_error("no number today");
           return 1;
         }});
    delve::register_statistic({"odd", "odd", [](const delve::LayerMeasurement& it) -> double {
                                 if (it.samples == 40) throw 1;
                                 return 1;
                               }});
    return true;
  }();
  REQUIRE(is_registered);
  torch::manual_seed(kSeed);
  Pair net(5);
  net->to(torch::kDouble);
  Messages messages;
  const auto [stats, factor, told, status] = GENERATE(table<Messages, double, std::string, Status>({
      {{"lsat", "idim", "trc", "dtrc", "det", "logdet", "effective_rank", "participation_ratio",
        "stable_rank", "entropy", "explained@3", "dead", "samples", "curve", "eigenvalues"},
       1e200,
       "eigenvalues could not be computed",
       Status::NotConverged},
      {{"lsat", "cov"}, 1e200, "eigenvalues could not be computed", Status::NotConverged},
      {{"lsat", "embed"}, 1e200, "its values could not be computed", Status::NotConverged},
      {{"lsat", "failing"}, 1, "no number today", Status::StatisticFailed},
      {{"lsat", "odd"}, 1, "no std::exception", Status::StatisticFailed},
  }));
  CAPTURE(kSeed, stats);
  CheckLayerSat tracker("unused", "csv", net, quiet(&messages).stats(stats));
  for (int epoch = 0; epoch < 2; ++epoch) {
    net->faulty(good_batch().to(torch::kDouble) * factor);
    net->beside(good_batch(60).to(torch::kDouble));
    const EpochRecord record =
        epoch == 0 ? tracker.add_saturations() : tracker.add_saturations_async().get();
    CHECK(find(record, "faulty", Mode::Train)->status == status);
    CHECK(find(record, "beside", Mode::Train)->status == Status::Ok);
    CHECK(tracker.last("beside", "lsat", Mode::Train) > 0);
    // A statistic that fails takes nothing else with it.
    CHECK(tracker.last("faulty", "lsat", Mode::Train).has_value() ==
          (status == Status::StatisticFailed));
  }
  const auto is_told = [&, &text = told](const std::string& message) {
    return message.find("faulty: ") == 0 && message.find(text) != std::string::npos;
  };
  CHECK(std::count_if(messages.begin(), messages.end(), is_told) == 1);
}

}  // namespace test_faulty_data
