// SPDX-License-Identifier: MIT
// Trackers in programs of many threads. .ci/run runs this under the thread sanitizer as well.

#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>

#include "catch.hpp"
#include "tracker.hpp"

namespace test_threads {

using delve::CheckLayerSat;
using delve::EpochRecord;
using delve::LayerRecord;
using delve::Mode;
using delve_test::find;
using delve_test::Net;
using delve_test::pictures;
using delve_test::quiet;
namespace nn = torch::nn;

namespace {

constexpr std::uint64_t kSeed = 30;
constexpr std::size_t kThreads = 8;
constexpr int kEpochs = 3;
constexpr int kBatches = 4;

/// Several threads of an operator share out their work differently from run to run. LibTorch keeps
/// their number for each thread that calls operators.
void compute_reproducibly() {
  at::set_num_threads(1);
}

/// Runs a function in many threads at once, each with its number.
void in_threads(std::size_t count, const std::function<void(std::size_t)>& function) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&function, i] {
      compute_reproducibly();
      function(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// A model and its data, made beforehand: LibTorch's threads share one source of random numbers.
struct Job {
  Net net;
  std::vector<torch::Tensor> batches;
  std::vector<EpochRecord> records;
};

Job job_of(std::size_t number) {
  compute_reproducibly();
  torch::manual_seed(kSeed + number);
  Job job;
  for (int i = 0; i < kEpochs * kBatches; ++i) job.batches.push_back(pictures(40));
  return job;
}

std::vector<Job> jobs_of(std::size_t count) {
  std::vector<Job> jobs;
  for (std::size_t i = 0; i < count; ++i) jobs.push_back(job_of(i));
  return jobs;
}

/// Trains one batch, by gradient descent.
void train_on(Net& net, const torch::Tensor& batch) {
  net->zero_grad();
  net->forward(batch).square().mean().backward();
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& parameter : net->parameters()) parameter.sub_(parameter.grad(), 0.1);
}

using Report = std::function<void(CheckLayerSat<>& tracker)>;

void train(Job& job, CheckLayerSat<>* tracker, const Report& report) {
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    for (int i = 0; i < kBatches; ++i) {
      train_on(job.net, job.batches.at(static_cast<std::size_t>(epoch * kBatches + i)));
    }
    if (tracker != nullptr) report(*tracker);
  }
}

/// The numbers of a record, for comparison.
std::vector<double> numbers_in(const std::vector<EpochRecord>& records) {
  std::vector<double> numbers;
  for (const EpochRecord& record : records) {
    for (const LayerRecord& layer : record.layers) {
      numbers.push_back(static_cast<double>(layer.samples));
      for (const delve::Value& value : layer.values) numbers.push_back(value.value);
    }
  }
  return numbers;
}

bool has_same_weights(const Net& a, const Net& b) {
  const std::vector<torch::Tensor> left = a->parameters();
  const std::vector<torch::Tensor> right = b->parameters();
  bool same = left.size() == right.size();
  for (std::size_t i = 0; same && i < left.size(); ++i) same = torch::equal(left[i], right[i]);
  return same;
}

double trace_of(const std::vector<torch::Tensor>& rows) {
  return torch::cat(rows).to(torch::kDouble).var(0, /*unbiased=*/false).sum().item<double>();
}

}  // namespace

