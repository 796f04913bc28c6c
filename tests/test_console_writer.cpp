// SPDX-License-Identifier: MIT
#include <delve/writers/console.hpp>

#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_console_writer {

using delve::ConsoleWriter;
using delve::Mode;
using delve::Status;
using delve_test::layer;
using delve_test::record;

namespace {

std::string printed(const delve::EpochRecord& epoch, bool unicode = true) {
  std::ostringstream out;
  ConsoleWriter writer({&out, unicode});
  writer.write(epoch);
  writer.close();
  return out.str();
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

delve::LayerRecord with_status(delve::LayerRecord layer, Status status) {
  layer.status = status;
  layer.values[0].value = std::numeric_limits<double>::quiet_NaN();
  return layer;
}

}  // namespace

TEST_CASE("An epoch is a table that a person reads", "[console]") {
  delve::LayerRecord wide = layer("classifier-0", Mode::Train, {0.0005, 2});
  wide.width = 4096;
  wide.samples = 1234567;
  CHECK(
      printed(record(4, {{"accuracy", 0.256}, {"loss", 1.5}},
                     {layer("features-0", Mode::Train, {0.5, 4}), wide,
                      layer("features-0", Mode::Eval, {1, 8}),
                      layer("classifier-0", Mode::Eval, {0.0625, 256})})) ==
      "\n"
      "epoch 4   accuracy 0.256   loss 1.5\n"
      "\n"
      "  layer             d    train: n   idim   saturation          eval: n   idim   saturation\n"
      "  features-0        8       1,000      4    50.0 %  ████████     1,000      8   100.0 %  "
      "████████████████\n"
      "  classifier-0   4096   1,234,567      2     0.1 %  ▏            1,000    256     6.2 %  "
      "█\n");
}

TEST_CASE("Without Unicode bars are of number signs", "[console]") {
  CHECK(printed(record(0, {}, {layer("a", Mode::Eval, {0.5})}), /*unicode=*/false) ==
        "\n"
        "epoch 0\n"
        "\n"
        "  layer   d   eval: n   saturation\n"
        "  a       8     1,000    50.0 %  ########\n");
}

TEST_CASE("What has no saturation says why", "[console]") {
  const std::string text = printed(record(
      0, {},
      {with_status(layer("a", Mode::Train, {0}), Status::NoData), layer("a", Mode::Eval, {0.5}),
       with_status(layer("b", Mode::Train, {0}), Status::NoVariance),
       with_status(layer("c", Mode::Train, {0}), Status::NotConverged)}));
  CHECK(text.find("  no data ") != std::string::npos);
  CHECK(text.find("    0.0 %  constant\n") != std::string::npos);
  CHECK(text.find("  not solved\n") != std::string::npos);
}

TEST_CASE("Names are lined up by characters, and cannot command the terminal", "[console]") {
  const std::string text = printed(record(
      0, {}, {layer("größe", Mode::Train, {0.5}), layer("\x1b[31mred", Mode::Train, {0.5})}));
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("  größe      8      1,000    50.0 %") != std::string::npos);
  CHECK(text.find("   [31mred   8      1,000    50.0 %") != std::string::npos);
}

TEST_CASE("Values stand beside their own layer, in whatever order the modes have them",
          "[console]") {
  CHECK(printed(record(0, {},
                       {layer("a", Mode::Train, {0.5}), layer("b", Mode::Train, {1}),
                        layer("c", Mode::Eval, {0.75}), layer("b", Mode::Eval, {0.25})}),
                /*unicode=*/false) ==
        "\n"
        "epoch 0\n"
        "\n"
        "  layer   d   train: n   saturation                  eval: n   saturation\n"
        "  a       8      1,000    50.0 %  ########\n"
        "  b       8      1,000   100.0 %  ################     1,000    25.0 %  ####\n"
        "  c       8                                            1,000    75.0 %  ############\n");
}

TEST_CASE("Other statistics and bare scalars are printed too", "[console]") {
  delve::LayerRecord bare{"a", Mode::Train, 8, 10, Status::Ok, {}};
  bare.values.push_back({"trc", "covariance-trace", 12.3456789});
  const std::string text = printed(record(0, {}, {bare}));
  CHECK(text.find("trc\n") != std::string::npos);
  CHECK(text.find("12.346\n") != std::string::npos);
  CHECK(text.find("saturation") == std::string::npos);
  CHECK(printed(record(7, {{"loss", 2}}, {})) == "\nepoch 7   loss 2\n\n");
}

