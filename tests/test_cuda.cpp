// SPDX-License-Identifier: MIT
// A tracker beside a GPU: the numbers are the host's, no forward waits for it, and what goes wrong
// there is told. Without a GPU each case says that it was skipped.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <future>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/pca.hpp>

#include "autocast.hpp"
#include "catch.hpp"
#include "reference_covariance.hpp"
#include "tracker.hpp"

namespace test_cuda {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::Covariance;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve::Products;
using delve::Status;
using delve_test::Autocast;
using delve_test::find;
using delve_test::quiet;
using delve_test::random_rows;
using delve_test::relative_error;
using delve_test::two_pass;
namespace nn = torch::nn;

namespace {

using Messages = std::vector<std::string>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Whether there is a GPU to test with. tests/CMakeLists.txt knows this line.
bool there_is_a_gpu() {
  if (torch::cuda::is_available()) return true;
  WARN("skipped: LibTorch has no GPU here");
  return false;
}

torch::Tensor on_gpu(const torch::Tensor& tensor) {
  return tensor.to(torch::kCUDA);
}

/// A GPU that has the better part of a second to do, from its construction on.
class BusyGpu {
 public:
  BusyGpu() {
    torch::cuda::synchronize();
    for (int i = 0; i < 40; ++i) at::mm_out(product_, matrix_, matrix_);
    done_.record(c10::impl::VirtualGuardImpl(torch::kCUDA).getStream(matrix_.device()));
  }

  [[nodiscard]] bool is_busy() const { return !done_.query(); }

 private:
  torch::Tensor matrix_ = torch::randn({8192, 8192}, torch::kCUDA);
  torch::Tensor product_ = torch::mm(matrix_, matrix_);  // what takes time only once is done then
  c10::Event done_{torch::kCUDA};
};

/// A convolution, a linear and a recurrent layer.
struct MixedImpl : nn::Module {
  nn::Conv2d conv = register_module("conv", nn::Conv2d(nn::Conv2dOptions(2, 6, 3)));
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(16, 7).batch_first(true)));
  nn::Linear fc = register_module("fc", nn::Linear(7, 5));

  torch::Tensor forward(const torch::Tensor& pictures) {
    const torch::Tensor maps = torch::relu(conv(pictures));  // (B, 6, 4, 4)
    return fc(std::get<0>(lstm(maps.flatten(2))).select(1, -1));
  }
};
TORCH_MODULE(Mixed);

/// (B, 2, 6, 6), each time other ones, whatever was drawn before.
torch::Tensor pictures(std::int64_t count, int seed) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return torch::randn({count, 2, 6, 6}, torch::kDouble);
}

/// Everything that a report can hold, where both sides computed in float64.
void check_same(const EpochRecord& found, const EpochRecord& expected, double tolerance) {
  REQUIRE(found.layers.size() == expected.layers.size());
  for (const LayerRecord& layer : expected.layers) {
    CAPTURE(layer.layer, delve::to_string(layer.mode));
    const LayerRecord* it = find(found, layer.layer, layer.mode);
    REQUIRE(it != nullptr);
    CHECK(it->status == layer.status);
    CHECK(it->samples == layer.samples);
    CHECK(it->width == layer.width);
    CHECK(it->skipped_batches == layer.skipped_batches);
    REQUIRE(it->values.size() == layer.values.size());
    for (std::size_t i = 0; i < layer.values.size(); ++i) {
      CAPTURE(layer.values[i].quantity);
      CHECK(it->values[i].value == Approx(layer.values[i].value).epsilon(tolerance));
    }
  }
}

const std::vector<std::string> kAll = {"lsat",
                                       "idim",
                                       "trc",
                                       "dtrc",
                                       "det",
                                       "logdet",
                                       "effective_rank",
                                       "participation_ratio",
                                       "stable_rank",
                                       "entropy",
                                       "explained@2",
                                       "dead",
                                       "samples",
                                       "cov",
                                       "embed"};

}  // namespace

