// SPDX-License-Identifier: MIT
#include <delve/detail/plot/comparison_script.hpp>
#include <delve/detail/plot/gnuplot.hpp>
#include <delve/writers/plot.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <Eigen/Core>

#include "catch.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_plot_writer {

using delve::Mode;
using delve::PictureFormat;
using delve::PlotOptions;
using delve::PlotWriter;
using delve_test::layer;
using delve_test::read;
using delve_test::record;
namespace fs = std::filesystem;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

fs::path fresh(const std::string& name) {
  return delve_test::fresh_folder(fs::path("plot") / name);
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

using Watched = delve_test::Watched<PlotWriter, PlotOptions>;

/// A program in the place of gnuplot.
std::string script_of(const fs::path& folder, const std::string& body) {
  fs::create_directories(folder);
  const fs::path path = folder / "program";
  std::ofstream(path) << "#!/bin/sh\n" << body << '\n';
  fs::permissions(path, fs::perms::owner_all);
  return fs::absolute(path).string();
}

/// A gnuplot that leaves what it read, and what it complained of, in files of this folder.
std::string overheard(const fs::path& folder) {
  const std::string place = fs::absolute(folder).string();
  return script_of(folder,
                   "tee -a '" + place + "/scripts' | gnuplot \"$@\" 2>>'" + place + "/complaints'");
}

/// What it complained of, but for what every picture has it complain of.
std::string complaints_in(const fs::path& folder) {
  std::istringstream all(read((folder / "complaints").string()));
  std::string kept;
  for (std::string line; std::getline(all, line);) {
    if (line.find(delve::detail::kIdleComplaint) == std::string::npos) kept += line + '\n';
  }
  return kept;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

delve::LayerRecord layer_with(const std::string& name, const std::string& stat,
                              const Eigen::MatrixXd& array) {
  delve::LayerRecord made = layer(name, Mode::Train, {});
  const auto kind = stat == "embed" ? delve::ArrayKind::Points : delve::ArrayKind::Curve;
  made.arrays.push_back({stat, stat, std::make_shared<const Eigen::MatrixXd>(array), kind});
  return made;
}

/// The delays of a GIF file's frames, in hundredths of a second: it is walked block by block
/// (GIF89a, appendix B).
std::vector<int> gif_delays(const std::string& gif) {
  const auto byte = [&](std::size_t at) {
    return static_cast<unsigned>(static_cast<unsigned char>(gif.at(at)));
  };
  const auto colors = [&](unsigned flags) {
    return (flags & 0x80U) ? 3U << ((flags & 7U) + 1) : 0;
  };
  std::vector<int> delays;
  std::size_t at = 13 + colors(byte(10));
  while (byte(at) != 0x3B) {
    if (byte(at) == 0x21) {
      if (byte(at + 1) == 0xF9)
        delays.push_back(static_cast<int>(byte(at + 4) | byte(at + 5) << 8U));
      at += 2;
    } else {
      REQUIRE(byte(at) == 0x2C);
      at += 10 + colors(byte(at + 9)) + 1;
    }
    while (byte(at) != 0) at += byte(at) + 1;
    ++at;
  }
  CHECK(at + 1 == gif.size());
  return delays;
}

}  // namespace

TEST_CASE("The script holds the layers in order, missing values as gaps", "[plot]") {
  const auto epoch =
      record(3, {},
             {layer("features-0", Mode::Train, {0.25}), layer("it's", Mode::Train, {kNaN}),
              layer("fc", Mode::Train, {1}), layer("features-0", Mode::Eval, {0.5})});
  const auto data = delve::detail::plot_data(epoch, Mode::Train);
  REQUIRE(data.size() == 1);
  CHECK(data[0].stat == "lsat");
  const std::string script = delve::detail::layer_script(
      delve::detail::png_picture, {"run"}, Mode::Train, {data[0].quantity, data[0].kind},
      data[0].layers, {{3, "test-accuracy 0.54", data[0].values}});
  CHECK(script.find("$data << EOD\n0 0.25\n1 NaN\n2 1\nEOD\n") != std::string::npos);
  CHECK(script.find("('features-0' 0, 'it’s' 1, 'fc' 2)") != std::string::npos);
  CHECK(script.find("'run   training saturation, epoch 3, test-accuracy 0.54'") !=
        std::string::npos);
}

TEST_CASE("The picture of a probe has the saturation of its mode behind it", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const auto with_probe = [](const std::string& name, double saturation, double accuracy) {
    delve::LayerRecord it = layer(name, Mode::Eval, {saturation});
    it.values.push_back({"probe", "probe-accuracy", accuracy, delve::ValueKind::Share});
    return it;
  };
  const fs::path folder = fresh("probe");
  PlotOptions options;
  options.gnuplot = overheard(folder);
  Watched watched(folder / "run", options);
  watched.writer.write(record(
      0, {},
      {with_probe("a", 0.25, 0.5), with_probe("b", kNaN, 0.75), layer("a", Mode::Train, {0.125})}));
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(complaints_in(folder).empty());
  const std::string scripts = read((folder / "scripts").string());
  CHECK(count_of(scripts, "$beside << EOD\n0 0.25\n1 NaN\nEOD\n") == 1);
  CHECK(count_of(scripts, "$data << EOD\n0 0.5\n1 0.75\nEOD\n") == 1);
  CHECK(count_of(scripts, "evaluation probe accuracy and saturation, epoch 0") == 1);
  CHECK(count_of(scripts, "title 'saturation'") == 1);
  CHECK(fs::exists(folder / "run_probe_eval_epoch_0.png"));
}

TEST_CASE("The picture of drift has its noise floor behind it, and a heat map of its own",
          "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const auto drifting = [](const std::string& name, double drift, double floor) {
    delve::LayerRecord it = layer(name, Mode::Train, {0.5});
    for (const auto& [stat, quantity, value] :
         {std::tuple("drift", "drift", drift), std::tuple("drift_floor", "drift-floor", floor),
          std::tuple("drift_chance", "drift-chance", 0.75)}) {
      it.values.push_back({stat, quantity, value, delve::ValueKind::Drift});
    }
    return it;
  };
  const fs::path folder = fresh("drift");
  PlotOptions options;
  options.gnuplot = overheard(folder);
  options.animation = true;
  Watched watched(folder / "run", options);
  // In the first epoch there is only the floor.
  watched.writer.write(record(0, {}, {drifting("a", kNaN, 0.001), drifting("b", kNaN, 0.002)}));
  watched.writer.write(record(1, {}, {drifting("a", 0.25, 0.001), drifting("b", 0.5, 0.002)}));
  watched.writer.write(record(2, {}, {drifting("a", 0, 0.003), drifting("b", 0.125, 0.004)}));
  watched.writer.close();
  CHECK(watched.messages.empty());
  // What it says of the animation has no line of a script in it.
  CHECK(complaints_in(folder).find("line") == std::string::npos);
  CHECK_FALSE(fs::exists(folder / "run_drift_train_epoch_0.png"));
  CHECK(fs::exists(folder / "run_drift_train_epoch_1.png"));
  CHECK_FALSE(fs::exists(folder / "run_drift_floor_train_epoch_1.png"));
  CHECK_FALSE(fs::exists(folder / "run_drift_chance_train_epoch_1.png"));
  CHECK(is_png(folder / "run_drift_train_epochs.png"));
  CHECK(is_png(folder / "run_lsat_train_epochs.png"));
  CHECK(fs::exists(folder / "run_lsat_train.gif"));
  CHECK_FALSE(fs::exists(folder / "run_drift_train.gif"));
  const std::string scripts = read((folder / "scripts").string());
  CHECK(count_of(scripts, "training drift and drift floor, epoch 1") == 1);
  // Nothing is lighter than what it cannot be told from.
  CHECK(count_of(scripts, "0 0 0.25\n1 0 0.0001\n0 1 0.5\n1 1 0.125\nEOD") == 1);
  CHECK(count_of(scripts, "set logscale cb") == 1);
  CHECK(count_of(scripts, "training drift (dark: settled), epochs 1 to 2") == 1);
}

