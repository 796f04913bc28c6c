// SPDX-License-Identifier: MIT
// What statistics need beyond eigenvalues, from a forward to the record.

#include <cmath>
#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_tracker_statistics {

using delve::ArrayValue;
using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve_test::find;
using delve_test::quiet;
namespace nn = torch::nn;

namespace {

/// The array of a statistic; an empty one where there is none.
Eigen::MatrixXd array_of(const LayerRecord& layer, const std::string& stat) {
  for (const ArrayValue& it : layer.arrays) {
    if (it.stat == stat) return *it.array;
  }
  return {};
}

torch::Tensor to_torch(const Eigen::MatrixXd& matrix) {
  torch::Tensor tensor = torch::empty({matrix.cols(), matrix.rows()}, torch::kDouble);
  std::copy(matrix.data(), matrix.data() + matrix.size(), tensor.data_ptr<double>());
  return tensor.t();
}

/// Data of a few strong directions, far from the origin.
torch::Tensor rows(std::int64_t count, std::int64_t width) {
  const torch::Tensor scales = torch::logspace(1, -2, width);
  return torch::randn({count, width}) * scales + 50;
}

}  // namespace

TEST_CASE("The covariance matrix leaves the device as it is", "[tracker][statistics]") {
  torch::manual_seed(1);
  for (const std::int64_t count : {400, 5}) {  // 5: fewer data points than dimensions
    nn::Linear layer(12, 8);
    CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"lsat", "cov", "eigenvalues"}));
    const torch::Tensor output = layer(rows(count, 12)).to(torch::kDouble);
    const EpochRecord record = tracker.add_saturations();
    REQUIRE(record.layers.size() == 1);
    const LayerRecord& found = record.layers[0];
    CHECK(found.values.size() == 1);
    const torch::Tensor centred = output - output.mean(0);
    const torch::Tensor sigma = centred.t().mm(centred) / count;
    CHECK(torch::allclose(to_torch(array_of(found, "cov")), sigma, 1e-5, 1e-6));
    CHECK(found.arrays[0].quantity == "covariance-matrix");
    const Eigen::MatrixXd eigenvalues = array_of(found, "eigenvalues");
    REQUIRE(eigenvalues.rows() == 8);
    CHECK(torch::allclose(to_torch(eigenvalues).squeeze(1), torch::linalg_eigvalsh(sigma).flip(0),
                          1e-5, 1e-6));
  }
}

TEST_CASE("The embedded sample is the data on the two leading eigenvectors",
          "[tracker][statistics]") {
  torch::manual_seed(2);
  nn::Linear layer(12, 8);
  CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"embed"}));
  std::vector<torch::Tensor> outputs;
  for (int batch = 0; batch < 3; ++batch) outputs.push_back(layer(rows(60, 12)).detach());
  const EpochRecord record = tracker.add_saturations();
  const torch::Tensor all = torch::cat(outputs).to(torch::kDouble);
  const torch::Tensor embedded = to_torch(array_of(record.layers[0], "embed"));
  REQUIRE(embedded.sizes() == torch::IntArrayRef({180, 2}));  // small enough to be kept whole
  // Independently: left singular vectors, scaled, of the centred data; their signs are free.
  const auto svd = torch::linalg_svd(all - all.mean(0), /*full_matrices=*/false);
  const torch::Tensor expected = (std::get<0>(svd) * std::get<1>(svd)).narrow(1, 0, 2);
  for (int axis = 0; axis < 2; ++axis) {
    const torch::Tensor found = embedded.select(1, axis);
    const torch::Tensor want = expected.select(1, axis);
    const double sign = (found * want).sum().item<double>() > 0 ? 1 : -1;
    CHECK(torch::allclose(found, want * sign, 1e-4, 1e-3));
  }
  // No plane holds more of the variance.
  CHECK(embedded.var(0, false).sum().item<double>() ==
        Approx(std::get<1>(svd).narrow(0, 0, 2).square().sum().item<double>() / 180).epsilon(1e-4));
}

