// SPDX-License-Identifier: MIT
#include <delve/features.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <torch/csrc/autograd/forward_grad.h>
#include <torch/torch.h>

#include "catch.hpp"

namespace test_features {

using delve::ConvMethod;
using delve::data_matrix;
using delve::FeatureOptions;
using delve::Interpolation;
using delve::LayerFamily;
using delve::OutputLayout;
using delve::TimeseriesMethod;
namespace nn = torch::nn;

namespace {

torch::Tensor conv_rows(const torch::Tensor& output, ConvMethod method) {
  FeatureOptions options;
  options.conv_method = method;
  return data_matrix({output}, {LayerFamily::Convolution}, options);
}

torch::Tensor downsampled(const torch::Tensor& output, Interpolation strategy, std::int64_t size) {
  FeatureOptions options;
  options.interpolation_strategy = strategy;
  options.interpolation_downsampling = size;
  return data_matrix({output}, {LayerFamily::Convolution}, options);
}

torch::Tensor series_rows(nn::LSTM& lstm, const torch::Tensor& input, TimeseriesMethod method) {
  const auto [output, states] = lstm(input);
  FeatureOptions options;
  options.timeseries_method = method;
  return data_matrix({output, std::get<0>(states), std::get<1>(states)},
                     {LayerFamily::Recurrent, 0, lstm->options.batch_first()}, options);
}

}  // namespace

TEST_CASE("Every position of a convolution's output is a data point", "[features][conv]") {
  const torch::Tensor pictures =
      torch::arange(2 * 3 * 2 * 2).reshape({2, 3, 2, 2}).to(torch::kFloat);
  for (const torch::Tensor& output :
       {pictures, pictures.contiguous(torch::MemoryFormat::ChannelsLast)}) {
    const torch::Tensor rows = conv_rows(output, ConvMethod::Channelwise);
    REQUIRE(rows.sizes() == torch::IntArrayRef({2, 4, 3}));
    for (int i = 0; i < 2; ++i) {
      for (int position = 0; position < 4; ++position) {
        CHECK(torch::equal(rows[i][position], pictures[i].flatten(1).select(1, position)));
      }
    }
    CHECK(rows.storage().is_alias_of(output.storage()));  // a view: nothing was copied
  }
  CHECK(torch::equal(conv_rows(pictures[1], ConvMethod::Channelwise),
                     conv_rows(pictures, ConvMethod::Channelwise).narrow(0, 1, 1)));
}

TEST_CASE("Positions are those of a copy, however the output lies in memory", "[features][conv]") {
  torch::manual_seed(1);
  const torch::Tensor wide = torch::randn({3, 8, 7, 10});
  for (const torch::Tensor& output :
       {wide, wide.contiguous(torch::MemoryFormat::ChannelsLast), wide.transpose(2, 3),
        wide.narrow(3, 2, 5), wide.narrow(2, 1, 4), wide.narrow(2, 3, 1), wide.narrow(3, 9, 1),
        wide.slice(2, 0, 7, 2), wide.slice(3, 1, 10, 3), wide.slice(1, 0, 8, 3),
        wide.narrow(0, 1, 1), wide.transpose(0, 1), wide.narrow(2, 0, 1).expand({3, 8, 6, 10}),
        wide.mean(std::vector<std::int64_t>{2, 3}, true), torch::randn({2, 3, 9}),
        torch::randn({2, 3, 4, 5, 6}), torch::randn({2, 3, 4, 5, 6}).permute({0, 1, 4, 2, 3}),
        torch::randn({2, 3, 4, 5, 6}).narrow(3, 1, 2), torch::randn({0, 3, 4, 5})}) {
    CAPTURE(output.sizes(), output.strides());
    const torch::Tensor rows = conv_rows(output, ConvMethod::Channelwise);
    const torch::Tensor maps = output.dim() == 3 ? output.unsqueeze(0) : output;  // of one sample
    CHECK(torch::equal(rows, maps.contiguous().movedim(1, -1).flatten(1, -2)));
  }
}

TEST_CASE("Lines and volumes are taken as pictures are", "[features][conv]") {
  for (const torch::Tensor& output : {torch::randn({2, 3, 7}), torch::randn({2, 3, 4, 5, 6})}) {
    const int axes = static_cast<int>(output.dim()) - 2;
    const torch::Tensor by_channel = output.flatten(2);
    const auto rows = [&](const torch::Tensor& maps, ConvMethod method) {
      FeatureOptions options;
      options.conv_method = method;
      return data_matrix({maps}, {LayerFamily::Convolution, axes}, options);
    };
    CAPTURE(axes);
    CHECK(torch::equal(rows(output, ConvMethod::Channelwise), by_channel.transpose(1, 2)));
    CHECK(torch::equal(rows(output[1], ConvMethod::Channelwise),
                       by_channel.narrow(0, 1, 1).transpose(1, 2)));
    CHECK(torch::allclose(rows(output, ConvMethod::Mean), by_channel.mean(2)));
    CHECK(torch::equal(rows(output, ConvMethod::Max), by_channel.amax(2)));
    CHECK(torch::equal(rows(output, ConvMethod::Flatten), output.flatten(1)));
  }
  // Without positions there are only channels, as after a BatchNorm1d of (B, C).
  const torch::Tensor flat = torch::randn({6, 4});
  CHECK(torch::equal(data_matrix({flat}, {LayerFamily::Convolution, 0}, {}), flat));
}

TEST_CASE("Pictures are reduced as the method says", "[features][conv]") {
  torch::manual_seed(1);
  const torch::Tensor pictures = torch::randn({2, 3, 2, 3});
  const torch::Tensor flat = pictures.reshape({2, 3, 6});
  for (const torch::Tensor& output :
       {pictures, pictures.contiguous(torch::MemoryFormat::ChannelsLast)}) {
    CHECK(torch::allclose(conv_rows(output, ConvMethod::Mean), flat.mean(2)));
    CHECK(torch::equal(conv_rows(output, ConvMethod::Max), std::get<0>(flat.max(2))));
    // Of six values the lower median is the third smallest.
    CHECK(torch::equal(conv_rows(output, ConvMethod::Median),
                       std::get<0>(flat.sort(2)).select(2, 2)));
    CHECK(torch::equal(conv_rows(output, ConvMethod::Flatten), pictures.reshape({2, 18})));
  }
}

TEST_CASE("Pictures are made smaller, never larger, and keep their aspect", "[features][conv]") {
  torch::manual_seed(2);
  const torch::Tensor wide = torch::randn({2, 3, 8, 64});
  for (const Interpolation strategy : {Interpolation::Nearest, Interpolation::Bilinear,
                                       Interpolation::Bicubic, Interpolation::Area}) {
    CHECK(downsampled(wide, strategy, 32).size(1) == 4 * 32);
    CHECK(downsampled(wide, strategy, 2).size(1) == 1 * 2);
    CHECK(torch::equal(downsampled(wide, strategy, 64), conv_rows(wide, ConvMethod::Channelwise)));
    CHECK(downsampled(wide.to(torch::kBFloat16), strategy, 32).size(1) == 4 * 32);
    CHECK(downsampled(wide.to(torch::kDouble), strategy, 32).scalar_type() == torch::kDouble);
    const torch::Tensor constant = downsampled(torch::full({1, 2, 9, 9}, 3.0), strategy, 4);
    CHECK(torch::allclose(constant, torch::full({1, 16, 2}, 3.0)));
  }
  const torch::Tensor halved = downsampled(wide, Interpolation::Area, 32);
  CHECK(torch::allclose(
      halved, conv_rows(nn::functional::avg_pool2d(wide, nn::functional::AvgPool2dFuncOptions(2)),
                        ConvMethod::Channelwise)));
}

TEST_CASE("Every position of a Linear's output is a data point", "[features][linear]") {
  const auto rows = [](const torch::Tensor& output) {
    return data_matrix({output}, {LayerFamily::Linear}, {});
  };
  const torch::Tensor output = torch::randn({2, 3, 4, 5});
  CHECK(torch::equal(rows(output), output.reshape({2, 12, 5})));
  CHECK(torch::equal(rows(output[0]), output[0]));
  CHECK(torch::equal(rows(output[0][0]), output[0][0]));
  CHECK(torch::equal(rows(output[0][0][0]), output[0][0].narrow(0, 0, 1)));
}

TEST_CASE("Rows have neither names nor tangents", "[features]") {
  torch::manual_seed(7);
  const auto check = [](const std::vector<torch::Tensor>& outputs, const OutputLayout& layout) {
    const torch::Tensor expected = data_matrix(outputs, layout, {});
    std::vector<torch::Tensor> duals;
    std::vector<torch::Tensor> named;
    const std::uint64_t level = torch::autograd::ForwardADLevel::get_next_idx();
    for (const torch::Tensor& output : outputs) {
      duals.push_back(
          torch::_make_dual(output, torch::ones_like(output), static_cast<std::int64_t>(level)));
      std::vector<torch::Dimname> names;
      for (std::int64_t axis = 0; axis < output.dim(); ++axis) {
        names.push_back(torch::Dimname::fromSymbol(
            torch::Symbol::dimname(std::string(1, static_cast<char>('A' + axis)))));
      }
      named.push_back(output.rename(torch::DimnameList(names)));
    }
    REQUIRE(duals[0]._fw_grad(level).defined());
    REQUIRE(named[0].has_names());
    const torch::Tensor of_duals = data_matrix(duals, layout, {});
    const torch::Tensor of_named = data_matrix(named, layout, {});
    CHECK(torch::equal(of_duals, expected));
    CHECK_FALSE(of_duals._fw_grad(level).defined());
    CHECK_FALSE(of_named.has_names());
    CHECK(torch::equal(of_named, expected));
    torch::autograd::ForwardADLevel::release_idx(level);
  };
  check({torch::randn({6, 4})}, {LayerFamily::Linear});
  check({torch::randn({6, 3, 4})}, {LayerFamily::Linear});
  check({torch::randn({6, 4, 3, 3})}, {LayerFamily::Convolution});
  check({torch::randn({4, 3, 3})}, {LayerFamily::Convolution});
  check({torch::randn({5, 6, 4}), torch::randn({2, 6, 4})}, {LayerFamily::Recurrent, 0, false});
}

TEST_CASE("The last timestep is found whichever axis is time", "[features][lstm]") {
  torch::manual_seed(3);
  const torch::Tensor input = torch::randn({4, 6, 5});  // four series of six timesteps
  nn::LSTM batch_first(nn::LSTMOptions(5, 7).num_layers(2).batch_first(true));
  nn::LSTM time_first(nn::LSTMOptions(5, 7).num_layers(2));
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < time_first->parameters().size(); ++i) {
    time_first->parameters()[i].copy_(batch_first->parameters()[i]);
  }
  const torch::Tensor expected = std::get<0>(batch_first(input)).select(1, -1);
  const auto method = TimeseriesMethod::LastTimestep;
  CHECK(torch::equal(series_rows(batch_first, input, method), expected));
  CHECK(torch::allclose(series_rows(time_first, input.transpose(0, 1), method), expected));
}

