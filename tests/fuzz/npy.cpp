// SPDX-License-Identifier: MIT

// A file of NumPy's.

#include <cstring>  // std::memcmp

#include <delve/detail/formats/npy.hpp>

#include "fuzz.hpp"

namespace fuzz_npy {

using delve_fuzz::require;

DELVE_FUZZ_TARGET(npy) {
  const std::string bytes = delve_fuzz::text_of(data, size);
  delve::detail::NpyArray array;
  const auto parse = [&] { array = delve::detail::parse_npy(bytes, "in.npy"); };
  if (!delve_fuzz::accepts("\"in.npy\": ", parse)) return 0;
  require(array.shape.size() <= 2 &&
              array.values.rows() == (array.shape.empty() ? 1 : array.shape.front()) &&
              array.values.cols() == (array.shape.size() < 2 ? 1 : array.shape.back()),
          "there are as many numbers as the shape says");
  require(static_cast<std::size_t>(array.values.size()) <= size / 4,
          "no number comes from nowhere");
  // An axis without numbers may be of any length, and the writer goes along it.
  if (array.values.size() == 0) return 0;

  const Eigen::MatrixXd again =
      delve::detail::parse_npy(delve::detail::npy_bytes(array.values), "again.npy").values;
  require(again.rows() == array.values.rows() && again.cols() == array.values.cols() &&
              std::memcmp(again.data(), array.values.data(),
                          static_cast<std::size_t>(again.size()) * sizeof(double)) == 0,
          "an array is read as it was written, to the bit");
  return 0;
}

}  // namespace fuzz_npy
