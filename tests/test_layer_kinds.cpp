// SPDX-License-Identifier: MIT
// Every row of the table in layer_kind.hpp: its forward is seen, once, as the module returns it.
#include <delve/layer_kind.hpp>

#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/forward_hook.hpp>

#include "catch.hpp"
#include "events.hpp"
#include "tracker.hpp"

namespace test_layer_kinds {

using delve::CheckLayerSat;
using delve::Mode;
using delve::register_forward_hook;
using delve_test::Events;
using delve_test::find;
using delve_test::quiet;
namespace nn = torch::nn;

namespace {

torch::Tensor first(const torch::Tensor& output) {
  return output;
}
template <typename... Others>
torch::Tensor first(const std::tuple<torch::Tensor, Others...>& output) {
  return std::get<0>(output);
}

/// The kinds that were checked, to be held against the table.
std::set<std::string>& checked() {
  static std::set<std::string> names;
  return names;
}

/// The host, and a GPU where there is one: there LibTorch has operators of its own.
std::vector<torch::Device> devices() {
  std::vector<torch::Device> devices = {torch::kCPU};
  if (torch::cuda::is_available()) devices.emplace_back(torch::kCUDA);
  return devices;
}

/// Runs a module in training and without gradients; checks that each forward is seen once and as
/// it is returned, and none in backward.
template <typename Module, typename Forward>
void check_seen(const std::string& kind, Module module, const torch::Tensor& any_input,
                const Forward& forward) {
  REQUIRE(delve::layer_kind_of(module)->name == kind);
  checked().insert(kind);
  for (const torch::Device& device : devices()) {
    CAPTURE(kind, any_input.sizes(), device.str());
    // A gradient stays where it is when its parameter moves.
    for (torch::Tensor& parameter : module->parameters()) parameter.mutable_grad().reset();
    module->to(device);
    module->train();
    const torch::Tensor input = any_input.to(device);
    Events events;
    const auto handle = register_forward_hook(module, events.hook());
    const torch::Tensor output = first(forward(module, input));
    REQUIRE(events.count() == 1);
    CHECK(torch::equal(events[0].output, output));
    output.square().sum().backward();
    CHECK(events.count() == 1);
    {
      const torch::NoGradGuard no_grad;
      module->eval();
      const torch::Tensor again = first(forward(module, input));
      REQUIRE(events.count() == 2);
      CHECK(torch::equal(again, events[1].output));
      CHECK_FALSE(events[1].training);
    }
    {
      const c10::InferenceMode inference;
      forward(module, input);
    }
    CHECK(events.count() == 3);
  }
}

template <typename Module>
void check_seen(const std::string& kind, const Module& module, const torch::Tensor& input) {
  check_seen(kind, module, input,
             [](Module& any, const torch::Tensor& data) { return any->forward(data); });
}

template <typename Module, typename Options>
void check_convolution(const std::string& kind, const Options& options,
                       const torch::Tensor& input) {
  check_seen(kind, Module(options), input);
  check_seen(kind, Module(Options(options).bias(false)), input);
  check_seen(kind, Module(options), input[0]);  // one sample, without a batch
}

std::vector<double> values_of(const delve::LayerRecord& layer) {
  std::vector<double> values;
  for (const delve::Value& value : layer.values) values.push_back(value.value);
  return values;
}

/// The variance of rows, in float64.
double trace_of(const torch::Tensor& rows) {
  return rows.to(torch::kDouble).var(0, /*unbiased=*/false).sum().item<double>();
}

}  // namespace

TEST_CASE("Every kind's forward is seen, once, as it is returned", "[kinds]") {
  torch::manual_seed(1);
  check_convolution<nn::Conv1d>("Conv1d", nn::Conv1dOptions(3, 5, 3), torch::randn({2, 3, 9}));
  check_convolution<nn::Conv2d>("Conv2d", nn::Conv2dOptions(3, 5, 3), torch::randn({2, 3, 9, 8}));
  check_convolution<nn::Conv3d>("Conv3d", nn::Conv3dOptions(3, 5, 3),
                                torch::randn({2, 3, 6, 7, 8}));
  check_convolution<nn::ConvTranspose1d>("ConvTranspose1d", nn::ConvTranspose1dOptions(3, 5, 3),
                                         torch::randn({2, 3, 9}));
  check_convolution<nn::ConvTranspose2d>("ConvTranspose2d", nn::ConvTranspose2dOptions(3, 5, 3),
                                         torch::randn({2, 3, 9, 8}));
  check_convolution<nn::ConvTranspose3d>("ConvTranspose3d", nn::ConvTranspose3dOptions(3, 5, 3),
                                         torch::randn({2, 3, 6, 7, 8}));
  check_seen("Linear", nn::Linear(4, 3), torch::randn({5, 4}));
  check_seen("Linear", nn::Linear(4, 3), torch::randn({2, 5, 4}));
  for (const bool batch_first : {true, false}) {
    const torch::Tensor series = torch::randn({3, 6, 4});
    check_seen("LSTM", nn::LSTM(nn::LSTMOptions(4, 5).batch_first(batch_first)), series);
    check_seen("GRU", nn::GRU(nn::GRUOptions(4, 5).batch_first(batch_first)), series);
    check_seen("RNN", nn::RNN(nn::RNNOptions(4, 5).batch_first(batch_first)), series);
    check_seen("RNN", nn::RNN(nn::RNNOptions(4, 5).nonlinearity(torch::kReLU)), series);
    check_seen("GRU", nn::GRU(nn::GRUOptions(4, 5).num_layers(2).bidirectional(true)), series);
  }
  for (const bool bias : {true, false}) {
    const torch::Tensor rows = torch::randn({6, 4});
    check_seen("LSTMCell", nn::LSTMCell(nn::LSTMCellOptions(4, 5).bias(bias)), rows);
    check_seen("GRUCell", nn::GRUCell(nn::GRUCellOptions(4, 5).bias(bias)), rows);
    check_seen("RNNCell", nn::RNNCell(nn::RNNCellOptions(4, 5).bias(bias)), rows);
    check_seen("RNNCell",
               nn::RNNCell(nn::RNNCellOptions(4, 5).bias(bias).nonlinearity(torch::kReLU)), rows);
    check_seen("Bilinear", nn::Bilinear(nn::BilinearOptions(4, 3, 5).bias(bias)), rows,
               [](nn::Bilinear& module, const torch::Tensor& data) {
                 return module->forward(data, data.narrow(-1, 0, 3));
               });
  }
  check_seen("BatchNorm1d", nn::BatchNorm1d(4), torch::randn({6, 4}));
  check_seen("BatchNorm1d", nn::BatchNorm1d(4), torch::randn({6, 4, 5}));
  check_seen("BatchNorm2d", nn::BatchNorm2d(4), torch::randn({6, 4, 5, 5}));
  check_seen("BatchNorm3d", nn::BatchNorm3d(4), torch::randn({6, 4, 3, 3, 3}));
  check_seen("LayerNorm", nn::LayerNorm(nn::LayerNormOptions({4})), torch::randn({6, 3, 4}));
  check_seen("Embedding", nn::Embedding(10, 4), torch::randint(10, {6, 3}, torch::kLong));
  const torch::Tensor words = torch::randint(10, {6, 3}, torch::kLong);
  check_seen("EmbeddingBag", nn::EmbeddingBag(10, 4), words);
  check_seen("EmbeddingBag", nn::EmbeddingBag(10, 4), words.flatten(),
             [](nn::EmbeddingBag& module, const torch::Tensor& data) {
               return module->forward(data, torch::tensor({0, 2, 7}, data.options()));
             });
  check_seen("GroupNorm", nn::GroupNorm(2, 4), torch::randn({6, 4}));
  check_seen("GroupNorm", nn::GroupNorm(2, 4), torch::randn({6, 4, 5, 5}));
  const auto affine = nn::InstanceNorm1dOptions(4).affine(true);
  check_seen("InstanceNorm1d", nn::InstanceNorm1d(affine), torch::randn({6, 4, 5}));
  check_seen("InstanceNorm2d", nn::InstanceNorm2d(affine), torch::randn({6, 4, 5, 5}));
  check_seen("InstanceNorm3d", nn::InstanceNorm3d(affine), torch::randn({6, 4, 3, 3, 3}));
  check_seen("PReLU", nn::PReLU(), torch::randn({6, 4}));
  check_seen("PReLU", nn::PReLU(nn::PReLUOptions().num_parameters(4)), torch::randn({6, 4, 5, 5}));
  checked().insert("MultiheadAttention");  // the next test case

  for (const delve::LayerKind& kind : delve::detail::built_in_layer_kinds()) {
    CAPTURE(kind.name);
    CHECK(checked().count(kind.name) == 1);
  }
}

TEST_CASE("Both projections of an attention are seen", "[kinds]") {
  torch::manual_seed(2);
  nn::MultiheadAttention attention(nn::MultiheadAttentionOptions(8, 2));
  const torch::Tensor input = torch::randn({5, 30, 8});  // (T, B, E)
  CheckLayerSat tracker("unused", "csv", {{"attention", attention}},
                        quiet().stats({"trc"}).also_track({"MultiheadAttention"}));
  CHECK(tracker.layer_names() == std::vector<std::string>{"attention", "attention-out_proj"});
  const torch::Tensor output = std::get<0>(attention(input, input, input));
  const delve::EpochRecord record = tracker.add_saturations();
  const delve::LayerRecord& in = *find(record, "attention", Mode::Train);
  const delve::LayerRecord& out = *find(record, "attention-out_proj", Mode::Train);
  CHECK(in.width == 24);
  CHECK(in.samples == 150);
  CHECK(in.values[0].value ==
        Approx(trace_of(
                   nn::functional::linear(input, attention->in_proj_weight, attention->in_proj_bias)
                       .reshape({-1, 24})))
            .epsilon(1e-5));
  CHECK(out.samples == 150);
  CHECK(out.values[0].value == Approx(trace_of(output.reshape({-1, 8}))).epsilon(1e-5));
}

TEST_CASE("Query, key and value of different tensors are layers of their own", "[kinds]") {
  torch::manual_seed(4);
  const bool has_bias = GENERATE(true, false);
  const bool is_separate = GENERATE(false, true);
  const std::int64_t other_width = is_separate ? 6 : 8;
  nn::MultiheadAttention attention(
      nn::MultiheadAttentionOptions(8, 2).bias(has_bias).kdim(other_width).vdim(other_width));
  if (has_bias) torch::NoGradGuard(), attention->in_proj_bias.normal_();
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", {{"attention", attention}},
                        quiet(&messages).stats({"trc"}).also_track({"MultiheadAttention"}));
  CHECK(tracker.layer_names() == std::vector<std::string>{"attention", "attention-out_proj"});
  const torch::Tensor query = torch::randn({5, 30, 8});
  const torch::Tensor key = torch::randn({7, 30, other_width});
  const torch::Tensor value = torch::randn({7, 30, other_width}) + 1;
  const auto projected = [&](int third, const torch::Tensor& whole, const torch::Tensor& input) {
    const torch::Tensor weight = is_separate ? whole : attention->in_proj_weight.chunk(3)[third];
    const torch::Tensor bias = has_bias ? attention->in_proj_bias.chunk(3)[third] : torch::Tensor();
    return trace_of(nn::functional::linear(input, weight, bias).reshape({-1, 8}));
  };
  const auto check = [&](const torch::Tensor& v, std::int64_t calls) {
    const delve::EpochRecord record = tracker.add_saturations();
    const auto paused = tracker.paused();  // what follows takes the weights, too
    const std::vector<std::tuple<std::string, std::int64_t, double>> expected = {
        {"attention-q", 150, projected(0, attention->q_proj_weight, query)},
        {"attention-k", 210, projected(1, attention->k_proj_weight, key)},
        {"attention-v", 210, projected(2, attention->v_proj_weight, v)}};
    for (const auto& [name, samples, trace] : expected) {
      CAPTURE(name);
      const delve::LayerRecord* const found = find(record, name, Mode::Train);
      REQUIRE(found != nullptr);
      CHECK(found->width == 8);
      CHECK(found->samples == samples * calls);
      CHECK(found->values[0].value == Approx(trace).epsilon(1e-5));
    }
    CHECK(find(record, "attention", Mode::Train)->samples == 0);
  };
  attention(query, key, value);
  check(value, 1);
  attention(query, key, key);  // key and value in one product
  attention(query, key, key);
  check(key, 2);
  CHECK(tracker.layer_names() == std::vector<std::string>{"attention", "attention-q", "attention-k",
                                                          "attention-v", "attention-out_proj"});
  for (const std::string& message : messages) {
    CHECK(message.find("saw no data") == std::string::npos);
  }
  if (is_separate) return;
  attention(query, query, query);
  CHECK(find(tracker.add_saturations(), "attention", Mode::Train)->width == 24);
}

