// SPDX-License-Identifier: MIT
#include <delve/detail/reading/csv_records.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <delve/writers/csv.hpp>

#include <delve/read_table.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"

namespace test_csv_records {

using delve::EpochRecord;
using delve::Mode;
using delve::detail::records_from_csv;
using delve_test::layer;
using delve_test::read;
using delve_test::record;
namespace fs = std::filesystem;

namespace {

/// All that a record holds, as text: for a comparison that shows what differs.
std::string text_of(const EpochRecord& record) {
  std::string text = fmt::format("epoch {}\n", record.epoch);
  for (const auto& [name, value] : record.scalars) text += fmt::format("{} = {}\n", name, value);
  for (const delve::LayerRecord& layer : record.layers) {
    for (const delve::Value& value : layer.values) {
      text += fmt::format("{} {} {} {} = {}\n", to_string(layer.mode), layer.layer, value.stat,
                          value.quantity, value.value);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("What the CSV writer wrote is read back as it was", "[csv-records]") {
  const std::string savefile = (fs::path("csv_records") / "run").string();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<EpochRecord> records = {
      record(0, {{"test-accuracy", 0.25}},
             {layer("features-0", Mode::Train, {1.0 / 3, 7}),
              layer("a_b;\"c\"", Mode::Train, {0.5, 3}),
              layer("features-0", Mode::Eval, {1e-300, -inf})}),
      record(7, {{"test-accuracy", -1e300}}, {layer("a_b;\"c\"", Mode::Train, {0.1, 2})})};
  records[0].layers[2].values.push_back({"lsat@0.9", "saturation@0.9", 0.25});
  records[0].layers[2].values.push_back({"logdet", "log-determinant", -2300.5});
  records[0].layers[2].values.push_back({"mine", "mine", 5});
  delve::CsvWriter writer(savefile);
  for (const EpochRecord& each : records) writer.write(each);
  writer.close();
  const auto found = records_from_csv(read(savefile + ".csv"), "run.csv");
  REQUIRE(found.size() == 2);
  CHECK(text_of(found[0]) == text_of(records[0]));
  CHECK(text_of(found[1]) == text_of(records[1]));
}

TEST_CASE("A layer without a value in a row, and a mode without a layer, are left out",
          "[csv-records]") {
  const auto records = records_from_csv(read(delve_test::data("golden.csv")), "golden.csv");
  REQUIRE(records.size() == 2);
  CHECK(text_of(records[0]) ==
        "epoch 0\naccuracy = 0.25\ntrain features-0 lsat saturation = 0.875\n"
        "train features-0 idim intrinsic-dimensionality = 7\n"
        "eval features-0 lsat saturation = 0.1\n"
        "eval features-0 idim intrinsic-dimensionality = 1e-30\n");
  CHECK(text_of(records[1]) ==
        "epoch 1\naccuracy = 0.3333333333333333\nloss = 2\n"
        "train features-0 lsat saturation = 1\ntrain features-0 idim intrinsic-dimensionality = 8\n"
        "train fc lsat saturation = 0\ntrain fc idim intrinsic-dimensionality = 0\n");
}

TEST_CASE("Every statistic of a table of Delve has its name", "[csv-records]") {
  const std::string path = delve_test::data("reference/mlp_all_stats/expected.csv");
  const auto records = records_from_csv(read(path), path);
  REQUIRE(records.size() == 2);
  for (const EpochRecord& each : records) {
    REQUIRE(each.layers.size() == 6);
    for (const delve::LayerRecord& found : each.layers) {
      std::vector<std::string> stats;
      for (const delve::Value& value : found.values) stats.push_back(value.stat);
      CHECK(stats == std::vector<std::string>{"lsat", "idim", "det", "trc", "dtrc"});
      CHECK(found.status == delve::Status::Ok);
    }
  }
  CHECK(records[0].layers[3].mode == Mode::Eval);
  CHECK(records[1].layers[1].values[1].value == 27);
}

TEST_CASE("Matrices, and a '_' before names, are what Delve's npy reader leaves", "[csv-records]") {
  const std::string table =
      ";_eval-saturation_4;_train-covariance-matrix_2;accuracy;_train-saturation_layer_1\r\n"
      "3;0.5;\"[[ 1 ; 2]\n [ 3 ; 4]]\";True;0.25\r\n"
      "1;x;\"[[ 1 ]]\";0.5;nan\r\n";
  const auto records = records_from_csv(table, "t.csv");
  REQUIRE(records.size() == 2);
  CHECK(text_of(records[0]) == "epoch 1\naccuracy = 0.5\n");
  CHECK(text_of(records[1]) ==
        "epoch 3\ntrain layer_1 lsat saturation = 0.25\neval 4 lsat saturation = 0.5\n");
  CHECK(records[0].layers.empty());
}

TEST_CASE("A column of a mode of the program's own is a statistic's where its quantity is known",
          "[csv-records]") {
  const auto records =
      records_from_csv(";acting-saturation_a_b;acting-error_a\n0;1.5;2\n", "t.csv");
  REQUIRE(records.at(0).layers.size() == 1);
  CHECK(records[0].layers[0].mode == Mode("acting"));
  CHECK(records[0].layers[0].layer == "a_b");
  CHECK(records[0].scalars.size() == 1);
}

TEST_CASE("A column is a statistic's only with mode, quantity and layer", "[csv-records]") {
  for (const std::string name : {"accuracy", "train-loss", "train-_a", "train-loss_", "_train",
                                 "training-loss_a", "test-error_a", "train_saturation-a"}) {
    CAPTURE(name);
    const auto records = records_from_csv(";" + name + "\n0;1.5\n", "t.csv");
    CHECK(records.at(0).layers.empty());
    CHECK(text_of(records.at(0)) == "epoch 0\n" + name + " = 1.5\n");
  }
}

TEST_CASE("Receptive fields are read back, and are no scalars", "[csv-records]") {
  const fs::path savefile = delve_test::fresh_folder("fields") / "run";
  delve::EpochRecord first = record(0, {{"border_width", 3}}, {layer("a_1", Mode::Train, {0.5})});
  first.fields = {delve_test::field("a_1", 7, 19, false), delve_test::field("b", 35, -1, true),
                  delve_test::field("c", -1, -1, false), delve_test::field("d", 1, 1, true)};
  first.fields[3].axes[1].unknown = "aten::sort";
  first.fields[1].rank_limit = 0.5;
  first.fields[2].is_map = false;
  {
    delve::CsvWriter writer(savefile.string());
    writer.write(first);
    writer.write(record(1, {}, {layer("a_1", Mode::Train, {0.25})}));
  }
  const std::string text = delve_test::read(savefile.string() + ".csv");
  CHECK(text ==
        ";border_width;train-saturation_a_1;rf-min_a_1;rf-max_a_1;border_a_1;rf-min_b;rf-max_b;"
        "border_b;rank-limit_b;rf-min_c;rf-max_c;rf-min_d;rf-max_d;border_d\n"
        "0;3;0.5;7;19;0;35;inf;1;0.5;inf;inf;;;1\n"
        "1;;0.25;;;;;;;;;;;;\n");
  const auto records = delve::detail::records_from_csv(text, "run.csv");
  REQUIRE(records.size() == 2);
  CHECK(records[0].scalars == std::vector<std::pair<std::string, double>>{{"border_width", 3}});
  CHECK(records[1].fields.empty());
  REQUIRE(records[0].fields.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const delve::LayerField& found = records[0].fields[i];
    const delve::LayerField& written = first.fields[i];
    CHECK(found.layer == written.layer);
    CHECK(found.is_map == written.is_map);
    CHECK(found.is_border == written.is_border);
    CHECK(found.rank_limit == written.rank_limit);
    CHECK(
        (delve::is_missing(most_field(found)) ? i == 3 : most_field(found) == most_field(written)));
    CHECK((delve::is_missing(least_field(found)) ? i == 3
                                                 : least_field(found) == least_field(written)));
  }
}

TEST_CASE("A malformed table is refused with its place, a broken last line left out",
          "[csv-records]") {
  CHECK_THROWS_WITH(records_from_csv("epoch;a\n0;1\n", "t.csv"),
                    "\"t.csv\", line 1: expected an epoch column, without a name, found \"epoch\"");
  CHECK_THROWS_WITH(records_from_csv(";a\n0;1\nx;1\n", "t.csv"),
                    "\"t.csv\", line 3: expected an epoch number first, found \"x\"");
  CHECK_THROWS_AS(records_from_csv("", "t.csv"), std::runtime_error);
  CHECK(records_from_csv(";a;b\n0;1;2\n1;1", "t.csv").size() == 1);
  CHECK(records_from_csv(";a\n", "t.csv").empty());
  const auto twice = records_from_csv(";a\n4;1\n4;2\n", "t.csv");
  REQUIRE(twice.size() == 1);
  CHECK(twice[0].scalars[0].second == 2);
}

TEST_CASE("A cell that is no number is named by line, column and what it holds", "[csv][records]") {
  const std::string path = "bad_cells/run.csv";
  delve_test::put(path,
                  ";accuracy;train-saturation_fc;train-covariance-matrix_fc\n"
                  "0;0.5;0.25;[[1, 0]]\n1;0.6;0,53;[[2, 0]]\n2;half;;[[1, 1]]\n");
  std::vector<std::string> messages;
  const auto records =
      delve::read_table(path, [&](std::string_view message) { messages.emplace_back(message); });
  REQUIRE(records.size() == 3);
  CHECK(records[0].layers.size() == 1);
  CHECK(records[1].layers.empty());
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] ==
        "\"bad_cells/run.csv\", line 3, column \"train-saturation_fc\": \"0,53\" is not a number "
        "(decimals are written with a point, 0.53), and 1 more such cells; taken for missing "
        "values");
  delve_test::put(path, ";train-saturation_fc\n0;0,25\n1;0,5\n");
  CHECK_THROWS_WITH(delve::read_table(path),
                    ContainsSubstring("holds no statistic of any layer: line 2, column "
                                      "\"train-saturation_fc\": \"0,25\" is not a number"));
  CHECK_THROWS_WITH(delve::read_table("bad_cells/none.csv"), ContainsSubstring("there is no file"));
}

}  // namespace test_csv_records
