// SPDX-License-Identifier: MIT
// Misuse: what makes no sense is refused at construction, by name, and leaves nothing behind; what
// only shows later is told, and does no harm.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <delve/delve.hpp>
#include <delve/reconstruct.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/tensorboard.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"
#include "tracker.hpp"

namespace test_misuse {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace fs = std::filesystem;
namespace nn = torch::nn;

namespace {

using Messages = std::vector<std::string>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();

std::string fresh(const std::string& name) {
  return (delve_test::fresh_folder(fs::path("misuse") / name) / "run").string();
}

/// An option with a value that it must refuse, and what the refusal must hold.
struct Refused {
  std::string option;
  CheckLayerSatOptions options;
  std::string value;
  std::string valid;
};

std::vector<Refused> refused_values() {
  std::vector<Refused> all;
  const auto add = [&](const std::string& option, const CheckLayerSatOptions& options,
                       const std::string& value, const std::string& valid) {
    all.push_back({option, options, value, valid});
  };
  const std::string share = "above 0 and at most 1";
  for (const double bad : {0.0, -0.5, 1.5, kInfinity, -kInfinity, kNaN}) {
    add("sat_threshold", quiet().sat_threshold(bad), fmt::format("{}", bad), share);
    add("sample_rate", quiet().sample_rate(bad), fmt::format("{}", bad), share);
  }
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, kLeast}) {
    const std::string value = fmt::format("{}", bad);
    add("log_interval", quiet().log_interval(bad), value, "at least 1");
    add("max_samples", quiet().max_samples(bad), value, "at least 1");
    add("interpolation_downsampling", quiet().interpolation_downsampling(bad), value, "at least 1");
    add("points_per_dimension", quiet().points_per_dimension(bad), value, "at least 1");
    add("probe_pooling", quiet().probe_pooling(bad), value, "at least 1");
    add("probe_features", quiet().probe_features(bad), value, "at least 1");
  }
  for (const std::int64_t bad : {std::int64_t{-1}, kLeast}) {
    add("initial_epoch", quiet().initial_epoch(bad), fmt::format("{}", bad), "at least 0");
    add("waiting_memory", quiet().waiting_memory(bad), fmt::format("{}", bad), "at least 0");
  }
  for (const int bad : {-1, 99}) {
    const std::string value = fmt::format("{}", bad);
    add("idim_rule", quiet().idim_rule(static_cast<delve::IdimRule>(bad)), value,
        "ExplainedVariance or Delve");
    add("conv_method", quiet().conv_method(static_cast<delve::ConvMethod>(bad)), value,
        "Channelwise, Mean, Max, Median or Flatten");
    add("timeseries_method", quiet().timeseries_method(static_cast<delve::TimeseriesMethod>(bad)),
        value, "LastTimestep, Timestepwise or EveryTimestep");
    add("interpolation_strategy",
        quiet().interpolation_strategy(static_cast<delve::Interpolation>(bad)), value,
        "Nearest, Bilinear, Bicubic or Area");
    add("log_sampling", quiet().log_sampling(static_cast<delve::LogSampling>(bad)), value,
        "Random or Every");
    add("partial_epoch", quiet().partial_epoch(static_cast<delve::PartialEpoch>(bad)), value,
        "Mark, Report or Drop");
    add("mode_from", quiet().mode_from(static_cast<delve::ModeSource>(bad)), value,
        "Layer or Root");
    add("products", quiet().products(static_cast<delve::Products>(bad)), value,
        "Float32 or Float64");
  }
  const auto probing = [] { return quiet().stats({"probe"}); };
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{1}, std::int64_t{4097}, kLeast}) {
    add("classes", probing().classes(bad), fmt::format("{}", bad), "2 to 4096, or 0");
  }
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{4097}, kLeast}) {
    add("targets", quiet().stats({"probe_r2"}).targets(bad), fmt::format("{}", bad),
        "1 to 4096, or 0");
  }
  for (const double bad : {-0.5, 1.5, kInfinity, -kInfinity, kNaN}) {
    add("probe_shrinkage", probing().classes(3).probe_shrinkage(bad), fmt::format("{}", bad),
        "0 to 1");
  }
  add("classes", probing(), "0", "above 0 where stats holds");
  add("classes", quiet().classes(3), "3", "0 where stats holds none of");
  add("targets", quiet().targets(3), "3", "0 where stats holds none of");
  add("points_per_dimension", quiet().points_per_dimension(300).sample_rate(0.5), "300",
      "unset where sample_rate is below 1");
  add("points_per_dimension", quiet().points_per_dimension(300).reset_covariance(false), "300",
      "unset where reset_covariance is false");
  for (const std::int64_t bad : {std::int64_t{-1}, kLeast}) {
    add("rank", quiet().rank(bad).sum_over_ranks([](torch::Tensor&) {}), fmt::format("{}", bad),
        "at least 0");
  }
  add("rank", quiet().rank(3), "3", "0 without sum_over_ranks");
  add("device", quiet().device(torch::kMeta), "meta", "unset");
  if (!torch::cuda::is_available()) add("device", quiet().device(torch::kCUDA), "cuda", "unset");
  add("stats", quiet().stats({}), "empty", "at least one name");
  add("stats", quiet().stats({"sat"}), "\"sat\"", "lsat, lsat_train, lsat_eval, idim");
  add("stats", quiet().stats({""}), "\"\"", "lsat, lsat_train, lsat_eval, idim");
  add("stats", quiet().stats({"lsat", "idim", "lsat"}), "\"lsat\" and \"lsat\"", "the same column");
  add("stats", quiet().stats({"lsat", "lsat_eval"}), "\"lsat\" and \"lsat_eval\"",
      "the same column");
  for (const std::string bad : {"lsat@", "lsat@0", "lsat@1.1", "lsat@-1", "lsat@x", "lsat@nan"}) {
    add("stats", quiet().stats({bad}), "\"" + bad + "\"", "a threshold " + share);
  }
  for (const std::string bad : {"explained@0", "explained@1.5", "explained@", "eigenvalues@-1"}) {
    add("stats", quiet().stats({bad}), "\"" + bad + "\"", "a number of at least 1");
  }
  add("stats", quiet().stats({"trc@3"}), "\"trc@3\"", "no parameter");
  add("also_track", quiet().also_track({"LayerNrom"}), "\"LayerNrom\"", "LayerNorm");
  add("writer_args", quiet().nosave(false).writer_args({{"widht", "640"}}), "\"widht\"", "none");
  return all;
}