namespace {

/// Multiplies by its weight as it is, and scales.
struct ScaledImpl : nn::Module {
  ScaledImpl(std::int64_t in, std::int64_t out) : weight(torch::randn({in, out})) {
    register_parameter("weight", weight);
  }
  torch::Tensor forward(const torch::Tensor& input) { return input.mm(weight); }

  torch::Tensor weight;
};
TORCH_MODULE(Scaled);

/// Convolves with a weight that has a name of its own.
struct FilterBankImpl : nn::Module {
  FilterBankImpl() : filters(torch::randn({4, 2, 3})), offset(torch::randn({4})) {
    register_parameter("filters", filters);
    register_parameter("offset", offset);
  }
  torch::Tensor forward(const torch::Tensor& input) {
    return torch::conv1d(input, filters, offset);
  }

  torch::Tensor filters;
  torch::Tensor offset;
};
TORCH_MODULE(FilterBank);

}  // namespace

TEST_CASE("A program's own kind of layer is tracked", "[kinds]") {
  using delve::ForwardOperator;
  using delve::LayerFamily;
  using delve::LayerKind;
  delve::register_layer_kind(LayerKind::of<ScaledImpl>("Scaled", LayerFamily::Linear)
                                 .weight_is<&ScaledImpl::weight>("weight")
                                 .run_by({ForwardOperator("aten::mm").input_at(0).weight_at(1)}));
  delve::register_layer_kind(
      LayerKind::of<FilterBankImpl>("FilterBank", LayerFamily::Convolution)
          .positions(1)
          .weight_is<&FilterBankImpl::filters>("filters")
          .bias_is<&FilterBankImpl::offset>("offset")
          .on_request()
          .run_by({ForwardOperator("aten::conv1d").input_at(0).weight_at(1).bias_at(2)}));
  torch::manual_seed(5);
  Scaled scaled(6, 4);
  FilterBank bank;
  nn::Linear linear(4, 3);
  CheckLayerSat tracker("unused", "csv", {{"scaled", scaled}, {"bank", bank}, {"linear", linear}},
                        quiet().stats({"trc"}).also_track({"FilterBank"}));
  CHECK(tracker.layer_names() == std::vector<std::string>{"scaled", "bank", "linear"});
  const torch::Tensor rows = scaled(torch::randn({50, 6}));
  linear(rows);
  const torch::Tensor maps = bank(torch::randn({20, 2, 9}));
  const delve::EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "scaled", Mode::Train)->samples == 50);
  CHECK(find(record, "scaled", Mode::Train)->values[0].value == Approx(trace_of(rows)));
  CHECK(find(record, "bank", Mode::Train)->samples == 140);
  CHECK(find(record, "bank", Mode::Train)->values[0].value ==
        Approx(trace_of(maps.movedim(1, -1).reshape({-1, 4}))));
  CHECK(find(record, "linear", Mode::Train)->samples == 50);
  CHECK(
      CheckLayerSat("unused", "csv", {{"scaled", scaled}, {"bank", bank}}, quiet()).layer_names() ==
      std::vector<std::string>{"scaled"});
}

