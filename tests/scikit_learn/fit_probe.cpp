// SPDX-License-Identifier: MIT

// Fits a probe to what check.py wrote, for it to compare:
//
//   fit_probe FOLDER classes|targets COUNT SHRINKAGE
//
// reads x.npy, y.npy and test.npy, and writes weight.bin and scores.bin, float64 one after the
// other.

#include <cstdint>     // std::int64_t
#include <cstring>     // std::strcmp
#include <filesystem>  // std::filesystem::path
#include <fstream>     // std::ofstream
#include <iostream>    // std::cerr
#include <string>      // std::stod, std::stoll

#include <torch/types.h>

#include <delve/probe.hpp>

#include "npy.hpp"

namespace {

void write(const std::filesystem::path& path, const torch::Tensor& tensor) {
  const torch::Tensor numbers = tensor.to(torch::kDouble).contiguous();
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(numbers.data_ptr()),
             static_cast<std::streamsize>(numbers.nbytes()));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::cerr << "fit_probe FOLDER classes|targets COUNT SHRINKAGE\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const torch::Tensor x = delve_test::read_npy(folder / "x.npy");
  torch::Tensor y = delve_test::read_npy(folder / "y.npy");
  const bool has_classes = std::strcmp(argv[2], "classes") == 0;
  if (has_classes) y = y.to(torch::kLong);
  delve::ProbeOptions options;
  options.shrinkage(std::stod(argv[4]));
  if (x.scalar_type() == torch::kDouble) options.products(delve::Products::Float64);
  has_classes ? options.classes(std::stoll(argv[3])) : options.targets(std::stoll(argv[3]));
  delve::Probe<double> probe(options);
  for (std::int64_t i = 0; i < x.size(0); i += 64) {
    probe.update(x.slice(0, i, i + 64), y.slice(0, i, i + 64));
  }
  const delve::FittedProbe fit = probe.fit();
  write(folder / "weight.bin", fit.weight);
  write(folder / "scores.bin", fit.scores(delve_test::read_npy(folder / "test.npy")));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "fit_probe: " << error.what() << '\n';
  return 1;
}