TEST_CASE("Border layers are marked in every picture from when they are known", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const std::vector<std::string> layers = {"a", "b", "c", "d"};
  const std::string script =
      delve::detail::layer_script(delve::detail::png_picture, {"run"}, Mode::Train,
                                  {"saturation", delve::ValueKind::Saturation}, layers,
                                  {{3, "", {0.5, 0.5, 0.5, 0.5}}}, {"b", "c"});
  CHECK(script.find("rectangle from first 0.5, graph 0 to first 2.5, graph 1 behind") !=
        std::string::npos);
  CHECK(script.find("set label 2 'border' at first 0.6,") != std::string::npos);

  const fs::path folder = fresh("border");
  PlotOptions options;
  options.gnuplot = overheard(folder);
  Watched watched(folder / "run", options);
  for (const int epoch : {0, 1, 2}) {
    auto next = record(epoch, {}, {layer("a", Mode::Train, {0.5}), layer("b", Mode::Train, {0.1})});
    if (epoch == 1) {  // found in the second epoch
      next.fields = {delve_test::field("a", 3, 3, false), delve_test::field("b", 40, 40, true)};
    }
    watched.writer.write(next);
  }
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(complaints_in(folder).empty());
  const std::string scripts = read((folder / "scripts").string());
  CHECK(count_of(scripts, "set label 2 'border'") == 2);
  CHECK(count_of(scripts, "epoch (red bar: border layers)") == 1);
  CHECK(count_of(scripts, "set arrow from graph 1, first 0.5 to graph 1, first 1.5") == 1);
  CHECK(is_png(folder / "run_lsat_train_epoch_2.png"));
  CHECK(is_png(folder / "run_lsat_train_epochs.png"));
}