TEST_CASE("A class derived from a known one can be a kind of its own", "[kinds]") {
  struct WideImpl : nn::LinearImpl {
    using nn::LinearImpl::LinearImpl;
  };
  const WideImpl wide(2, 2);
  CHECK(delve::layer_kind_of(wide)->name == "Linear");
  delve::register_layer_kind(
      delve::LayerKind::of<WideImpl>("Wide", delve::LayerFamily::Linear)
          .weight_is<&nn::LinearImpl::weight>("weight")
          .run_by({delve::ForwardOperator("aten::linear").input_at(0).weight_at(1)}));
  CHECK(delve::layer_kind_of(wide)->name == "Wide");
  CHECK(delve::layer_kind_of(nn::LinearImpl(2, 2))->name == "Linear");
}

TEST_CASE("A kind that could not work is refused", "[kinds][misuse]") {
  using delve::ForwardOperator;
  using delve::LayerFamily;
  using delve::LayerKind;
  const auto refused = [](LayerKind kind, const std::string& fault) {
    CHECK_THROWS_WITH(delve::register_layer_kind(std::move(kind)),
                      "delve::register_layer_kind: " + fault);
  };
  const auto of = [](const std::string& name) {
    return LayerKind::of<ScaledImpl>(name, LayerFamily::Linear);
  };
  const ForwardOperator mm = ForwardOperator("aten::mm").input_at(0).weight_at(1);
  refused(of(""), "\"\": a name is needed");
  refused(of("Linear"), "\"Linear\": a kind of this name is known already");
  refused(LayerKind("Other", LayerFamily::Linear),
          "\"Other\": no class is named; begin with LayerKind::of<Class>()");
  refused(of("Other").run_by({mm}),
          "\"Other\": its forwards are recognised by a weight; name it with weight_is()");
  refused(of("Other").weight_is<&ScaledImpl::weight>("weight"),
          "\"Other\": name the operators that run its forward with run_by()");
  refused(of("Other").weight_is<&ScaledImpl::weight>("weight").run_by(
              {ForwardOperator("aten::mm").input_at(0)}),
          "\"Other\": aten::mm: set its input and weight with input_at() and weight_at()");
}

