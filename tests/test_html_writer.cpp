// SPDX-License-Identifier: MIT
#include <delve/writers/html.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <delve/report.hpp>
#include <delve/writers/csv.hpp>

#include "catch.hpp"
#include "records.hpp"

namespace test_html_writer {

using delve::HtmlOptions;
using delve::HtmlWriter;
using delve::Mode;
using delve_test::field;
using delve_test::fresh_folder;
using delve_test::layer;
using delve_test::record;

namespace fs = std::filesystem;

namespace {

using Html = delve_test::Watched<HtmlWriter, HtmlOptions>;

/// What the page holds for scripts, of one run or of one of several.
nlohmann::json data_of(const std::string& page, std::size_t run = 0) {
  const std::string begin = "<script type=\"application/json\">";
  std::size_t place = 0;
  for (std::size_t i = 0; i <= run; ++i) place = page.find(begin, place) + begin.size();
  return nlohmann::json::parse(page.substr(place, page.find("</script>", place) - place));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

/// An epoch of a network of 5 layers with a tail.
delve::EpochRecord tailed(std::int64_t epoch) {
  const double x = 0.01 * static_cast<double>(epoch);
  delve::EpochRecord it = record(epoch, {{"accuracy", 0.5 + x}, {"loss", 2 - x}}, {});
  for (const Mode mode : {Mode::Train, Mode::Eval}) {
    int place = 0;
    for (const double saturation : {0.5, 0.625, 0.125, 0.125, 0.75}) {
      it.layers.push_back(layer("conv" + std::to_string(place), mode, {saturation + x, 4}));
      ++place;
    }
  }
  if (epoch == 0) {
    for (int i = 0; i < 4; ++i) {
      it.fields.push_back(field("conv" + std::to_string(i), 20 * (i + 1), 20 * (i + 1), i > 1));
      it.fields.back().is_map = true;
    }
  }
  return it;
}

std::string page_of(const std::vector<delve::EpochRecord>& records, const fs::path& folder) {
  Html html(folder / "run");
  for (const delve::EpochRecord& it : records) html.writer.write(it);
  html.writer.close();
  CHECK(html.messages.empty());
  return delve_test::read(folder / "run.html");
}

}  // namespace

TEST_CASE("A page holds what the records hold", "[html]") {
  const fs::path folder = fresh_folder("html_1");
  const std::vector<delve::EpochRecord> records = {tailed(0), tailed(1), tailed(2)};
  const std::string page = page_of(records, folder);
  const nlohmann::json data = data_of(page);
  REQUIRE(data["series"].size() == 4);  // lsat and idim, in two modes
  for (const nlohmann::json& series : data["series"]) {
    REQUIRE(series["epochs"] == nlohmann::json({0, 1, 2}));
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
      for (std::size_t place = 0; place < series["layers"].size(); ++place) {
        const std::string name = data["layers"][series["layers"][place].get<std::size_t>()];
        double expected = -1;
        for (const delve::LayerRecord& it : records[epoch].layers) {
          if (it.layer != name || delve::to_string(it.mode) != series["mode"]) continue;
          for (const delve::Value& value : it.values) {
            if (value.stat == series["stat"]) expected = value.value;
          }
        }
        CHECK(series["values"][epoch][place].get<double>() == Approx(expected).epsilon(1e-5));
      }
    }
  }
  REQUIRE(data["scalars"].size() == 2);
  CHECK(data["scalars"][0]["name"] == "accuracy");
  CHECK(data["scalars"][0]["values"] == nlohmann::json({0.5, 0.51, 0.52}));
  CHECK(data["fields"][2]["layer"] == "conv2");
  CHECK(data["fields"][2]["least"] == 60);
  CHECK(data["fields"][2]["border"] == true);
  CHECK(data["verdict"]["kind"] == "tail");
  CHECK(data["verdict"]["layers"] == nlohmann::json({"conv2", "conv3"}));
  CHECK(data["verdict"]["epoch"] == 2);
}

TEST_CASE("A page says first what to change, and needs neither a script nor a network", "[html]") {
  const fs::path folder = fresh_folder("html_2");
  const std::string page = page_of({tailed(0), tailed(1)}, folder);
  const std::size_t verdict = page.find("conv2 to conv3 (2 layers) form a tail");
  CHECK(verdict < page.find("<table"));
  CHECK(verdict < page.find("<svg"));
  CHECK(page.find("Low saturation: 13.5 %, against a median of 57.2 % before.") !=
        std::string::npos);
  // The table's cells are there as text.
  CHECK(page.find(">51.0 %</td>") != std::string::npos);
  CHECK(page.find("<td data-v=\"20\">20</td>") != std::string::npos);
  CHECK(count(page, "<tr") == 1 + 5);
  CHECK(count(page, "class=\"spark\"") == 5);
  for (const std::string outside : {"http://", "https://", "src=", "href=", "url(", "@import"}) {
    INFO(outside);
    // But for the name of SVG's elements, which the script needs to make some.
    CHECK(count(page, outside) == (outside == "http://" ? 1 : 0));
  }
  CHECK(page.find("default-src 'none'") != std::string::npos);
}

TEST_CASE("Names of layers are text, whatever they hold", "[html]") {
  const fs::path folder = fresh_folder("html_3");
  const std::string bad = "</script><script>alert('1')&\"größe\xff\n";
  delve::EpochRecord it = record(0, {{bad, 1}}, {});
  for (int i = 0; i < 4; ++i) {
    it.layers.push_back(layer(bad + std::to_string(i), Mode::Train, {0.5}));
  }
  const std::string page = page_of({it}, folder);
  CHECK(count(page, "<script") == 2);
  CHECK(count(page, "alert('1')&amp;&quot;größe\xEF\xBF\xBD 0") > 2);
  const nlohmann::json data = data_of(page);
  CHECK(data["layers"][0] == "</script><script>alert('1')&\"größe\xEF\xBF\xBD\n0");
}

TEST_CASE("What is missing leaves a gap", "[html]") {
  const fs::path folder = fresh_folder("html_4");
  delve::EpochRecord it = tailed(1);
  it.layers[1].values[0].value = delve::missing_value();
  it.scalars.emplace_back("bad", std::numeric_limits<double>::infinity());
  const std::string page = page_of({tailed(0), it}, folder);
  CHECK(page.find("nan") == std::string::npos);
  CHECK(page.find("inf") == page.find("infty"));
  CHECK(data_of(page)["series"][0]["values"][1][1].is_null());
  CHECK(page.find(">–</td>") != std::string::npos);
}

TEST_CASE("A page is continued from the table beside it", "[html]") {
  const fs::path folder = fresh_folder("html_5");
  const fs::path savefile = folder / "run";
  delve::CsvWriter csv(savefile.string());
  for (int epoch = 0; epoch < 4; ++epoch) csv.write(tailed(epoch));
  csv.close();
  HtmlOptions options;
  options.initial_epoch = 2;
  Html html(savefile, options);
  html.writer.write(tailed(2));
  html.writer.close();
  CHECK(html.messages.empty());
  const nlohmann::json data = data_of(delve_test::read(folder / "run.html"));
  CHECK(data["series"][0]["epochs"] == nlohmann::json({0, 1, 2}));
  CHECK(data["verdict"]["kind"] == "tail");
  CHECK(data["fields"][3]["border"] == true);
  CHECK(delve_test::read(folder / "run.html").find("did not run") == std::string::npos);
}

TEST_CASE("Series that begin late keep the epochs of the others", "[html]") {
  const fs::path folder = fresh_folder("html_late");
  std::vector<delve::EpochRecord> records;
  for (int epoch = 0; epoch < 700; ++epoch) {
    records.push_back(record(epoch, {}, {layer("a", Mode::Train, {0.5})}));
    // An evaluation every third epoch, from the second one on.
    if (epoch % 3 == 1) records.back().layers.push_back(layer("a", Mode::Eval, {0.25}));
  }
  const nlohmann::json data = data_of(page_of(records, folder));
  const auto train = data["series"][0]["epochs"].get<std::vector<int>>();
  const auto eval = data["series"][1]["epochs"].get<std::vector<int>>();
  CHECK(train.size() == 351);
  CHECK(train.back() == 699);
  CHECK(eval.back() == 697);
  CHECK(eval.size() == 117);
  for (std::size_t i = 0; i + 1 < eval.size(); ++i) {
    CHECK(std::find(train.begin(), train.end(), eval[i]) != train.end());
  }
}

TEST_CASE("A part of an epoch is no epoch of the page", "[html]") {
  const fs::path folder = fresh_folder("html_partial");
  delve::EpochRecord part = tailed(2);
  part.scalars.emplace_back("partial-epoch", 1);
  const std::string page = page_of({tailed(0), tailed(1), part}, folder);
  CHECK(data_of(page)["series"][0]["epochs"] == nlohmann::json({0, 1}));
  CHECK(page.find("partial-epoch") == std::string::npos);
}

TEST_CASE("What a tracker knows of the run is on the page", "[html]") {
  const fs::path folder = fresh_folder("html_6");
  Html html(folder / "run");
  html.writer.inform({true, {{"sat_threshold", "0.99"}}, {"drop (Dropout)"}, {"fc: <odd>"}});
  html.writer.write(tailed(0));
  std::string page = delve_test::read(folder / "run.html");
  CHECK(page.find("<dt>sat_threshold</dt><dd>0.99</dd>") != std::string::npos);
  CHECK(page.find("<li>drop (Dropout)</li>") != std::string::npos);
  CHECK(page.find("<li>fc: &lt;odd&gt;</li>") != std::string::npos);
  // What is reported last is there as well.
  html.writer.inform({true, {}, {}, {"the end"}});
  html.writer.close();
  page = delve_test::read(folder / "run.html");
  CHECK(page.find("<li>the end</li>") != std::string::npos);
}

TEST_CASE("Numbers are shown with four digits, counts whole", "[html]") {
  using delve::ValueKind;
  using delve::detail::json_number;
  using delve::detail::shown;
  CHECK(shown(12345.6, ValueKind::Number) == "12350");
  CHECK(shown(-0.000123456, ValueKind::Variance) == "-0.0001235");
  CHECK(shown(1.5e-5, ValueKind::Number) == "1.5e-05");
  CHECK(shown(0, ValueKind::Number) == "0");
  CHECK(shown(12345678, ValueKind::Count) == "12,345,678");
  CHECK(json_number(12345678, ValueKind::Count) == "12345678");
  CHECK(json_number(delve::missing_value(), ValueKind::Count) == "null");
  CHECK(json_number(0.123456789, ValueKind::Share) == "0.123457");
}

TEST_CASE("The page of a long run of many layers stays small", "[html]") {
  const fs::path folder = fresh_folder("html_long");
  const bool is_noise = GENERATE(false, true);  // of which no two neighbours have the same shade
  CAPTURE(is_noise);
  std::mt19937 random(5);
  std::vector<delve::EpochRecord> records;
  for (int epoch = 0; epoch < 499; ++epoch) {
    delve::EpochRecord& it = records.emplace_back(record(epoch, {{"loss", 1.0 / (1 + epoch)}}, {}));
    for (const Mode mode : {Mode::Train, Mode::Eval}) {
      for (int i = 0; i < 300; ++i) {
        const double value = is_noise ? static_cast<double>(random()) / 4294967296.0
                                      : 0.5 + 0.4 * std::sin(0.1 * i + 0.01 * epoch);
        it.layers.push_back(layer("blocks-" + std::to_string(i) + "-conv", mode, {value, 4}));
      }
    }
  }
  delve::CsvWriter csv((folder / "run").string());
  for (const delve::EpochRecord& it : records) csv.write(it);
  csv.close();
  HtmlOptions options;
  options.initial_epoch = 499;
  Html html(folder / "run", options);
  records.back().epoch = 499;
  const auto begin = std::chrono::steady_clock::now();
  html.writer.write(records.back());
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  html.writer.close();
  const std::string page = delve_test::read(folder / "run.html");
  WARN("300 layers, 500 epochs" << (is_noise ? " of noise: " : ": ") << page.size() << " bytes, "
                                << taken.count() * 1e3 << " ms for the last epoch");
  CHECK(page.size() < 2'000'000);
  const nlohmann::json data = data_of(page);
  CHECK(data["series"][0]["epochs"].front() == 0);
  CHECK(data["series"][0]["epochs"].back() == 499);
  CHECK(data["series"][0]["epochs"].size() > 16);
  CHECK(page.find("of 500 epochs are shown") != std::string::npos);
}

TEST_CASE("Runs stand side by side, compared with the first", "[html][report]") {
  const fs::path folder = fresh_folder("html_8");
  const std::string path = (folder / "new" / "report.html").string();
  delve::EpochRecord better = tailed(0);
  better.scalars[0].second = 0.75;
  delve::write_report(path, "before, after", {{"before", {tailed(0)}}, {"after", {better}}});
  const std::string page = delve_test::read(path);
  CHECK(page.find("<title>before, after</title>") != std::string::npos);
  CHECK(page.find("<td>0.75 (+0.25)</td>") != std::string::npos);
  CHECK(count(page, "<article") == 2);
  CHECK(data_of(page, 1)["run"] == "after");
  CHECK_THROWS_AS(delve::write_report(path, "", {}), std::invalid_argument);
}

TEST_CASE("A page that cannot be written is reported once, and the next one may be", "[html]") {
  const fs::path folder = fresh_folder("html_9");
  Html html(folder / "run");
  fs::create_directories(folder / "run.html");
  html.writer.write(tailed(0));
  html.writer.write(tailed(1));
  CHECK(html.messages.size() == 1);
  fs::remove(folder / "run.html");
  html.writer.write(tailed(2));
  CHECK(data_of(delve_test::read(folder / "run.html"))["series"][0]["epochs"].size() == 3);
}

}  // namespace test_html_writer
