// SPDX-License-Identifier: MIT
// Several ranks as threads of one process; test_ranks_gloo.cpp has them as processes.

#include <delve/detail/ranks/rank_group.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>
#include <delve/probe.hpp>

#include "catch.hpp"
#include "reference_covariance.hpp"
#include "thread_ranks.hpp"
#include "tracker.hpp"

namespace test_ranks {

using delve::CheckLayerSat;
using delve::CheckLayerSatOptions;
using delve::Covariance;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve::Moments;
using delve_test::find;
using delve_test::quiet;
using delve_test::random_rows;
using delve_test::run_ranks;
using delve_test::ThreadGroup;
using delve_test::two_pass;
using delve_test::value;
namespace nn = torch::nn;

namespace {

using Parts = std::vector<torch::Tensor>;

nn::Sequential make_model() {
  torch::manual_seed(1);
  nn::Sequential model(nn::Linear(7, 6), nn::ReLU(), nn::Linear(6, 3));
  model->to(torch::kDouble);
  return model;
}

/// A batch for each rank, of very different sizes; the spread is a ten-thousandth of the mean.
Parts batches_of(std::size_t ranks) {
  torch::manual_seed(2);
  Parts parts;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const std::int64_t size = std::vector<std::int64_t>{40, 333, 5, 1100}[rank % 4];
    const auto offset = static_cast<double>(rank);
    parts.push_back((random_rows(size, 7) + 1e4 + 0.3 * offset).to(torch::kDouble));
  }
  return parts;
}

/// All that a record says of layers, to the last bit.
std::string bits_of(const EpochRecord& record) {
  std::string bits = std::to_string(record.epoch);
  const auto add = [&](const double* numbers, std::size_t count) {
    bits.append(reinterpret_cast<const char*>(numbers), count * sizeof(double));  // NOLINT
  };
  for (const LayerRecord& layer : record.layers) {
    bits += layer.layer + std::string(to_string(layer.mode)) + std::to_string(layer.width) + ' ' +
            std::to_string(layer.samples) + ' ' + std::to_string(static_cast<int>(layer.status)) +
            ' ' + std::to_string(layer.skipped_batches);
    for (const delve::Value& it : layer.values) {
      bits += it.stat;
      add(&it.value, 1);
    }
    for (const delve::ArrayValue& it : layer.arrays) {
      bits += it.stat;
      add(it.array->data(), static_cast<std::size_t>(it.array->size()));
    }
  }
  return bits;
}

bool is_own(const EpochRecord& record) {
  for (const auto& [name, number] : record.scalars) {
    if (name == "own-rank") return number == 1;
  }
  return false;
}

/// A tracker's training on one rank: what body(tracker, model) gives.
struct Ranks {
  explicit Ranks(std::size_t count, std::chrono::milliseconds patience = std::chrono::seconds(60))
      : group(count, patience), records(count), messages(count) {}

  template <typename Body>
  void run(const CheckLayerSatOptions& options, const Body& body) {
    std::vector<nn::Sequential> models;
    for (std::size_t rank = 0; rank < records.size(); ++rank) models.push_back(make_model());
    run_ranks(records.size(), [&](std::size_t rank) {
      CheckLayerSatOptions own = options;
      own.rank(static_cast<std::int64_t>(rank))
          .sum_over_ranks([this, rank](torch::Tensor& tensor) { group.sum(rank, tensor); })
          .on_warning(
              [this, rank](std::string_view message) { messages[rank].emplace_back(message); });
      CheckLayerSat tracker("unused", "csv", models[rank], own);
      body(rank, tracker, models[rank], records[rank]);
    });
  }

  void check_equal() const {
    for (std::size_t rank = 1; rank < records.size(); ++rank) {
      REQUIRE(records[rank].size() == records[0].size());
      for (std::size_t epoch = 0; epoch < records[0].size(); ++epoch) {
        CAPTURE(rank, epoch);
        CHECK(bits_of(records[rank][epoch]) == bits_of(records[0][epoch]));
        CHECK_FALSE(is_own(records[rank][epoch]));
      }
    }
  }