TEST_CASE("Kinds that are not tracked by default are on request", "[kinds][options]") {
  const auto make = [] {
    return nn::Sequential(nn::Conv1d(nn::Conv1dOptions(2, 4, 3)), nn::BatchNorm1d(4), nn::ReLU(),
                          nn::Flatten(), nn::Linear(16, 6),
                          nn::LayerNorm(nn::LayerNormOptions({6})));
  };
  using Names = std::vector<std::string>;
  const auto tracked = [&](const delve::CheckLayerSatOptions& options) {
    return CheckLayerSat("unused", "csv", make(), options).layer_names();
  };
  CHECK(tracked(quiet()) == Names{"0", "4"});
  CHECK(tracked(quiet().also_track({"BatchNorm1d", "LayerNorm"})) == Names{"0", "1", "4", "5"});
  CHECK(tracked(quiet().include_conv(false).also_track({"BatchNorm1d"})) == Names{"1", "4"});
  CHECK_THROWS_WITH(tracked(quiet().also_track({"BatchNorm"})),
                    "delve::CheckLayerSatOptions: also_track is a list with \"BatchNorm\"; it must "
                    "be a list of these: " +
                        delve::layer_kind_names());
}

TEST_CASE("Cells and bilinear layers are tracked by default", "[kinds][options]") {
  const auto is_default = [](const delve::ModuleView& module) {
    return delve::layer_kind_of(module)->by_default;
  };
  CHECK(is_default(nn::LSTMCell(2, 2)));
  CHECK(is_default(nn::GRUCell(2, 2)));
  CHECK(is_default(nn::RNNCell(2, 2)));
  CHECK(is_default(nn::Bilinear(2, 2, 2)));
  CHECK_FALSE(is_default(nn::EmbeddingBag(2, 2)));
  CHECK_FALSE(is_default(nn::GroupNorm(1, 2)));
  CHECK_FALSE(is_default(nn::InstanceNorm1d(2)));
  CHECK_FALSE(is_default(nn::InstanceNorm2d(2)));
  CHECK_FALSE(is_default(nn::InstanceNorm3d(2)));
  CHECK_FALSE(is_default(nn::PReLU()));
}

