// SPDX-License-Identifier: MIT
#include <delve/writers/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_json_writer {

using delve::JsonOptions;
using delve::JsonWriter;
using delve::Mode;
using delve_test::layer;
using delve_test::put;
using delve_test::read;
using delve_test::record;
namespace fs = std::filesystem;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A path in an empty folder of the test's own.
std::string fresh(const std::string& name) {
  return (delve_test::fresh_folder(fs::path("json") / name) / "run").string();
}

/// The line of an epoch that holds no more than one scalar.
std::string line_of(int epoch, const std::string& scalars) {
  return "{\"epoch\":" + std::to_string(epoch) + ",\"scalars\":{" + scalars + "},\"layers\":[]}\n";
}

using Watched = delve_test::Watched<JsonWriter, JsonOptions>;

}  // namespace

TEST_CASE("Lines are written to the letter", "[json]") {
  const std::string savefile = fresh("golden");
  delve::LayerRecord first = layer("features-0", Mode::Train, {0.875, 7});
  first.arrays = {{"cov", "covariance-matrix",
                   std::make_shared<const Eigen::MatrixXd>(Eigen::MatrixXd::Identity(2, 2))},
                  {"eig", "eigenvalues",
                   std::make_shared<const Eigen::MatrixXd>(Eigen::Vector3d(2.5, -INFINITY, kNaN))}};
  delve::LayerRecord second = layer("fc", Mode::Eval, {kNaN, kNaN});
  second.status = delve::Status::NoData;
  JsonWriter writer(savefile);
  writer.write(
      record(0, {{"z", 0.25}, {"a", INFINITY}, {"missing", kNaN}}, {first, second, second}));
  writer.write(record(1, {}, {}));
  const std::string second_line =
      R"({"layer":"fc","mode":"eval","width":8,"samples":1000,"skipped_batches":0,"status":"no-data",)"
      R"("values":{"lsat":null,"idim":null},"arrays":{}})";
  CHECK(
      read(savefile + ".jsonl") ==
      R"({"epoch":0,"scalars":{"z":0.25,"a":"Infinity","missing":null},"layers":[)"
      R"({"layer":"features-0","mode":"train","width":8,"samples":1000,"skipped_batches":0,"status":"ok",)"
      R"("values":{"lsat":0.875,"idim":7.0},"arrays":{"eig":[2.5,"-Infinity",null]}},)" +
          second_line + "," + second_line + "]}\n" + line_of(1, ""));
  CHECK(writer.path() == fs::absolute(savefile + ".jsonl").string());
}

TEST_CASE("Receptive fields are written an axis", "[json]") {
  delve::EpochRecord epoch = record(0, {}, {});
  epoch.fields = {delve_test::field("a", 7, -1, true)};
  epoch.fields[0].notes = {"statistics of group_norm not counted"};
  epoch.fields[0].axes[1].unknown = "aten::sort";
  epoch.fields[0].axes[1].least.reset();
  const auto line = nlohmann::json::parse(delve::detail::json_line(epoch));
  REQUIRE(line["fields"].size() == 1);
  const auto& field = line["fields"][0];
  CHECK(field["layer"] == "a");
  CHECK(field["border"] == true);
  CHECK(field["notes"][0] == "statistics of group_norm not counted");
  CHECK(field["axes"][0]["least"] == 7);
  CHECK(field["axes"][0]["most"].is_null());
  CHECK(field["axes"][0]["largest_finite"] == 99);
  CHECK(field["axes"][0]["unknown"].is_null());
  CHECK(field["axes"][1]["unknown"] == "aten::sort");
  CHECK_FALSE(
      nlohmann::json::parse(delve::detail::json_line(record(1, {}, {}))).contains("fields"));
}

TEST_CASE("A network of some depth has a verdict in each line", "[json]") {
  const std::string savefile = fresh("verdict");
  JsonWriter writer(savefile);
  writer.write(record(0, {},
                      {layer("a", Mode::Train, {0.5}), layer("b", Mode::Train, {0.75}),
                       layer("c", Mode::Train, {0.25}), layer("d", Mode::Train, {1})}));
  writer.write(record(1, {}, {layer("a", Mode::Train, {0.5})}));
  writer.close();
  const std::string text = read(savefile + ".jsonl");
  const auto first = nlohmann::json::parse(text.substr(0, text.find('\n')));
  CHECK(first["verdict"]["kind"] == "possible-tail");
  CHECK(first["verdict"]["layers"] == nlohmann::json({"c"}));
  CHECK(first["verdict"]["evidence"][0] ==
        "Low saturation: 25.0 %, against a median of 62.5 % before.");
  CHECK(text.find("verdict", text.find('\n')) == std::string::npos);
}