  ThreadGroup group;
  std::vector<std::vector<EpochRecord>> records;
  std::vector<std::vector<std::string>> messages;
};

/// Of one process that sees all data.
template <typename Body>
std::vector<EpochRecord> alone(const CheckLayerSatOptions& options, const Body& body) {
  std::vector<EpochRecord> records;
  nn::Sequential model = make_model();
  CheckLayerSat tracker("unused", "csv", model, options);
  body(tracker, model, records);
  return records;
}

}  // namespace

TEST_CASE("Moments are known, and taken over, as they are", "[ranks][covariance]") {
  torch::manual_seed(3);
  for (const double mean : {0.0, 1e4}) {
    for (const std::int64_t count : {3, 900}) {
      const torch::Tensor rows = (random_rows(count, 12) + mean).to(torch::kDouble);
      const torch::Tensor targets = torch::randn({count, 2}, torch::kDouble) + 3;
      Covariance<double> first(delve::Products::Float64, 2);
      first.update(rows, {targets, {}});
      const Moments moments = first.moments();
      CHECK(moments.samples == count);
      CHECK(moments.width() == 12);
      CAPTURE(mean, count);
      const double limit = 1e-9 * std::max(1.0, mean);
      CHECK(delve_test::relative_error(moments.scatter.narrow(0, 0, 12) / count, two_pass(rows)) <
            limit);
      CHECK(torch::allclose(moments.mean, torch::cat({rows, targets}, 1).mean(0)));
      Covariance<double> second(delve::Products::Float64, 2);
      second.update(random_rows(50, 9), {torch::zeros({50, 2}), {}});  // forgotten, width and all
      second.assign(moments);
      CHECK(second.samples() == count);
      CHECK(torch::allclose(second.matrix(), first.matrix(), 1e-12, 0));
      CHECK(torch::equal(second.mean(), first.mean()));
      CHECK(torch::allclose(second.target_means(), first.target_means(), 1e-12));
      CHECK(torch::allclose(second.cross_covariance(), first.cross_covariance(), 1e-9, 1e-12));
      CHECK(second.noise_floor() == Approx(first.noise_floor()).epsilon(0.5));
      // And summed on.
      second.update(rows * 2, {targets, {}});
      first.update(rows * 2, {targets, {}});
      CHECK(torch::allclose(second.matrix(), first.matrix(), 1e-9, 1e-9));
    }
  }
  Covariance<float> narrow;
  narrow.update(torch::randn({300, 4}) * 1e25);
  const torch::Tensor sigma = narrow.matrix();
  narrow.assign(narrow.moments());
  CHECK(torch::allclose(narrow.matrix(), sigma, 1e-5));
  narrow.assign({});
  CHECK(narrow.width() == 0);
  Covariance<double> bad;
  bad.update(torch::full({40, 4}, NAN));
  Covariance<double> heir;
  heir.assign(bad.moments());
  CHECK(heir.samples() == 0);
  CHECK(heir.skipped_batches() == 1);
}

