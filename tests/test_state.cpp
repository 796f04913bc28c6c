// SPDX-License-Identifier: MIT
// A training that stops in the middle of an epoch, and resumes from what save_state() wrote: to the
// bit what it would have been.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <delve/delve.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/writers/json.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "small_disk.hpp"
#include "tracker.hpp"

namespace test_state {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::Covariance;
using delve::Mode;
using delve::detail::StateReader;
using delve::detail::StateWriter;
using delve_test::quiet;
namespace fs = std::filesystem;

namespace {

constexpr int kEpochs = 3;
constexpr int kSteps = 6;  // of training, an epoch; two of evaluation follow

/// What trains: layers of all families, of batches that wait and of such that do not.
struct NetImpl : torch::nn::Module {
  torch::nn::Conv2d conv =
      register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 6, 3)));
  torch::nn::LSTM lstm =
      register_module("lstm", torch::nn::LSTM(torch::nn::LSTMOptions(16, 7).batch_first(true)));
  torch::nn::Linear wide = register_module("wide", torch::nn::Linear(42, 90));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(90, 5));

  torch::Tensor forward(const torch::Tensor& pictures) {
    const torch::Tensor maps = torch::relu(conv(pictures)).flatten(2);
    return head(torch::relu(wide(std::get<0>(lstm(maps)).flatten(1))));
  }
};
TORCH_MODULE(Net);

/// Whether two records hold the same, to the bit: missing numbers are equal, too.
bool are_equal(delve::EpochRecord a, delve::EpochRecord b) {
  StateWriter archives[2];
  archives[0](a);
  archives[1](b);
  return archives[0].take() == archives[1].take();
}

/// How a training is stopped and resumed: after every so many steps.
struct Stops {
  int every;
  bool by_archive = false;
};

using Tracker = std::unique_ptr<CheckLayerSat<>>;

/// Saves, forgets the tracker, and resumes with a new one.
void stop_and_resume(Tracker& tracker, bool by_archive, std::int64_t epoch,
                     const std::function<Tracker()>& make) {
  if (by_archive) {
    torch::save(*tracker, "state/run.pt");
    tracker = make();
    torch::load(*tracker, "state/run.pt");
    return;
  }
  REQUIRE(tracker->save_state("state/run.state"));
  tracker = make();
  CHECK(delve::saved_epoch("state/run.state") == epoch);
  tracker->load_state("state/run.state");
}

/// A training whose data depends on the step alone.
std::vector<delve::EpochRecord> train(const CheckLayerSatOptions& options, std::int64_t batch,
                                      std::optional<Stops> stops = std::nullopt) {
  torch::manual_seed(0);
  Net model;
  const auto make = [&] {
    return std::make_unique<CheckLayerSat<>>("state/run", "csv", model, options);
  };
  Tracker tracker = make();
  std::vector<delve::EpochRecord> records;
  int step = 0;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    for (int i = 0; i < kSteps + 2; ++i, ++step) {
      torch::manual_seed(static_cast<std::uint64_t>(100 + step));
      model->train(i < kSteps);
      torch::Tensor pictures = torch::randn({batch, 2, 6, 6}) + 3;
      if (step == 9) pictures[0][0][0][0] = delve::missing_value();  // a batch that is left out
      const torch::Tensor classes = torch::randint(5, {batch}, torch::kLong);
      const auto labels = options.targets() > 0   ? tracker->targets(classes.to(torch::kFloat))
                          : options.classes() > 0 ? tracker->labels(classes)
                                                  : delve::LabelsGuard();
      const torch::Tensor scores = model->forward(pictures);
      if (i < kSteps && step != 9) {
        torch::nn::functional::cross_entropy(scores, classes).backward();
        const torch::NoGradGuard no_grad;
        for (torch::Tensor& parameter : model->parameters()) {
          parameter -= 0.05 * parameter.grad();
          parameter.grad().zero_();
        }
      }
      tracker->observe("scores", scores, i < kSteps ? Mode::Train : Mode::Eval);
      if (i == 2) {
        const auto acting = tracker->mode("acting");
        const torch::NoGradGuard no_grad;
        model->forward(torch::randn({3, 2, 6, 6}));
      }
      if (i == 3) tracker->add_scalar("loss", step);
      if (stops && step % stops->every == stops->every - 1) {
        stop_and_resume(tracker, stops->by_archive, epoch, make);
      }
    }
    records.push_back(tracker->add_saturations(/*save=*/epoch != 0));
  }
  return records;
}

