// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::clamp, std::max, std::min
#include <cmath>      // std::abs, std::ceil, std::floor, std::log10, std::pow
#include <cstddef>    // std::size_t
#include <limits>     // std::numeric_limits
#include <string>     // std::string
#include <utility>    // std::pair
#include <vector>     // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/support/numbers.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A number as it stands beside a tic: "0.2", "1500", "3e-200".
inline std::string tic_label(double number) {
  std::string label = fmt::format("{:.6g}", number);
  const std::size_t exponent = label.find('e');
  if (exponent == std::string::npos) return label == "-0" ? "0" : label;
  const bool is_negative = label[exponent + 1] == '-';
  const std::size_t digits = label.find_first_not_of("+-0", exponent + 1);
  return label.substr(0, exponent + 1) + (is_negative ? "-" : "") + label.substr(digits);
}

/// An axis of a picture, from 0 to 1 whatever its numbers are. gnuplot's own arithmetic gives up at
/// numbers that determinants reach.
class Axis {
 public:
  struct Tic {
    double place;  ///< 0 to 1
    std::string label;
  };

  /// From 0 to 1, with about `most_steps` steps at most.
  static Axis unit(int most_steps) { return from_zero(1, most_steps); }

  /// For these numbers; those that are not finite do not count. It begins at 0 where none is
  /// negative. Where all are positive and far apart, it is logarithmic.
  static Axis around(const std::vector<double>& numbers, int most_steps) {
    const auto [low, high] = bounds(numbers);
    constexpr double far_apart = 1e4;
    if (low <= 0 || high / far_apart <= low) return linear_around(numbers, most_steps);
    const double margin = 0.04 * (std::log10(high) - std::log10(low));
    return Axis(std::log10(low) - margin, std::log10(high) + margin, most_steps, true);
  }

  /// The same, never logarithmic.
  static Axis linear_around(const std::vector<double>& numbers, int most_steps) {
    const auto [low, high] = bounds(numbers);
    if (low >= 0) return from_zero(high > 0 ? high : 1, most_steps);
    // A label has six digits: the step must be one that they show.
    const double least_span = (high > low ? 1e-4 : 0.2) * std::max(std::abs(low), std::abs(high));
    const double margin = std::max(0.04 * (high - low), 0.5 * (least_span - (high - low)));
    return Axis(low - margin, high + margin, most_steps, false);
  }

  /// Where a number stands; NaN for one that is not finite.
  [[nodiscard]] double place(double number) const {
    if (!is_finite(number)) return missing_number();
    number = within_reach(number);
    return ((is_log_ ? std::log10(number) : number) - low_) / (high_ - low_);
  }

  [[nodiscard]] const std::vector<Tic>& tics() const { return tics_; }
  [[nodiscard]] bool begins_at_zero() const { return !is_log_ && low_ == 0; }

 private:
  /// @param low,high of a logarithmic axis: exponents of 10
  Axis(double low, double high, int most_steps, bool is_log)
      : low_(low), high_(high), is_log_(is_log) {
    double step = round_step((high - low) / most_steps);
    if (is_log) step = std::max(step, 1.0);
    const double last = std::floor(high / step + 1e-9);
    for (double k = std::ceil(low / step - 1e-9); k <= last; ++k) {
      const double number = is_log ? std::pow(10, k * step) : k * step;
      tics_.push_back({(k * step - low) / (high - low), tic_label(number)});
    }
  }

  /// Ends at a tic.
  static Axis from_zero(double high, int most_steps) {
    const double step = round_step(high / most_steps);
    return Axis(0, std::ceil(high / step - 1e-9) * step, most_steps, false);
  }

  /// The least and the greatest of those that are finite; 0 and 0 where there is none.
  static std::pair<double, double> bounds(const std::vector<double>& numbers) {
    double low = std::numeric_limits<double>::max();
    double high = -low;
    for (const double number : numbers) {
      if (!is_finite(number)) continue;
      low = std::min(low, within_reach(number));
      high = std::max(high, within_reach(number));
    }
    return low <= high ? std::pair(low, high) : std::pair(0.0, 0.0);
  }

  /// The number, or a limit where it is nearer to 0 or farther from it than a picture can show.
  static double within_reach(double number) {
    return std::abs(number) < 1e-300 ? 0 : std::clamp(number, -1e300, 1e300);
  }

  /// The smallest of 1, 2, 5, 10, 20, … and their likes below 1 that is not below `least`.
  static double round_step(double least) {
    const double power = std::pow(10, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= least * (1 - 1e-9)) return factor * power;
    }
    return 10 * power;
  }

  double low_, high_;
  bool is_log_;
  std::vector<Tic> tics_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
