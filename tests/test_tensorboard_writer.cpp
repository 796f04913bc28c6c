// SPDX-License-Identifier: MIT
#include <delve/writers/tensorboard.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "event_files.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_tensorboard_writer {

using delve::Mode;
using delve::TensorBoardOptions;
using delve::TensorBoardWriter;
using delve_test::bitwise_crc32c;
using delve_test::Event;
using delve_test::events_in;
using delve_test::files_in;
using delve_test::layer;
using delve_test::read;
using delve_test::record;
using delve_test::shown;
namespace fs = std::filesystem;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A path in an empty folder of the test's own.
fs::path fresh(const std::string& name) {
  return delve_test::fresh_folder(fs::path("tensorboard") / name) / "run";
}

std::shared_ptr<const Eigen::MatrixXd> shared(const Eigen::MatrixXd& values) {
  return std::make_shared<const Eigen::MatrixXd>(values);
}

using Watched = delve_test::Watched<TensorBoardWriter, TensorBoardOptions>;

}  // namespace

TEST_CASE("The CRC-32C of known texts is what is published", "[tensorboard][crc]") {
  CHECK(delve::detail::crc32c("123456789") == 0xE3069283U);
  // RFC 3720, appendix B.4.
  CHECK(delve::detail::crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(delve::detail::crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  CHECK(delve::detail::crc32c("") == 0);
  CHECK(bitwise_crc32c("123456789") == 0xE3069283U);
  std::mt19937 random(1);
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    CHECK(delve::detail::crc32c(bytes) == bitwise_crc32c(bytes));
    bytes.push_back(static_cast<char>(random()));
  }
}

TEST_CASE("An event file holds version, start, and an event an epoch", "[tensorboard]") {
  const fs::path savefile = fresh("events");
  const double before =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  Watched watched(savefile);
  CHECK(files_in(savefile).empty());
  delve::LayerRecord first = layer("features-0", Mode::Train, {0.875, 7});
  first.arrays = {{"cov", "covariance-matrix", shared(Eigen::MatrixXd::Identity(3, 3))},
                  {"eig", "eigenvalues", shared(Eigen::Vector4d(4, 1, 0.5, 0.5))}};
  watched.writer.write(record(0, {{"accuracy", 0.25}, {"loss/total", INFINITY}, {"missing", kNaN}},
                              {first, layer("a/b", Mode::Eval, {kNaN, 1e300})}));
  watched.writer.write(record(1, {}, {}));
  watched.writer.write(record(5000000000, {{"late", -1}}, {}));
  // Written through: nothing waits for close().
  REQUIRE(files_in(savefile).size() == 1);
  const std::string name = files_in(savefile)[0];
  const std::vector<Event> events = events_in(savefile / name);
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(watched.writer.path() == fs::absolute(savefile).string());
  // events.out.tfevents.SECONDS.HOST.PID.N
  CHECK(name.find("events.out.tfevents.") == 0);
  CHECK(std::abs(std::stod(name.substr(20, 10)) - before) < 600);
  CHECK(name.find("." + std::to_string(delve::detail::process_id()) + ".", 30) !=
        std::string::npos);

  REQUIRE(events.size() == 5);
  CHECK(events[0].file_version == "brain.Event:2");
  CHECK(events[0].writer == "delve-cpp run");
  CHECK(events[1].session_status == 1);
  CHECK(events[1].step == 0);
  CHECK(events[2].step == 0);
  CHECK(events[3].step == 1);
  CHECK(events[3].values.empty());
  CHECK(events[4].step == 5000000000);
  for (const Event& event : events) CHECK(std::abs(event.wall_time - before) < 600);

  const std::vector<delve_test::EventValue>& values = events[2].values;
  REQUIRE(values.size() == 6);
  CHECK(values[0].tag == "accuracy");
  CHECK(values[0].scalar == 0.25F);
  CHECK(values[1].tag == "loss/total");
  CHECK(values[1].scalar == std::numeric_limits<float>::infinity());
  CHECK(values[2].tag == "train-saturation/features-0");
  CHECK(values[2].scalar == 0.875F);
  CHECK(values[3].tag == "train-intrinsic-dimensionality/features-0");
  CHECK(values[4].tag == "train-eigenvalues/features-0");
  CHECK_FALSE(values[4].is_scalar);
  CHECK(values[4].num == 4);
  CHECK(values[4].sum == 6);
  CHECK(values[4].sum_squares == 17.5);
  CHECK(values[5].tag == "eval-intrinsic-dimensionality/a/b");
  CHECK(values[5].scalar == std::numeric_limits<float>::infinity());  // beyond float32
}

TEST_CASE("A histogram counts each finite number in its bucket", "[tensorboard][histogram]") {
  std::mt19937_64 random(2);
  std::vector<Eigen::VectorXd> vectors = {
      Eigen::VectorXd::Constant(5, 3),   Eigen::VectorXd::Zero(1),
      Eigen::Vector3d(-1e308, 0, 1e308), Eigen::Vector3d(0, 5e-324, 1e-323),
      Eigen::Vector2d(0, 200 * 5e-324),  Eigen::Vector4d(1, kNaN, INFINITY, 2)};
  for (int i = 0; i < 50; ++i) {
    Eigen::VectorXd eigenvalues(1 + i * 17);
    for (double& value : eigenvalues) {
      value = std::exp(std::normal_distribution<double>(0, 0.1 * i)(random));
    }
    vectors.push_back(eigenvalues);
  }
  for (const Eigen::VectorXd& vector : vectors) {
    std::vector<double> finite;
    for (const double value : vector) {
      if (std::isfinite(value)) finite.push_back(value);
    }
    std::sort(finite.begin(), finite.end());
    const auto histogram = delve::detail::histogram_of(vector);
    REQUIRE(histogram);
    const std::vector<double>& limits = histogram->limits;
    REQUIRE(limits.size() == histogram->counts.size());
    CHECK(histogram->min == finite.front());
    CHECK(histogram->max == finite.back());
    CHECK(histogram->count == static_cast<double>(finite.size()));
    CHECK(std::is_sorted(limits.begin(), limits.end()));
    CHECK(limits.back() == finite.back());
    CHECK(std::accumulate(histogram->counts.begin(), histogram->counts.end(), 0.0) ==
          histogram->count);
    // Up to any limit there are as many numbers as the vector has; one at a limit itself may have
    // been rounded to either side.
    double counted = 0;
    for (std::size_t i = 0; i < limits.size(); ++i) {
      counted += histogram->counts[i];
      const double width =
          std::abs(limits[i]) * 1e-9 + (finite.back() / 3e11 - finite.front() / 3e11);
      const auto below = std::lower_bound(finite.begin(), finite.end(), limits[i] - width);
      const auto above = std::upper_bound(finite.begin(), finite.end(), limits[i] + width);
      CHECK(counted >= static_cast<double>(below - finite.begin()));
      CHECK(counted <= static_cast<double>(above - finite.begin()));
    }
    for (std::size_t i = 1; i < limits.size(); ++i) {
      CHECK((histogram->counts[i - 1] > 0 || histogram->counts[i] > 0));
    }
  }
  CHECK_FALSE(delve::detail::histogram_of(Eigen::Vector2d(kNaN, INFINITY)));
  CHECK_FALSE(delve::detail::histogram_of(Eigen::MatrixXd(0, 1)));
}

TEST_CASE("A resumed run takes the epochs that it does again out of its own files",
          "[tensorboard][resume]") {
  const fs::path savefile = fresh("resume");
  // Three runs within a second: only their names tell which comes later.
  for (const int run : {0, 1, 2}) {
    const int initial_epoch = run == 2 ? 1 : 3 * run;
    TensorBoardWriter writer(savefile.string(), TensorBoardOptions{initial_epoch});
    for (int epoch = initial_epoch; epoch < initial_epoch + 5 - run; ++epoch) {
      writer.write(
          record(epoch, {{"a", 10 * run + epoch}, {"of run" + std::to_string(run), 1}}, {}));
    }
    writer.close();
    if (run == 1) {
      CHECK(files_in(savefile).size() == 2);
      const std::map<std::int64_t, float> expected{{0, 0.F},  {1, 1.F},  {2, 2.F}, {3, 13.F},
                                                   {4, 14.F}, {5, 15.F}, {6, 16.F}};
      CHECK(shown(savefile)["a"] == expected);
    }
  }
  const std::map<std::int64_t, float> expected{{0, 0.F}, {1, 21.F}, {2, 22.F}, {3, 23.F}};
  CHECK(shown(savefile)["a"] == expected);
  // A loader that heeds no session start, as TensorBoard's fast one, sees no old step either.
  CHECK(files_in(savefile).size() == 2);  // nothing was left of the second run's
  std::map<std::string, std::vector<std::int64_t>> steps;
  for (const std::string& file : files_in(savefile)) {
    for (const delve_test::Event& event : delve_test::events_in((savefile / file).string())) {
      for (const auto& value : event.values) steps[value.tag].push_back(event.step);
    }
  }
  CHECK(steps["of run0"] == std::vector<std::int64_t>{0});
  CHECK(steps.count("of run1") == 0);
  CHECK(steps["of run2"] == std::vector<std::int64_t>{1, 2, 3});

  // And at 0 an old run goes as a whole.
  TensorBoardWriter(savefile.string()).write(record(0, {{"b", 1}}, {}));
  CHECK(shown(savefile)["a"].empty());
  CHECK(files_in(savefile).size() == 1);
}

TEST_CASE("Event files of other writers are never touched, which is reported",
          "[tensorboard][resume]") {
  const fs::path savefile = fresh("strangers");
  // A file as delve 0.1 wrote it, without a mark; one of another savefile; and no event file at
  // all.
  TensorBoardWriter((savefile / "inner").string()).write(record(4, {{"a", 1}}, {}));
  const fs::path other = savefile / "inner" / files_in(savefile / "inner").front();
  fs::rename(other, savefile / "events.out.tfevents.0000000002.host.1.0");
  fs::remove(savefile / "inner");
  const std::string event = delve::detail::tf_record([] {
    delve::detail::SummaryBuilder summary;
    summary.add_scalar("a", 7);
    return summary.event(1, 3);
  }());
  delve_test::put(savefile / "events.out.tfevents.0000000001.host.1.0", event);
  delve_test::put(savefile / "events.out.tfevents.0000000003.host.1.0", "no events");
  std::map<std::string, std::string> before;
  for (const std::string& file : files_in(savefile))
    before[file] = read((savefile / file).string());
  REQUIRE(before.size() == 3);
  for (const int initial_epoch : {3, 5}) {
    Watched run(savefile, TensorBoardOptions{initial_epoch});
    run.writer.write(record(initial_epoch, {{"b", 1}}, {}));
    run.writer.close();
    for (const auto& [file, bytes] : before) CHECK(read((savefile / file).string()) == bytes);
    REQUIRE(run.messages.size() == (initial_epoch == 3 ? 1U : 0U));
    if (initial_epoch == 3)
      CHECK_THAT(run.messages[0], ContainsSubstring("2 event files of another"));
  }
}

TEST_CASE("A run is read after files whose clock was ahead", "[tensorboard][resume]") {
  const fs::path savefile = fresh("clock");
  fs::create_directories(savefile);
  const std::vector<std::string> others = {"events.out.tfevents.4000000000.host.1.0",
                                           "events.out.tfevents.x", "notes"};
  for (const std::string& other : others) std::ofstream(savefile / other);
  TensorBoardWriter(savefile.string(), TensorBoardOptions{1}).write(record(1, {}, {}));
  const std::vector<std::string> files = files_in(savefile);
  CHECK(std::count_if(files.begin(), files.end(), [](const std::string& file) {
          return file.find("events.out.tfevents.4000000001.") == 0;
        }) == 1);
}

TEST_CASE("Two writers of one program and folder have a file each", "[tensorboard]") {
  const fs::path savefile = fresh("two");
  TensorBoardWriter first(savefile.string());
  TensorBoardWriter second(savefile.string(), TensorBoardOptions{1});
  first.write(record(0, {{"a", 1}}, {}));
  second.write(record(1, {{"a", 2}}, {}));
  first.write(record(2, {{"a", 3}}, {}));
  const std::vector<std::string> files = files_in(savefile);
  REQUIRE(files.size() == 2);
  CHECK(events_in(savefile / files[0]).size() == 4);
  CHECK(events_in(savefile / files[1]).size() == 3);
}

TEST_CASE("A name of any bytes is a tag that protobuf takes", "[tensorboard][names]") {
  using delve::detail::valid_utf8;
  const std::string mark = "\xEF\xBF\xBD";
  for (const std::string text : {"", "plain", "größe → 4", "\xF0\x9F\x98\x80", "two\nlines",
                                 "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"}) {
    CHECK(valid_utf8(text) == text);
  }
  CHECK(valid_utf8("a\xC3(") == "a" + mark + "(");
  CHECK(valid_utf8("\xE2\x82") == mark + mark);                        // cut off
  CHECK(valid_utf8("\xC0\xAF") == mark + mark);                        // longer than need be
  CHECK(valid_utf8("\xE0\x9F\xBF") == mark + mark + mark);             // so is this
  CHECK(valid_utf8("\xED\xA0\x80") == mark + mark + mark);             // half of a surrogate pair
  CHECK(valid_utf8("\xF4\x90\x80\x80") == mark + mark + mark + mark);  // beyond the last
  CHECK(valid_utf8("\xFF\x80x") == mark + mark + "x");
  const fs::path savefile = fresh("names");
  TensorBoardWriter(savefile.string()).write(record(0, {{"a\xC3(", 1}, {"größe", 2}}, {}));
  const auto events = events_in(savefile / files_in(savefile).at(0));
  REQUIRE(events.back().values.size() == 2);
  CHECK(events.back().values[0].tag == "a" + mark + "(");
  CHECK(events.back().values[1].tag == "größe");
}

TEST_CASE("Events that a full disk refuses are reported once, and come when there is room",
          "[tensorboard][faults]") {
  if (!delve_test::has_links()) LEAVE_OUT("no link to a device that is full can be made");
  const fs::path savefile = fresh("full");
  Watched watched(savefile);
  watched.writer.write(record(0, {{"a", 0}}, {}));
  // In the place of the file, a device that is always full.
  const fs::path path = savefile / files_in(savefile).at(0);
  const fs::path away = savefile.parent_path() / "away";
  fs::rename(path, away);
  fs::create_symlink("/dev/full", path);
  watched.writer.write(record(1, {{"a", 1}}, {}));
  watched.writer.write(record(2, {{"a", 2}}, {}));
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find("No space left on device") != std::string::npos);
  fs::rename(away, path);
  watched.writer.write(record(3, {{"a", 3}}, {}));
  watched.writer.close();
  CHECK(watched.messages.size() == 1);
  const std::map<std::int64_t, float> expected{{0, 0.F}, {1, 1.F}, {2, 2.F}, {3, 3.F}};
  CHECK(shown(savefile)["a"] == expected);
}