TEST_CASE("A stream that takes nothing is reported once, and silences nothing else",
          "[console][faults]") {
  if (delve::detail::on_windows) LEAVE_OUT("there is no device that is full");
  std::ofstream full("/dev/full");
  REQUIRE(full.is_open());
  ConsoleWriter writer({&full});
  std::vector<std::string> messages;
  writer.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  for (int epoch = 0; epoch < 3; ++epoch) writer.write(record(epoch, {}, {}));
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("its stream failed") != std::string::npos);
  CHECK(full.good());
}

TEST_CASE("Receptive fields are a line below the table, when they are new", "[console]") {
  std::ostringstream out;
  delve::ConsoleWriter writer({&out});
  delve::EpochRecord first = record(0, {}, {layer("a", Mode::Train, {0.5})});
  first.fields = {delve_test::field("a", 7, 19, false), delve_test::field("b", 35, -1, true),
                  delve_test::field("c", 35, 43, true), delve_test::field("d", 35, 51, true),
                  delve_test::field("e", 35, 51, true), delve_test::field("f", 35, 51, true)};
  writer.write(first);
  CHECK(
      ends_with(out.str(),
                "  receptive fields: up to 51 of an input of 32 × 32; border layers: b, c, d and 2 "
                "more\n"));
  out.str("");
  first.fields.resize(1);
  first.epoch = 1;
  writer.write(first);
  CHECK(ends_with(out.str(),
                  "  receptive fields: up to 19 of an input of 32 × 32; no border layer\n"));
  out.str("");
  // As of a recurrent network.
  first.fields = {delve_test::field("a", -1, -1, false)};
  first.fields[0].axes.resize(1);
  first.epoch = 2;
  writer.write(first);
  CHECK(ends_with(out.str(), "  receptive fields: none, each layer sees all of an input of 32\n"));
  out.str("");
  writer.write(record(3, {}, {layer("a", Mode::Train, {0.5})}));
  CHECK(out.str().find("receptive") == std::string::npos);
}

TEST_CASE("The last table is followed by the verdict, where there are layers to judge",
          "[console]") {
  std::ostringstream out;
  ConsoleWriter writer({&out});
  writer.write(record(0, {},
                      {layer("a", Mode::Train, {0.5}), layer("b", Mode::Train, {0.75}),
                       layer("c\x1b", Mode::Train, {0.25}), layer("d", Mode::Train, {1})}));
  CHECK(out.str().find("tail") == std::string::npos);
  writer.close();
  CHECK(ends_with(
      out.str(),
      "\n"
      "c  may be a tail: one kind of evidence speaks for each of its layers, but not two for all.\n"
      "  Evidence: Low saturation: 25.0 %, against a median of 62.5 % before.\n"
      "  Advice: Measure another kind of evidence first; the limits name those that are missing. "
      "Leave it out: a head instead of c  should do as well, for less.\n"));
}

TEST_CASE("Layers without data are named below the table, long names shortened", "[console]") {
  std::ostringstream out;
  delve::ConsoleOptions options;
  options.out = &out;
  options.title = "run";
  delve::ConsoleWriter writer(options);
  const std::string name = std::string(60, 'x') + ".weights";
  std::vector<delve::LayerRecord> layers = {delve_test::layer(name, Mode::Train, {0.5})};
  for (const char* unused : {"a", "b", "c", "d", "e"}) {
    layers.push_back({unused, Mode::Train, 0, 0, delve::Status::NoData, {}});
  }
  writer.write(delve_test::record(3, {}, layers));
  CHECK_THAT(out.str(), ContainsSubstring("run, epoch 3"));
  CHECK_THAT(out.str(), ContainsSubstring("\n  no data: a, b, c and 2 more\n"));
  CHECK_THAT(out.str(), ContainsSubstring("x.weights") && ContainsSubstring("…") &&
                            !ContainsSubstring(std::string(41, 'x')));
}

}  // namespace test_console_writer
