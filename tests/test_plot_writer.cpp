// SPDX-License-Identifier: MIT
#include <delve/writers/plot.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "records.hpp"

using delve::Mode;
using delve::PlotOptions;
using delve::PlotWriter;
using delve_test::layer;
using delve_test::read;
using delve_test::record;
namespace fs = std::filesystem;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

fs::path fresh(const std::string& name) {
  const fs::path folder = fs::path("plot") / name;
  fs::remove_all(folder);
  return folder;
}

/// The 32-bit number at a place of a PNG file; its header holds width and height at 16 and 20.
std::uint32_t number_at(const std::string& png, std::size_t place) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    number = number << 8U | static_cast<unsigned char>(png.at(place + i));
  }
  return number;
}

bool is_png(const fs::path& path) {
  return read(path.string()).compare(0, 8, "\x89PNG\r\n\x1a\n") == 0;
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// A writer whose reports are kept.
struct Watched {
  explicit Watched(const std::string& savefile, const PlotOptions& options = {})
      : writer(savefile, options) {
    writer.on_problem([this](std::string_view message) { messages.emplace_back(message); });
  }

  std::vector<std::string> messages;
  PlotWriter writer;
};

/// A program in the place of gnuplot.
std::string script_of(const fs::path& folder, const std::string& body) {
  fs::create_directories(folder);
  const fs::path path = folder / "program";
  std::ofstream(path) << "#!/bin/sh\n" << body << '\n';
  fs::permissions(path, fs::perms::owner_all);
  return fs::absolute(path).string();
}

}  // namespace

TEST_CASE("The script holds the layers in order, missing values as gaps", "[plot]") {
  const auto epoch =
      record(3, {},
             {layer("features-0", Mode::Train, {0.25}), layer("it's", Mode::Train, {kNaN}),
              layer("fc", Mode::Train, {1}), layer("features-0", Mode::Eval, {0.5})});
  const auto data = delve::detail::plot_data(epoch, Mode::Train, "lsat");
  const std::string script =
      delve::detail::plot_script(data, delve::detail::plotted_stats[0], Mode::Train, 3, "run");
  CHECK(script.find("$data << EOD\n0 0.25\n1 NaN\n2 1\nEOD\n") != std::string::npos);
  CHECK(script.find("('features-0' 0, 'it’s' 1, 'fc' 2)") != std::string::npos);
  CHECK(script.find("set title 'run   training saturation, epoch 3'") != std::string::npos);
  CHECK(script.find("set yrange [0:1]") != std::string::npos);
}

TEST_CASE("There is a picture for each statistic and mode with data", "[plot]") {
  const fs::path folder = fresh("pictures");
  Watched watched((folder / "run").string());
  watched.writer.write(record(0, {},
                              {layer("a", Mode::Train, {0.5, 4}), layer("b", Mode::Train, {1, 8}),
                               layer("a", Mode::Eval, {kNaN, kNaN})}));
  watched.writer.write(record(1, {}, {layer("a", Mode::Eval, {0.5})}));
  watched.writer.write(record(2, {{"accuracy", 1}}, {}));
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(files_in(folder) == std::vector<std::string>{"run_idim_train_epoch_0.png",
                                                     "run_lsat_eval_epoch_1.png",
                                                     "run_lsat_train_epoch_0.png"});
  for (const std::string& name : files_in(folder)) CHECK(is_png(folder / name));
}

TEST_CASE("A picture grows with its layers, or has the size asked for", "[plot]") {
  const fs::path folder = fresh("sizes");
  std::vector<delve::LayerRecord> layers;
  for (int i = 0; i < 60; ++i) {
    layers.push_back(layer("layer4-1-conv" + std::to_string(i), Mode::Train, {i / 60.0}));
  }
  Watched(folder / "wide").writer.write(record(0, {}, layers));
  Watched(folder / "asked", {"gnuplot", 640, 480}).writer.write(record(0, {}, layers));
  const std::string wide = read((folder / "wide_lsat_train_epoch_0.png").string());
  const std::string asked = read((folder / "asked_lsat_train_epoch_0.png").string());
  CHECK(number_at(wide, 16) > 60 * 20);
  CHECK(number_at(asked, 16) == 640);
  CHECK(number_at(asked, 20) == 480);
}

