// SPDX-License-Identifier: MIT
// A training that is killed, again and again, and goes on each time from the last epoch that was
// done.

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <delve/detail/formats/npy.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
#include <delve/writers/tensorboard.hpp>

#include "catch.hpp"
#include "event_files.hpp"
#include "records.hpp"

namespace test_kills {

using delve::Mode;
using delve_test::layer;
using delve_test::read;
using delve_test::shown;
namespace fs = std::filesystem;

namespace {

constexpr unsigned kSeed = 20;
const std::vector<std::string> kKeys = {"csv", "npy", "json", "tensorboard"};

/// What a child tells of itself, in memory that outlives it.
struct Shared {
  static constexpr int kOutside = -1;
  static constexpr int kConstructing = -2;

  std::atomic<int> place;  ///< the writer in whose write() it is, or one of the above
  std::atomic<int> done;   ///< epochs that all writers have: where a training would be resumed
  std::atomic<bool> is_finished;
  std::array<char, 512> problem;  ///< one that should not be; empty: none
};

/// Memory that a child shares.
class SharedMemory {
 public:
  SharedMemory()
      : memory_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {
    REQUIRE(memory_ != MAP_FAILED);
    shared_ = new (memory_) Shared();
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(memory_, sizeof(Shared)); }

  Shared* operator->() const { return shared_; }

 private:
  void* memory_;
  Shared* shared_ = nullptr;
};

/// An epoch that depends on its number alone. A column comes late.
/// @param is_long whether a line of it fills several pages, so that a kill may come within its
/// write
delve::EpochRecord epoch_record(int epoch, bool is_long) {
  const auto number = [epoch](int place) { return std::sin(1.0 + 1000 * epoch + place); };
  delve::EpochRecord record{epoch, {{"accuracy", number(0)}}, {}};
  if (epoch >= 7) record.scalars.emplace_back("late", number(1));
  record.layers.push_back(layer("layer", Mode::Train, {number(2), 3}));
  Eigen::MatrixXd vector(100, 1);
  for (int i = 0; i < vector.size(); ++i) vector(i, 0) = number(10 + i);
  record.layers[0].arrays.push_back(
      {"eig", "eigenvalues", std::make_shared<const Eigen::MatrixXd>(vector)});
  for (int i = 0; is_long && i < 150; ++i) {
    record.layers[0].values.push_back(
        {fmt::format("stat{}", i), fmt::format("quantity{}", i), number(1000 + i)});
  }
  return record;
}

/// Those whose epochs are lines. For npy a long record would be too many files, and to check so
/// many events takes too long.
bool is_long_for(const std::string& key) {
  return key == "csv" || key == "json";
}

using Writers = std::vector<std::shared_ptr<delve::Writer>>;

Writers make_writers(const std::vector<std::string>& keys, const fs::path& savefile, int begin) {
  return delve::WriterList(keys).make({savefile.string(), begin, {}});
}

/// What is to be found in a file after each number of epochs.
struct Texts {
  std::vector<std::string> csv, json;
};

/// The run that nothing breaks off.
Texts unbroken_run(const fs::path& savefile, int epochs) {
  Texts texts{{""}, {""}};
  const Writers writers = make_writers(kKeys, savefile, 0);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (std::size_t i = 0; i < writers.size(); ++i) {
      writers[i]->write(epoch_record(epoch, is_long_for(kKeys[i])));
    }
    texts.csv.push_back(read(savefile.string() + ".csv"));
    texts.json.push_back(read(savefile.string() + ".jsonl"));
  }
  for (const auto& writer : writers) writer->close();
  return texts;
}

/// A training, in a process of its own.
[[noreturn]] void train(const std::vector<std::string>& keys, const fs::path& savefile, int epochs,
                        const SharedMemory& shared) {
  int exit_code = 1;
  try {
    const Writers writers = make_writers(keys, savefile, shared->done);
    shared->place = Shared::kOutside;
    for (const auto& writer : writers) {
      writer->on_problem([&](std::string_view message) {
        // A line that was broken off by the kill before is told, as it should be.
        if (message.find("the last line") != std::string_view::npos) return;
        std::strncpy(shared->problem.data(), std::string(message).c_str(),
                     shared->problem.size() - 1);
      });
    }
    for (int epoch = shared->done; epoch < epochs; ++epoch) {
      for (std::size_t i = 0; i < writers.size(); ++i) {
        const delve::EpochRecord record = epoch_record(epoch, is_long_for(keys[i]));
        shared->place = static_cast<int>(i);
        writers[i]->write(record);
        shared->place = Shared::kOutside;
      }
      shared->done = epoch + 1;
    }
    for (const auto& writer : writers) writer->close();
    shared->is_finished = true;
    exit_code = 0;
  } catch (const std::exception& error) {
    shared->place = Shared::kOutside;
    std::strncpy(shared->problem.data(), error.what(), shared->problem.size() - 1);
  }
  ::_exit(exit_code);
}

/// Begins or resumes a training, and kills it after a while, unless it has ended.
/// @param from_begin whether the delay is from its begin on, or from when its writers are made
/// @return whether it was killed
bool train_and_kill(const std::vector<std::string>& keys, const fs::path& savefile, int epochs,
                    std::chrono::microseconds delay, bool from_begin, const SharedMemory& shared) {
  shared->place = Shared::kConstructing;
  std::fflush(nullptr);  // else the child would have a copy of what waits to be printed
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) train(keys, savefile, epochs, shared);
  // Were the delay always from the begin on, a slow machine might never get beyond its writers.
  while (!from_begin && shared->place == Shared::kConstructing) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  std::this_thread::sleep_for(delay);
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  const bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  CAPTURE(status);
  CHECK(std::string(shared->problem.data()).empty());
  REQUIRE((was_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)));
  return was_killed;
}