TEST_CASE("Tensors are summed in their places, more than fit into one buffer", "[ranks]") {
  constexpr std::size_t ranks = 3;
  ThreadGroup threads(ranks);
  std::vector<Parts> results(ranks);
  std::vector<std::int64_t> largest(ranks);  // Catch2's checks are for one thread
  std::vector<std::int64_t> counts(ranks);
  run_ranks(ranks, [&](std::size_t rank) {
    delve::detail::RankGroup group([&](torch::Tensor& tensor) {
      largest[rank] = std::max(largest[rank], tensor.numel());
      torch::Tensor sum = tensor.clone();  // another one in its place
      threads.sum(rank, sum);
      tensor = sum;
    });
    group.agree(false, "a, b", "none");
    counts[rank] = group.ranks();
    const auto number = static_cast<double>(rank + 1);
    results[rank] = {torch::full({2, 3}, number, torch::kDouble),
                     torch::full({9'000'000}, 2 * number, torch::kDouble),
                     torch::empty({0}, torch::kDouble),
                     torch::arange(8, torch::kDouble).mul_(number)};
    group.sum(results[rank]);
    group.confirm(true);
  });
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    CHECK(counts[rank] == ranks);
    CHECK(largest[rank] * 8 == 64 << 20);
    CHECK(torch::equal(results[rank][0], torch::full({2, 3}, 6, torch::kDouble)));
    CHECK(results[rank][1].eq(12).all().item<bool>());
    CHECK(torch::equal(results[rank][3], torch::arange(8, torch::kDouble) * 6));
  }
  CHECK(threads.calls() == ranks * (1 + 2 + 1));
}

TEST_CASE("Ranks continue together or not at all", "[ranks]") {
  constexpr std::size_t ranks = 3;
  for (const std::string what : {"fault", "layers", "options", "amid", "nothing"}) {
    CAPTURE(what);
    ThreadGroup threads(ranks);
    std::vector<std::string> reasons(ranks);
    std::vector<int> are_on(ranks);
    run_ranks(ranks, [&](std::size_t rank) {
      const bool is_odd = rank == 1;
      delve::detail::RankGroup group([&](torch::Tensor& tensor) { threads.sum(rank, tensor); });
      try {
        group.agree(is_odd && what == "fault", is_odd && what == "layers" ? "fc1" : "fc",
                    is_odd && what == "options" ? "lsat" : "idim");
        group.confirm(!is_odd || what != "amid");
      } catch (const delve::detail::RanksDisagree& error) {
        reasons[rank] = error.what();
      }
      are_on[rank] = group.is_on() ? 1 : 0;
    });
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      CHECK(reasons[rank].empty() == (what == "nothing"));
      CHECK(are_on[rank] == 1);  // the next epoch may be better
      if (what == "layers" || what == "options") CHECK_THAT(reasons[rank], ContainsSubstring(what));
    }
  }
}

TEST_CASE("Every rank reports the data of all, to the bit", "[ranks]") {
  const CheckLayerSatOptions options =
      quiet().stats({"lsat", "idim", "trc", "samples", "participation_ratio", "logdet", "cov",
                     "embed", "suggested_width"});
  for (const std::size_t ranks : {1, 2, 3, 4}) {
    CAPTURE(ranks);
    const Parts data = batches_of(ranks);
    Ranks together(ranks);
    const auto epoch = [](CheckLayerSat<>& tracker, nn::Sequential& model, const Parts& parts) {
      for (const torch::Tensor& part : parts) {
        model->train();
        model->forward(part);
        model->forward(part * 1.001);
        model->eval();
        model->forward(part * 0.999);
      }
      return tracker.add_saturations();
    };
    together.run(options, [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                              std::vector<EpochRecord>& records) {
      records.push_back(epoch(tracker, model, {data[rank]}));
      records.push_back(epoch(tracker, model, {data[rank] + 1}));
    });
    together.check_equal();
    const std::vector<EpochRecord> single = alone(
        options,
        [&](CheckLayerSat<>& tracker, nn::Sequential& model, std::vector<EpochRecord>& records) {
          records.push_back(epoch(tracker, model, data));
          Parts later;
          for (const torch::Tensor& part : data) later.push_back(part + 1);
          records.push_back(epoch(tracker, model, later));
        });
    for (std::size_t i = 0; i < 2; ++i) {
      const EpochRecord& record = together.records[0][i];
      REQUIRE(record.layers.size() == single[i].layers.size());
      for (std::size_t layer = 0; layer < record.layers.size(); ++layer) {
        const LayerRecord& found = record.layers[layer];
        const LayerRecord& wanted = single[i].layers[layer];
        CAPTURE(found.layer, to_string(found.mode));
        CHECK(found.layer == wanted.layer);
        CHECK(found.samples == wanted.samples);
        CHECK(found.width == wanted.width);
        for (std::size_t v = 0; v < found.values.size(); ++v) {
          CAPTURE(found.values[v].stat);
          if (delve::is_missing(wanted.values[v].value)) {
            CHECK(delve::is_missing(found.values[v].value));
          } else {
            CHECK(found.values[v].value == Approx(wanted.values[v].value).epsilon(1e-6));
          }
        }
        REQUIRE(found.arrays.size() == 2);
        CHECK((*found.arrays[0].array - *wanted.arrays[0].array).norm() <
              1e-6 * wanted.arrays[0].array->norm());
      }
    }
    // And against float64 in two passes.
    Parts outputs;
    nn::Sequential model = make_model();
    for (const torch::Tensor& part : data) {
      outputs.push_back(model[0]->as<nn::Linear>()->forward(part));
      outputs.push_back(model[0]->as<nn::Linear>()->forward(part * 1.001));
    }
    const torch::Tensor sigma = two_pass(torch::cat(outputs).detach());
    const Eigen::MatrixXd& found = *find(together.records[0][0], "0", Mode::Train)->arrays[0].array;
    double largest = 0;
    for (int i = 0; i < 6; ++i) {
      for (int j = 0; j < 6; ++j) {
        largest = std::max(largest, std::abs(found(i, j) - sigma[i][j].item<double>()));
      }
    }
    CHECK(largest < 1e-6 * sigma.abs().max().item<double>());
  }
}

