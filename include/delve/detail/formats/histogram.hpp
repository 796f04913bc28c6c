// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::copy_if, std::max_element, std::min, std::min_element
#include <cstddef>    // std::size_t
#include <iterator>   // std::back_inserter
#include <optional>   // std::optional
#include <vector>     // std::vector

#include <Eigen/Core>

#include <delve/detail/support/numbers.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How numbers are spread. Bucket i holds what lies between its limit and the one before; the first
/// begins at min.
struct Histogram {
  double min = 0;
  double max = 0;
  double sum = 0;
  double sum_squares = 0;
  double count = 0;
  std::vector<double> limits;
  std::vector<double> counts;  ///< as many as limits
};

/// The histogram of the finite numbers of an array, in buckets of equal width; empty neighbours are
/// joined into one. Nothing where no number is finite.
inline std::optional<Histogram> histogram_of(const Eigen::MatrixXd& array) {
  // TensorBoard draws 30. Most eigenvalues are small: more keep its percentiles near the truth.
  constexpr std::size_t most_buckets = 300;
  std::vector<double> numbers;
  std::copy_if(array.data(), array.data() + array.size(), std::back_inserter(numbers),
               [](double number) { return is_finite(number); });
  if (numbers.empty()) return std::nullopt;

  Histogram histogram;
  histogram.min = *std::min_element(numbers.begin(), numbers.end());
  histogram.max = *std::max_element(numbers.begin(), numbers.end());
  histogram.count = static_cast<double>(numbers.size());
  // Neither equal numbers nor those whose distance overflows can be separated.
  const double width = (histogram.max - histogram.min) / most_buckets;
  const bool has_width = width > 0 && is_finite(width);
  std::vector<double> counts(has_width ? most_buckets : 1);
  const std::size_t last = counts.size() - 1;
  for (const double number : numbers) {
    histogram.sum += number;
    histogram.sum_squares += number * number;
    const auto place =
        has_width ? static_cast<std::size_t>((number - histogram.min) / width) : std::size_t{0};
    counts[std::min(place, last)] += 1;
  }
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double edge = histogram.min + width * static_cast<double>(i + 1);
    const double limit = i == last ? histogram.max : std::min(edge, histogram.max);
    const bool joins = counts[i] == 0 && !histogram.counts.empty() && histogram.counts.back() == 0;
    if (joins) {
      histogram.limits.back() = limit;
    } else {
      histogram.limits.push_back(limit);
      histogram.counts.push_back(counts[i]);
    }
  }
  return histogram;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