struct Case {
  const char* name;
  CheckLayerSatOptions options;
  std::int64_t batch = 20;
};

std::vector<Case> cases() {
  const auto with = [](const std::vector<std::string>& stats) { return quiet().stats(stats); };
  return {
      {"waiting rows", with({"lsat", "idim", "eigenvalues", "cov", "samples"})},
      {"large batches", with({"lsat", "trc", "eigenvalues"}), 700},
      {"float64 products", with({"lsat", "cov"}).products(delve::Products::Float64)},
      {"rows drawn", with({"lsat", "cov", "embed"}).sample_rate(0.3)},
      {"strides", with({"lsat", "cov"}).points_per_dimension(2)},
      {"log_interval", with({"lsat", "cov"}).log_interval(3)},
      {"max_samples", with({"lsat", "samples"}).max_samples(50)},
      {"drift", with({"drift", "drift_floor", "drift_chance", "cov"})},
      {"never reset", with({"lsat", "samples"}).reset_covariance(false)},
      {"probes", with({"lsat", "probe", "probe_train", "nc1", "probe_error"}).classes(5)},
      {"targets", with({"lsat", "probe_r2"}).targets(1)},
      {"fields", with({"lsat"}).receptive_field(true)},
      {"flattened", with({"lsat", "cov"}).conv_method(delve::ConvMethod::Flatten)},
  };
}

/// Loads a state into a tracker of the usual net.
void load(const std::string& path, const CheckLayerSatOptions& options = quiet()) {
  Net model;
  CheckLayerSat tracker("state/run", "csv", model, options);
  tracker.load_state(path);
}

/// A state amid an epoch.
std::string saved_state(const CheckLayerSatOptions& options = quiet()) {
  torch::manual_seed(1);
  Net model;
  CheckLayerSat tracker("state/run", "csv", model, options);
  for (int i = 0; i < 3; ++i) model->forward(torch::randn({20, 2, 6, 6}));
  REQUIRE(tracker.save_state("state/saved.state"));
  return delve_test::read("state/saved.state");
}