TEST_CASE("The embedded sample is bounded and spread over the epoch", "[tracker][statistics]") {
  torch::manual_seed(3);
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(1, 3, 1).bias(false)));
  torch::NoGradGuard(), model[0]->as<nn::Conv2d>()->weight.fill_(1);
  CheckLayerSat tracker("unused", "csv", model, quiet().stats({"embed"}));
  const int batches = 200;
  for (int batch = 0; batch < batches; ++batch) {
    model->forward(torch::full({2, 1, 8, 8}, static_cast<float>(batch)) +
                   1e-3 * torch::randn({2, 1, 8, 8}));
  }
  const Eigen::MatrixXd embedded = array_of(tracker.add_saturations().layers[0], "embed");
  CHECK(embedded.rows() > 1000);
  CHECK(embedded.rows() <= 64 * 64);
  // All three channels are the batch's number: the first axis is √3 times it, centred.
  const Eigen::VectorXd number = embedded.col(0).cwiseAbs() / std::sqrt(3.0);
  CHECK(number.maxCoeff() == Approx((batches - 1) / 2.0).margin(4));
  const double mean_square = number.squaredNorm() / static_cast<double>(number.size());
  CHECK(mean_square == Approx((batches * batches - 1) / 12.0).epsilon(0.05));
}

TEST_CASE("A layer of one unit has one axis to be embedded on", "[tracker][statistics]") {
  nn::Linear layer(3, 1);
  CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"embed", "entropy", "lsat"}));
  layer(torch::randn({30, 3}));
  const EpochRecord record = tracker.add_saturations();
  CHECK(array_of(record.layers[0], "embed").cols() == 1);
  CHECK(record.layers[0].values[0].value == 0);
  CHECK(record.layers[0].values[1].value == 1);
}

TEST_CASE("Dead units are counted, whether or not there are enough data points",
          "[tracker][statistics]") {
  torch::manual_seed(4);
  for (const std::int64_t count : {500, 6}) {
    nn::Linear layer(4, 10);
    {
      const torch::NoGradGuard no_grad;
      layer->weight.narrow(0, 2, 3).zero_();  // three units that always return their bias
    }
    CheckLayerSat tracker("unused", "csv", layer, quiet().stats({"dead", "samples"}));
    layer(torch::randn({count, 4}));
    const EpochRecord record = tracker.add_saturations();
    CHECK(record.layers[0].values[0].value == 3);
    CHECK(record.layers[0].values[1].value == static_cast<double>(count));
  }
}

TEST_CASE("A statistic of one mode is in no other", "[tracker][statistics]") {
  torch::manual_seed(5);
  nn::Linear layer(4, 3);
  CheckLayerSat tracker("unused", "csv", layer,
                        quiet().stats({"lsat_eval", "trc"}).average_sat(true));
  layer(torch::randn({50, 4}));
  layer->eval();
  layer(torch::randn({50, 4}));
  const EpochRecord record = tracker.add_saturations();
  REQUIRE(find(record, "Linear", Mode::Train)->values.size() == 1);
  CHECK(find(record, "Linear", Mode::Train)->values[0].stat == "trc");
  const LayerRecord& eval = *find(record, "Linear", Mode::Eval);
  REQUIRE(eval.values.size() == 2);
  CHECK(eval.values[0].quantity == "saturation");
  REQUIRE(record.scalars.size() == 1);  // of training there is no saturation to average
  CHECK(record.scalars[0] ==
        std::pair<std::string, double>("average-eval-sat", eval.values[0].value));

  using delve::CheckLayerSatOptions;
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", layer, quiet().stats({"lsat_train", "lsat"})),
                    ContainsSubstring("\"lsat_train\" and \"lsat\""));
  CHECK_NOTHROW(CheckLayerSat("unused", "csv", layer, quiet().stats({"lsat_train", "lsat_eval"})));
}

TEST_CASE("Small eigenvalues are trusted where a statistic hangs on them",
          "[tracker][statistics]") {
  // Eigenvalues i⁻³, as in a layer with a long tail: in float32 log-determinant and effective rank
  // go wrong in the fourth digit and before.
  torch::manual_seed(6);
  const std::int64_t width = 256;
  const torch::Tensor sizes = torch::arange(1, width + 1, torch::kDouble).pow(-1.5);
  const torch::Tensor basis =
      std::get<0>(torch::linalg_qr(torch::randn({width, width}, torch::kDouble)));
  const torch::Tensor data =
      (torch::randn({4 * width, width}, torch::kDouble) * sizes).mm(basis).to(torch::kFloat);
  nn::Linear layer(nn::LinearOptions(width, width).bias(false));
  torch::NoGradGuard(), layer->weight.copy_(torch::eye(width));
  CheckLayerSat tracker("unused", "csv", layer,
                        quiet().stats({"logdet", "effective_rank", "entropy"}));
  layer(data);
  const EpochRecord record = tracker.add_saturations();
  const torch::Tensor rows = data.to(torch::kDouble);
  const torch::Tensor singular = std::get<1>(torch::linalg_svd(rows - rows.mean(0), false));
  const torch::Tensor q = singular / singular.sum();
  const torch::Tensor p = singular.square() / singular.square().sum();
  const std::vector<delve::Value>& values = record.layers[0].values;
  CHECK(values[0].value ==
        Approx((singular.square() / (4 * width)).log().sum().item<double>()).epsilon(1e-6));
  CHECK(values[1].value == Approx(std::exp(-(q * q.log()).sum().item<double>())).epsilon(1e-6));
  CHECK(values[2].value ==
        Approx(-(p * p.log()).sum().item<double>() / std::log(width)).epsilon(1e-6));
}