TEST_CASE("A backward half ends at the first timestep", "[features][lstm]") {
  torch::manual_seed(4);
  nn::LSTM lstm(nn::LSTMOptions(5, 7).bidirectional(true).batch_first(true));
  const torch::Tensor input = torch::randn({4, 6, 5});
  const torch::Tensor output = std::get<0>(lstm(input));
  const torch::Tensor expected =
      torch::cat({output.select(1, -1).narrow(1, 0, 7), output.select(1, 0).narrow(1, 7, 7)}, 1);
  CHECK(torch::equal(series_rows(lstm, input, TimeseriesMethod::LastTimestep), expected));
}

TEST_CASE("A packed series ends where its own data ends", "[features][lstm]") {
  torch::manual_seed(5);
  nn::LSTM lstm(nn::LSTMOptions(5, 7));
  const torch::Tensor input = torch::randn({4, 3, 5});
  const auto packed = nn::utils::rnn::pack_padded_sequence(input, torch::tensor({4, 2, 1}));
  const auto [output, states] = lstm->forward_with_packed_input(packed);
  const std::vector<torch::Tensor> outputs = {output.data(), std::get<0>(states)};
  FeatureOptions options;
  const torch::Tensor rows = data_matrix(outputs, {LayerFamily::Recurrent, 0, false}, options);
  const torch::Tensor whole = std::get<0>(lstm(input));
  CHECK(torch::allclose(rows[0], whole[3][0]));
  CHECK(torch::allclose(rows[1], whole[1][1]));
  CHECK(torch::allclose(rows[2], whole[0][2]));

  options.timeseries_method = TimeseriesMethod::EveryTimestep;
  CHECK(data_matrix(outputs, {LayerFamily::Recurrent, 0, false}, options).sizes() ==
        torch::IntArrayRef({7, 7}));
  options.timeseries_method = TimeseriesMethod::Timestepwise;
  CHECK_THROWS_AS(data_matrix(outputs, {LayerFamily::Recurrent, 0, false}, options),
                  std::invalid_argument);
}

TEST_CASE("A series is taken whole, or timestep by timestep", "[features][lstm]") {
  torch::manual_seed(6);
  for (const bool batch_first : {true, false}) {
    nn::LSTM lstm(nn::LSTMOptions(5, 7).batch_first(batch_first));
    const torch::Tensor input = torch::randn({4, 6, 5});
    const torch::Tensor output = std::get<0>(lstm(input));
    const torch::Tensor series = batch_first ? output : output.transpose(0, 1);
    CHECK(torch::equal(series_rows(lstm, input, TimeseriesMethod::Timestepwise),
                       series.reshape({series.size(0), -1})));
    CHECK(torch::equal(series_rows(lstm, input, TimeseriesMethod::EveryTimestep), series));
  }
}

}  // namespace test_features