TEST_CASE("There is a picture for each statistic and mode with data", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
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

TEST_CASE("A picture grows with its layers, or has the requested size", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
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

TEST_CASE("Names are drawn, never obeyed, in every kind of picture", "[plot][injection]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const auto format = GENERATE(PictureFormat::Png, PictureFormat::Svg, PictureFormat::Pdf);
  const fs::path folder = fresh("injection");
  fs::create_directories(folder);
  const std::string mark = fs::absolute(folder / "obeyed").string();
  const std::string command = "system(\"touch " + mark + "\")";
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
  const auto curve = std::make_shared<const Eigen::MatrixXd>(Eigen::VectorXd::LinSpaced(8, 0.5, 1));
  const auto points = std::make_shared<const Eigen::MatrixXd>(Eigen::MatrixXd::Random(20, 2));
  std::vector<delve::LayerRecord> layers;
  for (const std::string& name : names) {
    layers.push_back(layer(name, Mode::Train, {0.5}));
    layers.back().arrays = {{"curve", "explained-variance-curve", curve, delve::ArrayKind::Curve},
                            {"embed", "embedded-sample", points, delve::ArrayKind::Points}};
  }
  for (const std::string& name : names) {
    CAPTURE(name);
    PlotOptions options;
    options.format = format;
    options.title = name;
    options.primary_metric = name;
    // All of them are drawn once; after that they are but titles.
    options.animation = name == names[0];
    if (name == names[1]) layers.resize(1);
    Watched watched((folder / "run").string(), options);
    for (const int epoch : {0, 1}) watched.writer.write(record(epoch, {{name, 0.5}}, layers));
    watched.writer.close();
    CHECK(watched.messages == std::vector<std::string>{});
    // An epoch has a picture of values, one of curves, and one of points a layer; both have one.
    const std::string extension = "." + std::string(delve::detail::picture_kind(format).extension);
    const std::vector<std::string> files = files_in(folder);
    const auto pictures = std::count_if(files.begin(), files.end(), [&](const std::string& file) {
      return fs::path(file).extension() == extension;
    });
    CHECK(static_cast<std::size_t>(pictures) == 2 * (2 + layers.size()) + 1);
    if (format != PictureFormat::Png) break;
  }

  std::vector<delve::detail::ComparedRun> runs;
  for (const std::string& name : names) {
    runs.push_back({name, delve::detail::plot_data(record(0, {}, layers), Mode::Train).at(0)});
  }
  const auto& kind = delve::detail::picture_kind(format);
  delve::detail::PlotStyle style;
  style.name = names[1];
  const std::string picture = (folder / "compared").string();
  delve::detail::draw_picture(
      *delve::detail::find_program("gnuplot"), kind, picture,
      delve::detail::comparison_script(kind, style, Mode::Train,
                                       {names[2], delve::ValueKind::Number}, runs));
  CHECK(fs::file_size(picture) > 1000);
  CHECK_FALSE(fs::exists(mark));
}

TEST_CASE("Several runs are compared, by the layers' names", "[plot]") {
  const auto run = [](const std::string& name, const std::vector<std::string>& layers,
                      const std::vector<double>& values) {
    return delve::detail::ComparedRun{
        name, {"lsat", "saturation", delve::ValueKind::Saturation, layers, values}};
  };
  const std::vector<delve::detail::ComparedRun> runs = {
      run("small", {"conv1", "conv2", "fc"}, {0.25, kNaN, 1}),
      run("large", {"conv1", "conv2", "conv3", "fc"}, {0.5, 0.5, 0.75, 1}),
      run("other", {"stem", "fc", "head"}, {0, 0.5, 1})};
  CHECK(delve::detail::layers_of_all(runs) ==
        std::vector<std::string>{"stem", "conv1", "conv2", "conv3", "fc", "head"});
  const std::string script = delve::detail::comparison_script(
      delve::detail::png_picture, delve::detail::PlotStyle{}, Mode::Eval,
      {"saturation", delve::ValueKind::Saturation}, runs);
  CHECK(script.find("$run0 << EOD\n1 0.25\n2 NaN\n4 1\nEOD\n") != std::string::npos);
  CHECK(script.find("$run1 << EOD\n1 0.5\n2 0.5\n3 0.75\n4 1\nEOD\n") != std::string::npos);
  CHECK(script.find("$run2 << EOD\n0 0\n4 0.5\n5 1\nEOD\n") != std::string::npos);
  CHECK(script.find("'evaluation saturation'") != std::string::npos);
  for (const auto& one : runs) CHECK(count_of(script, "title '" + one.name + "'") == 1);
}

TEST_CASE("A savefile of any name works", "[plot][injection]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
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
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
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
  // Those of four epochs, and the heat map.
  CHECK(watched.messages[1].find("5 pictures in all were not drawn") == 0);
  CHECK(fs::is_empty(folder / "out"));
}

TEST_CASE("What is no picture does not take a picture's place", "[plot][faults]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("garbled");
  const std::string program = script_of(folder / "bin", "printf '\\211PNG\\r\\n\\032\\n and then'");
  Watched watched((folder / "out" / "run").string(), {program, 0, 0});
  std::ofstream(folder / "out" / "run_lsat_train_epoch_0.png") << "an older picture";
  watched.writer.write(record(0, {}, {layer("a", Mode::Train, {0.5})}));
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find("not a whole PNG") != std::string::npos);
  CHECK(read((folder / "out" / "run_lsat_train_epoch_0.png").string()) == "an older picture");
  CHECK(files_in(folder / "out").size() == 1);
}

TEST_CASE("A program that reads nothing of its script does no harm", "[plot][faults]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  // A pipe would have broken, and its signal would have ended the training.
  const fs::path folder = fresh("deaf");
  const std::string program = script_of(folder / "bin", "exec <&-; exit 1");
  Watched watched((folder / "run").string(), {program, 0, 0});
  std::vector<delve::LayerRecord> layers(20000, layer("a", Mode::Train, {0.5}));
  watched.writer.write(record(0, {}, layers));
  CHECK(watched.messages.size() == 1);
}

TEST_CASE("Every number can be drawn, and gnuplot has nothing to complain of", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<std::vector<double>> rows = {
      {-2300, -1, -1200},     {1e-200, 1e-90, 3e-150},
      {1e-200, 2e-200, 0},    {7, 7, 7},
      {-7, -7, -7},           {0, 0, 0},
      {-inf, 2, inf},         {5e-324, 1.7e308, 1},
      {-1.7e308, 1.7e308, 0}, {-2300.001, -2300.002, -2300},
      {-1e-200, 1e-200, 0}};
  const fs::path folder = fresh("numbers");
  Watched watched((folder / "run").string(), {overheard(folder / "bin"), 0, 0});
  std::vector<delve::LayerRecord> layers(3, layer("a", Mode::Train, {}));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string stat = "stat" + std::to_string(row);
      layers[i].values.push_back({stat, "quantity-" + std::to_string(row) + "@0.9", rows[row][i]});
    }
  }
  watched.writer.write(record(0, {}, {layers}));
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(complaints_in(folder / "bin").empty());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    CHECK(is_png(folder / ("run_stat" + std::to_string(row) + "_train_epoch_0.png")));
  }
  const std::string scripts = read((folder / "bin" / "scripts").string());
  CHECK(scripts.find("'run   training quantity 3 at 0.9, epoch 0'") != std::string::npos);
}