/// Whether a file that grows holds all epochs that are done, and at most a beginning of the next.
/// @param texts what it must hold after each number of epochs
bool holds_epochs(const std::string& text, const std::vector<std::string>& texts, int done,
                  int& torn_count) {
  const auto before = static_cast<std::size_t>(done);
  const std::size_t after = std::min(before + 1, texts.size() - 1);
  if (text == texts[before] || text == texts[after]) return true;
  ++torn_count;
  return text.size() > texts[before].size() &&
         text.compare(0, texts[before].size(), texts[before]) == 0 &&
         texts[after].compare(0, text.size(), text) == 0;
}

/// The files of arrays below a folder, by the path from there.
std::map<std::string, std::string> arrays_below(const fs::path& folder) {
  std::map<std::string, std::string> arrays;
  if (!fs::exists(folder)) return arrays;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".npy") continue;
    arrays[entry.path().lexically_relative(folder).string()] = read(entry.path().string());
  }
  return arrays;
}

int epoch_of(const std::string& array) {
  const std::size_t begin = array.rfind("_epoch") + 6;
  return std::stoi(array.substr(begin, array.rfind(".npy") - begin));
}

std::size_t count_left_over(const fs::path& folder) {
  std::size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".tmp") ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("What was written survives kills, and the run ends as if there had been none",
          "[kills]") {
  constexpr int kEpochs = 20;
  constexpr int kKills = delve_test::times(500);
  fs::remove_all("kills");
  const auto begin = std::chrono::steady_clock::now();
  const fs::path whole = "kills/whole/run";
  const Texts texts = unbroken_run(whole, kEpochs);
  const auto time_of_epoch = (std::chrono::steady_clock::now() - begin) / kEpochs;
  const auto arrays = arrays_below(whole);
  for (const auto& [name, bytes] : arrays) {
    REQUIRE_NOTHROW(delve::detail::parse_npy(bytes, name));
  }
  const auto events = shown(whole);
  REQUIRE(events.at("accuracy").size() == kEpochs);

  std::mt19937 random(kSeed);
  std::uniform_real_distribution<double> epochs_until_kill(0, 1.5);
  std::map<int, int> kills;  // by the place that they came in
  int torn_tables = 0, torn_lines = 0;
  std::size_t torn_events = 0, left_over = 0;
  int all = 0, runs = 0;
  while (all < kKills) {
    const fs::path folder = fmt::format("kills/{}", runs++);
    const fs::path savefile = folder / "run";
    const SharedMemory shared;
    while (!shared->is_finished) {
      const auto delay = std::chrono::duration_cast<std::chrono::microseconds>(
          time_of_epoch * epochs_until_kill(random));
      const bool was_killed =
          train_and_kill(kKeys, savefile, kEpochs, delay, random() % 5 == 0, shared);
      const int done = shared->done;
      CAPTURE(runs, all, done, shared->place.load());
      if (was_killed) {
        ++all;
        ++kills[shared->place];
      }
      REQUIRE(holds_epochs(read(savefile.string() + ".csv"), texts.csv, done, torn_tables));
      REQUIRE(holds_epochs(read(savefile.string() + ".jsonl"), texts.json, done, torn_lines));
      const auto there = arrays_below(savefile);
      for (const auto& [name, bytes] : there) REQUIRE(bytes == arrays.at(name));
      for (const auto& [name, bytes] : arrays) {
        if (epoch_of(name) < done) REQUIRE(there.count(name) == 1);
      }
      if (!fs::exists(savefile)) continue;
      std::size_t torn = 0;
      auto events_there = shown(savefile, &torn);
      for (int epoch = 0; epoch < done; ++epoch) {
        REQUIRE(events_there["accuracy"].at(epoch) == events.at("accuracy").at(epoch));
      }
      if (shared->is_finished) torn_events += torn;
    }
    CHECK(read(savefile.string() + ".csv") == texts.csv.back());
    CHECK(read(savefile.string() + ".jsonl") == texts.json.back());
    CHECK(arrays_below(savefile) == arrays);
    std::size_t torn = 0;
    CHECK(shown(savefile, &torn) == events);
    left_over += count_left_over(folder);
    fs::remove_all(folder);
  }
  int inside = 0;
  std::string places;
  for (std::size_t i = 0; i < kKeys.size(); ++i) {
    inside += kills[static_cast<int>(i)];
    places += fmt::format(", {} {}", kKeys[i], kills[static_cast<int>(i)]);
  }
  fmt::print(
      "{} kills in {} runs, {} inside a write ({}), {} while writers were made; seed {}; broken "
      "off: "
      "{} tables, {} JSON lines, {} events; {} files ending in .tmp left over; {:.1f} s\n",
      all, runs, inside, places.substr(2), kills[Shared::kConstructing], kSeed, torn_tables,
      torn_lines, torn_events, left_over,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  CHECK(inside >= kKills / 10);
}

}  // namespace test_kills
