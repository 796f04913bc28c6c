// SPDX-License-Identifier: MIT
#include <delve/writers/registry.hpp>

#include <memory>
#include <string>
#include <vector>

#include <delve/writers/function.hpp>

#include "catch.hpp"
#include "records.hpp"

namespace test_registry_writer {

using delve::Writer;
using delve::WriterContext;
using delve::WriterList;

namespace {

const WriterContext kContext{"registry/run", 0, {}};

std::vector<std::shared_ptr<Writer>> make_writers(const WriterList& list,
                                                  const WriterContext& context) {
  return list.make(context);
}

std::shared_ptr<delve::FunctionWriter> counting(int& count) {
  return std::make_shared<delve::FunctionWriter>([&](const delve::EpochRecord&) { ++count; });
}

template <typename T>
bool is_a(const std::shared_ptr<Writer>& writer) {
  return std::dynamic_pointer_cast<T>(writer) != nullptr;
}

}  // namespace

TEST_CASE("Every key of Delve stands for its writers", "[registry]") {
  for (const std::string key : {"plot", "csvplot", "plotcsv", "csvplotting"}) {
    const auto writers = make_writers(key, kContext);
    REQUIRE(writers.size() == 2);
    CHECK(is_a<delve::CsvWriter>(writers[0]));
    CHECK(is_a<delve::PlotWriter>(writers[1]));
  }
  for (const std::string key : {"console", "print"}) {
    CHECK(is_a<delve::ConsoleWriter>(make_writers(key, kContext).at(0)));
  }
  CHECK(is_a<delve::CsvWriter>(make_writers("csv", kContext).at(0)));
  CHECK(is_a<delve::NpyWriter>(make_writers("npy", kContext).at(0)));
}

TEST_CASE("An unknown key is answered with the known ones", "[registry]") {
  CHECK_THROWS_WITH(
      make_writers("cvs", kContext),
      "delve: save_to: \"cvs\" is not a writer; known ones are console, csv, csvplot, "
      "csvplotting, html, npy, plot, plotcsv, print, "
      "json (by #include <delve/writers/json.hpp>), "
      "tb (by #include <delve/writers/tensorboard.hpp>), "
      "tensorboard (by #include <delve/writers/tensorboard.hpp>)");
  CHECK_THROWS_WITH(
      make_writers("tensorboard", kContext),
      "delve: save_to: \"tensorboard\" needs #include "
      "<delve/writers/tensorboard.hpp> in the program or, with the single header, the "
      "DELVE_WITH_ macro for it");
  CHECK_THROWS_WITH(make_writers("json", kContext), ContainsSubstring("delve/writers/json.hpp"));
}

TEST_CASE("Arguments reach the writer, and unknown ones are refused", "[registry]") {
  const auto make = [](const std::string& key, std::map<std::string, std::string> args) {
    return make_writers(WriterList(key), WriterContext{"registry/run", 0, std::move(args)});
  };
  CHECK(make("plot", {{"width", "800"}, {"gnuplot", "gnuplot"}}).size() == 2);
  CHECK_THROWS_WITH(
      make("plot", {{"width", "7"}}),
      "delve::PlotOptions: width is 7; it must be 0 (automatic), or 200 to 16000 pixels");
  CHECK_THROWS_WITH(make("plot", {{"height", "tall"}}),
                    "delve: writer_args: height is \"tall\"; it must be a number of pixels");
  CHECK_THROWS_WITH(
      make("plot", {{"heigth", "800"}}),
      "delve: writer_args: no writer of this list takes \"heigth\"; they take gnuplot, width, "
      "height, title, font, font_size, format, primary_metric, heat_map, animation, stats");
  CHECK(make("npy", {{"zip", "true"}}).size() == 1);
  CHECK_THROWS_WITH(make("npy", {{"zip", "yes"}}),
                    "delve: writer_args: zip is \"yes\"; it must be true or false");
  CHECK_THROWS_WITH(make("csv", {{"width", "800"}}),
                    "delve: writer_args: no writer of this list takes \"width\"; they take none");
  // In a list, each writer is told what concerns it.
  const WriterContext wide{"registry/run", 0, {{"width", "900"}}};
  CHECK(WriterList({"plotcsv", "console"}).make(wide).size() == 3);
}

TEST_CASE("A list takes keys and writers in any mixture, and keeps their order", "[registry]") {
  int count = 0;
  const auto mine = counting(count);
  const std::string key = "csv";
  CHECK(WriterList("csv").make(kContext).size() == 1);
  CHECK(WriterList(key).make(kContext).size() == 1);
  CHECK(WriterList(mine).make(kContext).at(0) == mine);
  CHECK(WriterList({"csv", "console"}).make(kContext).size() == 2);
  CHECK(WriterList({"plotcsv", mine}).make(kContext).at(2) == mine);
  CHECK(WriterList({mine, std::shared_ptr<Writer>(mine), key}).make(kContext).size() == 3);
  CHECK(WriterList(std::vector<std::string>{"csv", "csv"}).make(kContext).size() == 1);
  CHECK(WriterList(std::vector<std::string>()).make(kContext).empty());
  CHECK_THROWS_AS(WriterList(std::shared_ptr<Writer>()), std::invalid_argument);
  CHECK_THROWS_AS(WriterList({"csv", "nonsense"}).make(kContext), std::invalid_argument);
}

TEST_CASE("What several keys stand for is made once", "[registry]") {
  const auto writers = make_writers({"csv", "console", "plot", "print"}, kContext);
  REQUIRE(writers.size() == 3);
  CHECK(is_a<delve::CsvWriter>(writers[0]));
  CHECK(is_a<delve::ConsoleWriter>(writers[1]));
  CHECK(is_a<delve::PlotWriter>(writers[2]));
}

TEST_CASE("A writer of one's own is found by its key", "[registry]") {
  int count = 0;
  delve::register_writer("mine",
                         [&](const WriterContext& context) {
                           CHECK(context.savefile == "registry/run");
                           CHECK(context.args.size() == 1);
                           return std::vector<std::shared_ptr<Writer>>{counting(count)};
                         },
                         {"color"});
  make_writers("mine", {"registry/run", 0, {{"color", "red"}}})
      .at(0)
      ->write(delve_test::record(0, {}, {}));
  CHECK(count == 1);
  CHECK_THROWS_AS(
      delve::register_writer(
          "mine", [](const WriterContext&) { return std::vector<std::shared_ptr<Writer>>(); }),
      std::invalid_argument);
  CHECK_THROWS_AS(delve::register_writer("empty", {}), std::invalid_argument);
  const auto keys = delve::writer_keys();
  CHECK(std::is_sorted(keys.begin(), keys.end()));
  CHECK(std::find(keys.begin(), keys.end(), "mine") != keys.end());
}

TEST_CASE("A writer never throws for a fault, and refuses to write when closed", "[writer]") {
  std::vector<std::string> messages;
  delve::FunctionWriter failing(
      [](const delve::EpochRecord&) { throw std::runtime_error("no such disk"); });
  failing.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  failing.write(delve_test::record(0, {}, {}));
  CHECK(messages == std::vector<std::string>{"no such disk"});
  failing.close();
  failing.close();
  CHECK_THROWS_AS(failing.write(delve_test::record(1, {}, {})), std::logic_error);
  CHECK_THROWS_AS(delve::FunctionWriter({}), std::invalid_argument);
}

TEST_CASE("What a writer throws may be anything", "[writer][faults]") {
  delve::FunctionWriter writer([](const delve::EpochRecord&) { throw 1; });
  std::vector<std::string> messages;
  writer.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  CHECK_NOTHROW(writer.write({0, {}, {}}));
  CHECK_NOTHROW(writer.close());
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("no std::exception"));
}

}  // namespace test_registry_writer
