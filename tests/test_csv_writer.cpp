// SPDX-License-Identifier: MIT
#include <delve/detail/reading/csv_records.hpp>
#include <delve/writers/csv.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_csv_writer {

using delve::CsvOptions;
using delve::CsvWriter;
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
  return (delve_test::fresh_folder(std::filesystem::path("csv") / name) / "run").string();
}

}  // namespace

TEST_CASE("A table is written to the letter", "[csv]") {
  const std::string savefile = fresh("golden/deep/er");
  CsvWriter writer(savefile);
  writer.write(
      record(0, {{"accuracy", 0.25}},
             {layer("features-0", Mode::Train, {0.875, 7}), layer("fc", Mode::Train, {kNaN, kNaN}),
              layer("features-0", Mode::Eval, {0.1, 1e-30})}));
  writer.write(
      record(1, {{"accuracy", 1.0 / 3}, {"loss", 2}},
             {layer("features-0", Mode::Train, {1, 8}), layer("fc", Mode::Train, {0, 0})}));
  writer.close();
  CHECK(read(savefile + ".csv") == read(delve_test::data("golden.csv")));
}

TEST_CASE("A million layers with alike names are told apart", "[csv][names]") {
  constexpr auto count = static_cast<int>(delve_test::times(1'000'000));
  const std::string savefile = fresh("million");
  std::vector<delve::LayerRecord> layers;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    layers.push_back(
        layer("block-" + std::string(7 - number.size(), '0') + number, Mode::Train, {i / 2e6}));
  }
  CsvWriter writer(savefile);
  for (const int epoch : {0, 1}) writer.write(record(epoch, {}, layers));
  writer.close();
  const auto records = delve::detail::records_from_csv(read(savefile + ".csv"), "table");
  REQUIRE(records.size() == 2);
  REQUIRE(records[1].layers.size() == count);
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const delve::LayerRecord& found = records[1].layers[static_cast<std::size_t>(i)];
    const bool is_it = found.layer == layers[static_cast<std::size_t>(i)].layer &&
                       found.values.at(0).value == i / 2e6;
    if (!is_it) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("Numbers read back to the same double", "[csv]") {
  const std::string savefile = fresh("numbers");
  std::mt19937_64 random(1);
  std::vector<double> values = {0.1,      -0.0,     1e308, 5e-324, 123456789012345678.0,
                                INFINITY, -INFINITY};
  for (int i = 0; i < 500; ++i) {
    const double exponent = std::uniform_real_distribution<double>(-300, 300)(random);
    values.push_back(std::normal_distribution<double>()(random) * std::pow(10, exponent));
  }
  CsvWriter writer(savefile);
  for (std::size_t i = 0; i < values.size(); ++i) {
    writer.write(record(static_cast<std::int64_t>(i), {{"value", values[i]}}, {}));
  }
  std::ifstream file(savefile + ".csv");
  std::string line;
  std::getline(file, line);
  for (const double value : values) {
    std::getline(file, line);
    CHECK(std::strtod(line.substr(line.find(';') + 1).c_str(), nullptr) == value);
  }
}

TEST_CASE("A column that comes late leaves earlier cells empty, and one that ends, later ones",
          "[csv]") {
  const std::string savefile = fresh("ragged");
  CsvWriter writer(savefile);
  writer.write(record(0, {{"a", 1}}, {}));
  writer.write(record(1, {{"b", 2}}, {}));
  writer.write(record(2, {}, {}));
  CHECK(read(savefile + ".csv") == ";a;b\n0;1;\n1;;2\n2;;\n");
}

TEST_CASE("A name that would break the table is quoted", "[csv]") {
  const std::string savefile = fresh("quotes");
  CsvWriter writer(savefile);
  writer.write(record(0, {{"a;b", 1}, {"say \"hi\"", 2}, {"two\nlines", 3}, {"größe", 4}}, {}));
  CHECK(read(savefile + ".csv") == ";\"a;b\";\"say \"\"hi\"\"\";\"two\nlines\";größe\n0;1;2;3;4\n");
  CsvWriter resumed(savefile, CsvOptions{1});
  resumed.write(record(1, {{"two\nlines", 5}}, {}));
  CHECK(read(savefile + ".csv") ==
        ";\"a;b\";\"say \"\"hi\"\"\";\"two\nlines\";größe\n0;1;2;3;4\n1;;;5;\n");
}

TEST_CASE("A name that begins with byte order marks keeps them all", "[csv]") {
  const std::vector<std::string> names = {"\xEF\xBB\xBF\xEF\xBB\xBFtwo", "\xEF\xBB\xBFone", "none"};
  CHECK(delve::detail::parse_csv(delve::detail::csv_line(names), "names.csv").header == names);
}