TEMPLATE_TEST_CASE("Sums on a GPU are those of all rows, however they lie", "[cuda]", float,
                   double) {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(1);
  const double tolerance = 5e-6;
  for (const std::int64_t width : {1, 3, 150, 700}) {
    const torch::Tensor rows = random_rows(40000, width, 500);
    for (const std::int64_t size : {7, 256, 5000, 40000}) {
      if (size == 7 && width > 3) continue;  // thousands of batches, which add only time
      CAPTURE(width, size);
      Covariance<TestType> covariance;
      for (const torch::Tensor& batch : rows.split(size)) covariance.update(on_gpu(batch));
      CHECK(covariance.device().is_cuda());
      CHECK(covariance.samples() == rows.size(0));
      CHECK(relative_error(covariance.matrix(), two_pass(rows)) < tolerance);
      CHECK(torch::allclose(covariance.mean().cpu(), rows.to(torch::kDouble).mean(0), 1e-5, 1e-5));
      CHECK(relative_error(covariance.variances(), two_pass(rows).diagonal()) < tolerance);
    }
  }
  // The last ones are more than are multiplied at a time.
  for (const auto& [samples, channels, side] :
       std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t>>{
           {30, 24, 1}, {30, 24, 5}, {30, 24, 40}, {30, 150, 5}, {30, 150, 40}, {8, 64, 280}}) {
    CAPTURE(samples, channels, side);
    const torch::Tensor maps = on_gpu(torch::randn({samples, channels, side, side}) + 3);
    const torch::Tensor rows = maps.permute({0, 2, 3, 1}).flatten(1, 2);
    const torch::Tensor expected = two_pass(rows.reshape({-1, channels}));
    Covariance<TestType> by_channel;
    by_channel.update(rows);
    CHECK(relative_error(by_channel.matrix(), expected) < tolerance);
    Covariance<TestType> channels_last;
    channels_last.update(rows.contiguous());
    CHECK(relative_error(channels_last.matrix(), expected) < tolerance);
  }
}

TEST_CASE("Float64 products on a GPU leave nothing but float64's rounding", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(2);
  const torch::Tensor rows = random_rows(3000, 40, 1e4);
  Covariance<double> covariance(Products::Float64);
  for (const torch::Tensor& batch : rows.split(100)) covariance.update(on_gpu(batch));
  CHECK(relative_error(covariance.matrix(), two_pass(rows)) < 1e-13);
}

TEST_CASE("Half precision on a GPU is summed in float32 at least, whatever TF32 is set to",
          "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(3);
  const bool before = at::globalContext().allowTF32CuBLAS();
  at::globalContext().setAllowTF32CuBLAS(true);
  for (const torch::Dtype type : {torch::kHalf, torch::kBFloat16, torch::kFloat}) {
    CAPTURE(type);
    const torch::Tensor rows = random_rows(20000, 64, 1).to(type);
    Covariance<double> covariance;
    covariance.update(on_gpu(rows));
    CHECK(relative_error(covariance.matrix(), two_pass(rows)) < 5e-6);
  }
  CHECK(at::globalContext().allowTF32CuBLAS());
  at::globalContext().setAllowTF32CuBLAS(before);
}

TEST_CASE("Batches with a NaN are left out on a GPU and counted", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(4);
  for (const std::int64_t size : {20, 6000}) {  // that wait, and that do not
    for (const bool first_is_bad : {false, true}) {
      CAPTURE(size, first_is_bad);
      Covariance<double> covariance;
      std::vector<torch::Tensor> good;
      for (int i = 0; i < 9; ++i) {
        torch::Tensor rows = random_rows(size, 30, 5);
        if ((i % 4 == 0) == first_is_bad) {
          rows[size / 2][i] = i % 2 == 0 ? kNaN : INFINITY;
        } else {
          good.push_back(rows);
        }
        covariance.update(on_gpu(rows));
      }
      const torch::Tensor expected = torch::cat(good);
      CHECK(covariance.samples() == expected.size(0));
      CHECK(covariance.skipped_batches() == 9 - static_cast<std::int64_t>(good.size()));
      CHECK(relative_error(covariance.matrix(), two_pass(expected)) < 5e-6);
    }
  }
}

