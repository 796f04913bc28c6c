// SPDX-License-Identifier: MIT
// Defects of Delve (Python) 0.1.50 that no other test would catch here; tests/README.md has them
// all.

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/record_function.h>
#include <torch/torch.h>

#include <delve/delve.hpp>
#include <delve/reconstruct.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "tracker.hpp"

namespace test_delves_defects {

using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace fs = std::filesystem;
namespace nn = torch::nn;

namespace {

std::string fresh(const std::string& name) {
  return (delve_test::fresh_folder(fs::path("delves_defects") / name) / "run").string();
}

std::vector<std::string> files_beside(const std::string& savefile) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(savefile).parent_path())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// How often operators ran in this thread while it lives.
class Count {
 public:
  Count() {
    values_only() = with_vectors() = 0;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin));
  }
  ~Count() { at::removeCallback(handle_); }

  static int& values_only() {
    static int count = 0;
    return count;
  }
  static int& with_vectors() {
    static int count = 0;
    return count;
  }

 private:
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    const std::string_view name = function.name();
    if (name == "aten::linalg_eigvalsh") ++values_only();
    if (name == "aten::linalg_eigh") ++with_vectors();
    return nullptr;
  }

  at::CallbackHandle handle_;
};

}  // namespace

TEST_CASE("One eigenvalue problem serves all statistics, without vectors", "[defect6]") {
  Net net;
  CheckLayerSat tracker("unused", "csv", net,
                        quiet().stats({"lsat", "idim", "lsat@0.9", "trc", "dtrc", "det", "logdet",
                                       "effective_rank", "entropy", "eigenvalues", "curve"}));
  net->forward(pictures(100));
  {
    const Count count;
    tracker.add_saturations();
    CHECK(Count::values_only() == 2);  // of two layers
    CHECK(Count::with_vectors() == 0);
  }
}

TEST_CASE("Series of another length do no harm", "[defect12]") {
  using delve::TimeseriesMethod;
  nn::LSTM lstm(nn::LSTMOptions(3, 4).batch_first(true));
  std::vector<std::string> messages;
  for (const auto method : {TimeseriesMethod::LastTimestep, TimeseriesMethod::EveryTimestep,
                            TimeseriesMethod::Timestepwise}) {
    CheckLayerSat tracker("unused", "csv", {{"lstm", lstm}},
                          quiet(&messages).timeseries_method(method));
    messages.clear();
    lstm(torch::randn({50, 5, 3}));
    lstm(torch::randn({50, 7, 3}));
    const auto samples = tracker.add_saturations().layers.at(0).samples;
    CHECK(samples == (method == TimeseriesMethod::LastTimestep    ? 100
                      : method == TimeseriesMethod::EveryTimestep ? 600
                                                                  : 50));
    const bool is_told = std::any_of(messages.begin(), messages.end(), [](const auto& message) {
      return message.find("28 features, the ones before 20") != std::string::npos;
    });
    CHECK(is_told == (method == TimeseriesMethod::Timestepwise));
  }
}

TEST_CASE("A layer's name does not change how it is taken", "[defect13]") {
  nn::LSTM lstm(nn::LSTMOptions(3, 4).batch_first(true));
  nn::Linear linear(4, 6);
  CheckLayerSat tracker(
      "unused", "csv",
      {{"encoder_lstm", lstm}, {"encoder_output", linear}, {"decoder_lstm", nn::Linear(2, 3)}},
      quiet().stats({"idim"}));
  linear(std::get<0>(lstm(torch::randn({80, 5, 3}))).select(1, -1));
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "encoder_lstm", Mode::Train)->width == 4);
  CHECK(find(record, "encoder_lstm", Mode::Train)->values[0].value > 0);
  CHECK(find(record, "encoder_output", Mode::Train)->width == 6);
}

TEST_CASE("Any memory format goes with any method", "[defect15]") {
  torch::manual_seed(1);
  nn::Conv2d conv(nn::Conv2dOptions(3, 4, 3));
  const torch::Tensor input = torch::randn({40, 3, 6, 6});
  using delve::ConvMethod;
  for (const auto method : {ConvMethod::Channelwise, ConvMethod::Mean, ConvMethod::Max,
                            ConvMethod::Median, ConvMethod::Flatten}) {
    std::vector<double> traces;
    for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
      CheckLayerSat tracker("unused", "csv", {{"conv", conv}},
                            quiet().stats({"trc"}).conv_method(method));
      conv(input.contiguous(format));
      traces.push_back(tracker.add_saturations().layers.at(0).values.at(0).value);
    }
    CHECK(traces[0] > 0);
    CHECK(traces[0] == Approx(traces[1]).epsilon(1e-5));
  }
}