TEST_CASE("Ranks without data, and layers in another order, change nothing", "[ranks]") {
  const CheckLayerSatOptions options = quiet().stats({"lsat", "trc", "drift"});
  const Parts data = batches_of(4);
  Ranks together(3);
  together.run(options, [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      const double scale = 1 + 0.1 * epoch;
      model->train();
      if (rank == 0) {
        model->forward(data[0] * scale);
        model->forward(data[3] * scale);
      }
      // Rank 2 sees no data at all; rank 1 its second layer first, and evaluates alone.
      if (rank == 1) {
        model[2]->as<nn::Linear>()->forward(
            torch::relu(model[0]->as<nn::Linear>()->forward(data[1])) * 0);
        model->eval();
        model->forward(data[1] * scale);
      }
      records.push_back(tracker.add_saturations());
    }
  });
  together.check_equal();
  const EpochRecord& record = together.records[2][2];
  CHECK(record.layers.size() == 4);
  CHECK(record.layers[0].layer == "0");
  CHECK(find(record, "0", Mode::Train)->samples == 40 + 1100 + 333);
  CHECK(find(record, "0", Mode::Eval)->samples == 333);
  CHECK_FALSE(delve::is_missing(value(record, "0", Mode::Train, "drift")));
  CHECK_FALSE(delve::is_missing(value(record, "0", Mode::Train, "drift_floor")));
  for (const auto& messages : together.messages) {
    for (const std::string& message : messages) {
      CHECK(message.find("no data") == std::string::npos);
    }
  }
}

TEST_CASE("Drift over ranks is that of one process", "[ranks][drift]") {
  const CheckLayerSatOptions options = quiet().stats({"drift"});
  const Parts data = batches_of(3);
  const auto step = [](nn::Sequential& model, const torch::Tensor& part, int epoch) {
    model->forward(part * (1 + 1e-5 * epoch));
    model->forward(part + 0.1 * epoch * part.roll(1, 1).sub(1e4));
  };
  Ranks together(3);
  together.run(options, [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      step(model, data[rank], epoch);
      records.push_back(tracker.add_saturations_async().get());
    }
  });
  together.check_equal();
  const auto single = alone(options, [&](CheckLayerSat<>& tracker, nn::Sequential& model,
                                         std::vector<EpochRecord>& records) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (const torch::Tensor& part : data) step(model, part, epoch);
      records.push_back(tracker.add_saturations());
    }
  });
  for (std::size_t epoch = 1; epoch < 3; ++epoch) {
    for (const char* layer : {"0", "2"}) {
      const double drift = value(single[epoch], layer, Mode::Train, "drift");
      CHECK(drift > 1e-5);
      CHECK(value(together.records[1][epoch], layer, Mode::Train, "drift") ==
            Approx(drift).epsilon(1e-5));
      CHECK(value(together.records[1][epoch], layer, Mode::Train, "drift_floor") > 0);
    }
  }
}