TEST_CASE("An axis holds all numbers, with labels at even places that tell them apart", "[plot]") {
  using delve::detail::Axis;
  for (const std::vector<double>& numbers : std::vector<std::vector<double>>{
           {-2300, -2290}, {1e-200, 1e-90}, {3, 419}, {-5, 7}, {-7}, {1e300}, {-2300.01, -2300}}) {
    const Axis axis = Axis::around(numbers, 6);
    CAPTURE(numbers);
    for (const double number : numbers) {
      CHECK(axis.place(number) >= 0);
      CHECK(axis.place(number) <= 1);
    }
    REQUIRE(axis.tics().size() >= 2);
    CHECK(axis.tics().size() <= 8);
    const double step = axis.tics()[1].place - axis.tics()[0].place;
    for (std::size_t i = 0; i < axis.tics().size(); ++i) {
      const Axis::Tic& tic = axis.tics()[i];
      CHECK(tic.place == Approx(axis.tics()[0].place + step * static_cast<double>(i)));
      // The label is the number that stands there.
      CHECK(axis.place(std::stod(tic.label)) == Approx(tic.place).margin(1e-3));
    }
  }
  CHECK(Axis::around({0, 8}, 6).place(2) == Approx(0.25));
  CHECK(Axis::around({1, 1e10}, 6).place(1e5) == Approx(0.5));
  CHECK(std::isnan(Axis::unit(5).place(std::numeric_limits<double>::infinity())));
  CHECK(Axis::around({1e-200}, 1).tics().back().label == "1e-200");
}