std::string refusal(const std::string& bytes, const CheckLayerSatOptions& options = quiet()) {
  delve_test::put("state/refused.state", bytes);
  try {
    load("state/refused.state", options);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("A run that is stopped again and again resumes to the bit", "[state]") {
  torch::set_num_threads(1);
  for (const Case& it : cases()) {
    INFO(it.name);
    const auto whole = train(it.options, it.batch);
    REQUIRE(whole.size() == kEpochs);
    REQUIRE_FALSE(whole[2].layers.empty());
    for (const Stops& stops : {Stops{1}, Stops{3, true}, Stops{7}}) {
      INFO("stopped every " << stops.every);
      const auto broken = train(it.options, it.batch, stops);
      REQUIRE(broken.size() == whole.size());
      for (std::size_t i = 0; i < whole.size(); ++i) {
        INFO("epoch " << i);
        CHECK(are_equal(broken[i], whole[i]));
      }
    }
  }
}

TEST_CASE("Sums in float continue to the bit, too", "[state]") {
  torch::manual_seed(2);
  torch::nn::Linear model(4, 40);
  CheckLayerSat<float> whole("state/run", "csv", model, quiet().stats({"cov"}));
  model->forward(torch::randn({300, 4}));
  REQUIRE(whole.save_state("state/float.state"));
  CheckLayerSat<float> broken("state/run", "csv", model, quiet().stats({"cov"}));
  broken.load_state("state/float.state");
  model->forward(torch::randn({300, 4}));
  CHECK(are_equal(whole.add_saturations(), broken.add_saturations()));
}

TEST_CASE("An accumulator continues to the bit on a device's path, too", "[state]") {
  torch::set_num_threads(1);
  for (const auto* tuning : {&delve::detail::kHostTuning, &delve::detail::kDeviceTuning}) {
    for (const std::int64_t width : {3, 70, 300}) {
      for (const std::int64_t count : {5, 300, 3000}) {
        for (const std::int64_t targets : {0, 2}) {
          const auto make = [&] {
            return Covariance<double>(delve::Products::Float32, *tuning, targets);
          };
          const auto update = [&](std::vector<Covariance<double>*> all) {
            const torch::Tensor rows = torch::randn({count, width}) + 100;
            delve::RowTargets with;
            if (targets > 0) {
              with.targets = torch::randn({count, targets});
              with.mask = torch::rand({count}).gt(0.3);
            }
            for (auto* covariance : all) covariance->update(rows, with);
          };
          torch::manual_seed(3);
          Covariance<double> whole = make();
          for (int batch = 0; batch < 9; ++batch) {
            StateWriter writer;
            writer(whole);
            const std::string bytes = writer.take();
            Covariance<double> broken = make();
            StateReader reader(bytes);
            reader(broken);
            CHECK(reader.is_at_end());
            CHECK(broken.bytes() == whole.bytes());
            update({&whole, &broken});
            Covariance<double> a = whole.copy();
            Covariance<double> b = broken.copy();
            REQUIRE(a.matrix().equal(b.matrix()));
            REQUIRE(a.mean().equal(b.mean()));
            if (targets > 0) REQUIRE(a.cross_covariance().equal(b.cross_covariance()));
          }
        }
      }
    }
  }
}

TEST_CASE("What was reported is not reported again, and what was said of it is kept", "[state]") {
  torch::manual_seed(4);
  std::vector<std::string> heard;
  Net model;
  const auto make = [&] {
    return std::make_unique<CheckLayerSat<>>("state/run", "csv", model, quiet(&heard));
  };
  Tracker tracker = make();
  const auto bad_epoch = [&] {
    model->forward(torch::full({4, 2, 6, 6}, delve::missing_value()));
    tracker->add_saturations();
  };
  bad_epoch();
  REQUIRE_FALSE(heard.empty());
  const auto count = heard.size();
  const auto problems = tracker->problems();
  REQUIRE(tracker->save_state("state/told.state"));
  tracker = make();
  tracker->load_state("state/told.state");
  bad_epoch();
  CHECK(heard.size() == count);
  CHECK(tracker->problems() == problems);
}

TEST_CASE("Writers resume the run", "[state]") {
  fs::remove_all("state/files");
  const auto run = [](const std::string& savefile, bool is_broken) {
    torch::manual_seed(5);
    Net model;
    const auto make = [&](std::int64_t epoch) {
      return std::make_unique<CheckLayerSat<>>(savefile, delve::WriterList{"csv", "json"}, model,
                                               quiet()
                                                   .nosave(false)
                                                   .stats({"lsat", "idim"})
                                                   .initial_epoch(epoch)
                                                   .partial_epoch(delve::PartialEpoch::Drop));
    };
    Tracker tracker = make(0);
    for (int step = 0; step < 12; ++step) {
      torch::manual_seed(static_cast<std::uint64_t>(step));
      model->forward(torch::randn({30, 2, 6, 6}));
      if (step % 4 == 3) tracker->add_saturations();
      if (!is_broken || step != 5) continue;
      REQUIRE(tracker->save_state(savefile + ".state"));
      model->forward(torch::randn({30, 2, 6, 6}));  // which the one that resumes never sees
      tracker.reset();
      const std::int64_t epoch = delve::saved_epoch(savefile + ".state");
      CHECK(epoch == 1);
      tracker = make(0);
      CHECK_THROWS_WITH(tracker->load_state(savefile + ".state"),
                        ContainsSubstring("resumes in epoch 1") &&
                            ContainsSubstring("initial_epoch(delve::saved_epoch(path))"));
      tracker = make(epoch);
      tracker->load_state(savefile + ".state");
    }
  };
  run("state/files/whole", false);
  run("state/files/broken", true);
  for (const std::string end : {".csv", ".jsonl"}) {
    CHECK(delve_test::read("state/files/broken" + end) ==
          delve_test::read("state/files/whole" + end));
  }
}

TEST_CASE("A state of something else is refused by name", "[state]") {
  const std::string bytes = saved_state();
  CHECK(refusal(bytes) == "none");
  const auto says = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    CHECK(text.find("state/refused.state") != std::string::npos);
  };
  says(refusal("no state at all"), "no state that save_state() wrote");
  says(refusal(""), "no state that save_state() wrote");
  says(refusal(delve::detail::framed_state("short")), "its content contradicts itself");
  for (const std::size_t size :
       {std::size_t{13}, std::size_t{25}, bytes.size() / 2, bytes.size() - 1}) {
    says(refusal(bytes.substr(0, size)), "cut off");
  }
  says(refusal(bytes + "x"), "after its end");
  std::string spoilt = bytes;
  spoilt[bytes.size() / 2] = static_cast<char>(spoilt[bytes.size() / 2] ^ 1);
  says(refusal(spoilt), "checksum");
  std::string other = bytes;
  other[delve::detail::kStateBegin.size()] = 77;
  says(refusal(other), "its format is 77");
  says(refusal(bytes, quiet().sample_rate(0.5)),
       "saved with sample_rate 1, and this tracker has 0.5");
  says(refusal(bytes, quiet().interpolation_strategy(delve::Interpolation::Area)),
       "saved with interpolation_strategy none, and this tracker has Area");
  says(refusal(bytes, quiet().stats({"idim"})), "stats lsat");
  says(refusal(bytes, quiet().ignore_layer_names({"wide"})), "wide");
  CHECK_THROWS_WITH(load("state/nowhere.state"), ContainsSubstring("state/nowhere.state"));
  CHECK_THROWS_WITH(delve::saved_epoch("state/nowhere.state"),
                    ContainsSubstring("state/nowhere.state"));
  torch::nn::Linear linear(2, 2);
  CheckLayerSat<float> of_float("state/run", "csv", linear, quiet());
  delve_test::put("state/refused.state", bytes);
  CHECK_THROWS_WITH(of_float.load_state("state/refused.state"),
                    ContainsSubstring("its sums are double"));
  CheckLayerSat of_others("state/run", "csv", linear, quiet());
  CHECK_THROWS_WITH(
      of_others.load_state("state/refused.state"),
      ContainsSubstring("layers that this tracker does not have: conv, lstm, wide, head"));
}

TEST_CASE("A state that is refused changes nothing", "[state]") {
  torch::manual_seed(6);
  const std::string bytes = saved_state(quiet().sample_rate(0.5));
  delve_test::put("state/refused.state", bytes);
  Net model;
  CheckLayerSat tracker("state/run", "csv", model, quiet());
  CheckLayerSat other("state/run", "csv", model, quiet());
  tracker.add_scalar("loss", 1);
  other.add_scalar("loss", 1);
  model->forward(torch::randn({40, 2, 6, 6}));
  CHECK_THROWS_AS(tracker.load_state("state/refused.state"), std::runtime_error);
  CHECK(are_equal(tracker.add_saturations(), other.add_saturations()));
}

TEST_CASE("No content makes reading crash, take much memory, or change half of a tracker",
          "[state]") {
  const auto options =
      quiet().stats({"lsat", "embed", "drift", "probe"}).classes(5).sample_rate(0.9);
  torch::manual_seed(7);
  Net model;
  std::string whole;
  {
    CheckLayerSat tracker("state/run", "csv", model, options);
    for (int i = 0; i < 3; ++i) {
      const auto labels = tracker.labels(torch::randint(5, {20}, torch::kLong));
      model->forward(torch::randn({20, 2, 6, 6}));
      if (i == 1) tracker.add_saturations(/*save=*/false);
    }
    REQUIRE(tracker.save_state("state/saved.state"));
    whole = delve_test::read("state/saved.state");
  }
  const std::string content(delve::detail::content_of_state(whole, "state"));
  std::mt19937_64 random(8);
  int refused = 0;
  int accepted = 0;
  for (std::size_t i = 0; i < delve_test::times(500); ++i) {
    std::string changed = content;
    // Half of the changes are to the small numbers that say what follows, not to the data.
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int change = 0; change < changes; ++change) {
      const std::size_t place = random() % changed.size();
      switch (random() % 4) {
        case 0:
          changed[place] = static_cast<char>(random());
          break;
        case 1:
          changed.erase(place, random() % 16);
          break;
        case 2:
          changed.insert(place, random() % 16, static_cast<char>(random()));
          break;
        default:
          for (std::size_t at = place; at < std::min(place + 8, changed.size()); ++at) {
            changed[at] = static_cast<char>(random() % 2 == 0 ? 0xFF : 0x7F);
          }
      }
    }
    delve_test::put("state/changed.state", delve::detail::framed_state(changed));
    CheckLayerSat tracker("state/run", "csv", model, options);
    try {
      tracker.load_state("state/changed.state");
      ++accepted;
    } catch (const std::runtime_error& error) {
      ++refused;
      REQUIRE(std::string_view(error.what()).find("state/changed.state") != std::string::npos);
    }
    if (i % 10 != 0) continue;
    model->forward(torch::randn({20, 2, 6, 6}));
    tracker.add_saturations();
  }
  CHECK(refused > 5);
  CHECK(accepted > 5);
}