TEST_CASE("Eigenvalues on a GPU are those of a matrix made of them", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(5);
  for (const std::int64_t width : {1, 2, 31, 600, 1100}) {
    CAPTURE(width);
    const torch::Tensor values = torch::logspace(-6, 3, width, 10, torch::kDouble);
    const torch::Tensor basis =
        std::get<0>(torch::linalg_qr(torch::randn({width, width}, torch::kDouble)));
    const torch::Tensor matrix = on_gpu(torch::mm(basis * values, basis.t()));
    const double largest = values[-1].item<double>();
    const auto found = delve::symmetric_eigenvalues(matrix);
    REQUIRE(found);
    const auto approximate = delve::approximate_eigenvalues(matrix);
    REQUIRE(approximate);
    for (std::int64_t i = 0; i < width; ++i) {
      CHECK(std::abs((*found)(i)-values[i].item<double>()) < 1e-12 * largest);
      CHECK(std::abs(approximate->values(i) - values[i].item<double>()) < 3e-6 * largest);
    }
  }
  const torch::Tensor bad =
      torch::full({8, 8}, kNaN, on_gpu(torch::zeros(1)).to(torch::kDouble).options());
  CHECK_FALSE(delve::symmetric_eigenvalues(bad));
  CHECK_FALSE(delve::approximate_eigenvalues(bad));
}

TEST_CASE("A model on a GPU is reported as it is on the host", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(6);
  Mixed model;
  model->to(torch::kDouble);
  const auto report = [&](torch::Device device, const CheckLayerSatOptions& options) {
    model->to(device);
    CheckLayerSat<> tracker("", "csv", model, options);
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (int i = 0; i < 6; ++i) {
        i % 3 == 2 ? model->eval() : model->train();
        model->forward(pictures(300, 10 + i).to(device));
      }
      if (epoch == 0) tracker.add_saturations();
    }
    return tracker.add_saturations();
  };
  for (const auto& change : std::vector<std::function<void(CheckLayerSatOptions&)>>{
           [](auto&) {},
           [](auto& it) { it.sample_rate(0.3); },
           [](auto& it) { it.conv_method(delve::ConvMethod::Median); },
           [](auto& it) { it.conv_method(delve::ConvMethod::Flatten).reset_covariance(false); },
           [](auto& it) {
             it.interpolation_strategy(delve::Interpolation::Bicubic).interpolation_downsampling(3);
           },
           [](auto& it) { it.timeseries_method(delve::TimeseriesMethod::EveryTimestep); },
       }) {
    CheckLayerSatOptions options = quiet().stats(kAll);
    change(options);
    check_same(report(torch::kCUDA, options), report(torch::kCPU, options), 1e-7);
  }
}

TEST_CASE("Sums follow a model that moves between host and GPU", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(7);
  Mixed model;
  model->to(torch::kDouble);
  const auto report = [&](bool moves, CheckLayerSatOptions options) {
    CheckLayerSat<> tracker("", "csv", model, options.stats(kAll));
    for (int i = 0; i < 8; ++i) {
      const torch::Device device = moves && i % 4 >= 2 ? torch::kCUDA : torch::kCPU;
      model->to(device);
      model->forward(pictures(300, 20 + i).to(device));
    }
    return tracker.add_saturations();
  };
  const EpochRecord expected = report(false, quiet());
  Messages messages;
  check_same(report(true, quiet(&messages)), expected, 1e-7);
  check_same(report(true, quiet(&messages).device(torch::Device(torch::kCPU))), expected, 1e-7);
  check_same(report(true, quiet(&messages).device(torch::Device(torch::kCUDA))), expected, 1e-7);
  CHECK(messages.empty());
}