TEST_CASE("An epoch that comes again replaces its row", "[csv]") {
  const std::string savefile = fresh("again");
  CsvWriter writer(savefile);
  writer.write(record(0, {{"a", 1}}, {}));
  writer.write(record(1, {{"a", 2}}, {}));
  writer.write(record(1, {{"a", 3}}, {}));
  CHECK(read(savefile + ".csv") == ";a\n0;1\n1;3\n");
}

TEST_CASE("A resumed table keeps what came before, to the letter", "[csv][resume]") {
  const std::string savefile = fresh("resume");
  put(savefile + ".csv", ";accuracy;mine\r\n0;0.50;x\r\n1;0.60;\"y\"\r\n2;0.70;z\r\n");
  CsvWriter writer(savefile, CsvOptions{2});
  writer.write(record(2, {{"accuracy", 0.75}, {"new", 1}}, {}));
  CHECK(read(savefile + ".csv") == ";accuracy;mine;new\n0;0.50;x;\n1;0.60;y;\n2;0.75;;1\n");
}

TEST_CASE("A new run replaces an old table, but only when it has something to say", "[csv]") {
  const std::string savefile = fresh("old");
  put(savefile + ".csv", "precious\n");
  CsvWriter writer(savefile);
  CHECK(read(savefile + ".csv") == "precious\n");
  writer.write(record(0, {{"a", 1}}, {}));
  CHECK(read(savefile + ".csv") == ";a\n0;1\n");
}

TEST_CASE("An incomplete last line is left out, and reported", "[csv][resume]") {
  const std::string savefile = fresh("torn");
  put(savefile + ".csv", ";a;b\n0;1;2\n1;3");
  CsvWriter writer(savefile, CsvOptions{5});
  std::vector<std::string> messages;
  writer.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("line 3: the last line is broken off") != std::string::npos);
  writer.write(record(5, {{"a", 9}}, {}));
  CHECK(read(savefile + ".csv") == ";a;b\n0;1;2\n5;9;\n");
}

TEST_CASE("What cannot be resumed is refused with its line", "[csv][resume]") {
  const std::string savefile = fresh("malformed");
  const auto refusal = [&](const std::string& text) -> std::string {
    put(savefile + ".csv", text);
    try {
      CsvWriter(savefile, CsvOptions{1});
    } catch (const std::runtime_error& error) {
      const std::string what = error.what();
      return what.substr(std::min(what.find(".csv\""), what.size()));
    }
    return "accepted";
  };
  CHECK(refusal("") == ".csv\", line 1: expected the names of the columns, found nothing");
  CHECK(refusal("epoch;a\n0;1\n") ==
        ".csv\", line 1: expected an epoch column, without a name, found \"epoch\"");
  CHECK(refusal(";a\nzero;1\n") ==
        ".csv\", line 2: expected an epoch number first, found \"zero\"");
  CHECK(refusal(";a\n0;1;2\n1;2\n").find(".csv\", line 2: ") == 0);
  CHECK(refusal(";\"a\n0;1\n").find("expected a closing '\"'") != std::string::npos);
  CHECK(refusal(";a\n0;1\n") == "accepted");
}

TEST_CASE("A table cut off anywhere is resumed with its whole rows, and the cut is reported",
          "[csv][resume]") {
  const std::string header = ";loss;\"say \"\"hi\"\"\"\n";
  const std::string first = "0;0.25;\"x;y\"\n";
  const std::string whole = header + first + "1;0.125;0.0625\n";
  for (std::size_t size = header.size(); size <= whole.size(); ++size) {
    const std::string savefile = fresh("cut");
    put(savefile + ".csv", whole.substr(0, size));
    CAPTURE(whole.substr(0, size));
    delve_test::Watched<CsvWriter, CsvOptions> watched(savefile, CsvOptions{5});
    watched.writer.write(record(5, {{"loss", 9}}, {}));
    const std::string text = read(savefile + ".csv");
    const bool is_cut = whole[size - 1] != '\n';
    REQUIRE(watched.messages.size() == (is_cut ? 1 : 0));
    if (is_cut) CHECK(watched.messages[0].find("the last line ") != std::string::npos);
    // What comes before the cut row is there to the byte; of that row, nothing or all that was.
    const std::size_t kept =
        size < header.size() + first.size() ? header.size() : header.size() + first.size();
    REQUIRE(text.compare(0, kept, whole, 0, kept) == 0);
    const std::string rest = text.substr(kept);
    const std::string cut = whole.substr(kept, size - kept);
    if (rest != "5;9;\n") {
      CHECK(rest == cut + (is_cut ? "\n5;9;\n" : "5;9;\n"));
      if (is_cut) CHECK(watched.messages[0].find("may be cut short") != std::string::npos);
    }
  }
}