TEST_CASE("A state that cannot be written is reported once, and the one before stays", "[state]") {
  std::vector<std::string> heard;
  torch::manual_seed(9);
  Net model;
  CheckLayerSat tracker("state/run", "csv", model, quiet(&heard));
  delve_test::put("state/file", "");
  CHECK_FALSE(tracker.save_state("state/file/run.state"));
  CHECK_FALSE(tracker.save_state("state/file/run.state"));
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].find("state/file/run.state") != std::string::npos);
  CHECK(heard[0].find("the file is as it was") != std::string::npos);

  delve_test::SmallDisk disk;
  if (!disk.why_not().empty()) {
    WARN("skipped, no disk of its own can be made here: " << disk.why_not());
    return;
  }
  const std::string path = (disk.path() / "run.state").string();
  torch::nn::Linear large(10, 400);  // of whose sums a megabyte is needed
  CheckLayerSat of_large("state/run", "csv", large, quiet(&heard));
  REQUIRE(of_large.save_state(path));
  const bool is_whole = delve_test::read(path).size() > 100;
  CHECK(is_whole);
  const std::string before = delve_test::read(path);
  large->forward(torch::randn({700, 10}));
  CHECK_FALSE(of_large.save_state(path));
  const bool is_as_it_was = delve_test::read(path) == before;
  CHECK(is_as_it_was);
  CHECK(heard.back().find("No space left on device") != std::string::npos);
  CHECK(of_large.add_saturations().layers.size() == 1);
}

