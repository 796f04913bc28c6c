// SPDX-License-Identifier: MIT
// Faults of the outside world in the middle of a run, with every writer at work: a disk that is
// full, read-only or gone, and something else in a file's place.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/reading/csv_records.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
#include <delve/writers/tensorboard.hpp>

#include "catch.hpp"
#include "event_files.hpp"
#include "records.hpp"
#include "small_disk.hpp"
#include "system.hpp"

namespace test_faults {

using delve::Mode;
using delve_test::layer;
using delve_test::put;
using delve_test::read;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kThatCatchUp = {"csv", "json", "tensorboard"};

/// Whether it has a file for each number.
bool has_many_files(const std::string& key) {
  return key == "npy" || key == "plot";
}

/// Every writer that leaves files, under a savefile each, so that each can be told by its messages;
/// and, where asked for, a console in a file, which stays open.
class Run {
 public:
  explicit Run(const fs::path& folder, bool with_console) : folder_(folder) {
    for (const std::string key : {"csv", "json", "npy", "tensorboard", "plot"}) {
      // The table that comes with pictures is left out.
      add(key, delve::WriterList(key).make({(folder / key / "run").string(), 0, {}}).back());
    }
    if (!with_console) return;
    fs::create_directories(folder / "console");
    console_.open(folder / "console/run.txt");
    add("console", std::make_shared<delve::ConsoleWriter>(delve::ConsoleOptions{&console_}));
  }

  void epochs(int begin, int end) {
    for (int epoch = begin; epoch < end; ++epoch) {
      const auto record = delve_test::record(
          epoch, {{"accuracy", epoch / 8.0}},
          {layer("a", Mode::Train, {0.5, 4.0}), layer("b", Mode::Train, {epoch / 16.0, 2.0})});
      // So long that it does not fit into what is left of a file's last page on a full disk.
      auto long_record = record;
      for (int i = 0; i < 400; ++i) {
        long_record.layers[1].values.push_back(
            {fmt::format("s{}", i), fmt::format("q{}", i), i / 512.0});
      }
      for (auto& [key, writer] : writers_)
        writer->write(has_many_files(key) ? record : long_record);
    }
  }

  void close() {
    for (auto& [key, writer] : writers_) writer->close();
  }

  /// What the writer of this key told.
  [[nodiscard]] const std::vector<std::string>& messages(const std::string& key) {
    return messages_[key];
  }
  [[nodiscard]] fs::path folder() const { return folder_; }
  [[nodiscard]] std::string text(const std::string& path) const {
    return read((folder_ / path).string());
  }

 private:
  void add(const std::string& key, std::shared_ptr<delve::Writer> writer) {
    writer->on_problem(
        [this, key](std::string_view message) { messages_[key].emplace_back(message); });
    writers_.emplace_back(key, std::move(writer));
  }

  fs::path folder_;
  std::ofstream console_;
  std::map<std::string, std::vector<std::string>> messages_;
  std::vector<std::pair<std::string, std::shared_ptr<delve::Writer>>> writers_;
};

/// All files below a folder with their bytes, by the path from there.
std::map<std::string, std::string> files_below(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().lexically_relative(folder).string()] = read(entry.path().string());
  }
  return files;
}

/// That what was there before is there still, to the byte, or is the beginning of what is there.
void check_kept(const std::map<std::string, std::string>& before,
                const std::map<std::string, std::string>& after) {
  for (const auto& [path, bytes] : before) {
    CAPTURE(path);
    REQUIRE(after.count(path) == 1);
    const bool may_grow =
        path.find(".npy") == std::string::npos && path.find(".png") == std::string::npos;
    const std::string& now = after.at(path);
    CHECK((may_grow ? now.substr(0, bytes.size()) : now) == bytes);
  }
  for (const auto& [path, bytes] : after) {
    CAPTURE(path);
    CHECK(path.find(".tmp") == std::string::npos);
  }
}