TEST_CASE("A table edited by hand is resumed, or refused with its line", "[csv][resume]") {
  const auto resumed = [](const std::string& text) -> std::string {
    const std::string savefile = fresh("edited");
    put(savefile + ".csv", text);
    try {
      CsvWriter writer(savefile, CsvOptions{2});
      writer.on_problem([](std::string_view) {});
      writer.write(record(2, {{"a", 9}}, {}));
    } catch (const std::runtime_error& error) {
      CHECK(read(savefile + ".csv") == text);
      const std::string what = error.what();
      return what.substr(what.find(", line") + 2);
    }
    return read(savefile + ".csv");
  };
  const std::string plain = ";a;b\n0;1;2\n1;3;4\n2;9;\n";
  CHECK(resumed(";a;b\n0;1;2\n1;3;4\n") == plain);
  CHECK(resumed(";a;b\r\n0;1;2\r\n1;3;4\r\n") == plain);
  CHECK(resumed("\xEF\xBB\xBF;a;b\r\n0;1;2\r\n1;3;4\r\n") == plain);  // as spreadsheets save it
  CHECK(resumed(";a;b\n\n0;1;2\n\n\n1;3;4\n\n") == plain);            // blank lines
  CHECK(resumed(";a;b\n1;3;4\n0;1;2\n") == plain);                    // rows in another order
  CHECK(resumed(";a;b\n0;7;7\n1;3;4\n0;1;2\n") == plain);             // twice: the later one
  CHECK(resumed("\"\";\"a\";\"b\"\n\"0\";\"1\";2\n1;3;4\n") == plain);
  CHECK(resumed(";a;b\n0;1;2\n1;3;4") == plain);  // an editor that ends no last line
  CHECK(resumed(";a;note\n0;1;good\n1;3; so\t so\n") ==
        ";a;note\n0;1;good\n1;3; so\t so\n2;9;\n");  // a column of one's own
  CHECK(resumed(";a;a\n0;1;2\n1;3;4\n") == ";a;a\n0;1;2\n1;3;4\n2;9;\n");
  CHECK(resumed(";a;b\n0;1;2\nsome words\n1;3;4\n").find("line 3: expected 3 fields") == 0);
  CHECK(resumed(";a;b\n0;1;2;\n").find("line 2: expected 3 fields") == 0);
  CHECK(resumed(";a,b\n0,1,2\n").find("line 2: expected 2 fields") == 0);  // commas
  CHECK(resumed(";a;b\n0.0;1;2\n").find("line 2: expected an epoch number first") == 0);
  CHECK(resumed(";a;b\n0;\"1;2\n1;3;4\n").find("line 2: expected") == 0);
}

TEST_CASE("A table that Delve left is resumed, to the letter", "[csv][resume]") {
  for (const std::string run : {"mlp_all_stats", "cnn_mean", "lstm_last_timestep"}) {
    const std::string text = read(delve_test::data("reference/" + run + "/expected.csv"));
    REQUIRE_FALSE(text.empty());
    const std::string savefile = fresh("delve");
    put(savefile + ".csv", text);
    delve_test::Watched<CsvWriter, CsvOptions> watched(savefile, CsvOptions{1000});
    watched.writer.write(record(1000, {}, {}));
    CHECK(watched.messages.empty());
    std::string kept = text;
    kept.erase(std::remove(kept.begin(), kept.end(), '\r'), kept.end());
    CHECK(read(savefile + ".csv").compare(0, kept.size(), kept) == 0);
  }
}

TEST_CASE("An epoch costs a row, not the table", "[csv]") {
  const std::string savefile = fresh("appended");
  CsvWriter writer(savefile);
  writer.write(record(0, {{"a", 1}}, {}));
  // A link to the file sees what is appended to it, and not a file that replaces it.
  std::filesystem::create_hard_link(savefile + ".csv", savefile + ".link");
  writer.write(record(1, {{"a", 2}}, {}));
  writer.write(record(2, {}, {}));
  CHECK(read(savefile + ".link") == ";a\n0;1\n1;2\n2;\n");
  writer.write(record(3, {{"b", 3}}, {}));
  CHECK(read(savefile + ".link") == ";a\n0;1\n1;2\n2;\n");
  CHECK(read(savefile + ".csv") == ";a;b\n0;1;\n1;2;\n2;;\n3;;3\n");
}