/// Options that have no value out of their range, and what becomes of odd ones.
const std::set<std::string> kAnyValue = {
    "sample_seed",         // every number is one
    "layer_filter",        // a function; where nothing is left, that is refused: options tests
    "ignore_layer_names",  // a name that is none is told: options tests
    "include_conv",       "layerwise_sat", "average_sat", "reset_covariance", "nosave", "verbose",
    "receptive_field",
    "sum_over_ranks",  // a function; what it throws is told: ranks tests
    "on_warning",      // a function; what it throws is dropped: check_layer_sat tests
};

}  // namespace

TEST_CASE("Every option out of its range is refused by name, value and range",
          "[misuse][options]") {
  Net net;
  const std::string savefile = fresh("options");
  for (const Refused& refused : refused_values()) {
    CAPTURE(refused.option, refused.value);
    std::string message;
    try {
      CheckLayerSat tracker(savefile, "csv", net, refused.options);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    CHECK_THAT(message, ContainsSubstring(refused.option));
    CHECK_THAT(message, ContainsSubstring(refused.value));
    CHECK_THAT(message, ContainsSubstring(refused.valid));
    CHECK_FALSE(at::hasGlobalCallbacks());
  }
  CHECK_FALSE(fs::exists(fs::path(savefile).parent_path()));
}

TEST_CASE("Every option is in this test", "[misuse][options]") {
  const std::string header = delve_test::read(delve_test::data("../../include/delve/options.hpp"));
  std::set<std::string> options;
  const std::regex declaration(R"(TORCH_ARG\(.*?(\w+)\)( = .*)?;)");
  for (std::sregex_iterator it(header.begin(), header.end(), declaration), end; it != end; ++it) {
    options.insert((*it)[1]);
  }
  CHECK(options.size() > 20);
  std::set<std::string> tried = kAnyValue;
  for (const Refused& refused : refused_values()) tried.insert(refused.option);
  CHECK(options == tried);
}

TEST_CASE("An unknown writer is refused with the known ones, and makes nothing", "[misuse]") {
  Net net;
  const std::string savefile = fresh("writers");
  for (const std::string key : {"cvs", "", "CSV", "csv "}) {
    CHECK_THROWS_WITH(
        CheckLayerSat(savefile, {"console", key}, net, quiet().nosave(false)),
        ContainsSubstring("save_to: \"" + key + "\" is not a writer; known ones are ") &&
            ContainsSubstring("csv, csvplot, "));
  }
  CHECK_FALSE(fs::exists(fs::path(savefile).parent_path()));
  CHECK_FALSE(at::hasGlobalCallbacks());
  CHECK_THROWS_AS(CheckLayerSat("", "csv", net, quiet().nosave(false)), std::invalid_argument);
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("A filter that throws is heard at construction, and leaves no hook", "[misuse]") {
  Net net;
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", net,
                                  quiet().layer_filter([](const delve::FoundLayer&) -> bool {
                                    throw std::runtime_error("the user's own");
                                  })),
                    "the user's own");
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Two trackers of one savefile leave whole files, and each reports the other",
          "[misuse][writers]") {
  torch::manual_seed(40);
  const std::string savefile = fresh("one_savefile");
  Net first_net;
  Net second_net;
  Messages messages;
  {
    const auto options = quiet(&messages).nosave(false);
    CheckLayerSat first(savefile, {"csv", "npy", "json"}, first_net, options);
    CheckLayerSat second(savefile, {"csv", "npy", "json"}, {{"second", second_net}}, options);
    for (int epoch = 0; epoch < 3; ++epoch) {
      first_net->forward(pictures(60)).sum().backward();
      second_net->forward(pictures(60)).sum().backward();
      CHECK(first.add_saturations().layers.size() == 2);
      CHECK(second.add_saturations().layers.size() == 2);
    }
  }
  const auto table = delve::detail::parse_csv(delve_test::read(savefile + ".csv"), "table");
  CHECK(table.rows.size() == 3);
  CHECK(table.header.size() == 3);  // of one of the two
  // Each tracker tells of the table and of the JSON lines, once.
  CHECK(messages.size() == 4);
  for (const std::string& message : messages) {
    CHECK_THAT(message, ContainsSubstring("was modified or removed by another writer or process") &&
                            ContainsSubstring("Trackers that run at once need a savefile each"));
  }
}

