// SPDX-License-Identifier: MIT
// What the tests of Delve (Python) 0.1.50 do, by their descriptions, with something asserted.

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <torch/torch.h>

#include <delve/delve.hpp>
#include <delve/pca.hpp>
#include <delve/reconstruct.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "tracker.hpp"

namespace test_delves_tests {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve_test::find;
namespace fs = std::filesystem;
namespace nn = torch::nn;

namespace {

std::string fresh(const std::string& name) {
  return (delve_test::fresh_folder(fs::path("delves_tests") / name) / "run").string();
}

CheckLayerSatOptions options(std::vector<std::string> stats) {
  return CheckLayerSatOptions().stats(std::move(stats)).on_warning([](std::string_view) {});
}

/// A Linear of 88 units, and after it a PCA layer.
nn::Sequential dense_with_pca(double threshold = 0.99) {
  return nn::Sequential(nn::Linear(10, 88),
                        delve::LinearPCA(delve::LinearPCAOptions(88).threshold(threshold)));
}

nn::Sequential conv_with_pca() {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 8, 3)),
                        delve::Conv2dPCA(delve::Conv2dPCAOptions(8).centering(true)));
}

/// The number of directions in which rows vary.
std::int64_t rank_of(const torch::Tensor& rows) {
  const torch::Tensor centred = rows.to(torch::kDouble) - rows.to(torch::kDouble).mean(0);
  const torch::Tensor sizes = std::get<1>(torch::linalg_svd(centred, /*full_matrices=*/false));
  return (sizes > 1e-4 * sizes[0]).sum().item<std::int64_t>();
}

torch::Tensor by_channel(const torch::Tensor& pictures) {
  return pictures.movedim(1, -1).reshape({-1, pictures.size(1)});
}

}  // namespace

TEST_CASE("Dense saturation runs with many writers", "[delve]") {
  torch::manual_seed(1);
  const std::string savefile = fresh("many_writers");
  nn::Sequential model(nn::Linear(10, 88));
  std::ostringstream console;
  const auto plot = std::make_shared<delve::PlotWriter>(savefile, [] {
    delve::PlotOptions plot_options;
    plot_options.font_size = 16;
    plot_options.primary_metric = "test_accuracy";
    return plot_options;
  }());
  CheckLayerSat tracker(
      savefile,
      {"csv", plot, "npy", std::make_shared<delve::ConsoleWriter>(delve::ConsoleOptions{&console})},
      model, options({"lsat", "idim"}));
  model->forward(torch::randn({5, 10}));
  tracker.add_scalar("test_accuracy", 1.0);
  const EpochRecord record = tracker.add_saturations();
  tracker.close();

  // Five points lie in four dimensions around their mean, and need all of them.
  const double idim = record.layers.at(0).values.at(1).value;
  CHECK(idim == 4);
  CHECK(record.layers[0].values[0].value == idim / 88);
  CHECK(delve_test::read(savefile + ".csv") ==
        ";test_accuracy;train-saturation_0;train-intrinsic-dimensionality_0\n0;1;" +
            fmt::format("{}", idim / 88) + ";4\n");
  CHECK(fs::file_size(savefile + "_lsat_train_epoch_0.png") > 1000);
  CHECK(console.str().find("test_accuracy 1") != std::string::npos);
  const auto stored = delve::reconstruct(savefile);
  REQUIRE(stored.size() == 1);
  CHECK(stored[0].scalars == record.scalars);
  CHECK(stored[0].layers.at(0).values.size() == 2);
}

TEST_CASE("Dense saturation runs, and is reported even where nobody asks for it", "[delve]") {
  const std::string savefile = fresh("dense");
  nn::Sequential model(nn::Linear(10, 88));
  {
    CheckLayerSat tracker(savefile, "csv", model, options({"lsat", "idim"}));
    model->forward(torch::randn({5, 10}));
  }
  CHECK(delve_test::read(savefile + ".csv").find("\n0;") != std::string::npos);
}

TEST_CASE("Dense saturation runs with PCA", "[delve][pca]") {
  torch::manual_seed(2);
  nn::Sequential model = dense_with_pca();
  CheckLayerSat tracker("unused", "csv", model, options({"lsat", "idim"}).nosave(true));
  const torch::Tensor input = torch::randn({50, 10});
  const torch::Tensor output = model->forward(input);
  CHECK(torch::equal(output, model->ptr<nn::LinearImpl>(0)->forward(input)));
  model->eval();
  const torch::Tensor projected = model->forward(input);
  const EpochRecord record = tracker.add_saturations();
  // The layer keeps as many directions as the tracker counts.
  const double idim = find(record, "0", Mode::Train)->values.at(1).value;
  CHECK(idim > 1);
  CHECK(static_cast<double>(rank_of(projected)) == idim);
  CHECK(delve::pca_summaries(*model).at(0).dimensions_kept == static_cast<std::int64_t>(idim));
}