TEST_CASE("Trackers count calls for themselves", "[defect18]") {
  Net net;
  CheckLayerSat first("unused", "csv", net, quiet().log_interval(2));
  CheckLayerSat second("unused", "csv", net, quiet().log_interval(2));
  for (int call = 0; call < 4; ++call) {
    net->train();
    net->forward(pictures(30));
    net->eval();
    net->forward(pictures(20));
  }
  for (auto* tracker : {&first, &second}) {
    const EpochRecord record = tracker->add_saturations();
    CHECK(find(record, "fc", Mode::Train)->samples == 60);
    CHECK(find(record, "fc", Mode::Eval)->samples == 40);
  }
}

TEST_CASE("A layer that is not tracked costs nothing", "[defect20]") {
  nn::Sequential net(nn::Linear(4, 5), nn::Linear(5, 6));
  CheckLayerSat tracker("unused", "csv", net, quiet().ignore_layer_names({"1"}));
  // What is watched is known by its weight: none is, and no operator is ours.
  const auto watched = delve::detail::hook_registry().table()->modules.size();
  CHECK(watched == 1);
  net->forward(torch::randn({60, 4}));
  CHECK(tracker.add_saturations().layers.size() == 1);
}

TEST_CASE("Reports in a row, modes that come and go, and scalars that do are rows with gaps",
          "[defect30][defect33]") {
  const std::string savefile = fresh("ragged");
  Net net;
  CheckLayerSat tracker(savefile, {"csv", "npy", "plot"}, net,
                        quiet().nosave(false).stats({"lsat", "cov", "trc", "dtrc", "embed"}));
  net->forward(pictures(100));
  net->eval();
  net->forward(pictures(100));
  tracker.add_scalar("accuracy", 0.5);
  CHECK(tracker.add_saturations().layers.size() == 4);
  CHECK(tracker.add_saturations().layers.empty());  // in a row
  net->train();
  net->forward(pictures(100));
  tracker.add_scalar("late", 1);
  CHECK(tracker.add_saturations().layers.size() == 2);  // without evaluation
  tracker.stop();
  net->forward(pictures(100));
  CHECK(tracker.add_saturations().layers.empty());  // while stopped
  tracker.close();
  const delve::detail::CsvTable table =
      delve::detail::parse_csv(delve_test::read(savefile + ".csv"), "table");
  REQUIRE(table.rows.size() == 4);
  for (const auto& row : table.rows) CHECK(row.cells.size() == table.header.size());
  CHECK(delve::reconstruct(savefile).size() == 2);  // of the epochs with values
}

TEST_CASE("A tracker by default works without a GPU, and makes no folder that it does not need",
          "[defect32]") {
  const std::string savefile = fresh("default");
  Net net;
  const delve::WriterArgs args = {{"width", "640"}};
  CheckLayerSat tracker(savefile, "plotcsv", net, quiet().nosave(false).writer_args(args));
  net->forward(pictures(100));
  tracker.add_saturations();
  tracker.close();
  CHECK(args == delve::WriterArgs{{"width", "640"}});
  CHECK(files_beside(savefile) ==
        std::vector<std::string>{"run.csv", "run_lsat_train_epoch_0.png"});
}

TEST_CASE("Names of layers say nothing about their mode", "[defect36][defect37]") {
  const std::string savefile = fresh("names");
  nn::Linear evaluator(4, 5);
  nn::Linear train_eval(5, 6);
  CheckLayerSat tracker(savefile, "plotcsv",
                        {{"evaluator", evaluator}, {"a_train_eval", train_eval}},
                        quiet().nosave(false));
  train_eval(evaluator(torch::randn({100, 4})));
  tracker.add_saturations();
  tracker.close();
  CHECK(files_beside(savefile) ==
        std::vector<std::string>{"run.csv", "run_lsat_train_epoch_0.png"});
  const auto records =
      delve::detail::records_from_csv(delve_test::read(savefile + ".csv"), "table");
  REQUIRE(records.at(0).layers.size() == 2);
  CHECK(records[0].layers[0].layer == "evaluator");
  CHECK(records[0].layers[1].layer == "a_train_eval");
  CHECK(records[0].layers[1].mode == Mode::Train);
}

}  // namespace test_delves_defects
