// SPDX-License-Identifier: MIT
#include <delve/mode.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/read_table.hpp>
#include <delve/reconstruct.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_modes {

using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::Mode;
using delve_test::find;
using delve_test::quiet;
namespace fs = std::filesystem;
namespace nn = torch::nn;

namespace {

std::int64_t samples(const EpochRecord& record, const std::string& layer, Mode mode) {
  const delve::LayerRecord* found = find(record, layer, mode);
  return found == nullptr ? 0 : found->samples;
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

TEST_CASE("A mode is its name", "[modes]") {
  CHECK(Mode() == Mode::Train);
  CHECK(Mode("train") == Mode::Train);
  CHECK(Mode("acting") == Mode(std::string("act") + "ing"));
  CHECK(Mode("acting") != Mode("act"));
  CHECK(to_string(Mode::Eval) == "eval");
  const std::map<Mode, int> ordered = {
      {Mode("acting"), 3}, {Mode::Eval, 2}, {Mode::Train, 1}, {Mode("z"), 4}};
  int place = 0;
  for (const auto& [mode, expected] : ordered) CHECK(++place == expected);
  for (const char* name : {"", "a-b", "a_b", "a b", "a/b", ".a", "größe"}) {
    CHECK_THROWS_WITH(Mode(name), ContainsSubstring("letters, digits and '.'"));
  }
}

TEST_CASE("What runs under a guard counts under its name, the innermost one's", "[modes]") {
  torch::manual_seed(1);
  nn::Linear layer(3, 2);
  CheckLayerSat tracker("unused", "csv", layer, quiet());
  const auto forward = [&](std::int64_t count) { layer->forward(torch::randn({count, 3})); };
  forward(1);
  {
    const auto acting = tracker.mode("acting");
    forward(2);
    {
      const auto paused = tracker.paused();
      forward(1000);
      const auto evaluating = tracker.evaluating();
      forward(4);
      const auto fake = tracker.mode("fake");
      forward(8);
    }
    forward(16);
    layer->eval();
    forward(32);
    layer->train();
  }
  forward(64);
  const EpochRecord record = tracker.add_saturations();
  CHECK(samples(record, layer->name(), Mode::Train) == 0);  // a root alone has no such name
  const std::string name = record.layers.at(0).layer;
  CHECK(samples(record, name, Mode::Train) == 65);
  CHECK(samples(record, name, Mode::Eval) == 4);
  CHECK(samples(record, name, Mode("acting")) == 2 + 16 + 32);
  CHECK(samples(record, name, Mode("fake")) == 8);
  const std::vector<Mode> expected = {Mode::Train, Mode::Eval, Mode("acting"), Mode("fake")};
  CHECK((delve::modes_of(record) == expected));
  // A mode without data in an epoch is not in its record.
  forward(3);
  CHECK((delve::modes_of(tracker.add_saturations()) == std::vector<Mode>{Mode::Train}));
}

TEST_CASE("A guard counts for its own thread and its own tracker", "[modes][threads]") {
  nn::Linear layer(3, 2);
  CheckLayerSat tracker("unused", "csv", layer, quiet());
  CheckLayerSat other("unused", "csv", layer, quiet());
  std::unique_ptr<delve::ModeGuard> acting(new delve::ModeGuard(tracker.mode("acting")));
  std::thread([&] { layer->forward(torch::randn({5, 3})); }).join();
  layer->forward(torch::randn({7, 3}));
  // One that is destroyed elsewhere is gone here as well.
  std::thread([&] { acting.reset(); }).join();
  layer->forward(torch::randn({11, 3}));
  const EpochRecord record = tracker.add_saturations();
  const std::string name = record.layers.at(0).layer;
  CHECK(samples(record, name, Mode::Train) == 5 + 11);
  CHECK(samples(record, name, Mode("acting")) == 7);
  CHECK(samples(other.add_saturations(), name, Mode::Train) == 5 + 7 + 11);
}

TEST_CASE("Paused tensors are not observed", "[modes]") {
  nn::Linear layer(3, 2);
  CheckLayerSat tracker("unused", "csv", layer, quiet());
  tracker.observe("sum", torch::randn({4, 2}), Mode("acting"));
  {
    const auto paused = tracker.paused();
    tracker.observe("sum", torch::randn({400, 2}), Mode("acting"));
  }
  CHECK(samples(tracker.add_saturations(), "sum", Mode("acting")) == 4);
}

TEST_CASE("All files carry the names of modes, and are read back with them", "[modes][writers]") {
  torch::manual_seed(2);
  const fs::path folder = "modes_files";
  fs::remove_all(folder);
  const std::string savefile = (folder / "run").string();
  std::ostringstream printed;
  nn::Sequential model(nn::Linear(6, 4));
  std::vector<EpochRecord> records;
  for (int begin : {0, 2}) {  // the second run resumes the first
    CheckLayerSat tracker(
        savefile,
        {"csv", "json", "npy",
         std::make_shared<delve::ConsoleWriter>(delve::ConsoleOptions{&printed})},
        model,
        quiet().nosave(false).initial_epoch(begin).stats({"lsat", "idim", "cov", "samples"}));
    for (int epoch = 0; epoch < 2; ++epoch) {
      model->forward(torch::randn({50, 6}));
      const auto acting = tracker.mode("acting");
      model->forward(torch::randn({60, 1}).expand({60, 6}));
      tracker.add_scalar("test-error_rate", 0.5);
      records.push_back(tracker.add_saturations());
    }
  }
  const std::string table = text_of(savefile + ".csv");
  CHECK(table.substr(0, table.find('\n')) ==
        ";test-error_rate;train-saturation_0;train-intrinsic-dimensionality_0;train-samples_0;"
        "acting-saturation_0;acting-intrinsic-dimensionality_0;acting-samples_0");
  const std::vector<EpochRecord> read = delve::read_table(savefile + ".csv");
  REQUIRE(read.size() == 4);
  for (std::size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].scalars == records[i].scalars);
    REQUIRE(read[i].layers.size() == 2);
    CHECK(read[i].layers[1].mode == Mode("acting"));
    for (std::size_t j = 0; j < 2; ++j) {
      for (std::size_t k = 0; k < 3; ++k) {
        CHECK(read[i].layers[j].values[k].value == records[i].layers[j].values[k].value);
        CHECK(read[i].layers[j].values[k].kind == records[i].layers[j].values[k].kind);
      }
    }
  }
  CHECK(read[0].layers[1].values[1].value == 1);  // all of its data lies on a line
  CHECK_THAT(text_of(savefile + ".jsonl"), ContainsSubstring("\"mode\":\"acting\""));
  CHECK_THAT(printed.str(), ContainsSubstring("acting: n"));
  delve::ReconstructOptions options;
  options.stats = {"idim"};
  const std::vector<EpochRecord> again = delve::reconstruct(savefile, options);
  REQUIRE(again.size() == 4);
  CHECK(again[3].layers[1].mode == Mode("acting"));
  CHECK(again[3].layers[1].values[0].value == 1);
}

}  // namespace test_modes