TEST_CASE("JSON numbers read back to the same double", "[json]") {
  const std::string savefile = fresh("numbers");
  std::mt19937_64 random(1);
  std::vector<double> values = {0.1, -0.0, 1e308, 5e-324, 123456789012345678.0, 1e22};
  for (int i = 0; i < 500; ++i) {
    const double exponent = std::uniform_real_distribution<double>(-300, 300)(random);
    values.push_back(std::normal_distribution<double>()(random) * std::pow(10, exponent));
  }
  JsonWriter writer(savefile);
  for (std::size_t i = 0; i < values.size(); ++i) {
    writer.write(record(static_cast<std::int64_t>(i), {{"value", values[i]}}, {}));
  }
  std::ifstream file(savefile + ".jsonl");
  std::string line;
  for (const double value : values) {
    std::getline(file, line);
    const double there = std::strtod(line.substr(line.find("\"value\":") + 8).c_str(), nullptr);
    CHECK(there == value);
    CHECK(std::signbit(there) == std::signbit(value));
  }
}

TEST_CASE("A name of any bytes leaves a line that every reader takes", "[json]") {
  const std::string savefile = fresh("names");
  JsonWriter writer(savefile);
  writer.write(record(0, {{"say \"hi\"", 1}, {"two\nlines", 2}, {"größe", 3}, {"\xC3(", 4}}, {}));
  CHECK(read(savefile + ".jsonl") ==
        line_of(0, R"("say \"hi\"":1.0,"two\nlines":2.0,"größe":3.0,"�(":4.0)"));
}

TEST_CASE("A resumed file keeps the lines that came before, to the letter", "[json][resume]") {
  const std::string savefile = fresh("resume");
  const std::string kept =
      "{ \"mine\": [1, 2.50],  \"epoch\": 0 }\n{\"scalars\":{\"a\":0.10},\"epoch\":1}\r\n";
  put(savefile + ".jsonl", kept + "\n" + line_of(2, "") + "{\"epoch\":7}\n{\"epoch\":-1}");
  Watched watched(savefile, JsonOptions{2});
  CHECK(watched.messages.empty());
  CHECK(read(savefile + ".jsonl").size() > kept.size());  // nothing happens before the first epoch
  watched.writer.write(record(2, {{"a", 0.5}}, {}));
  watched.writer.write(record(3, {}, {}));
  CHECK(read(savefile + ".jsonl") ==
        kept + "{\"epoch\":-1}\n" + line_of(2, "\"a\":0.5") + line_of(3, ""));
}

TEST_CASE("A new run replaces an old file, but only when it has something to say", "[json]") {
  const std::string savefile = fresh("old");
  put(savefile + ".jsonl", "precious\n");
  JsonWriter writer(savefile);
  CHECK(read(savefile + ".jsonl") == "precious\n");
  writer.write(record(0, {}, {}));
  CHECK(read(savefile + ".jsonl") == line_of(0, ""));
}

TEST_CASE("A file cut off anywhere is resumed without its broken line", "[json][resume]") {
  const std::string whole = line_of(0, "\"a\":0.5") + line_of(1, "\"b\":\"Infinity\"");
  const std::string first = line_of(0, "\"a\":0.5");
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::string savefile = fresh("torn");
    put(savefile + ".jsonl", whole.substr(0, size));
    Watched watched(savefile, JsonOptions{5});
    watched.writer.write(record(5, {}, {}));
    // A line that lacks no more than its end is whole.
    const bool has_first = size + 1 >= first.size();
    const bool has_second = size + 1 >= whole.size();
    const bool is_torn =
        size != 0 && size != first.size() && size + 1 != first.size() && !has_second;
    CHECK(read(savefile + ".jsonl") == (has_second  ? whole
                                        : has_first ? first
                                                    : "") +
                                           line_of(5, ""));
    REQUIRE(watched.messages.size() == (is_torn ? 1 : 0));
    if (is_torn) {
      CHECK(watched.messages[0].find(size < first.size() ? "line 1: the last line is broken off"
                                                         : "line 2: the last line is broken off") !=
            std::string::npos);
    }
  }
}

