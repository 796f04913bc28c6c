// SPDX-License-Identifier: MIT
// Ranks that are processes, and sum by Gloo over 127.0.0.1.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include "catch.hpp"
#include "rank_data.hpp"
#include "records.hpp"
#include "reference_covariance.hpp"

namespace fs = std::filesystem;
using delve_test::two_pass;

namespace {

struct Rank {
  int status = -1;  // as of waitpid()
  std::string output;

  [[nodiscard]] bool is_well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  [[nodiscard]] int count(const std::string& text) const {
    int found = 0;
    for (std::size_t at = output.find(text); at != std::string::npos;
         at = output.find(text, at + 1)) {
      ++found;
    }
    return found;
  }
  /// What follows a text in its line; "" where there is none.
  [[nodiscard]] std::string after(const std::string& text) const {
    const std::size_t at = output.find(text);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + text.size();
    return output.substr(begin, output.find('\n', begin) - begin);
  }
  /// The lines of numbers.
  [[nodiscard]] std::string numbers() const {
    std::istringstream lines(output);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("warning", 0) != 0) kept += line + '\n';
    }
    return kept;
  }
};

/// Runs the processes, none for longer than a minute.
std::vector<Rank> run(std::size_t ranks, int fatal_call, const std::string& name) {
  const fs::path folder = delve_test::fresh_folder(fs::path("ranks_gloo") / name);
  fs::create_directories(folder);
  std::vector<pid_t> processes;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const std::string store = (folder / "store").string();
    const std::string output = (folder / std::to_string(rank)).string();
    const std::string own = std::to_string(rank);
    const std::string all = std::to_string(ranks);
    const std::string call = std::to_string(fatal_call);
    const pid_t process = fork();
    REQUIRE(process >= 0);
    if (process == 0) {
      execl(DELVE_GLOO_RANK, DELVE_GLOO_RANK, store.c_str(), own.c_str(), all.c_str(), call.c_str(),
            output.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    processes.push_back(process);
  }
  std::vector<Rank> results(ranks);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    int status = 0;
    while (waitpid(processes[rank], &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > deadline) kill(processes[rank], SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    results[rank].status = status;
    results[rank].output = delve_test::read((folder / std::to_string(rank)).string());
  }
  return results;
}

}  // namespace

TEST_CASE("Processes report the same to the bit, and what one process would", "[ranks][gloo]") {
  for (const std::size_t ranks : {2, 3, 4}) {
    CAPTURE(ranks);
    const std::vector<Rank> all = run(ranks, -1, "whole_" + std::to_string(ranks));
    for (const Rank& rank : all) {
      REQUIRE(rank.is_well());
      CHECK(rank.numbers() == all[0].numbers());
      CHECK(rank.count("own-rank") == 0);
      CHECK(rank.count("sum_over_ranks") == 0);
    }
    for (int epoch = 0; epoch < delve_test::kRankEpochs; ++epoch) {
      torch::nn::Linear model = delve_test::rank_model();
      const torch::NoGradGuard no_grad;
      std::vector<torch::Tensor> outputs;
      for (const torch::Tensor& shard : delve_test::rank_inputs(ranks, epoch)) {
        outputs.push_back(model(shard));
        outputs.push_back(model(shard * 1.0001));
      }
      const torch::Tensor rows = torch::cat(outputs);
      const torch::Tensor sigma = two_pass(rows);
      CHECK(all.back().after(fmt::format("samples {} train Linear ", epoch)) ==
            std::to_string(rows.size(0)));
      double largest = 0;
      for (int i = 0; i < 64; ++i) {
        const std::string text =
            all.back().after(fmt::format("array {} train Linear cov {} ", epoch, i));
        REQUIRE_FALSE(text.empty());
        largest = std::max(largest, std::abs(std::strtod(text.c_str(), nullptr) -
                                             sigma[i % 8][i / 8].item<double>()));
      }
      CHECK(largest < 1e-6 * sigma.abs().max().item<double>());
      const std::string trace = all[0].after(fmt::format("value {} train Linear trc ", epoch));
      CHECK(std::strtod(trace.c_str(), nullptr) ==
            Approx(sigma.trace().item<double>()).epsilon(1e-6));
    }
    // Rank 0 evaluated nothing, and knows what the others did.
    CHECK(all[0].after("samples 0 eval Linear ") == std::to_string(ranks == 2   ? 40
                                                                   : ranks == 3 ? 43
                                                                                : 1243));
    // Six sums an epoch: whether all are ready, headings, means, ways, scatter, end.
    CHECK(all[0].after("calls ").rfind(std::to_string(6 * delve_test::kRankEpochs), 0) == 0);
  }
}

TEST_CASE("A rank that is killed before, amid or after a sum leaves the others to train on",
          "[ranks][gloo][faults]") {
  for (const int call : {0, 9, 17}) {
    CAPTURE(call);
    const std::vector<Rank> all = run(3, call, "killed_" + std::to_string(call));
    CHECK(WIFSIGNALED(all[1].status));
    for (const std::size_t survivor : {0, 2}) {
      const Rank& rank = all[survivor];
      CAPTURE(survivor, rank.output);
      REQUIRE(rank.is_well());
      CHECK(rank.count("warning sum_over_ranks") == 1);
      // All epochs are there; those from the kill on are of its own data.
      const int whole = call / 6;
      CHECK(rank.count("own-rank 1") == delve_test::kRankEpochs - whole);
      CHECK(rank.after("samples 2 train Linear ") == (survivor == 0 ? "1000" : "6"));
    }
  }
}