TEST_CASE("Reports before any data, twice in a row, and after the end", "[misuse]") {
  torch::manual_seed(41);
  Net net;
  Messages messages;
  CheckLayerSat tracker("unused", "csv", net, quiet(&messages));
  CHECK(tracker.add_saturations().layers.empty());
  CHECK(tracker.add_saturations_async().get().layers.empty());
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("no layer saw data since the last add_saturations()"));
  net->forward(pictures(60)).sum().backward();
  const EpochRecord record = tracker.add_saturations();
  CHECK(record.epoch == 2);
  CHECK(find(record, "fc", Mode::Train)->samples == 60);
  CHECK(tracker.add_saturations().layers.empty());
  CHECK(messages.size() == 1);
  tracker.close();
  const torch::Tensor output = net->forward(pictures(60));
  CHECK_THROWS_WITH(tracker.add_saturations(), ContainsSubstring("the tracker is closed"));
  CHECK_THROWS_WITH(tracker.add_saturations_async(), ContainsSubstring("the tracker is closed"));
  CHECK_NOTHROW(output.sum().backward());
  CHECK(messages.size() == 1);
}

TEST_CASE("Scalars may come, go, be no number, and bear any name", "[misuse][writers]") {
  torch::manual_seed(42);
  const std::string savefile = fresh("scalars");
  Net net;
  Messages messages;
  CheckLayerSat tracker(savefile, {"csv", "npy", "json", "tensorboard"}, net,
                        quiet(&messages).nosave(false));
  const std::vector<std::pair<std::string, double>> scalars = {
      {"loss", 0.5}, {"a/b \"c\"; 'd'\n", kNaN}, {"..", kInfinity}, {"loss", -kInfinity}};
  for (const auto& scalar : scalars) {
    net->forward(pictures(60)).sum().backward();
    tracker.add_scalar(scalar.first, scalar.second);
    const EpochRecord record = tracker.add_saturations();
    REQUIRE(record.scalars.size() == 1);
    CHECK(record.scalars[0].first == scalar.first);
    CHECK(record.layers.size() == 2);
  }
  tracker.close();
  const auto table = delve::detail::parse_csv(delve_test::read(savefile + ".csv"), "table");
  REQUIRE(table.rows.size() == 4);
  CHECK(std::count(table.header.begin(), table.header.end(), scalars[1].first) == 1);
  CHECK(table.rows[0].cells.at(1) == "0.5");
  CHECK(table.rows[1].cells.at(1).empty());
  CHECK(table.rows[3].cells.at(1) == "-inf");
  CAPTURE(messages);
  CHECK(messages.empty());
}

