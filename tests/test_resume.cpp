// SPDX-License-Identifier: MIT
// A run that was broken off, and goes on from an epoch before its end, through every writer at
// once.

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <delve/delve.hpp>
#include <delve/reconstruct.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/tensorboard.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "tracker.hpp"

namespace test_resume {

using delve::CheckLayerSat;
using delve_test::quiet;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kKeys = {"plotcsv", "npy", "json", "tensorboard", "console"};

/// Epochs `begin` to `end` of a run whose data depends on the epoch alone.
void run(const std::string& savefile, int begin, int end, std::vector<std::string>& messages) {
  torch::manual_seed(0);
  torch::nn::Sequential model(torch::nn::Linear(6, 5), torch::nn::Linear(5, 4));
  CheckLayerSat tracker(
      savefile, kKeys, model,
      quiet(&messages).nosave(false).stats({"lsat", "trc", "eigenvalues"}).initial_epoch(begin));
  for (int epoch = begin; epoch < end; ++epoch) {
    torch::manual_seed(static_cast<std::uint64_t>(100 + epoch));
    model->forward(torch::randn({200, 6}));
    tracker.add_scalar("accuracy", epoch / 10.0);
    tracker.add_saturations();
  }
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream text(delve_test::read(path));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> files_below(const fs::path& folder, const std::string& extension) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == extension) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("All writers resume a run, and end as if it had never been interrupted", "[resume]") {
  fs::remove_all("resume");
  std::vector<std::string> messages;
  run("resume/whole/run", 0, 4, messages);
  run("resume/broken/run", 0, 3, messages);
  const std::vector<std::string> before = lines_of("resume/broken/run.csv");
  run("resume/broken/run", 2, 4, messages);
  CHECK(messages.empty());

  CHECK(delve_test::read("resume/broken/run.csv") == delve_test::read("resume/whole/run.csv"));
  CHECK(delve_test::read("resume/broken/run.jsonl") == delve_test::read("resume/whole/run.jsonl"));
  const std::vector<std::string> after = lines_of("resume/broken/run.csv");
  REQUIRE(before.size() == 4);
  REQUIRE(after.size() == 5);
  for (std::size_t i = 0; i < 3; ++i) CHECK(after[i] == before[i]);  // header, epochs 0 and 1
  for (const std::string extension : {".npy", ".png"}) {
    CHECK(files_below("resume/broken", extension) == files_below("resume/whole", extension));
    CHECK_FALSE(files_below("resume/broken", extension).empty());
  }
  const auto whole = delve::reconstruct("resume/whole/run");
  const auto broken = delve::reconstruct("resume/broken/run");
  REQUIRE(broken.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(broken[i].scalars == whole[i].scalars);
    for (std::size_t layer = 0; layer < whole[i].layers.size(); ++layer) {
      CHECK(broken[i].layers.at(layer).values.at(0).value ==
            whole[i].layers[layer].values[0].value);
    }
  }
  // TensorBoard's events are added to: the file before stays, and a new one hides its last epoch.
  std::size_t event_files = 0;
  for (const auto& entry : fs::directory_iterator("resume/broken/run")) {
    if (entry.path().filename().string().find("tfevents") != std::string::npos) ++event_files;
  }
  CHECK(event_files == 2);
}

}  // namespace test_resume
