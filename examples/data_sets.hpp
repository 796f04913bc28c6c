// SPDX-License-Identifier: MIT
#pragma once

#include <array>       // std::array
#include <cstddef>     // std::size_t
#include <filesystem>  // std::filesystem::path
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>

#include "cifar10.hpp"
#include "fashion_mnist.hpp"
#include "pictures.hpp"

namespace examples {

/// A data set that the example can read.
struct DataSet {
  std::string key;                       ///< "cifar10"
  std::string title;                     ///< "CIFAR-10"
  std::filesystem::path default_folder;  ///< where it is looked for unless a folder is given
  std::array<float, 3> mean, deviation;  ///< of each channel over the training pictures, 0 … 1
  bool (*is_in)(const std::filesystem::path& folder);
  Pictures (*read)(const std::filesystem::path& folder, Split split, std::size_t limit);
};

/// All data sets, the preferred one first.
inline const std::vector<DataSet>& data_sets() {
  static const std::vector<DataSet> sets = {
      {"cifar10",
       "CIFAR-10",
       "data/cifar-10-batches-bin",
       // The figures in common use for the 50,000 training pictures; tests/test_pictures.cpp finds
       // those of Fashion-MNIST again, whose padding counts as pixels.
       {0.4914F, 0.4822F, 0.4465F},
       {0.2470F, 0.2435F, 0.2616F},
       [](const std::filesystem::path& folder) {
         return !cifar10::files(folder, Split::Train).empty();
       },
       read_cifar10},
      {"fashion-mnist",
       "Fashion-MNIST",
       "/usr/share/datasets/fashion-mnist",  // of Debian's package dataset-fashion-mnist
       {0.2190F, 0.2190F, 0.2190F},
       {0.3318F, 0.3318F, 0.3318F},
       [](const std::filesystem::path& folder) {
         return !fashion_mnist::find_file(folder, Split::Train, "images-idx3").empty();
       },
       read_fashion_mnist},
  };
  return sets;
}

/// A data set and the folder that holds it.
struct DataSource {
  const DataSet& set;
  std::filesystem::path folder;
};

/// Finds the data: `folder` is a folder or "auto", which stands for each set's default folder;
/// `key` is a set's key or "auto", which takes the first set that is there.
/// @throws std::runtime_error that says where was looked for what
inline DataSource find_data(const std::string& folder, const std::string& key) {
  std::string looked;
  for (const DataSet& set : data_sets()) {
    if (key != "auto" && key != set.key) continue;
    const auto place = folder == "auto" ? set.default_folder : std::filesystem::path(folder);
    if (set.is_in(place)) return {set, place};
    looked += fmt::format("{}{} in {}", looked.empty() ? "" : ", ", set.title, place.string());
  }
  throw std::runtime_error(fmt::format("no pictures found; looked for {}", looked));
}

}  // namespace examples