TEST_CASE("A tracker takes several scalars, and prints itself", "[tracker]") {
  delve_test::Net net;
  CheckLayerSat tracker("unused", "csv", net, quiet().stats({"lsat", "idim"}));
  tracker.add_scalars({{"loss", 0.5}, {"accuracy", 0.75}});
  tracker.add_scalars({{"loss", 0.25}});
  std::ostringstream text;
  text << tracker;
  CHECK(text.str() == "CheckLayerSat(lsat, idim of 2 layers: conv, fc; recording, next epoch 0)");
  net->forward(delve_test::pictures());
  const EpochRecord record = tracker.add_saturations();
  CHECK(record.scalars ==
        std::vector<std::pair<std::string, double>>{{"loss", 0.25}, {"accuracy", 0.75}});
  tracker.close();
  text.str("");
  text << tracker;
  CHECK(text.str() == "CheckLayerSat(lsat, idim of 2 layers: conv, fc; closed, next epoch 1)");
}

TEST_CASE("A statistic that throws loses its own value, wherever it stands",
          "[tracker][statistics][faults]") {
  torch::manual_seed(8);
  delve::register_statistic({"failing", "failing", [](const delve::LayerMeasurement&) -> double {
                               throw std::runtime_error("no such number");
                             }});
  const torch::Tensor input = torch::randn({200, 6});
  const std::vector<std::string> expected = {"lsat", "idim", "trc"};
  for (std::size_t place = 0; place <= expected.size(); ++place) {
    std::vector<std::string> stats = expected;
    stats.insert(stats.begin() + static_cast<std::ptrdiff_t>(place), "failing");
    stats.emplace_back("eigenvalues");
    std::vector<std::string> messages;
    nn::Linear layer(6, 4);
    CheckLayerSat tracker("unused", "csv", layer, quiet(&messages).stats(stats));
    CheckLayerSat without("unused", "csv", layer, quiet().stats(expected));
    layer(input);
    const EpochRecord record = tracker.add_saturations();
    const EpochRecord right = without.add_saturations();
    CAPTURE(place);
    CHECK(record.layers[0].status == delve::Status::StatisticFailed);
    REQUIRE(record.layers[0].values.size() == 4);
    CHECK(record.layers[0].arrays.size() == 1);
    for (std::size_t i = 0, j = 0; i < 4; ++i) {
      CHECK(record.layers[0].values[i].stat == stats[i]);
      CHECK(delve::is_missing(record.layers[0].values[i].value) == (i == place));
      if (i == place) continue;
      // The sums of the one are float64's, for eigenvalues asks for them.
      CHECK(record.layers[0].values[i].value ==
            Approx(right.layers[0].values[j++].value).epsilon(1e-5));
    }
    layer(input);
    tracker.add_saturations();
    REQUIRE(messages.size() == 1);
    CHECK_THAT(messages[0],
               ContainsSubstring("\"failing\" failed") && ContainsSubstring("no such number"));
  }
}

TEST_CASE("What a statistic does not say that it needs is not there", "[tracker][statistics]") {
  // "honest" needs the variances; "forgetful" reads them, too, and does not say so.
  const auto has_variances = [](const delve::LayerMeasurement& layer) {
    return layer.variances != nullptr ? 1.0 : 0.0;
  };
  delve::register_statistic(delve::Statistic::number("honest", "honest", has_variances)
                                .needing({delve::Need::Variances}));
  delve::register_statistic(delve::Statistic::number("forgetful", "forgetful", has_variances));
  delve::register_statistic(
      delve::Statistic::number("none", "none", [](const delve::LayerMeasurement& layer) {
        return layer.covariance == nullptr && layer.embedding == nullptr ? 1.0 : 0.0;
      }));
  nn::Linear layer(6, 4);
  CheckLayerSat tracker("unused", "csv", layer,
                        quiet().stats({"honest", "forgetful", "none", "cov", "embed"}));
  layer(torch::randn({50, 6}));
  const EpochRecord record = tracker.add_saturations();
  CHECK(record.layers[0].values[0].value == 1);
  CHECK(record.layers[0].values[1].value == 0);
  CHECK(record.layers[0].values[2].value == 1);
}

}  // namespace test_tracker_statistics