TEST_CASE("A scalar that is named like a layer's value is reported, and its column is the layer's",
          "[misuse][names]") {
  torch::manual_seed(44);
  const std::string savefile = fresh("scalar_of_a_layer");
  Net net;
  Messages messages;
  CheckLayerSat tracker(savefile, "csv", net, quiet(&messages).nosave(false));
  const std::string name = "train-saturation_" + tracker.layer_names().front();
  net->forward(pictures(60)).sum().backward();
  for (const std::string& scalar : Messages{name, "train-saturation", name + "-other"}) {
    tracker.add_scalar(scalar, 7);
  }
  const EpochRecord record = tracker.add_saturations();
  tracker.close();
  CHECK(messages ==
        Messages{"the scalar \"" + name +
                 "\" has the same name as a layer statistic, which replaces it in files"});
  const auto table = delve::detail::parse_csv(delve_test::read(savefile + ".csv"), "table");
  const auto column = std::find(table.header.begin(), table.header.end(), name);
  REQUIRE(column != table.header.end());
  const auto place = static_cast<std::size_t>(column - table.header.begin());
  CHECK(table.rows.at(0).cells.at(place) ==
        fmt::format("{}", record.layers.at(0).values.at(0).value));
  CHECK(std::count(table.header.begin(), table.header.end(), name) == 1);
}

TEST_CASE("Layers of any name are told apart in every file", "[misuse][names]") {
  torch::manual_seed(43);
  const std::string savefile = fresh("names");
  const Messages names = {"a/b",  "a%2Fb", "a\"b", "a'b",        "a;b",
                          "a\nb", "a b",   "a-b",  "a_b",        "-",
                          "../x", "ä",     "\xFF", "$(touch x)", "`id`",
                          "a\\b", "'; rm", "%",    "~",          std::string(200, 'n')};
  std::vector<nn::Linear> layers;
  std::vector<delve::NamedModule> named;
  for (const std::string& name : names) named.emplace_back(name, layers.emplace_back(4, 5));
  Messages messages;
  CheckLayerSat tracker(savefile, {"csv", "npy", "json", "tensorboard", "plot"}, named,
                        quiet(&messages).nosave(false).stats({"lsat", "samples"}));
  CHECK(tracker.layer_names() == names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    layers[i](torch::randn({60 + static_cast<std::int64_t>(i), 4})).sum().backward();
  }
  const EpochRecord record = tracker.add_saturations();
  tracker.close();
  CAPTURE(messages);
  CHECK(messages.empty());
  for (const auto& records :
       {delve::detail::records_from_csv(delve_test::read(savefile + ".csv"), "table"),
        delve::reconstruct(savefile)}) {
    REQUIRE(records.size() == 1);
    for (std::size_t i = 0; i < names.size(); ++i) {
      CAPTURE(names[i]);
      const LayerRecord* found = find(records[0], names[i], Mode::Train);
      REQUIRE(found != nullptr);
      for (const delve::Value& value : found->values) {
        if (value.stat == "samples") CHECK(value.value == 60 + static_cast<double>(i));
      }
    }
  }
  CHECK_FALSE(fs::exists("x"));
}