TEST_CASE("Pictures come whole in each format, and a part of one is not whole", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  for (const auto format :
       {delve::PictureFormat::Png, delve::PictureFormat::Svg, delve::PictureFormat::Pdf}) {
    const auto& kind = delve::detail::picture_kind(format);
    CAPTURE(kind.name);
    const fs::path folder = fresh("formats") / kind.extension;
    PlotOptions options{overheard(folder / "bin"), 0, 0};
    options.format = format;
    Watched watched((folder / "run").string(), options);
    delve::LayerRecord curve = layer_with("a<&>", "curve", Eigen::MatrixXd::Ones(4, 1));
    for (int epoch = 0; epoch < 2; ++epoch) {
      watched.writer.write(record(epoch, {}, {layer("a<&>", Mode::Train, {0.5}), curve}));
    }
    watched.writer.close();
    CHECK(watched.messages.empty());
    CHECK(complaints_in(folder / "bin").empty());
    for (const std::string name :
         {"lsat_train_epoch_0", "curve_train_epoch_1", "lsat_train_epochs"}) {
      const std::string bytes =
          read((folder / ("run_" + name + "." + std::string(kind.extension))).string());
      CHECK(delve::detail::is_whole_picture(kind, bytes));
      CHECK_FALSE(delve::detail::is_whole_picture(kind, bytes.substr(0, bytes.size() - 8)));
      CHECK_FALSE(delve::detail::is_whole_picture(kind, bytes.substr(1)));
      if (format == delve::PictureFormat::Svg) CHECK(bytes.find("a<&>") == std::string::npos);
    }
  }
}

TEST_CASE("Only the requested statistics are drawn, and what no epoch held is reported", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("stats");
  PlotOptions options;
  options.stats = {"idim", "lsta"};
  options.primary_metric = "accuracy";
  Watched watched((folder / "run").string(), options);
  for (int epoch = 0; epoch < 2; ++epoch) {
    watched.writer.write(record(epoch, {{"loss", 1}}, {layer("a", Mode::Train, {0.5, 4})}));
  }
  watched.writer.close();
  CHECK(files_in(folder) ==
        std::vector<std::string>{"run_idim_train_epoch_0.png", "run_idim_train_epoch_1.png"});
  CHECK(watched.messages ==
        std::vector<std::string>{
            "stats: no epoch held \"lsta\"; there is no picture of it",
            "primary_metric: no epoch held the scalar \"accuracy\"; no title shows it"});
}

TEST_CASE("A heat map shows all layers over all epochs, once there are two", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("heat_map");
  Watched watched((folder / "run").string(), {overheard(folder / "bin"), 0, 0});
  watched.writer.write(
      record(0, {}, {layer("a", Mode::Train, {0.5}), layer("a", Mode::Eval, {1})}));
  watched.writer.write(
      record(4, {}, {layer("b", Mode::Train, {0.25}), layer("a", Mode::Train, {0.75})}));
  CHECK_FALSE(fs::exists(folder / "run_lsat_train_epochs.png"));
  watched.writer.close();
  CHECK(is_png(folder / "run_lsat_train_epochs.png"));
  CHECK_FALSE(fs::exists(folder / "run_lsat_eval_epochs.png"));
  const std::string scripts = read((folder / "bin" / "scripts").string());
  CHECK(scripts.find("0 0 0.5\n1 0 0.75\n0 1 NaN\n1 1 0.25\nEOD") != std::string::npos);
  CHECK(scripts.find("set xtics ('0' 0, '4' 1)\nset ytics ('a' 0, 'b' 1)") != std::string::npos);
  CHECK(scripts.find("set yrange [1.5:-0.5]") != std::string::npos);
  CHECK(complaints_in(folder / "bin").empty());
}

TEST_CASE("Thousands of epochs take bounded room, and the last one is there", "[plot]") {
  delve::detail::History history;
  for (std::int64_t epoch = 0; epoch < 5000; ++epoch) {
    history.add(
        epoch, "",
        {"lsat", "saturation", delve::ValueKind::Saturation, {"a"}, {static_cast<double>(epoch)}});
    REQUIRE(history.columns().size() <= 1025);
    REQUIRE(history.columns().back().epoch == epoch);
  }
  const auto& columns = history.columns();
  CHECK(columns.size() > 512);
  CHECK(columns.front().epoch == 0);
  const std::int64_t step = columns[1].epoch;
  for (std::size_t i = 0; i + 1 < columns.size(); ++i) {
    CHECK(columns[i].epoch == step * static_cast<std::int64_t>(i));
    CHECK(history.value(i, 0) == static_cast<double>(columns[i].epoch));
  }
  const auto frames = delve::detail::frames_of(history, 200);
  CHECK(frames.size() == 200);
  CHECK(frames.front().epoch == 0);
  CHECK(frames.back().epoch == 4999);
}