TEST_CASE("A cell counts each step of a sequence, by its hidden state", "[kinds]") {
  torch::manual_seed(5);
  nn::LSTMCell cell(nn::LSTMCellOptions(4, 5));
  CheckLayerSat tracker("unused", "csv", {{"cell", cell}}, quiet().stats({"trc"}));
  std::tuple<torch::Tensor, torch::Tensor> states = {torch::zeros({8, 5}), torch::zeros({8, 5})};
  std::vector<torch::Tensor> hidden;
  for (int step = 0; step < 6; ++step) {
    states = cell(torch::randn({8, 4}), states);
    hidden.push_back(std::get<0>(states).detach().clone());
  }
  const delve::EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "cell", Mode::Train)->samples == 48);
  CHECK(find(record, "cell", Mode::Train)->values[0].value ==
        Approx(trace_of(torch::cat(hidden))).epsilon(1e-5));
}

TEST_CASE("A functional call counts in its epoch, though no operator follows it", "[kinds]") {
  torch::manual_seed(6);
  nn::Linear linear(4, 5);
  const torch::Tensor transposed = linear->weight.detach().t();
  const torch::NoGradGuard no_grad;
  const bool reset = GENERATE(true, false);
  CheckLayerSat tracker("unused", "csv", {{"layer", linear}},
                        quiet().stats({"trc"}).reset_covariance(reset));
  std::vector<torch::Tensor> rows;
  for (int epoch = 0; epoch < 3; ++epoch) {
    if (reset) rows.clear();
    const torch::Tensor input = torch::randn({60, 4});
    rows.push_back(input.matmul(transposed.clone()));
    torch::mm(input, transposed);
    const delve::EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "layer", Mode::Train)->samples == (reset ? 60 : 60 * (epoch + 1)));
    CHECK(find(record, "layer", Mode::Train)->values[0].value ==
          Approx(trace_of(torch::cat(rows))).epsilon(1e-5));
  }
}