TEST_CASE("A savefile of any name holds every file", "[misuse][names]") {
  const std::string folder = fresh("savefiles");
  for (const std::string name : {"with blanks", "-dash", "--force", "quo'te", "dou\"ble",
                                 "semi;colon", "größe", "$(touch x)", "back`tick", "per%cent",
                                 "new\nline", "*", "back\\slash", "\xFF", ".hidden"}) {
    CAPTURE(name);
    const std::string savefile = (fs::path(folder) / name / name).string();
    nn::Linear layer(4, 5);
    Messages messages;
    for (const int epoch : {0, 1}) {
      CheckLayerSat tracker(savefile, {"csv", "npy", "json", "tensorboard", "plot"}, layer,
                            quiet(&messages).nosave(false).initial_epoch(epoch));
      layer(torch::randn({60, 4})).sum().backward();
      tracker.add_saturations();
    }
    CHECK(messages == Messages{});
    const auto epochs = delve::detail::records_from_csv(delve_test::read(savefile + ".csv"), "it");
    CHECK(epochs.size() == 2);
    CHECK(delve::reconstruct(savefile).size() == 2);
    const std::string lines = delve_test::read(savefile + ".jsonl");
    CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
    for (const int epoch : {0, 1}) {
      CHECK(fs::exists(fmt::format("{}_lsat_train_epoch_{}.png", savefile, epoch)));
    }
  }
  CHECK_FALSE(fs::exists("x"));
}

TEST_CASE("Names that collide are refused by name", "[misuse][names]") {
  struct PartImpl : nn::Module {
    nn::Linear b = register_module("b", nn::Linear(4, 5));
  };
  struct CollidingImpl : nn::Module {
    nn::Linear flat = register_module("a-b", nn::Linear(4, 5));
    std::shared_ptr<PartImpl> part = register_module("a", std::make_shared<PartImpl>());
  };
  CollidingImpl net;
  CHECK_THROWS_WITH(CheckLayerSat("unused", "csv", net, quiet()),
                    ContainsSubstring("two layers are called \"a-b\""));
  CHECK_FALSE(at::hasGlobalCallbacks());
  // The way out that the message names.
  CheckLayerSat tracker("unused", "csv", {{"part", net.part}, {"", net}}, quiet());
  CHECK(tracker.layer_names() == Messages{"part-b", "a-b"});
}

TEST_CASE("Thousands of layers with alike names are told apart", "[misuse][names]") {
  torch::manual_seed(44);
  constexpr int count = 2000;
  std::vector<nn::Linear> layers;
  std::vector<delve::NamedModule> named;
  for (int i = 0; i < count; ++i) {
    layers.emplace_back(1, 1);
    named.emplace_back(fmt::format("{}{:05}", std::string(40, 'a'), i), layers.back());
  }
  const std::string savefile = fresh("thousands");
  Messages messages;
  CheckLayerSat tracker(savefile, "csv", named, quiet(&messages).nosave(false).stats({"samples"}));
  for (int i = 0; i < count; ++i)
    layers[static_cast<std::size_t>(i)](torch::randn({10 + i % 7, 1}));
  const EpochRecord record = tracker.add_saturations();
  tracker.close();
  REQUIRE(record.layers.size() == count);
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const LayerRecord& layer = record.layers[static_cast<std::size_t>(i)];
    if (layer.layer != named[static_cast<std::size_t>(i)].name || layer.samples != 10 + i % 7) {
      ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(messages.empty());
  const auto table = delve::detail::parse_csv(delve_test::read(savefile + ".csv"), "table");
  CHECK(table.header.size() == count + 1);
}

}  // namespace test_misuse