std::set<std::int64_t> epochs_of_table(const std::string& text) {
  std::set<std::int64_t> epochs;
  for (const auto& record : delve::detail::records_from_csv(text, "run.csv")) {
    epochs.insert(record.epoch);
  }
  return epochs;
}

/// That table, lines and events have all these epochs, each once.
void check_complete(const Run& run, int epochs) {
  std::set<std::int64_t> all;
  std::string lines;
  for (int epoch = 0; epoch < epochs; ++epoch) all.insert(epoch);
  CHECK(epochs_of_table(run.text("csv/run.csv")) == all);
  const std::string json = run.text("json/run.jsonl");
  std::size_t at = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    CHECK(json.compare(at, 11, fmt::format("{{\"epoch\":{},", epoch)) == 0);
    at = json.find('\n', at) + 1;
  }
  CHECK(at == json.size());
  auto shown = delve_test::shown(run.folder() / "tensorboard/run");
  CHECK(shown["accuracy"].size() == static_cast<std::size_t>(epochs));
}

/// That a writer told one thing, of this place, with these words.
void check_told_once(Run& run, const std::string& key, const std::string& words) {
  CAPTURE(key, run.messages(key));
  REQUIRE(run.messages(key).size() == 1);
  if (key != "console") CHECK(run.messages(key)[0].find("/" + key + "/run") != std::string::npos);
  CHECK(run.messages(key)[0].find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("A full disk costs no epoch that was written, and is reported once by each writer",
          "[faults]") {
  const delve_test::SmallDisk disk;
  if (!disk.why_not().empty()) {
    WARN("skipped, no disk of its own can be made here: " << disk.why_not());
    return;
  }
  Run run(disk.path() / "runs", /*with_console=*/true);
  run.epochs(0, 2);
  const auto before = files_below(run.folder());
  CHECK(before.size() == 1 + 1 + 10 + 1 + 4 + 1);
  disk.fill();
  run.epochs(2, 5);
  check_kept(before, files_below(run.folder()));
  for (const std::string key : {"csv", "json", "npy", "tensorboard"}) {
    check_told_once(run, key, "No space left on device");
  }
  check_told_once(run, "plot", "cannot draw");
  check_told_once(run, "console", "is the disk full");
  disk.make_room();
  run.epochs(5, 6);
  run.close();
  check_complete(run, 6);
  for (const std::string& key : kThatCatchUp) CHECK(run.messages(key).size() == 1);
  // What has a file for each epoch lacks those three, and says how many.
  const auto after = files_below(run.folder());
  check_kept(before, after);
  CHECK(after.count("npy/run/accuracy/accuracy_epoch5.npy") == 1);
  CHECK(after.count("npy/run/accuracy/accuracy_epoch3.npy") == 0);
  REQUIRE(run.messages("npy").size() == 2);
  CHECK(run.messages("npy")[1].find("15 arrays in all were not written") == 0);
  CHECK(after.count("plot/run_lsat_train_epoch_5.png") == 1);
  CHECK(after.count("plot/run_lsat_train_epoch_3.png") == 0);
  REQUIRE(run.messages("plot").size() >= 2);
  CHECK(run.messages("plot").back().find("6 pictures in all were not drawn") == 0);
  CHECK(run.text("console/run.txt").find("epoch 5") != std::string::npos);
}

TEST_CASE("A disk that becomes read-only does no harm to what is there", "[faults]") {
  delve_test::SmallDisk disk;
  if (!disk.why_not().empty()) {
    WARN("skipped, no disk of its own can be made here: " << disk.why_not());
    return;
  }
  // With a file that is open to be written, no disk becomes read-only.
  Run run(disk.path() / "runs", /*with_console=*/false);
  run.epochs(0, 2);
  const auto before = files_below(run.folder());
  REQUIRE(disk.set_read_only(true).empty());
  run.epochs(2, 5);
  CHECK(files_below(run.folder()) == before);
  for (const std::string key : {"csv", "json", "npy", "tensorboard", "plot"}) {
    check_told_once(run, key, "Read-only file system");
  }
  REQUIRE(disk.set_read_only(false).empty());
  run.epochs(5, 6);
  run.close();
  check_kept(before, files_below(run.folder()));
  check_complete(run, 6);
  for (const std::string& key : kThatCatchUp) CHECK(run.messages(key).size() == 1);
}

TEST_CASE("A limit on the size of files costs no epoch that was written", "[faults]") {
  Run run(delve_test::fresh_folder("faults/limit"), /*with_console=*/false);
  run.epochs(0, 2);
  const auto before = files_below(run.folder());
  {
    const delve_test::FileSizeLimit limit(50);
    run.epochs(2, 5);
  }
  check_kept(before, files_below(run.folder()));
  CHECK(files_below(run.folder()) == before);
  for (const std::string key : {"csv", "json", "npy", "tensorboard", "plot"}) {
    check_told_once(run, key, "File too large");
  }
  run.epochs(5, 6);
  run.close();
  check_kept(before, files_below(run.folder()));
  check_complete(run, 6);
}

TEST_CASE("A folder that vanishes in mid-run is made anew, and what is lost with it is reported",
          "[faults]") {
  Run run(delve_test::fresh_folder("faults/vanished"), /*with_console=*/false);
  run.epochs(0, 2);
  const std::string json = run.text("json/run.jsonl");
  fs::remove_all(run.folder());
  run.epochs(2, 4);
  run.close();
  for (const std::string& key : kThatCatchUp) {
    check_told_once(run, key, "was modified or removed by another writer or process");
  }
  check_told_once(run, "npy", "was removed by another process");
  CHECK(run.messages("plot").empty());
  // The table is remembered whole; of the others, what comes after is there.
  CHECK(epochs_of_table(run.text("csv/run.csv")) == std::set<std::int64_t>{0, 1, 2, 3});
  CHECK(run.text("json/run.jsonl").find("{\"epoch\":2,") == 0);
  CHECK(delve_test::shown(run.folder() / "tensorboard/run")["accuracy"].size() == 2);
  const auto files = files_below(run.folder());
  CHECK(files.count("npy/run/accuracy/accuracy_epoch3.npy") == 1);
  CHECK(files.count("plot/run_lsat_train_epoch_2.png") == 1);
}

TEST_CASE("A folder in a file's place keeps one writer from its work, and no other", "[faults]") {
  const std::string blocked = GENERATE("csv", "json", "npy", "tensorboard", "plot");
  Run run(delve_test::fresh_folder("faults/blocked"), /*with_console=*/false);
  run.epochs(0, 2);
  const auto before = files_below(run.folder());
  fs::path place = run.folder() / blocked;
  if (blocked == "csv") place /= "run.csv";
  if (blocked == "json") place /= "run.jsonl";
  if (blocked == "npy") place /= "run/accuracy/accuracy_epoch2.npy";
  if (blocked == "tensorboard") place = fs::directory_iterator(place / "run")->path();
  if (blocked == "plot") place /= "run_lsat_train_epoch_2.png";
  if (fs::exists(place)) fs::rename(place, run.folder() / "away");
  fs::create_directories(place);
  run.epochs(2, 4);
  check_told_once(run, blocked, "Is a directory");
  CHECK(run.messages(blocked)[0].find(place.filename().string()) != std::string::npos);
  fs::remove(place);
  if (fs::exists(run.folder() / "away")) fs::rename(run.folder() / "away", place);
  run.epochs(4, 5);
  run.close();
  check_kept(before, files_below(run.folder()));
  check_complete(run, 5);
  for (const std::string key : {"csv", "json", "npy", "tensorboard", "plot"}) {
    CAPTURE(key);
    CHECK(run.messages(key).size() == (key == blocked ? 1 : 0));
  }
}

}  // namespace test_faults