TEST_CASE("No forward waits for the GPU", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(8);
  const torch::NoGradGuard no_grad;
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(2, 64, 3)), nn::Flatten(),
                       nn::Linear(6400, 700));
  model->to(torch::kCUDA);
  // Of a share of the maps' positions, the choice takes more than 64 KB.
  const torch::Tensor maps = torch::randn({600, 2, 12, 12}, torch::kCUDA);
  const torch::Tensor faulty = torch::full_like(maps, kNaN);
  const auto steps = [&] {
    // Each tenth batch has the linear layer's waiting rows summed, the twentieth the convolution's
    // sums added.
    for (int i = 0; i < 22; ++i) model->forward(i == 1 ? faulty : maps);
  };
  for (const auto& [name, change] :
       std::vector<std::pair<std::string, std::function<void(CheckLayerSatOptions&)>>>{
           {"defaults", [](auto&) {}},
           {"float64",
            [](auto& it) {
              it.stats({"lsat", "logdet"});
            }},
           {"embed",
            [](auto& it) {
              it.stats({"lsat", "embed"});
            }},
           {"sample_rate", [](auto& it) { it.sample_rate(0.3); }},
           {"max_samples", [](auto& it) { it.max_samples(1000); }},
           {"Median", [](auto& it) { it.conv_method(delve::ConvMethod::Median); }},
           {"Flatten", [](auto& it) { it.conv_method(delve::ConvMethod::Flatten); }},
           {"Area",
            [](auto& it) {
              it.interpolation_strategy(delve::Interpolation::Area).interpolation_downsampling(3);
            }},
       }) {
    CAPTURE(name);
    CheckLayerSatOptions options = quiet();
    change(options);
    CheckLayerSat<> tracker("", "csv", model, options);
    steps();  // memory, and code that is loaded when it is first used
    tracker.add_saturations();
    {
      const BusyGpu gpu;
      steps();
      CHECK(gpu.is_busy());
    }
    const EpochRecord record = tracker.add_saturations();
    CHECK(find(record, "0", Mode::Train)->skipped_batches == 1);
    CHECK(find(record, "2", Mode::Train)->skipped_batches == 1);
  }
  SECTION("but a report does, as the test must be able to tell") {
    CheckLayerSat<> tracker("", "csv", model, quiet());
    steps();
    const BusyGpu gpu;
    tracker.add_saturations();
    CHECK_FALSE(gpu.is_busy());
  }
}

TEST_CASE("An asynchronous report on a GPU equals one that waits", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(9);
  nn::Sequential model(nn::Linear(32, 700), nn::ReLU(), nn::Linear(700, 40));
  model->to(torch::kCUDA);
  std::vector<torch::Tensor> batches;
  for (int i = 0; i < 12; ++i) batches.push_back(torch::randn({400, 32}, torch::kCUDA));
  CheckLayerSat<> beside("", "csv", model, quiet());
  CheckLayerSat<> stopping("", "csv", model, quiet());
  std::vector<std::shared_future<EpochRecord>> reports;
  std::vector<EpochRecord> expected;
  for (int epoch = 0; epoch < 4; ++epoch) {
    for (const torch::Tensor& batch : batches) {
      model->zero_grad();
      model->forward(batch).square().mean().backward();
      const torch::NoGradGuard no_grad;
      for (torch::Tensor& parameter : model->parameters()) parameter -= 0.1 * parameter.grad();
    }
    reports.push_back(beside.add_saturations_async());
    expected.push_back(stopping.add_saturations());
  }
  for (int epoch = 0; epoch < 4; ++epoch) {
    check_same(reports[static_cast<std::size_t>(epoch)].get(),
               expected[static_cast<std::size_t>(epoch)], 1e-12);
  }
}

TEST_CASE("A checkpoint resumes on the device where its sums were, and follows the model",
          "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(11);
  nn::Sequential model(nn::Linear(32, 70), nn::ReLU(), nn::Linear(70, 40));
  for (const bool begins_on_gpu : {true, false}) {
    for (const std::int64_t count : {50, 5000}) {
      CAPTURE(begins_on_gpu, count);
      model->to(begins_on_gpu ? torch::kCUDA : torch::kCPU);
      CheckLayerSat<> whole("", "csv", model, quiet());
      const torch::Tensor first = torch::randn({count, 32});
      const torch::Tensor second = torch::randn({count, 32});
      const torch::NoGradGuard no_grad;
      for (int i = 0; i < 3; ++i) model->forward(begins_on_gpu ? on_gpu(first) : first);
      REQUIRE(whole.save_state("cuda.state"));
      CheckLayerSat<> resumed("", "csv", model, quiet());
      resumed.load_state("cuda.state");
      CHECK(resumed.memory_usage() == whole.memory_usage());
      model->to(torch::kCUDA);
      for (int i = 0; i < 3; ++i) model->forward(on_gpu(second));
      check_same(resumed.add_saturations(), whole.add_saturations(), 1e-12);
    }
  }
}