TEST_CASE("Convolutional saturation runs with PCA", "[delve][pca]") {
  torch::manual_seed(3);
  nn::Sequential model = conv_with_pca();
  CheckLayerSat tracker("unused", "csv", model, options({"lsat", "idim"}).nosave(true));
  const torch::Tensor input =
      torch::randn({5, 3, 10, 10}) * torch::tensor({3., 1., 0.1}).view({3, 1, 1});
  model->forward(input);
  model->eval();
  const torch::Tensor projected = model->forward(input);
  const EpochRecord record = tracker.add_saturations();
  const double idim = find(record, "0", Mode::Train)->values.at(1).value;
  CHECK(static_cast<double>(rank_of(by_channel(projected))) == idim);
}

TEST_CASE("Random directions are injected into all PCA layers", "[delve][pca]") {
  torch::manual_seed(4);
  nn::Sequential model = conv_with_pca();
  const torch::Tensor input = torch::randn({5, 3, 10, 10});
  const torch::Tensor output = model->forward(input);
  model->eval();
  delve::set_pca_threshold(*model, 0.6);
  const torch::Tensor leading = model->forward(input);
  delve::set_pca_random_directions(*model, true, /*seed=*/1);
  const torch::Tensor random = model->forward(input);
  CHECK(rank_of(by_channel(random)) == rank_of(by_channel(leading)));
  // What random directions keep of the data is less than what the leading ones keep.
  CHECK((random - output).square().sum().item<double>() >
        1.5 * (leading - output).square().sum().item<double>());
}

TEST_CASE("The threshold of all PCA layers is changed", "[delve][pca]") {
  torch::manual_seed(5);
  nn::Sequential model = conv_with_pca();
  const torch::Tensor input = torch::randn({5, 3, 10, 10});
  model->forward(input);
  model->eval();
  std::vector<std::int64_t> ranks;
  for (const double threshold : {0.3, 0.7, 0.999}) {
    delve::set_pca_threshold(*model, threshold);
    ranks.push_back(rank_of(by_channel(model->forward(input))));
  }
  CHECK(ranks[0] < ranks[1]);
  CHECK(ranks[1] < ranks[2]);
}

TEST_CASE("LSTM saturation runs, by the last timestep and by all", "[delve][lstm]") {
  using delve::TimeseriesMethod;
  torch::manual_seed(6);
  const torch::Tensor input = torch::randn({5, 3, 10});
  const auto report = [&](TimeseriesMethod method) {
    nn::LSTM lstm(nn::LSTMOptions(10, 88).num_layers(2).batch_first(true));
    CheckLayerSat tracker("unused", "csv", {{"lstm", lstm}},
                          options({"lsat", "idim"}).timeseries_method(method).nosave(true));
    const torch::Tensor output = std::get<0>(lstm(input));
    const EpochRecord record = tracker.add_saturations();
    return std::pair(record.layers.at(0), output);
  };
  const auto [last, output] = report(TimeseriesMethod::LastTimestep);
  CHECK(last.width == 88);
  CHECK(last.samples == 5);
  CHECK(last.values[1].value <= static_cast<double>(rank_of(output.select(1, 2))));
  CHECK(report(TimeseriesMethod::Timestepwise).first.width == 3 * 88);
  CHECK(report(TimeseriesMethod::EveryTimestep).first.samples == 3 * 5);
}

TEST_CASE("LSTM saturation runs with the embedded sample", "[delve][lstm]") {
  torch::manual_seed(7);
  nn::LSTM lstm(nn::LSTMOptions(10, 88).num_layers(2).batch_first(true));
  CheckLayerSat tracker("unused", "csv", {{"lstm", lstm}},
                        options({"lsat", "idim", "embed"}).nosave(true));
  lstm(torch::randn({5, 3, 10}));
  lstm(torch::randn({8, 3, 10}));  // Delve forgets the first five here
  EpochRecord record = tracker.add_saturations();
  REQUIRE(record.layers.at(0).arrays.size() == 1);
  CHECK(record.layers[0].arrays[0].array->rows() == 13);
  CHECK(record.layers[0].arrays[0].array->cols() == 2);
  lstm(torch::randn({4, 3, 10}));
  record = tracker.add_saturations();
  CHECK(record.layers.at(0).arrays.at(0).array->rows() == 4);
}

}  // namespace test_delves_tests