TEST_CASE("A closed tracker neither saves nor loads", "[state]") {
  Net model;
  CheckLayerSat tracker("state/run", "csv", model, quiet());
  REQUIRE(tracker.save_state("state/closed.state"));
  tracker.close();
  CHECK_THROWS_AS(tracker.save_state("state/closed.state"), std::logic_error);
  CHECK_THROWS_AS(tracker.load_state("state/closed.state"), std::logic_error);
}

namespace {

// The training that is killed: a process of its own, since LibTorch's threads do not outlive a
// fork. Model and tracker are parts of one archive, so that a kill cannot part them.
constexpr int kKilledSteps = 40;
constexpr int kKilledStepsAnEpoch = 8;

fs::path folder_of_run() {
  return std::getenv("DELVE_STATE_RUN");  // NOLINT(concurrency-mt-unsafe)
}

void save_all(const fs::path& path, torch::nn::Sequential& model, const CheckLayerSat<>& tracker,
              std::int64_t step) {
  torch::serialize::OutputArchive archive;
  torch::serialize::OutputArchive model_part;
  torch::serialize::OutputArchive tracker_part;
  model->save(model_part);
  tracker_part << tracker;
  archive.write("model", model_part);
  archive.write("tracker", tracker_part);
  archive.write("step", c10::IValue(step));
  archive.save_to(path.string() + ".part");
  fs::rename(path.string() + ".part", path);
}

}  // namespace