TEST_CASE("A layer whose sums have no room on the GPU is reported once and left out", "[cuda]") {
  if (!there_is_a_gpu()) return;
  Messages messages;
  const nn::Linear unused(1, 1);
  CheckLayerSat<> tracker("", "csv", unused, quiet(&messages));
  torch::manual_seed(10);
  const torch::Tensor rows = torch::randn({3000, 20}, torch::kCUDA);
  {
    // d × d numbers would be a terabyte.
    const torch::Tensor wide = torch::zeros({2100, 500000}, torch::kCUDA);
    for (int i = 0; i < 3; ++i) {
      tracker.observe("wide", wide, Mode::Train);
      tracker.observe("narrow", rows, Mode::Train);
    }
  }
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "narrow", Mode::Train)->status == Status::Ok);
  CHECK(find(record, "narrow", Mode::Train)->samples == 9000);
  CHECK(find(record, "wide", Mode::Train)->status != Status::Ok);
  CHECK(std::count_if(messages.begin(), messages.end(), [](const std::string& message) {
          return message.find("wide") != std::string::npos &&
                 message.find("memory") != std::string::npos;
        }) == 1);
}

TEST_CASE("Autocast on a GPU changes nothing but the outputs", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(11);
  nn::Linear model(64, 48);
  model->to(torch::kCUDA);
  CheckLayerSat<> tracker("", "csv", model, quiet().stats({"trc", "lsat"}));
  std::vector<torch::Tensor> outputs;
  {
    const Autocast autocast(c10::DispatchKey::AutocastCUDA);
    for (int i = 0; i < 10; ++i) {
      outputs.push_back(model->forward(torch::randn({500, 64}, torch::kCUDA)).detach());
    }
  }
  CHECK(outputs.front().scalar_type() == torch::kHalf);
  const EpochRecord record = tracker.add_saturations();
  const LayerRecord* layer = find(record, "Linear", Mode::Train);
  REQUIRE(layer != nullptr);
  CHECK(layer->samples == 5000);
  CHECK(layer->values[0].value ==
        Approx(two_pass(torch::cat(outputs)).trace().item<double>()).epsilon(1e-5));
}

TEST_CASE("PCA layers on a GPU project as they do on the host", "[cuda]") {
  if (!there_is_a_gpu()) return;
  torch::manual_seed(12);
  const auto project = [](torch::Device device, auto layer, const torch::Tensor& training,
                          const torch::Tensor& probe) {
    layer->to(device);
    layer->train();
    for (const torch::Tensor& batch : training.split(100)) layer->forward(batch.to(device));
    layer->eval();
    return std::make_pair(layer->forward(probe.to(device)).cpu(), layer->dimensions_kept());
  };
  const auto check_both = [&](const auto& make, const torch::Tensor& training) {
    const torch::Tensor probe = training.slice(0, 0, 50);
    const auto [found, kept] = project(torch::kCUDA, make(), training, probe);
    const auto [expected, kept_on_host] = project(torch::kCPU, make(), training, probe);
    CHECK(kept == kept_on_host);
    CHECK(kept > 1);
    CHECK(relative_error(found, expected) < 1e-9);
  };
  const torch::Tensor rows = random_rows(600, 24).to(torch::kDouble);
  check_both([] { return delve::LinearPCA(delve::LinearPCAOptions(24).threshold(0.99)); }, rows);
  check_both([] { return delve::Conv2dPCA(delve::Conv2dPCAOptions(24).threshold(0.99)); },
             rows.view({150, 2, 2, 24}).permute({0, 3, 1, 2}));

  // Training batches are taken in without a wait.
  delve::LinearPCA layer(delve::LinearPCAOptions(24).threshold(0.99));
  layer->to(torch::kCUDA);
  layer->train();
  const torch::Tensor batch = on_gpu(rows);
  layer->forward(batch);
  const BusyGpu gpu;
  for (int i = 0; i < 4; ++i) layer->forward(batch);
  CHECK(gpu.is_busy());
}

}  // namespace test_cuda