TEST_CASE("Batches left out are counted over all ranks", "[ranks]") {
  Ranks together(3);
  together.run(quiet(), [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    const torch::Tensor bad = torch::full({3, 7}, NAN, torch::kDouble);
    for (std::size_t i = 0; i < rank; ++i) model->forward(bad);
    if (rank < 2) model->forward(torch::ones({4, 7}, torch::kDouble) + torch::eye(4, 7));
    records.push_back(tracker.add_saturations());
  });
  together.check_equal();
  const LayerRecord* layer = find(together.records[2][0], "0", Mode::Train);
  CHECK(layer->skipped_batches == 3);
  CHECK(layer->samples == 8);
}

TEST_CASE("A layer that one rank lacks is an error on all of them, and no hang", "[ranks]") {
  const Parts data = batches_of(3);
  Ranks together(3);
  together.run(quiet(), [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    for (int epoch = 0; epoch < 2; ++epoch) {
      model->forward(data[rank]);
      if (rank != 2) tracker.observe("head", data[rank], Mode::Train);
      records.push_back(tracker.add_saturations());
    }
    // From here on all know it.
    model->forward(data[rank]);
    tracker.observe("head", data[rank], Mode::Train);
    records.push_back(tracker.add_saturations());
  });
  for (std::size_t rank = 0; rank < 3; ++rank) {
    for (int epoch = 0; epoch < 2; ++epoch) {
      const EpochRecord& record = together.records[rank][static_cast<std::size_t>(epoch)];
      CHECK(is_own(record));
      CHECK(find(record, "0", Mode::Train)->samples == data[rank].size(0));
    }
    CHECK_FALSE(is_own(together.records[rank][2]));
    CHECK(find(together.records[rank][2], "head", Mode::Train)->samples == 40 + 333 + 5);
    int told = 0;
    for (const std::string& message : together.messages[rank]) {
      told += message.find("differ in the layers") != std::string::npos ? 1 : 0;
    }
    CHECK(told == 1);
  }
  CHECK(bits_of(together.records[1][2]) == bits_of(together.records[0][2]));
}

TEST_CASE("A layer whose width differs is left out by name, and no other one", "[ranks]") {
  Ranks together(2);
  together.run(quiet(), [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    model->forward(torch::ones({4, 7}, torch::kDouble) + torch::eye(4, 7));
    tracker.observe("uneven", torch::ones({50, rank == 0 ? 3 : 4}), Mode::Train);
    records.push_back(tracker.add_saturations());
  });
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const EpochRecord& record = together.records[rank][0];
    CHECK(find(record, "0", Mode::Train)->samples == 8);
    CHECK(find(record, "uneven", Mode::Train)->samples == 0);
    bool is_told = false;
    for (const std::string& message : together.messages[rank]) {
      is_told = is_told || (message.find("uneven") != std::string::npos &&
                            message.find("another width") != std::string::npos);
    }
    CHECK(is_told);
  }
}

