// SPDX-License-Identifier: MIT

// The steps from a layer's output to its statistics, each alone (docs/concepts.md, "From a forward
// to a file").

#include <cstdint>      // std::int64_t
#include <iterator>     // std::size
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <benchmark/benchmark.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <Eigen/Core>
#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/features.hpp>
#include <delve/forward_hook.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistics.hpp>

namespace {

using benchmark::State;

void set_rows_of(State& state, std::int64_t rows) {
  state.SetItemsProcessed(state.iterations() * rows);
}

// --- Hook dispatch: what a forward costs with hooks that do nothing

enum class Hooked { None, Itself, Another };

void hook_dispatch(State& state, Hooked hooked) {
  const torch::NoGradGuard no_grad;
  torch::nn::Linear module(8, 8);
  const torch::nn::Linear other(8, 8);
  const torch::Tensor input = torch::randn({8, 8});
  std::optional<delve::RemovableHandle> handle;
  if (hooked != Hooked::None) {
    handle.emplace(delve::register_forward_hook(hooked == Hooked::Itself ? module : other,
                                                [](const delve::ForwardCall&) {}));
  }
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(module->forward(input));
}
BENCHMARK_CAPTURE(hook_dispatch, none, Hooked::None);
BENCHMARK_CAPTURE(hook_dispatch, itself, Hooked::Itself);
BENCHMARK_CAPTURE(hook_dispatch, another, Hooked::Another);

// --- Data matrix: of a convolution, 64 × 64 × 16 × 16

void data_matrix(State& state, at::MemoryFormat format, delve::ConvMethod method) {
  const std::vector<torch::Tensor> outputs = {torch::randn({64, 64, 16, 16}).contiguous(format)};
  const delve::OutputLayout layout{delve::LayerFamily::Convolution};
  delve::FeatureOptions options;
  options.conv_method = method;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(delve::data_matrix(outputs, layout, options));
  }
}
BENCHMARK_CAPTURE(data_matrix, channelwise, at::MemoryFormat::Contiguous,
                  delve::ConvMethod::Channelwise);
BENCHMARK_CAPTURE(data_matrix, channelwise_channels_last, at::MemoryFormat::ChannelsLast,
                  delve::ConvMethod::Channelwise);
BENCHMARK_CAPTURE(data_matrix, mean, at::MemoryFormat::Contiguous, delve::ConvMethod::Mean);
BENCHMARK_CAPTURE(data_matrix, mean_channels_last, at::MemoryFormat::ChannelsLast,
                  delve::ConvMethod::Mean);

// --- Covariance: by d and n, and by how a convolution's output is stored

void covariance_update(State& state, delve::Products products) {
  const torch::Tensor rows = torch::randn({state.range(1), state.range(0)});
  delve::Covariance<> covariance(products);
  covariance.update(rows);
  for ([[maybe_unused]] auto _ : state) covariance.update(rows);
  set_rows_of(state, state.range(1));
}
void by_width_and_rows(benchmark::internal::Benchmark* it) {
  it->ArgNames({"d", "n"})->ArgsProduct({{64, 512, 4096}, {32, 512, 8192}});
}
BENCHMARK_CAPTURE(covariance_update, float32, delve::Products::Float32)
    ->Apply(by_width_and_rows)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(covariance_update, float64, delve::Products::Float64)
    ->Apply(by_width_and_rows)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void covariance_update_pictures(State& state, at::MemoryFormat format) {
  const torch::Tensor maps =
      torch::randn({64, state.range(0), state.range(1), state.range(1)}).contiguous(format);
  const torch::Tensor rows =
      delve::data_matrix({maps}, {delve::LayerFamily::Convolution}, delve::FeatureOptions());
  delve::Covariance<> covariance;
  covariance.update(rows);
  for ([[maybe_unused]] auto _ : state) covariance.update(rows);
  set_rows_of(state, rows.size(0) * rows.size(1));
}
// As in VGG16: channels and the side of a picture.
void by_channels_and_side(benchmark::internal::Benchmark* it) {
  it->ArgNames({"c", "side"})->Args({64, 32})->Args({128, 16})->Args({256, 8})->Args({512, 4});
}
BENCHMARK_CAPTURE(covariance_update_pictures, nchw, at::MemoryFormat::Contiguous)
    ->Apply(by_channels_and_side)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(covariance_update_pictures, channels_last, at::MemoryFormat::ChannelsLast)
    ->Apply(by_channels_and_side)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// --- From sums to statistics, by d

delve::Covariance<> filled(std::int64_t width) {
  delve::Covariance<> covariance;
  covariance.update(torch::randn({2 * std::max<std::int64_t>(width, 1024), width}));
  return covariance;
}

void by_width(benchmark::internal::Benchmark* it) {
  it->ArgName("d")->RangeMultiplier(4)->Range(64, 4096)->Unit(benchmark::kMicrosecond);
  it->UseRealTime();
}

void covariance_matrix(State& state) {
  delve::Covariance<> covariance = filled(state.range(0));
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(covariance.matrix());
}
BENCHMARK(covariance_matrix)->Apply(by_width);

void symmetric_eigenvalues(State& state) {
  const torch::Tensor matrix = filled(state.range(0)).matrix();
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(delve::symmetric_eigenvalues(matrix));
  }
}
BENCHMARK(symmetric_eigenvalues)->Apply(by_width);

void spectrum_and_statistics(State& state) {
  const Eigen::VectorXd eigenvalues =
      Eigen::VectorXd::LinSpaced(state.range(0), 1, static_cast<double>(state.range(0)))
          .cwiseInverse();
  std::vector<delve::Statistic> statistics;
  for (const std::string_view name : {"lsat", "idim", "trc", "dtrc", "participation_ratio",
                                      "stable_rank", "logdet", "effective_rank", "entropy"}) {
    statistics.push_back(delve::find_statistic(name));
  }
  for ([[maybe_unused]] auto _ : state) {
    const delve::Spectrum spectrum(eigenvalues, eigenvalues.size());
    const delve::LayerMeasurement layer{spectrum, eigenvalues.sum(), 2 * eigenvalues.size(), 0.99,
                                        delve::IdimRule::ExplainedVariance};
    for (const delve::Statistic& statistic : statistics) {
      benchmark::DoNotOptimize(statistic.value(layer));
    }
  }
}
BENCHMARK(spectrum_and_statistics)->Apply(by_width);

}  // namespace

BENCHMARK_MAIN();
