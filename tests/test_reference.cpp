// SPDX-License-Identifier: MIT
// Our numbers against those of Delve (Python): tests/data/reference/README.md.

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "npy.hpp"
#include "tracker.hpp"

namespace test_reference {

namespace {

using delve::CheckLayerSatOptions;

const std::filesystem::path kReference = delve_test::data("reference");

torch::nn::Sequential make_mlp() {
  return torch::nn::Sequential(torch::nn::Linear(20, 48), torch::nn::ReLU(),
                               torch::nn::Linear(48, 64), torch::nn::ReLU(),
                               torch::nn::Linear(64, 10));
}

struct CnnImpl : torch::nn::Module {
  torch::nn::Sequential features = register_module(
      "features",
      torch::nn::Sequential(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 12, 3).padding(1)),
                            torch::nn::ReLU(torch::nn::ReLUOptions().inplace(true)),
                            torch::nn::MaxPool2d(2),
                            torch::nn::Conv2d(torch::nn::Conv2dOptions(12, 24, 3).padding(1)),
                            torch::nn::ReLU(torch::nn::ReLUOptions().inplace(true)),
                            torch::nn::AdaptiveAvgPool2d(2)));
  torch::nn::Flatten flatten = register_module("flatten", torch::nn::Flatten());
  torch::nn::Linear classifier = register_module("classifier", torch::nn::Linear(96, 10));

  torch::Tensor forward(const torch::Tensor& input) {
    return classifier(flatten(features->forward(input)));
  }
};
TORCH_MODULE(Cnn);

struct LstmImpl : torch::nn::Module {
  torch::nn::LSTM lstm = register_module(
      "lstm", torch::nn::LSTM(torch::nn::LSTMOptions(12, 24).num_layers(2).batch_first(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(24, 5));

  torch::Tensor forward(const torch::Tensor& input) {
    return head(std::get<0>(lstm(input)).select(1, -1));
  }
};
TORCH_MODULE(Lstm);

/// The table of a CSV file: its lines, each a list of cells.
std::vector<std::vector<std::string>> read_table(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> table;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ';');) cells.push_back(cell);
    table.push_back(std::move(cells));
  }
  return table;
}

void load_parameters(torch::nn::Module& model, const std::filesystem::path& folder) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model.named_parameters()) {
    parameter.value().copy_(delve_test::read_npy(folder / ("param." + parameter.key() + ".npy")));
  }
}

/// Runs a case as Delve was run, and returns the path of the table that is left.
template <typename Scalar, typename Model>
std::filesystem::path run(const std::string& name, Model model, const std::string& data,
                          CheckLayerSatOptions options) {
  const std::filesystem::path folder = kReference / "data" / data;
  load_parameters(*model, folder);
  const std::string savefile = "reference/" + name;
  options.idim_rule(delve::IdimRule::Delve);
  delve::CheckLayerSat<Scalar> tracker(savefile, "csv", model, options);
  const torch::NoGradGuard no_grad;
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const auto& [mode, batches] : {std::pair("train", 3), std::pair("eval", 2)}) {
      model->train(mode == std::string("train"));
      for (int batch = 0; batch < batches; ++batch) {
        model->forward(delve_test::read_npy(folder / ("input." + std::string(mode) + "." +
                                                      std::to_string(epoch) + "." +
                                                      std::to_string(batch) + ".npy")));
      }
    }
    tracker.add_scalar("accuracy", epoch == 0 ? 0.25 : 0.5833333333333333);
    tracker.add_saturations();
  }
  return savefile + ".csv";
}

void check_cell(const std::string& column, const std::string& expected, const std::string& found) {
  INFO(column);
  const double want = std::stod(expected);
  const double have = std::stod(found);
  if (column.find("trace") != std::string::npos) {
    CHECK(have == Approx(want).epsilon(1e-5));
  } else if (column.find("determinant") != std::string::npos) {
    // Below this Delve's own determinant is rounding.
    if (std::abs(want) > 1e-12) CHECK(have == Approx(want).epsilon(1e-3));
  } else {
    CHECK(have == want);
  }
}