TEST_CASE("A sum that throws is reported once, and training continues", "[ranks][faults]") {
  const Parts data = batches_of(3);
  // Before the first sum, amid the second epoch's, and at its end.
  for (const std::size_t last : {0, 3, 9}) {
    CAPTURE(last);
    ThreadGroup group(3, std::chrono::milliseconds(700));
    std::vector<std::size_t> calls(3);
    std::vector<std::vector<std::string>> messages(3);
    std::vector<std::vector<EpochRecord>> records(3);
    std::vector<nn::Sequential> models;
    for (int i = 0; i < 3; ++i) models.push_back(make_model());
    run_ranks(3, [&](std::size_t rank) {
      CheckLayerSat tracker("unused", "csv", models[rank],
                            quiet(&messages[rank])
                                .rank(static_cast<std::int64_t>(rank))
                                .sum_over_ranks([&, rank](torch::Tensor& tensor) {
                                  if (calls[rank]++ == last && rank == 1)
                                    throw std::runtime_error("cable cut");
                                  group.sum(rank, tensor);
                                }));
      for (int epoch = 0; epoch < 4; ++epoch) {
        models[rank]->forward(data[rank] * (1 + 0.1 * epoch));
        records[rank].push_back(tracker.add_saturations());
      }
    });
    for (std::size_t rank = 0; rank < 3; ++rank) {
      CAPTURE(rank);
      CHECK(is_own(records[rank][3]));
      CHECK(find(records[rank][3], "0", Mode::Train)->samples == data[rank].size(0));
      CHECK(calls[rank] <= last + 2);  // not again after it threw
      int told = 0;
      for (const std::string& message : messages[rank]) {
        if (message.find("sum_over_ranks") == std::string::npos) continue;
        ++told;
        CHECK_THAT(message, ContainsSubstring(rank == 1 ? "cable cut" : "timed out"));
      }
      CHECK(told == 1);
    }
  }
}