TEST_CASE("Every family of output counts each of its positions", "[kinds]") {
  torch::manual_seed(3);
  const auto check_rows = [](auto module, const torch::Tensor& input,
                             const std::vector<std::string>& also, const auto& rows_of) {
    CheckLayerSat tracker("unused", "csv", {{"layer", module}},
                          quiet().stats({"trc", "samples"}).also_track(also));
    const torch::Tensor rows = rows_of(first(module->forward(input)));
    const delve::EpochRecord record = tracker.add_saturations();
    const delve::LayerRecord& layer = *find(record, "layer", Mode::Train);
    CHECK(layer.width == rows.size(1));
    CHECK(layer.samples == rows.size(0));
    CHECK(values_of(layer)[0] == Approx(trace_of(rows)).epsilon(1e-5));
    CHECK(values_of(layer)[1] == static_cast<double>(rows.size(0)));
  };
  const auto channels_last = [](const torch::Tensor& output) {
    return output.movedim(1, -1).reshape({-1, output.size(1)});
  };
  const auto last_axis = [](const torch::Tensor& output) {
    return output.reshape({-1, output.size(-1)});
  };
  check_rows(nn::Conv1d(nn::Conv1dOptions(3, 5, 3)), torch::randn({8, 3, 9}), {}, channels_last);
  check_rows(nn::Conv3d(nn::Conv3dOptions(3, 5, 3)), torch::randn({8, 3, 5, 6, 7}), {},
             channels_last);
  check_rows(nn::ConvTranspose2d(nn::ConvTranspose2dOptions(3, 5, 3)), torch::randn({8, 3, 9, 8}),
             {}, channels_last);
  check_rows(nn::BatchNorm1d(4), torch::randn({60, 4}), {"BatchNorm1d"}, channels_last);
  check_rows(nn::BatchNorm1d(4), torch::randn({60, 4, 5}), {"BatchNorm1d"}, channels_last);
  check_rows(nn::BatchNorm3d(4), torch::randn({9, 4, 2, 3, 5}), {"BatchNorm3d"}, channels_last);
  check_rows(nn::LayerNorm(nn::LayerNormOptions({4})), torch::randn({60, 3, 4}), {"LayerNorm"},
             last_axis);
  check_rows(nn::Embedding(10, 4), torch::randint(10, {60, 3}, torch::kLong), {"Embedding"},
             last_axis);
  check_rows(nn::EmbeddingBag(10, 4), torch::randint(10, {60, 3}, torch::kLong), {"EmbeddingBag"},
             last_axis);
  check_rows(nn::GRUCell(4, 5), torch::randn({60, 4}), {}, last_axis);
  check_rows(nn::RNNCell(4, 5), torch::randn({60, 4}), {}, last_axis);
  check_rows(nn::GroupNorm(2, 4), torch::randn({60, 4}), {"GroupNorm"}, channels_last);
  check_rows(nn::GroupNorm(2, 4), torch::randn({9, 4, 3, 5}), {"GroupNorm"}, channels_last);
  check_rows(nn::InstanceNorm1d(nn::InstanceNorm1dOptions(4).affine(true)),
             torch::randn({20, 4, 5}), {"InstanceNorm1d"}, channels_last);
  check_rows(nn::InstanceNorm2d(nn::InstanceNorm2dOptions(4).affine(true)),
             torch::randn({9, 4, 3, 5}), {"InstanceNorm2d"}, channels_last);
  check_rows(nn::InstanceNorm3d(nn::InstanceNorm3dOptions(4).affine(true)),
             torch::randn({9, 4, 2, 3, 5}), {"InstanceNorm3d"}, channels_last);
  check_rows(nn::PReLU(nn::PReLUOptions().num_parameters(4)), torch::randn({9, 4, 3, 5}), {"PReLU"},
             channels_last);
  // The last timestep of each series, wherever time is.
  check_rows(nn::GRU(nn::GRUOptions(4, 5).batch_first(true)), torch::randn({60, 7, 4}), {},
             [](const torch::Tensor& output) { return output.select(1, -1); });
  check_rows(nn::RNN(nn::RNNOptions(4, 5)), torch::randn({7, 60, 4}), {},
             [](const torch::Tensor& output) { return output.select(0, -1); });
}