TEST_CASE("An animation has a frame an epoch, of half a second", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("animation");
  PlotOptions options{overheard(folder / "bin"), 600, 400};
  options.animation = true;
  options.primary_metric = "accuracy";
  Watched watched((folder / "run").string(), options);
  for (int epoch = 0; epoch < 3; ++epoch) {
    watched.writer.write(
        record(epoch, {{"accuracy", 0.25 * epoch}}, {layer("a", Mode::Train, {0.5})}));
  }
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(gif_delays(read((folder / "run_lsat_train.gif").string())) == std::vector<int>{50, 50, 50});
  // In its own picture and in its frame.
  const std::string scripts = read((folder / "bin" / "scripts").string());
  CHECK(count_of(scripts, ", epoch 2, accuracy 0.5'") == 2);
}

TEST_CASE("Embedded data gets a picture a layer, of not more than 5000 points", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("embed");
  Watched watched((folder / "run").string(), {overheard(folder / "bin"), 0, 0});
  Eigen::MatrixXd points = Eigen::MatrixXd::Random(12000, 2);
  points(0, 1) = kNaN;
  watched.writer.write(record(2, {},
                              {layer_with("a/b%\n", "embed", points),
                               layer_with("narrow", "embed", Eigen::MatrixXd::Ones(5, 1)),
                               layer_with("empty", "embed", Eigen::MatrixXd(0, 2)),
                               layer_with("same", "embed", Eigen::MatrixXd::Ones(5, 2))}));
  CHECK(watched.messages.empty());
  CHECK(files_in(folder) == std::vector<std::string>{"bin",
                                                     "run_embed_train_a%2Fb%25%0A_epoch_2.png",
                                                     "run_embed_train_same_epoch_2.png"});
  CHECK(complaints_in(folder / "bin").empty());
  const std::string scripts = read((folder / "bin" / "scripts").string());
  const std::size_t begin = scripts.find("$data << EOD\n");
  const std::string data = scripts.substr(begin, scripts.find("\nEOD", begin) - begin);
  CHECK(count_of(data, "\n") == 3999);
  CHECK(data.find("NaN") == std::string::npos);
}

TEST_CASE("Curves are a line a layer, and at most 40 have a key", "[plot]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  for (const std::size_t count : {1U, 40U, 90U}) {
    const fs::path folder = fresh("curves") / std::to_string(count);
    Watched watched((folder / "run").string(), {overheard(folder / "bin"), 0, 0});
    std::vector<delve::LayerRecord> layers;
    for (std::size_t i = 0; i < count; ++i) {
      layers.push_back(
          layer_with("layer" + std::to_string(i), "curve", Eigen::Vector4d(0.4, 0.7, kNaN, 1)));
    }
    watched.writer.write(record(0, {}, layers));
    CHECK(is_png(folder / "run_curve_train_epoch_0.png"));
    const std::string scripts = read((folder / "bin" / "scripts").string());
    CHECK(count_of(scripts, "0 0\n0.25 0.4\n0.5 0.7\n0.75 NaN\n1 1\nEOD") == count);
    CHECK(count_of(scripts, " with lines ") == count);
    CHECK(count_of(scripts, " title 'layer") == std::min<std::size_t>(count, 40));
    CHECK(scripts.find(" title 'layer0'") != std::string::npos);
    CHECK(scripts.find(" title 'layer" + std::to_string(count - 1) + "'") != std::string::npos);
    CHECK(complaints_in(folder / "bin").empty());
  }
}