TEST_CASE("Events that a missing folder refuses are written at the end", "[tensorboard][faults]") {
  const fs::path savefile = fresh("blocked");
  Watched watched(savefile);
  // The folder makes way for a file, which not even root can write into.
  fs::remove(savefile);
  std::ofstream(savefile) << "in the way";
  watched.writer.write(record(0, {{"a", 0}}, {}));
  watched.writer.write(record(1, {{"a", 1}}, {}));
  CHECK(watched.messages.size() == 1);
  CHECK(read(savefile.string()) == "in the way");
  fs::remove(savefile);
  watched.writer.close();
  const std::map<std::int64_t, float> expected{{0, 0.F}, {1, 1.F}};
  CHECK(shown(savefile)["a"] == expected);
}

TEST_CASE("A folder that has no name, or is a file, is refused", "[tensorboard][misuse]") {
  CHECK_THROWS_AS(TensorBoardWriter("tensorboard/"), std::invalid_argument);
  CHECK_THROWS_AS(TensorBoardWriter("tensorboard/x", TensorBoardOptions{-1}),
                  std::invalid_argument);
  const fs::path savefile = fresh("file");
  fs::create_directories(savefile.parent_path());
  std::ofstream(savefile) << "a file";
  CHECK_THROWS_AS(TensorBoardWriter(savefile.string()), std::runtime_error);
}

TEST_CASE("The writer of events is known by its keys where its header is included",
          "[tensorboard]") {
  for (const std::string key : {"tensorboard", "tb"}) {
    const auto writers = delve::WriterList(key).make({"tensorboard/by_key", 0, {}});
    REQUIRE(writers.size() == 1);
    CHECK(std::dynamic_pointer_cast<delve::TensorBoardWriter>(writers[0]) != nullptr);
  }
}

}  // namespace test_tensorboard_writer