TEST_CASE("Names of layers are drawn, never obeyed", "[plot][injection]") {
  const fs::path folder = fresh("injection");
  fs::create_directories(folder);
  const std::string mark = fs::absolute(folder / "obeyed").string();
  const std::string command = "system(\"touch " + mark + "\")";
  std::vector<delve::LayerRecord> layers;
  const std::vector<std::string> names = {"\"; " + command + "; \"",
                                          "' . " + command + " . '",
                                          "' . system('touch " + mark + "') . '",
                                          "`touch " + mark + "`",
                                          "\\\"; " + command,
                                          "EOD\n" + command,
                                          "\n!touch " + mark,
                                          "@" + command,
                                          "a_b^{c}@d&~e",
                                          "größe → 4",
                                          "%s %d %n",
                                          "$data << X",
                                          "\x01\x1b[31m"};
  for (const std::string& name : names) {
    layers.push_back(layer(name, Mode::Train, {0.5}));
  }
  Watched watched((folder / "run").string());
  watched.writer.write(record(0, {}, layers));
  CHECK(watched.messages == std::vector<std::string>{});
  CHECK(is_png(folder / "run_lsat_train_epoch_0.png"));
  CHECK_FALSE(fs::exists(mark));
}

TEST_CASE("A savefile of any name works", "[plot][injection]") {
  for (const std::string name : {"with blanks", "-dash", "quo'te", "dou\"ble", "semi;colon",
                                 "größe", "$(touch x)", "back`tick", "per%cent", "new\nline"}) {
    const fs::path folder = fresh("names");
    Watched watched((folder / name / name).string());
    watched.writer.write(record(0, {}, {layer("a", Mode::Train, {0.5})}));
    CAPTURE(name);
    CHECK(watched.messages.empty());
    CHECK(is_png(folder / name / (name + "_lsat_train_epoch_0.png")));
  }
}

TEST_CASE("Without gnuplot that is said once, and nothing is drawn", "[plot][faults]") {
  const fs::path folder = fresh("missing");
  Watched watched((folder / "run").string(), {"no-such-gnuplot", 0, 0});
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0] ==
        "no-such-gnuplot was not found in PATH; no pictures will be drawn. Install it (Debian: "
        "apt-get install gnuplot-nox) or leave \"plot\" out");
  watched.writer.write(record(0, {}, {layer("a", Mode::Train, {0.5})}));
  watched.writer.close();
  CHECK(watched.messages.size() == 1);
  CHECK(fs::is_empty(folder));
}

TEST_CASE("A gnuplot that fails is quoted once, counted, and leaves nothing behind",
          "[plot][faults]") {
  const fs::path folder = fresh("failing");
  const std::string program = script_of(folder / "bin", "echo 'no more ink' >&2; exit 3");
  Watched watched((folder / "out" / "run").string(), {program, 0, 0});
  for (int epoch = 0; epoch < 4; ++epoch) {
    watched.writer.write(record(epoch, {}, {layer("a", Mode::Train, {0.5})}));
  }
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find("gnuplot ended with code 3: no more ink") != std::string::npos);
  watched.writer.close();
  REQUIRE(watched.messages.size() == 2);
  CHECK(watched.messages[1].find("4 pictures in all were not drawn") == 0);
  CHECK(fs::is_empty(folder / "out"));
}

TEST_CASE("What is no picture does not take a picture's place", "[plot][faults]") {
  const fs::path folder = fresh("garbled");
  const std::string program = script_of(folder / "bin", "printf '\\211PNG\\r\\n\\032\\n and then'");
  fs::create_directories(folder / "out");
  std::ofstream(folder / "out" / "run_lsat_train_epoch_0.png") << "an older picture";
  Watched watched((folder / "out" / "run").string(), {program, 0, 0});
  watched.writer.write(record(0, {}, {layer("a", Mode::Train, {0.5})}));
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find("not a whole PNG") != std::string::npos);
  CHECK(read((folder / "out" / "run_lsat_train_epoch_0.png").string()) == "an older picture");
  CHECK(files_in(folder / "out").size() == 1);
}

TEST_CASE("A program that reads nothing of its script does no harm", "[plot][faults]") {
  // A pipe would have broken, and its signal would have ended the training.
  const fs::path folder = fresh("deaf");
  const std::string program = script_of(folder / "bin", "exec <&-; exit 1");
  Watched watched((folder / "run").string(), {program, 0, 0});
  std::vector<delve::LayerRecord> layers(20000, layer("a", Mode::Train, {0.5}));
  watched.writer.write(record(0, {}, layers));
  CHECK(watched.messages.size() == 1);
}

TEST_CASE("Sizes out of their range are refused", "[plot][misuse]") {
  CHECK_THROWS_WITH(PlotWriter("plot/x", {"gnuplot", 100, 0}),
                    "width = 100: expected 0 (automatic), or 200 to 16000 pixels");
  CHECK_THROWS_AS(PlotWriter("plot/x", {"gnuplot", 0, 20000}), std::invalid_argument);
  CHECK_THROWS_AS(PlotWriter("plot/"), std::invalid_argument);
}