template <typename Scalar, typename Model>
void check_case(const std::string& name, Model model, const std::string& data,
                const CheckLayerSatOptions& options) {
  INFO(name << " in sums of " << sizeof(Scalar) << " bytes");
  const auto found = read_table(run<Scalar>(name, model, data, options));
  const auto expected = read_table(kReference / name / "expected.csv");
  REQUIRE(expected.size() == 3);
  REQUIRE(found.size() == expected.size());
  REQUIRE(found[0] == expected[0]);
  for (std::size_t row = 1; row < expected.size(); ++row) {
    REQUIRE(found[row].size() == expected[row].size());
    for (std::size_t column = 0; column < expected[row].size(); ++column) {
      check_cell(expected[0][column], expected[row][column], found[row][column]);
    }
  }
}

const std::vector<std::string> kAllStats = {"lsat", "idim", "det", "trc", "dtrc"};
const std::vector<std::string> kWithoutDet = {"lsat", "idim", "trc", "dtrc"};

}  // namespace

TEMPLATE_TEST_CASE("A perceptron's numbers are Delve's", "[reference]", float, double) {
  const auto all = CheckLayerSatOptions().stats(kAllStats);
  check_case<TestType>("mlp_all_stats", make_mlp(), "mlp.0", all);
  check_case<TestType>(
      "mlp_log_interval", make_mlp(), "mlp.0",
      CheckLayerSatOptions(all).log_interval(2).log_sampling(delve::LogSampling::Every));
  check_case<TestType>("mlp_max_samples", make_mlp(), "mlp.0",
                       CheckLayerSatOptions(all).max_samples(100));
}

TEMPLATE_TEST_CASE("Other thresholds give Delve's numbers too", "[reference]", float, double) {
  const auto options = CheckLayerSatOptions().stats({"lsat", "idim"});
  check_case<TestType>("mlp_threshold_090", make_mlp(), "mlp.0",
                       CheckLayerSatOptions(options).sat_threshold(0.9));
  check_case<TestType>("mlp_threshold_0975", make_mlp(), "mlp.0",
                       CheckLayerSatOptions(options).sat_threshold(0.975));
  check_case<TestType>("mlp_threshold_09995", make_mlp(), "mlp.2",
                       CheckLayerSatOptions(options).sat_threshold(0.9995));
}

TEMPLATE_TEST_CASE("A convolutional network's numbers are Delve's", "[reference]", float, double) {
  using delve::ConvMethod;
  using delve::Interpolation;
  const auto all = CheckLayerSatOptions().stats(kAllStats);
  check_case<TestType>("cnn_channelwise", Cnn(), "cnn.0", all);
  check_case<TestType>("cnn_mean", Cnn(), "cnn.0",
                       CheckLayerSatOptions(all).conv_method(ConvMethod::Mean));
  check_case<TestType>("cnn_max", Cnn(), "cnn.0",
                       CheckLayerSatOptions(all).conv_method(ConvMethod::Max));
  check_case<TestType>("cnn_median", Cnn(), "cnn.0",
                       CheckLayerSatOptions(all).conv_method(ConvMethod::Median));
  check_case<TestType>("cnn_flatten", Cnn(), "cnn.0",
                       CheckLayerSatOptions().stats(kWithoutDet).conv_method(ConvMethod::Flatten));
  const auto small = CheckLayerSatOptions(all).interpolation_downsampling(3);
  check_case<TestType>("cnn_interpolate_nearest", Cnn(), "cnn.0",
                       CheckLayerSatOptions(small).interpolation_strategy(Interpolation::Nearest));
  check_case<TestType>("cnn_interpolate_bilinear", Cnn(), "cnn.0",
                       CheckLayerSatOptions(small).interpolation_strategy(Interpolation::Bilinear));
}

TEMPLATE_TEST_CASE("A recurrent network's numbers are Delve's", "[reference]", float, double) {
  using delve::TimeseriesMethod;
  check_case<TestType>("lstm_last_timestep", Lstm(), "lstm.0",
                       CheckLayerSatOptions().stats(kAllStats));
  check_case<TestType>(
      "lstm_timestepwise", Lstm(), "lstm.1",
      CheckLayerSatOptions().stats(kWithoutDet).timeseries_method(TimeseriesMethod::Timestepwise));
}

}  // namespace test_reference