TEST_CASE("A training in a process of its own", "[.state_run]") {
  torch::set_num_threads(1);
  torch::manual_seed(0);
  const fs::path folder = folder_of_run();
  const fs::path path = folder / "all.pt";
  torch::nn::Sequential model(torch::nn::Linear(8, 30), torch::nn::Tanh(),
                              torch::nn::Linear(30, 4));
  std::int64_t step = 0;
  torch::serialize::InputArchive archive;
  const bool resumes = fs::exists(path);
  if (resumes) {
    archive.load_from(path.string());
    torch::serialize::InputArchive model_part;
    archive.read("model", model_part);
    model->load(model_part);
    c10::IValue saved;
    archive.read("step", saved);
    step = saved.toInt();
  }
  CheckLayerSat tracker((folder / "run").string(), "csv", model,
                        CheckLayerSatOptions()
                            .stats({"lsat", "trc", "drift"})
                            .sample_rate(0.5)
                            .initial_epoch(step / kKilledStepsAnEpoch)
                            .partial_epoch(delve::PartialEpoch::Drop));
  if (resumes) {
    torch::serialize::InputArchive tracker_part;
    archive.read("tracker", tracker_part);
    tracker_part >> tracker;
  }
  while (step < kKilledSteps) {
    torch::manual_seed(static_cast<std::uint64_t>(1 + step));
    model->forward(torch::randn({200, 8})).square().mean().backward();
    {
      const torch::NoGradGuard no_grad;
      for (torch::Tensor& parameter : model->parameters()) {
        parameter -= 0.1 * parameter.grad();
        parameter.grad().zero_();
      }
    }
    ++step;
    if (step % kKilledStepsAnEpoch == 0) tracker.add_saturations();
    if (step % 3 == 0) save_all(path, model, tracker, step);
  }
  CHECK(tracker.problems().empty());
}

TEST_CASE("A training that is killed again and again ends as one that never was",
          "[state][kills]") {
  const auto start = [](const fs::path& folder) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::setenv("DELVE_STATE_RUN", folder.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    std::freopen("/dev/null", "w", stdout);
    ::execl("/proc/self/exe", "test_state", "[.state_run]", nullptr);
    ::_exit(127);
  };
  const auto status_of = [](pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  };
  fs::remove_all("state/kills");
  const fs::path whole = "state/kills/whole";
  fs::create_directories(whole);
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(status_of(start(whole)) == 0);
  const std::chrono::duration<double> length = std::chrono::steady_clock::now() - begin;
  const std::string table = delve_test::read((whole / "run.csv").string());
  REQUIRE_FALSE(table.empty());

  const char* given = std::getenv("DELVE_STATE_KILLS");  // NOLINT(concurrency-mt-unsafe)
  const int wanted =
      given != nullptr ? std::atoi(given) : std::max(8, static_cast<int>(delve_test::times(20)));
  std::mt19937 random(10);
  std::uniform_real_distribution<double> after(0.5, 1.0);
  int kills = 0;
  int amid = 0;  // of a training that had saved something
  for (int run = 0; kills < wanted; ++run) {
    const fs::path folder = fmt::format("state/kills/{}", run);
    fs::create_directories(folder);
    int status = 1;
    while (status != 0) {
      const pid_t child = start(folder);
      std::this_thread::sleep_for(length * after(random));
      if (kills < wanted) ::kill(child, SIGKILL);
      status = status_of(child);
      REQUIRE((status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)));
      kills += status == 0 ? 0 : 1;
      amid += status != 0 && fs::exists(folder / "all.pt") ? 1 : 0;
    }
    CHECK(delve_test::read((folder / "run.csv").string()) == table);
  }
  WARN(kills << " kills, " << amid << " of them after the first archive");
  CHECK(amid > 0);
}

}  // namespace test_state
