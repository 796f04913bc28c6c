// SPDX-License-Identifier: MIT
#include <delve/reconstruct.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Dense>

#include <delve/detail/formats/csv_table.hpp>
#include <delve/writers/npy.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"

namespace test_reconstruct {

using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve::NpyWriter;
using delve::reconstruct;
using delve::ReconstructOptions;
namespace fs = std::filesystem;

namespace {

std::string fresh(const std::string& name) {
  return delve_test::fresh_folder(fs::path("reconstruct") / name).string();
}

/// A covariance with random entries and the eigenvalues asked for.
Eigen::MatrixXd covariance(const Eigen::VectorXd& eigenvalues, unsigned seed) {
  std::srand(seed);
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(
      Eigen::MatrixXd::Random(eigenvalues.size(), eigenvalues.size()));
  const Eigen::MatrixXd q = qr.householderQ();
  return q * eigenvalues.asDiagonal() * q.transpose();
}

double value_of(const LayerRecord& layer, const std::string& stat) {
  for (const delve::Value& value : layer.values) {
    if (value.stat == stat) return value.value;
  }
  FAIL("no " << stat);
  return NAN;
}

LayerRecord with_covariance(const std::string& name, Mode mode,
                            const Eigen::VectorXd& eigenvalues) {
  LayerRecord layer{name, mode, eigenvalues.size(), 500, delve::Status::Ok, {}};
  layer.values = {{"lsat", "saturation", 0.25}, {"samples", "samples", 500}};
  layer.arrays.push_back({"cov", "covariance-matrix",
                          std::make_shared<const Eigen::MatrixXd>(covariance(eigenvalues, 7))});
  return layer;
}

}  // namespace

TEST_CASE("A run is read again as it was stored", "[reconstruct]") {
  const std::string folder = fresh("stored");
  NpyWriter writer(folder);
  const std::vector<EpochRecord> written = {
      delve_test::record(0, {{"accuracy", 0.5}, {"a/b", 2}},
                         {delve_test::layer("features-2", Mode::Train, {0.5, 4}),
                          delve_test::layer("features-10", Mode::Train, {0.25, 2}),
                          delve_test::layer("features-2", Mode::Eval, {NAN, 3})}),
      delve_test::record(11, {{"accuracy", 0.75}}, {delve_test::layer("..%", Mode::Eval, {1, 8})})};
  for (const EpochRecord& record : written) writer.write(record);
  writer.close();
  std::ofstream(fs::path(folder) / "notes.txt") << "not ours";
  std::ofstream(fs::path(folder) / "accuracy" / "accuracy_epoch1x.npy") << "not ours";
  std::ofstream(fs::path(folder) / "accuracy" / "accuracy_epoch011.npy") << "not ours";

  std::size_t told = 0;
  ReconstructOptions options;
  options.on_progress = [&](std::size_t done, std::size_t total) {
    CHECK(done > told);
    CHECK(total == 10);
    told = done;
  };
  const std::vector<EpochRecord> found = reconstruct(folder, options);
  CHECK(told == 10);
  REQUIRE(found.size() == 2);
  using Scalars = std::vector<std::pair<std::string, double>>;
  CHECK(found[0].scalars == Scalars{{"a/b", 2}, {"accuracy", 0.5}});
  REQUIRE(found[0].layers.size() == 3);
  CHECK(found[0].layers[0].layer == "features-2");
  CHECK(found[0].layers[1].layer == "features-10");
  CHECK(value_of(found[0].layers[0], "lsat") == 0.5);
  CHECK(value_of(found[0].layers[1], "idim") == 2);
  CHECK(found[0].layers[2].mode == Mode::Eval);
  CHECK(found[0].layers[2].values.size() == 1);  // what is missing has no file
  CHECK(found[1].epoch == 11);
  CHECK(found[1].layers[0].layer == "..%");
}

TEST_CASE("Statistics at any threshold come from the stored covariances", "[reconstruct]") {
  const std::string folder = fresh("recomputed");
  NpyWriter writer(folder);
  const Eigen::VectorXd eigenvalues = (Eigen::VectorXd(5) << 50, 30, 15, 4, 1).finished();
  writer.write(delve_test::record(3, {{"accuracy", 0.5}},
                                  {with_covariance("fc", Mode::Train, eigenvalues),
                                   with_covariance("one", Mode::Eval, Eigen::VectorXd::Ones(1))}));
  writer.close();

  ReconstructOptions options;
  options.stats = {"lsat", "idim", "idim@0.6", "trc", "logdet", "samples", "cov"};
  options.sat_threshold = 0.9;
  const std::vector<EpochRecord> found = reconstruct(folder, options);
  REQUIRE(found.size() == 1);
  CHECK(found[0].scalars == std::vector<std::pair<std::string, double>>{{"accuracy", 0.5}});
  const LayerRecord& fc = found[0].layers.at(0);
  CHECK(fc.width == 5);
  CHECK(fc.samples == 500);
  CHECK(value_of(fc, "lsat") == 0.6);
  CHECK(value_of(fc, "idim") == 3);
  CHECK(value_of(fc, "idim@0.6") == 2);
  CHECK(value_of(fc, "trc") == Approx(100));
  CHECK(value_of(fc, "logdet") == Approx(std::log(50. * 30 * 15 * 4 * 1)));
  CHECK(fc.arrays.at(0).array->isApprox(covariance(eigenvalues, 7)));
  CHECK(value_of(found[0].layers.at(1), "lsat") == 1);

  options.idim_rule = delve::IdimRule::Delve;
  CHECK(value_of(reconstruct(folder, options)[0].layers.at(0), "idim") == 2);
}

TEST_CASE("A tree of Delve's own gives the numbers that Delve makes of it", "[reconstruct]") {
  const fs::path reference = delve_test::data("reference/npy_writer");
  const std::string text =
      delve_test::read((reference / "reconstructed_threshold_090.csv").string());
  const delve::detail::CsvTable expected = delve::detail::parse_csv(text, "expected");
  REQUIRE(expected.rows.size() == 2);

  ReconstructOptions options;
  options.stats = {"lsat", "idim"};
  options.sat_threshold = 0.9;
  options.idim_rule = delve::IdimRule::Delve;
  const std::vector<EpochRecord> found = reconstruct((reference / "run").string(), options);
  REQUIRE(found.size() == 2);
  for (std::size_t row = 0; row < 2; ++row) {
    const EpochRecord& record = found[row];
    CHECK(record.scalars.at(0).first == "accuracy");
    std::size_t checked = 0;
    for (std::size_t i = 1; i < expected.header.size(); ++i) {
      const std::string& column = expected.header[i];
      const double want = std::stod(expected.rows[row].cells[i]);
      if (column == "accuracy") CHECK(record.scalars.at(0).second == want);
      for (const LayerRecord& layer : record.layers) {
        for (const delve::Value& value : layer.values) {
          if (column != "_" + value_name(layer.mode, value.quantity, layer.layer)) continue;
          CAPTURE(column);
          CHECK(value.value == want);
          ++checked;
        }
      }
    }
    CHECK(checked == 12);
  }

  // As stored: the numbers of the run itself, at its own threshold.
  const std::vector<EpochRecord> stored = reconstruct((reference / "run").string());
  CHECK(value_of(stored[0].layers.at(0), "idim") == 9);
  CHECK(value_of(stored[1].layers.at(5), "lsat") == 0.8);
}

TEST_CASE("What cannot be computed is an error that says why", "[reconstruct]") {
  const std::string folder = fresh("errors");
  CHECK_THROWS_WITH(reconstruct(folder), ContainsSubstring("cannot read the folder"));
  fs::create_directories(folder);
  CHECK_THROWS_WITH(reconstruct(folder), ContainsSubstring("no file called NAME/NAME_epochN.npy"));

  NpyWriter writer(folder);
  writer.write(delve_test::record(2, {}, {delve_test::layer("fc", Mode::Eval, {0.5})}));
  writer.close();
  ReconstructOptions options;
  options.stats = {"lsat"};
  CHECK_THROWS_WITH(
      reconstruct(folder, options),
      ContainsSubstring("epoch 2, layer \"fc\" in eval: there is no stored covariance "
                        "matrix, from which lsat could be computed"));
  options.sat_threshold = 90;
  CHECK_THROWS_WITH(reconstruct(folder, options), ContainsSubstring("sat_threshold is 90"));
  options = {};
  options.stats = {"embed"};
  CHECK_THROWS_WITH(reconstruct(folder, options), ContainsSubstring("\"embed\""));
  for (const std::string stat : {"drift", "drift_floor"}) {
    options.stats = {stat};
    CHECK_THROWS_WITH(reconstruct(folder, options), ContainsSubstring("\"" + stat + "\" compares"));
  }

  const fs::path matrix = fs::path(folder) / "eval-covariance-matrix_fc";
  fs::create_directories(matrix);
  std::ofstream(matrix / "eval-covariance-matrix_fc_epoch2.npy") << "\x93NUMPY";
  options.stats = {"lsat"};
  CHECK_THROWS_WITH(reconstruct(folder, options), ContainsSubstring("not a .npy file"));
  delve_test::put(matrix / "eval-covariance-matrix_fc_epoch2.npy",
                  delve::detail::npy_bytes(Eigen::MatrixXd(2, 3).setOnes()));
  CHECK_THROWS_WITH(reconstruct(folder, options),
                    ContainsSubstring("not a covariance matrix: 2 x 3"));
}

TEST_CASE("Layers whose names differ by a leading zero are told apart", "[reconstruct]") {
  const std::string folder = fresh("zeros");
  const std::vector<std::string> names = {"fc007", "fc07", "fc7"};
  std::vector<LayerRecord> layers;
  for (const std::string& name : names) {
    layers.push_back(delve_test::layer(name, Mode::Train, {0.5, 4}));
    layers.back().values.push_back({"samples", "samples", 500});
  }
  NpyWriter writer(folder);
  writer.write(delve_test::record(0, {}, layers));
  writer.close();
  const std::vector<EpochRecord> found = reconstruct(folder);
  REQUIRE(found.size() == 1);
  REQUIRE(found[0].layers.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(found[0].layers[i].layer == names[i]);
    CHECK(found[0].layers[i].values.size() == 3);
    CHECK(found[0].layers[i].samples == 500);
  }
}

TEST_CASE("A file that holds no number of samples, or no matrix, is refused by name",
          "[reconstruct]") {
  const std::string folder = fresh("no_numbers");
  const auto named = [](const std::string& name) {
    return (fs::path(name) / (name + "_epoch0.npy")).string();
  };
  const std::string samples = named("train-samples_fc");
  const std::string covariance = named("train-covariance-matrix_fc");
  ReconstructOptions options;
  options.stats = {"lsat"};
  for (const double number : {std::nan(""), -1.0, 1e300}) {
    delve_test::put(fs::path(folder) / samples, delve::detail::npy_bytes(number));
    CHECK_THROWS_WITH(reconstruct(folder),
                      ContainsSubstring(samples + "\": expected a number of samples, 0 to 2^53"));
  }
  delve_test::put(fs::path(folder) / covariance,
                  delve::detail::npy_bytes(Eigen::MatrixXd(Eigen::MatrixXd::Identity(2, 2))));
  delve_test::put(fs::path(folder) / samples, delve::detail::npy_header("(0,)"));
  CHECK_THROWS_WITH(reconstruct(folder, options),
                    ContainsSubstring(samples + "\": expected a number of samples"));
  // Without numbers, of a length that nobody should go along.
  delve_test::put(fs::path(folder) / covariance,
                  delve::detail::npy_header("(0, 1000000000000000000)"));
  CHECK_THROWS_WITH(
      reconstruct(folder, options),
      ContainsSubstring(covariance + "\": not a covariance matrix: 0 x 1000000000000000000"));
}

TEST_CASE("Names are ordered as people count", "[reconstruct]") {
  using delve::detail::is_before;
  CHECK(is_before("features-2", "features-10"));
  CHECK_FALSE(is_before("features-10", "features-2"));
  CHECK(is_before("a", "b"));
  CHECK(is_before("layer1-0-conv2", "layer1-1-conv1"));
  CHECK(is_before("fc", "fc1"));
  CHECK_FALSE(is_before("fc", "fc"));
  CHECK(is_before("x007", "x8"));
  CHECK(is_before("x007", "x7"));
  CHECK_FALSE(is_before("x7", "x007"));
}

}  // namespace test_reconstruct
