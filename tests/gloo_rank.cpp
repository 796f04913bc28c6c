// SPDX-License-Identifier: MIT
// One rank of a training of several processes, for test_ranks_gloo.cpp:
//   gloo_rank STORE RANK RANKS CALL OUTPUT
// Rank 1 kills itself at the CALL-th sum, counted from 0; below 0 never. What the tracker reports
// goes to OUTPUT, to the last bit, and its warnings.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <torch/torch.h>
#include <delve/delve.hpp>

#include "gloo_group.hpp"
#include "rank_data.hpp"

namespace {

int run(const std::string& store, int rank, int ranks, int fatal_call, const std::string& output) {
  const auto group =
      examples::GlooGroup::at_file(store, rank, ranks, std::chrono::milliseconds(5000));
  torch::nn::Linear model = delve_test::rank_model();
  std::ofstream out(output);
  int call = 0;
  std::int64_t bytes = 0;
  delve::CheckLayerSat tracker(
      output, "csv", model,
      delve::CheckLayerSatOptions()
          .nosave(true)
          .stats({"lsat", "idim", "trc", "logdet", "participation_ratio", "drift", "cov"})
          .rank(rank)
          .on_warning([&](std::string_view message) {
            out << "warning " << message.substr(0, message.find('\n')) << '\n';
          })
          .sum_over_ranks([&](torch::Tensor& tensor) {
            if (call++ == fatal_call && rank == 1) std::raise(SIGKILL);
            bytes += static_cast<std::int64_t>(tensor.nbytes());
            group.sum(tensor);
          }));
  for (int epoch = 0; epoch < delve_test::kRankEpochs; ++epoch) {
    const auto shards = delve_test::rank_inputs(static_cast<std::size_t>(ranks), epoch);
    const torch::Tensor& own = shards[static_cast<std::size_t>(rank)];
    model->train();
    model(own);
    model(own * 1.0001);
    model->eval();
    if (rank != 0) model(own);  // rank 0 evaluates nothing
    const delve::EpochRecord record = tracker.add_saturations();
    for (const auto& [name, number] : record.scalars) {
      out << fmt::format("scalar {} {} {}\n", record.epoch, name, number);
    }
    for (const delve::LayerRecord& layer : record.layers) {
      const std::string name =
          fmt::format("{} {} {}", record.epoch, to_string(layer.mode), layer.layer);
      out << fmt::format("samples {} {}\n", name, layer.samples);
      for (const delve::Value& value : layer.values) {
        out << fmt::format("value {} {} {:a}\n", name, value.stat, value.value);
      }
      for (const delve::ArrayValue& value : layer.arrays) {
        for (Eigen::Index i = 0; i < value.array->size(); ++i) {
          out << fmt::format("array {} {} {} {:a}\n", name, value.stat, i, value.array->data()[i]);
        }
      }
    }
  }
  out << fmt::format("calls {} bytes {}\n", call, bytes);
  tracker.close();
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "gloo_rank STORE RANK RANKS CALL OUTPUT\n";
    return EXIT_FAILURE;
  }
  try {
    torch::set_num_threads(1);
    return run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]), argv[5]);
  } catch (const std::exception& error) {
    std::cerr << "gloo_rank: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