TEST_CASE("Tensors that no module gives are observed by name", "[kinds][observe]") {
  torch::manual_seed(4);
  delve_test::Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().stats({"trc"}));
  const torch::Tensor a = torch::randn({70, 4});
  const torch::Tensor b = torch::randn({10, 3, 4});
  const torch::Tensor maps = torch::randn({6, 4, 5, 5});
  tracker.observe("residual", a, Mode::Train);
  tracker.observe("residual", b, Mode::Train);
  tracker.observe("residual", a, Mode::Eval);
  tracker.observe("maps", maps, Mode::Eval, delve::LayerFamily::Convolution);
  const delve::EpochRecord record = tracker.add_saturations();
  const torch::Tensor all = torch::cat({a, b.reshape({-1, 4})});
  CHECK(find(record, "residual", Mode::Train)->samples == 100);
  CHECK(values_of(*find(record, "residual", Mode::Train))[0] ==
        Approx(trace_of(all)).epsilon(1e-5));
  CHECK(find(record, "residual", Mode::Eval)->samples == 70);
  CHECK(find(record, "maps", Mode::Eval)->samples == 150);
  CHECK(tracker.last("maps", "trc", Mode::Eval) ==
        Approx(trace_of(maps.movedim(1, -1).reshape({-1, 4}))).epsilon(1e-5));

  tracker.stop();
  tracker.observe("residual", a, Mode::Train);
  tracker.resume();
  tracker.observe("maps", maps, Mode::Eval);
  const delve::EpochRecord next = tracker.add_saturations();
  CHECK(find(next, "residual", Mode::Eval)->samples == 0);

  CHECK_THROWS_WITH(tracker.observe("fc", a, Mode::Train),
                    "delve::CheckLayerSat::observe: \"fc\": a tracked layer bears this name");
  CHECK_THROWS_AS(tracker.observe("", a, Mode::Train), std::invalid_argument);
  CHECK_THROWS_AS(tracker.observe("s", a, Mode::Train, delve::LayerFamily::Recurrent),
                  std::invalid_argument);
  tracker.close();
  CHECK_THROWS_AS(tracker.observe("residual", a, Mode::Train), std::logic_error);
}

}  // namespace test_layer_kinds