TEST_CASE("Pictures of an earlier run go, but none of another savefile or epoch",
          "[plot][resume]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const std::vector<std::string> stale = {
      "run_lsat_train_epoch_3.png", "run_lsat@0.9_eval_epoch_12.svg", "run_mine_train_epoch_4.pdf",
      "run_embed_eval_a%2Fb_epoch_3.png", "run_curve_train_epoch_3.png"};
  const std::vector<std::string> others = {"run_lsat_train_epoch_2.png",
                                           "run_a_lsat_train_epoch_3.png",
                                           "run2_lsat_train_epoch_3.png",
                                           "run_lsat_test_epoch_3.png",
                                           "run_lsat_train_epoch_03.png",
                                           "run_lsat_train_epoch_3.txt",
                                           "run_lsat_train_epoch_x.png",
                                           "my_run_lsat_train_epoch_3.png",
                                           "run_lsat_train_epoch_3.png.bak",
                                           "run_lsat@a_train_epoch_3.png",
                                           "run_lsat_train.png",
                                           "run_unknown_train_epoch_3.png"};
  const fs::path folder = fresh("stale");
  fs::create_directories(folder);
  const auto fill = [&] {
    for (const auto& names : {stale, others}) {
      for (const std::string& name : names) std::ofstream(folder / name) << "old";
    }
  };
  const auto sorted = [](std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return names;
  };
  std::vector<std::string> all = stale;
  all.insert(all.end(), others.begin(), others.end());

  PlotOptions options;
  options.initial_epoch = 3;
  options.stats = {"lsat", "mine", "unseen"};
  fill();
  Watched((folder / "run").string(), options);
  CHECK(files_in(folder) == sorted(others));

  options.remove_stale = false;
  fill();
  Watched((folder / "run").string(), options);
  CHECK(files_in(folder) == sorted(all));

  // A statistic that is not known before it is seen.
  PlotOptions plain;
  plain.initial_epoch = 3;
  Watched watched((folder / "run").string(), plain);
  CHECK(fs::exists(folder / "run_mine_train_epoch_4.pdf"));
  delve::LayerRecord mine = layer("a", Mode::Train, {});
  mine.values.push_back({"mine", "mine", 1});
  watched.writer.write(record(3, {}, {mine}));
  CHECK_FALSE(fs::exists(folder / "run_mine_train_epoch_4.pdf"));
  CHECK(is_png(folder / "run_mine_train_epoch_3.png"));
}

TEST_CASE("A resumed run's heat map begins with the table's epochs", "[plot][resume]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no gnuplot, and no shell in its place");
  const fs::path folder = fresh("resumed");
  fs::create_directories(folder);
  const auto run = [&] {
    fs::remove(folder / "bin" / "scripts");
    PlotOptions options{overheard(folder / "bin"), 0, 0};
    options.initial_epoch = 2;
    Watched watched((folder / "run").string(), options);
    for (int epoch = 2; epoch < 4; ++epoch) {
      watched.writer.write(record(epoch, {}, {layer("a", Mode::Train, {0.75})}));
    }
    watched.writer.close();
    return watched.messages;
  };
  std::ofstream(folder / "run.csv") << ";train-saturation_a\n0;0.25\n1;0.5\n2;0.125\n5;0.125\n";
  CHECK(run().empty());
  CHECK(read((folder / "bin" / "scripts").string())
            .find("0 0 0.25\n1 0 0.5\n2 0 0.75\n3 0 0.75\nEOD") != std::string::npos);

  std::ofstream(folder / "run.csv") << "epoch;train-saturation_a\n0;0.25\n";
  const auto messages = run();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("pictures over all epochs will begin at epoch 2: ") == 0);
  CHECK(read((folder / "bin" / "scripts").string()).find("0 0 0.75\n1 0 0.75\nEOD") !=
        std::string::npos);

  fs::remove(folder / "run.csv");
  CHECK(run().empty());
}

TEST_CASE("Options are read from texts", "[plot][options]") {
  const PlotOptions options = delve::plot_options_from({{"gnuplot", "/bin/gnuplot"},
                                                        {"width", "800"},
                                                        {"height", "600"},
                                                        {"title", "My run"},
                                                        {"font", "DejaVu Serif"},
                                                        {"font_size", "14"},
                                                        {"format", "pdf"},
                                                        {"primary_metric", "accuracy"},
                                                        {"heat_map", "false"},
                                                        {"animation", "true"},
                                                        {"stats", "lsat,idim"}});
  CHECK(options.gnuplot == "/bin/gnuplot");
  CHECK(options.width == 800);
  CHECK(options.height == 600);
  CHECK(options.title == "My run");
  CHECK(options.font == "DejaVu Serif");
  CHECK(options.font_size == 14);
  CHECK(options.format == delve::PictureFormat::Pdf);
  CHECK(options.primary_metric == "accuracy");
  CHECK_FALSE(options.heat_map);
  CHECK(options.animation);
  CHECK(options.stats == std::vector<std::string>{"lsat", "idim"});
  CHECK_THROWS_WITH(delve::plot_options_from({{"width", "tall"}}),
                    "delve: writer_args: width is \"tall\"; it must be a number of pixels");
  CHECK_THROWS_WITH(delve::plot_options_from({{"format", "gif"}}),
                    "delve: writer_args: format is \"gif\"; it must be png, svg or pdf");
  CHECK_THROWS_WITH(delve::plot_options_from({{"heat_map", "yes"}}),
                    "delve: writer_args: heat_map is \"yes\"; it must be true or false");
  CHECK_THROWS_WITH(delve::plot_options_from({{"font_size", "11.5"}}),
                    "delve: writer_args: font_size is \"11.5\"; it must be a number of points");
  CHECK_THROWS_AS(delve::plot_options_from({{"heigth", "800"}}), std::invalid_argument);
}

