// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>     // std::int64_t, std::uint16_t
#include <cstring>     // std::memcpy
#include <filesystem>  // std::filesystem::path
#include <fstream>     // std::ifstream
#include <iterator>    // std::istreambuf_iterator
#include <regex>       // std::regex_search
#include <sstream>     // std::istringstream
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <torch/types.h>

namespace delve_test {

/// A tensor from a NumPy file of format 1.0: little-endian float32 or float64, in C order.
inline torch::Tensor read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0) {
    throw std::runtime_error("not a .npy file of format 1.0: " + path.string());
  }
  std::uint16_t header_size = 0;
  std::memcpy(&header_size, bytes.data() + 8, sizeof header_size);
  const std::string header = bytes.substr(10, header_size);
  std::smatch match;
  static const std::regex format(
      R"('descr': '<f([48])', 'fortran_order': False, 'shape': \(([0-9, ]*)\))");
  if (!std::regex_search(header, match, format)) {
    throw std::runtime_error("unexpected header in " + path.string() + ": " + header);
  }
  std::vector<std::int64_t> shape;
  std::istringstream sizes(match[2]);
  for (std::string size; std::getline(sizes, size, ',');) {
    if (size.find_first_not_of(' ') != std::string::npos) shape.push_back(std::stoll(size));
  }
  torch::Tensor tensor = torch::empty(shape, match[1] == "4" ? torch::kFloat : torch::kDouble);
  const std::size_t begin = 10u + header_size;
  if (bytes.size() - begin != tensor.nbytes()) {
    throw std::runtime_error("wrong size: " + path.string());
  }
  std::memcpy(tensor.data_ptr(), bytes.data() + begin, tensor.nbytes());
  return tensor;
}

}  // namespace delve_test