TEST_CASE("close() waits for no other rank, and says whose data its row is of", "[ranks]") {
  const Parts data = batches_of(2);
  const std::string savefile = "ranks/close/run";
  std::filesystem::remove_all("ranks/close");
  ThreadGroup group(2);
  std::vector<nn::Sequential> models = {make_model(), make_model()};
  run_ranks(2, [&](std::size_t rank) {
    CheckLayerSat tracker(
        savefile, "csv", models[rank],
        quiet()
            .nosave(false)
            .rank(static_cast<std::int64_t>(rank))
            .sum_over_ranks([&, rank](torch::Tensor& tensor) { group.sum(rank, tensor); }));
    models[rank]->forward(data[rank]);
    tracker.add_saturations();
    if (rank == 1) return;  // closes at once
    models[rank]->forward(data[rank]);
  });
  const std::string table = [&] {
    std::ifstream file(savefile + ".csv");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  // Rank 0's alone: two rows and the header, the last one marked.
  CHECK(std::count(table.begin(), table.end(), '\n') == 3);
  CHECK(table.find("own-rank") != std::string::npos);
  CHECK(table.find("partial-epoch") != std::string::npos);
}

TEST_CASE("Probes are fitted to the data of all ranks", "[ranks][probe]") {
  torch::manual_seed(5);
  for (const bool of_classes : {true, false}) {
    CAPTURE(of_classes);
    CheckLayerSatOptions options = quiet();
    if (of_classes) {
      options.stats({"lsat", "probe", "probe_train", "nc1"}).classes(3);
    } else {
      options.stats({"lsat", "probe_r2"}).targets(2);
    }
    struct Batch {
      torch::Tensor input, labels;
    };
    const auto batch = [&](std::int64_t size) {
      const torch::Tensor input = torch::randn({size, 7}, torch::kDouble) + 2;
      const torch::Tensor noise = 0.5 * torch::randn({size, 2}, torch::kDouble);
      if (!of_classes) return Batch{input, input.narrow(1, 0, 2) * 3 + 500 + noise};
      return Batch{input,
                   (input.narrow(1, 0, 2).add(noise).sum(1) - 3).clamp(0, 2.9).to(torch::kLong)};
    };
    std::vector<Batch> train;
    std::vector<Batch> test;
    for (const std::int64_t size : {200, 50, 90}) {
      train.push_back(batch(size));
      test.push_back(batch(size / 2));
    }
    const auto show = [&](CheckLayerSat<>& tracker, nn::Sequential& model, const Batch& it) {
      const auto guard = of_classes ? tracker.labels(it.labels) : tracker.targets(it.labels);
      model->forward(it.input);
    };
    Ranks together(3);
    together.run(options, [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                              std::vector<EpochRecord>& records) {
      for (int epoch = 0; epoch < 2; ++epoch) {
        model->train();
        show(tracker, model, train[rank]);
        tracker.fit_probes();
        model->eval();
        show(tracker, model, test[rank]);
        records.push_back(tracker.add_saturations());
      }
    });
    together.check_equal();
    const auto single = alone(options, [&](CheckLayerSat<>& tracker, nn::Sequential& model,
                                           std::vector<EpochRecord>& records) {
      for (int epoch = 0; epoch < 2; ++epoch) {
        model->train();
        for (const Batch& it : train) show(tracker, model, it);
        tracker.fit_probes();  // nothing: it is fitted when the evaluation begins
        model->eval();
        for (const Batch& it : test) show(tracker, model, it);
        records.push_back(tracker.add_saturations());
      }
    });
    for (std::size_t epoch = 0; epoch < 2; ++epoch) {
      for (const char* layer : {"0", "2"}) {
        for (const auto& [stat, mode] :
             {std::pair("probe", Mode::Eval), std::pair("probe_train", Mode::Train),
              std::pair("nc1", Mode::Train), std::pair("probe_r2", Mode::Eval),
              std::pair("probe_error", Mode::Eval), std::pair("lsat", Mode::Train)}) {
          const double wanted = value(single[epoch], layer, mode, stat);
          const double found = value(together.records[2][epoch], layer, mode, stat);
          CAPTURE(epoch, layer, stat);
          CHECK(delve::is_missing(found) == delve::is_missing(wanted));
          if (!delve::is_missing(wanted)) CHECK(found == Approx(wanted).epsilon(1e-6));
        }
        const bool has_error = of_classes && std::string_view(layer) == "2";
        CHECK(delve::is_missing(value(single[epoch], layer, Mode::Eval, "probe_error")) !=
              has_error);
        // Far above what is had for nothing: a third, and 0.
        CHECK(value(together.records[0][epoch], layer, Mode::Eval,
                    of_classes ? "probe" : "probe_r2") > (of_classes ? 0.5 : 0.15));
      }
    }
    for (const auto& messages : together.messages) CHECK(messages.empty());
  }
}

TEST_CASE("Without fit_probes() the probes of the epoch before are tried, which is reported",
          "[ranks][probe]") {
  torch::manual_seed(6);
  const CheckLayerSatOptions options = quiet().stats({"probe"}).classes(2);
  const torch::Tensor input = torch::randn({2, 120, 7}, torch::kDouble);
  const torch::Tensor labels = input.select(2, 0).gt(0).to(torch::kLong);
  Ranks together(2);
  together.run(options, [&](std::size_t rank, CheckLayerSat<>& tracker, nn::Sequential& model,
                            std::vector<EpochRecord>& records) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      for (const bool trains : {true, false}) {
        if (epoch == 2 && !trains) continue;  // then it is tried on what was held out
        model->train(trains);
        const auto own = static_cast<std::int64_t>(rank);
        const auto guard = tracker.labels(labels[own]);
        model->forward(input[own]);
      }
      records.push_back(tracker.add_saturations());
    }
  });
  together.check_equal();
  const std::vector<EpochRecord>& records = together.records[1];
  CHECK(delve::is_missing(value(records[0], "0", Mode::Eval, "probe")));
  CHECK(value(records[1], "0", Mode::Eval, "probe") > 0.7);
  CHECK(value(records[2], "0", Mode::Train, "probe_held_out") > 0.7);
  int told = 0;
  for (const std::string& message : together.messages[0]) {
    told += message.find("fit_probes()") != std::string::npos ? 1 : 0;
    CHECK(message.find("trained without") == std::string::npos);
  }
  CHECK(told == 1);
}

}  // namespace test_ranks