TEST_CASE("Two writers of one table leave it whole, and each reports the other", "[csv][misuse]") {
  const std::string savefile = fresh("two");
  using Watched = delve_test::Watched<CsvWriter, CsvOptions>;
  Watched first(savefile), second(savefile);
  for (int epoch = 0; epoch < 4; ++epoch) {
    first.writer.write(record(epoch, {{"first", epoch}}, {}));
    second.writer.write(record(epoch, {{"the second", epoch}}, {}));
  }
  CHECK(read(savefile + ".csv") == ";the second\n0;0\n1;1\n2;2\n3;3\n");
  for (const Watched* watched : {&first, &second}) {
    REQUIRE(watched->messages.size() == 1);
    CHECK(watched->messages[0].find(
              "run.csv\" was modified or removed by another writer or process") !=
          std::string::npos);
    CHECK(watched->messages[0].find("need a savefile each") != std::string::npos);
  }
}

TEST_CASE("What could not be written is reported once, and written when it can be",
          "[csv][faults]") {
  const std::string savefile = fresh("faults");
  CsvWriter writer(savefile);
  std::vector<std::string> messages;
  writer.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  writer.write(record(0, {{"a", 1}}, {}));
  // The folder makes way for a file, which not even root can write into.
  const std::filesystem::path folder = std::filesystem::path(savefile).parent_path();
  std::filesystem::rename(folder, folder.string() + "-away");
  put(folder.string(), "in the way");
  writer.write(record(1, {{"a", 2}}, {}));
  writer.write(record(2, {{"a", 3}}, {}));
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find(folder.string()) != std::string::npos);
  CHECK(read(folder.string() + "-away/run.csv") == ";a\n0;1\n");
  std::filesystem::remove(folder);
  std::filesystem::rename(folder.string() + "-away", folder);
  writer.close();
  CHECK(read(savefile + ".csv") == ";a\n0;1\n1;2\n2;3\n");
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);  // nothing left over
}

TEST_CASE("A write to a full disk is an error with the system's words", "[csv][faults]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no device that is full");
  std::error_code error;
  const auto full =
      delve::detail::OpenFile::open("/dev/full", delve::detail::FileAccess::Append, error);
  REQUIRE(full.is_open());
  CHECK(full.write("x") == std::errc::no_space_on_device);
}

TEST_CASE("A savefile without a name, or below a file, is refused", "[csv][misuse]") {
  CHECK_THROWS_AS(CsvWriter("csv/"), std::invalid_argument);
  CHECK_THROWS_AS(CsvWriter(""), std::invalid_argument);
  CHECK_THROWS_AS(CsvWriter("csv/x", CsvOptions{-1}), std::invalid_argument);
  put(fresh("blocked"), "a file");
  CHECK_THROWS_AS(CsvWriter("csv/blocked/run/below"), std::runtime_error);
}

TEST_CASE("A table behind a symbolic link is written where it points, with its permissions",
          "[csv][links]") {
  if (!delve_test::has_links()) LEAVE_OUT("no links can be made");
  const fs::path folder = delve_test::fresh_folder("csv_links");
  fs::create_directories(folder / "shared");
  const fs::path table = folder / "shared" / "table.csv";
  fs::create_symlink("middle.csv", folder / "run.csv");
  fs::create_symlink("shared/table.csv", folder / "middle.csv");
  const auto write = [&](int epoch, const std::vector<double>& values) {
    delve::CsvWriter writer((folder / "run").string(), {epoch});
    writer.write(delve_test::record(epoch, {}, {delve_test::layer("a", Mode::Train, values)}));
    writer.close();
  };
  write(0, {0.5});  // the link leads nowhere yet
  REQUIRE(fs::is_regular_file(fs::symlink_status(table)));
  fs::permissions(table, fs::perms(0640));
  write(1, {0.25, 3});  // a column more: the table is replaced
  CHECK(fs::is_symlink(fs::symlink_status(folder / "run.csv")));
  CHECK(fs::is_symlink(fs::symlink_status(folder / "middle.csv")));
  CHECK(fs::status(table).permissions() == fs::perms(0640));
  CHECK(delve_test::read(table.string()) ==
        ";train-saturation_a;train-intrinsic-dimensionality_a\n0;0.5;\n1;0.25;3\n");
  fs::create_symlink("round.csv", folder / "round.csv");
  delve::CsvWriter circle((folder / "round").string());
  std::vector<std::string> messages;
  circle.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  circle.write(delve_test::record(0, {}, {}));
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("round.csv"));
}

}  // namespace test_csv_writer