TEST_CASE("Eight threads train and report as each of them alone", "[threads]") {
  CAPTURE(kSeed);
  const bool beside = GENERATE(false, true);
  CAPTURE(beside);
  const auto stats = quiet().stats({"lsat", "idim", "trc"});
  std::vector<Job> untracked = jobs_of(kThreads);
  std::vector<Job> alone = jobs_of(kThreads);
  std::vector<Job> together = jobs_of(kThreads);
  for (Job& job : untracked) train(job, nullptr, {});
  for (Job& job : alone) {
    CheckLayerSat tracker("unused", "csv", job.net, stats);
    train(job, &tracker, [&](auto& it) { job.records.push_back(it.add_saturations()); });
  }
  in_threads(kThreads, [&](std::size_t i) {
    Job& job = together[i];
    std::vector<std::shared_future<EpochRecord>> reports;
    CheckLayerSat tracker("unused", "csv", job.net, stats);
    train(job, &tracker, [&](auto& it) {
      if (beside) {
        reports.push_back(it.add_saturations_async());
      } else {
        job.records.push_back(it.add_saturations());
      }
    });
    for (const auto& report : reports) job.records.push_back(report.get());
  });
  for (std::size_t i = 0; i < kThreads; ++i) {
    CAPTURE(i);
    CHECK(together[i].records.size() == kEpochs);
    CHECK(numbers_in(together[i].records) == numbers_in(alone[i].records));
    CHECK(has_same_weights(together[i].net, untracked[i].net));
    CHECK(has_same_weights(alone[i].net, untracked[i].net));
  }
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Of a model that threads share, every forward counts", "[threads]") {
  constexpr int calls = 20;
  torch::manual_seed(kSeed);
  Net net;
  std::vector<torch::Tensor> batches;
  std::vector<torch::Tensor> conv;
  std::vector<torch::Tensor> fc;
  for (std::size_t i = 0; i < kThreads; ++i) {
    batches.push_back(pictures(25).requires_grad_());
    conv.push_back(net->conv(batches[i]).detach().permute({0, 2, 3, 1}).reshape({-1, 6}));
    fc.push_back(net->forward(batches[i]).detach());
  }
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", net, quiet(&messages).stats({"trc"}));
  std::atomic<int> unchanged{0};
  in_threads(kThreads, [&](std::size_t i) {
    for (int call = 0; call < calls; ++call) {
      const torch::Tensor output = net->forward(batches[i]);
      // Of the input: the weights' gradients are shared by all threads.
      const auto gradients = torch::autograd::grad({output.sum()}, {batches[i]});
      if (torch::equal(output.detach(), fc[i]) && gradients.at(0).defined()) ++unchanged;
    }
  });
  CHECK(unchanged == kThreads * calls);
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "fc", Mode::Train)->samples == kThreads * calls * 25);
  CHECK(find(record, "conv", Mode::Train)->samples == kThreads * calls * 25 * 16);
  CHECK(find(record, "conv", Mode::Train)->values.at(0).value ==
        Approx(trace_of(conv)).epsilon(1e-5));
  CHECK(find(record, "fc", Mode::Train)->values.at(0).value == Approx(trace_of(fc)).epsilon(1e-5));
  CHECK(messages.empty());
}

TEST_CASE("Trackers come and go while others train", "[threads]") {
  CAPTURE(kSeed);
  constexpr std::size_t trainers = 4;
  std::vector<Job> jobs = jobs_of(trainers);
  std::vector<Job> untracked = jobs_of(trainers);
  std::vector<Job> passing = jobs_of(trainers);
  for (Job& job : untracked) train(job, nullptr, {});
  std::atomic<std::size_t> at_work{trainers};
  std::atomic<int> wrong{0};
  std::array<int, trainers> passed{};
  in_threads(2 * trainers, [&](std::size_t i) {
    if (i < trainers) {
      CheckLayerSat tracker("unused", "csv", jobs[i].net, quiet());
      train(jobs[i], &tracker, [&](auto& it) { jobs[i].records.push_back(it.add_saturations()); });
      --at_work;
      return;
    }
    const std::size_t number = i - trainers;
    Job& job = passing[number];
    do {
      // A model of its own, and one that another thread trains meanwhile.
      auto net = std::make_unique<Net>();
      CheckLayerSat tracker("unused", "csv", *net, quiet());
      CheckLayerSat other("unused", "csv", jobs[number].net, quiet());
      (*net)->forward(job.batches[0]);
      other.stop();
      if (number % 2 == 0) net.reset();  // the model goes first
      const EpochRecord record = tracker.add_saturations();
      const LayerRecord* fc = find(record, "fc", Mode::Train);
      if (fc == nullptr || fc->samples != 40) ++wrong;
      other.resume();
      ++passed.at(number);
    } while (at_work > 0);
  });
  CHECK(wrong == 0);
  for (std::size_t i = 0; i < trainers; ++i) {
    CAPTURE(i, passed);
    CHECK(passed.at(i) > 0);
    CHECK(has_same_weights(jobs[i].net, untracked[i].net));
    REQUIRE(jobs[i].records.size() == kEpochs);
    for (const EpochRecord& record : jobs[i].records) {
      CHECK(find(record, "fc", Mode::Train)->samples == kBatches * 40);
    }
  }
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Reports beside the training lose no forward of any thread", "[threads]") {
  torch::manual_seed(kSeed);
  constexpr int calls = 40;
  Net net;
  const torch::Tensor batch = pictures(5);
  std::vector<std::shared_future<EpochRecord>> reports;
  CheckLayerSat tracker("unused", "csv", net, quiet());
  std::atomic<std::size_t> at_work{kThreads};
  std::thread others([&] {
    in_threads(kThreads, [&](std::size_t) {
      for (int call = 0; call < calls; ++call) net->forward(batch);
      --at_work;
    });
  });
  while (at_work > 0) {
    reports.push_back(tracker.add_saturations_async());
    static_cast<void>(tracker.last("fc", "lsat", Mode::Train));
    static_cast<void>(tracker.memory_usage());
    static_cast<void>(tracker.problems());
    const auto evaluating = tracker.evaluating();
  }
  others.join();
  reports.push_back(tracker.add_saturations_async());
  std::int64_t seen = 0;
  for (const auto& report : reports) {
    for (const LayerRecord& layer : report.get().layers) {
      if (layer.layer == "fc") seen += layer.samples;
    }
  }
  CHECK(seen == static_cast<std::int64_t>(kThreads) * calls * 5);
}