TEST_CASE("Bad options are refused before anything is made", "[plot][misuse]") {
  const fs::path folder = fresh("refused");
  const auto make = [&](const auto& change) {
    PlotOptions options;
    change(options);
    PlotWriter((folder / "run").string(), options);
  };
  CHECK_THROWS_WITH(make([](PlotOptions& o) { o.font = "Sans' . system('x') . '"; }),
                    Catch::Matchers::StartsWith("delve::PlotOptions: font is \"Sans' . system"));
  CHECK_THROWS_AS(make([](PlotOptions& o) { o.font = "Sans\n"; }), std::invalid_argument);
  CHECK_THROWS_AS(make([](PlotOptions& o) { o.font = ""; }), std::invalid_argument);
  CHECK_THROWS_WITH(make([](PlotOptions& o) { o.font_size = 5; }),
                    "delve::PlotOptions: font_size is 5; it must be 6 to 72 points");
  CHECK_THROWS_WITH(make([](PlotOptions& o) {
                      o.stats = {"lsat", ""};
                    }),
                    "delve::PlotOptions: stats is \"lsat,\"; it must be names that are not empty");
  CHECK_THROWS_WITH(make([](PlotOptions& o) { o.initial_epoch = -1; }),
                    "delve: initial_epoch is -1; it must be at least 0");
  CHECK_FALSE(fs::exists(folder));
}

TEST_CASE("Sizes out of their range are refused", "[plot][misuse]") {
  CHECK_THROWS_WITH(PlotWriter("plot/x", {"gnuplot", 100, 0}),
                    "delve::PlotOptions: width is 100; it must be 0 (automatic), or 200 to 16000 "
                    "pixels");
  CHECK_THROWS_AS(PlotWriter("plot/x", {"gnuplot", 0, 20000}), std::invalid_argument);
  CHECK_THROWS_AS(PlotWriter("plot/"), std::invalid_argument);
}

TEST_CASE("The user's environment changes no picture", "[plot][environment]") {
#ifdef _WIN32
  LEAVE_OUT("there is no gnuplot, and no shell in its place");
#else
  const auto picture = [](const std::string& name) {
    const fs::path folder = fresh("environment");
    PlotOptions options;
    options.format = PictureFormat::Svg;
    Watched watched((folder / "run").string(), options);
    watched.writer.write(
        record(0, {}, {layer("a", Mode::Train, {0.5}), layer("b", Mode::Train, {0.25})}));
    watched.writer.close();
    CAPTURE(name, watched.messages);
    CHECK(watched.messages.empty());
    return read((folder / "run_lsat_train_epoch_0.svg").string());
  };
  const std::string usual = picture("none");
  REQUIRE(usual.size() > 1000);
  const std::vector<std::pair<const char*, const char*>> variables = {
      {"GNUTERM", "x11"},
      {"GNUTERM", "qt"},
      {"GNUTERM", ""},
      {"GNUTERM", "no such terminal"},
      {"GNUPLOT_LIB", "/nowhere"},
      {"GDFONTPATH", "/nowhere"},
      {"GNUPLOT_DEFAULT_GDFONT", "nothing"},
      {"GNUPLOT_FONTPATH", "/nowhere"},
      {"GNUPLOT_PS_DIR", "/nowhere"},
      {"GNUHELP", "/nowhere"},
      {"FIT_SCRIPT", "exit"},
      {"FIT_LOG", "/nowhere/log"},
      {"GNUPLOT_DRIVER_DIR", "/nowhere"},
      {"LC_ALL", "de_DE.UTF-8"},
      {"LC_ALL", "nonsense"},
      {"LANG", "C"},
      {"HOME", "/nowhere"},
      {"DISPLAY", ":77"}};
  for (const auto& [name, value] : variables) {
    const char* const before = std::getenv(name);
    const std::string old = before != nullptr ? before : "";
    ::setenv(name, value, 1);
    CAPTURE(name, value);
    CHECK(picture(name) == usual);
    if (before != nullptr) {
      ::setenv(name, old.c_str(), 1);
    } else {
      ::unsetenv(name);
    }
  }
#endif
}

}  // namespace test_plot_writer
