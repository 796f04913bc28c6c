// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>   // std::int64_t
#include <fstream>   // std::ifstream
#include <iterator>  // std::istreambuf_iterator
#include <string>    // std::string
#include <utility>   // std::pair
#include <vector>    // std::vector

#include <delve/record.hpp>

namespace delve_test {

/// A layer with values of lsat and, where there is a second one, idim.
inline delve::LayerRecord layer(const std::string& name, delve::Mode mode,
                                const std::vector<double>& values) {
  delve::LayerRecord record{name, mode, 8, 1000, delve::Status::Ok, {}};
  if (!values.empty()) record.values.push_back({"lsat", "saturation", values[0]});
  if (values.size() > 1) {
    record.values.push_back({"idim", "intrinsic-dimensionality", values[1]});
  }
  return record;
}

inline delve::EpochRecord record(std::int64_t epoch,
                                 std::vector<std::pair<std::string, double>> scalars,
                                 std::vector<delve::LayerRecord> layers) {
  return {epoch, std::move(scalars), std::move(layers)};
}

/// All bytes of a file; none where there is no such file.
inline std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace delve_test