TEST_CASE("Tensors are observed in many threads at once, under new names and old ones",
          "[threads]") {
  torch::nn::Linear layer(4, 3);
  delve::CheckLayerSat tracker("unused", "csv", layer, quiet());
  constexpr int kThreads = 8;
  constexpr int kTensors = 40;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kTensors; ++i) {
        tracker.observe("shared", torch::ones({2, 3}), delve::Mode::Train);
        tracker.observe("own" + std::to_string(thread) + "." + std::to_string(i),
                        torch::ones({5, 2}), delve::Mode::Train);
      }
    });
  }
  std::int64_t shared = 0;
  std::int64_t own = 0;
  const auto report = [&] {
    for (const delve::LayerRecord& record : tracker.add_saturations().layers) {
      (record.layer == "shared" ? shared : own) += record.samples;
    }
  };
  for (int i = 0; i < 5; ++i) report();
  for (std::thread& thread : threads) thread.join();
  report();
  CHECK(shared == 2 * kThreads * kTensors);
  CHECK(own == 5 * kThreads * kTensors);
  CHECK(tracker.layer_names().size() == 2 + kThreads * kTensors);
}

TEST_CASE("What goes wrong in many threads at once is reported once", "[threads]") {
  torch::manual_seed(kSeed);
  nn::Conv2d conv(nn::Conv2dOptions(2, 3, 3));
  nn::Conv2d beside(nn::Conv2dOptions(2, 3, 3));
  std::mutex mutex;  // on_warning is called in the thread where it went wrong
  std::vector<std::string> messages;
  CheckLayerSat tracker("unused", "csv", {{"conv", conv}, {"beside", beside}},
                        delve::CheckLayerSatOptions()
                            .nosave(true)
                            .conv_method(delve::ConvMethod::Flatten)
                            .on_warning([&](std::string_view message) {
                              const std::lock_guard<std::mutex> lock(mutex);
                              messages.emplace_back(message);
                            }));
  conv(torch::ones({1, 2, 9, 9}));  // of another size than all that follow
  std::atomic<int> right{0};
  in_threads(kThreads, [&](std::size_t) {
    const torch::Tensor batch = torch::ones({60, 2, 4, 4});
    for (int call = 0; call < 10; ++call) {
      if (conv(batch).size(3) == 2 && beside(batch).size(3) == 2) ++right;
    }
  });
  CHECK(right == kThreads * 10);
  REQUIRE(messages.size() == 1);
  CHECK_THAT(messages[0], ContainsSubstring("conv: its output could not be taken in"));
  const EpochRecord record = tracker.add_saturations();
  CHECK(find(record, "conv", Mode::Train)->samples == 1);
  CHECK(find(record, "beside", Mode::Train)->samples == kThreads * 10 * 60);
}

}  // namespace test_threads