TEST_CASE("Lines that cannot be resumed are refused with their number", "[json][resume]") {
  const std::string savefile = fresh("malformed");
  for (const std::string bad :
       {"x", "{\"epoch\":1", "[1]", "{}", "{\"epoch\":1.5}", "{\"epoch\":\"1\"}", "{\"epoch\":1}}",
        "{\"epoch\":1e999}", "{\"epoch\":9223372036854775808}"}) {
    put(savefile + ".jsonl", line_of(0, "") + bad + "\n" + line_of(2, ""));
    std::string what;
    try {
      JsonWriter(savefile, JsonOptions{1});
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    CHECK(what.find("run.jsonl\", line 2: expected a JSON object with an integer \"epoch\"") !=
          std::string::npos);
    CHECK(read(savefile + ".jsonl") == line_of(0, "") + bad + "\n" + line_of(2, ""));
  }
}

TEST_CASE("Lines that a full disk refuses are reported once, and come when there is room",
          "[json][faults]") {
  if (!delve_test::has_links()) LEAVE_OUT("no link to a device that is full can be made");
  const std::string savefile = fresh("full");
  const std::string path = savefile + ".jsonl";
  Watched watched(savefile);
  watched.writer.write(record(0, {}, {}));
  // In the place of the file, a device that is always full.
  fs::rename(path, savefile + ".away");
  fs::create_symlink("/dev/full", path);
  watched.writer.write(record(1, {}, {}));
  watched.writer.write(record(2, {}, {}));
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find("No space left on device") != std::string::npos);
  CHECK(read(savefile + ".away") == line_of(0, ""));
  fs::rename(savefile + ".away", path);
  watched.writer.write(record(3, {}, {}));
  CHECK(read(path) == line_of(0, "") + line_of(1, "") + line_of(2, "") + line_of(3, ""));
  watched.writer.close();
  CHECK(watched.messages.size() == 1);
}

TEST_CASE("Lines that a missing folder refuses are written at the end", "[json][faults]") {
  const std::string savefile = fresh("blocked");
  Watched watched(savefile);
  // The folder makes way for a file, which not even root can write into.
  const fs::path folder = fs::path(savefile).parent_path();
  fs::remove(folder);
  put(folder.string(), "in the way");
  watched.writer.write(record(0, {}, {}));
  watched.writer.write(record(1, {}, {}));
  CHECK(watched.messages.size() == 1);
  fs::remove(folder);
  watched.writer.close();
  CHECK(read(savefile + ".jsonl") == line_of(0, "") + line_of(1, ""));
  CHECK(std::distance(fs::directory_iterator(folder), {}) == 1);  // nothing left over
}

TEST_CASE("An append that fails half-way is taken back", "[json][faults]") {
  if (!delve_test::FileSizeLimit::is_there) LEAVE_OUT("no limit makes a write fail half-way");
  const std::string savefile = fresh("half");
  put(savefile, "before\n");
  // A limit on the size of files stops a write in its middle, as a full disk does.
  std::string what;
  const std::string piece(100000, 'x');
  try {
    const delve_test::FileSizeLimit limit(4096);
    delve::detail::append_to_file(savefile, piece);
  } catch (const delve::detail::FileError& error) {
    what = error.reason();
  }
  CHECK(what == "File too large");
  CHECK(read(savefile) == "before\n");
  delve::detail::append_to_file(savefile, piece);
  CHECK(read(savefile) == "before\n" + piece);
}

TEST_CASE("JSON for a savefile without a name, or below a file, is refused", "[json][misuse]") {
  CHECK_THROWS_AS(JsonWriter("json/"), std::invalid_argument);
  CHECK_THROWS_AS(JsonWriter("json/x", JsonOptions{-1}), std::invalid_argument);
  const std::string savefile = fresh("below");
  put(savefile, "a file");
  CHECK_THROWS_AS(JsonWriter(savefile + "/run"), std::runtime_error);
}

TEST_CASE("The writer of JSON lines is known by its key where its header is included", "[json]") {
  for (const std::string key : {"json"}) {
    const auto writers = delve::WriterList(key).make({"json/by_key", 0, {}});
    REQUIRE(writers.size() == 1);
    CHECK(std::dynamic_pointer_cast<delve::JsonWriter>(writers[0]) != nullptr);
  }
}

}  // namespace test_json_writer
