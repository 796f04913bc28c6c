// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max, std::min
#include <cmath>      // std::abs, std::floor
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <limits>     // std::numeric_limits
#include <numeric>    // std::gcd
#include <optional>   // std::optional
#include <utility>    // std::move, std::pair
#include <vector>     // std::vector

#include <delve/version.hpp>

// Which positions see which, along one axis, in whole numbers. All that convolutions, pools,
// strides and interpolations do repeats itself with some period, so that a table of one period is
// exact, even outside of the map.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// ⌊a / b⌋; b > 0.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

/// What an operator reads: for each index of its output, indices of its input. What index
/// i + period reads is what i reads, moved by `advance`.
struct IndexMap {
  std::int64_t period = 1;
  std::int64_t advance = 1;
  std::vector<std::vector<std::int64_t>> taps = {{0}};  ///< of the outputs 0 … period − 1
};

/// A convolution or a pool.
inline IndexMap window(std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                       std::int64_t dilation) {
  IndexMap map{1, stride, {{}}};
  for (std::int64_t t = 0; t < kernel; ++t) map.taps[0].push_back(t * dilation - padding);
  return map;
}

/// A transposed convolution: input j adds to the outputs j·stride − padding + t·dilation.
inline IndexMap transposed_window(std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                                  std::int64_t dilation) {
  IndexMap map{stride, 1, std::vector<std::vector<std::int64_t>>(static_cast<std::size_t>(stride))};
  for (std::int64_t i = 0; i < stride; ++i) {
    for (std::int64_t t = 0; t < kernel; ++t) {
      const std::int64_t place = i + padding - t * dilation;
      if (place % stride == 0) map.taps[static_cast<std::size_t>(i)].push_back(place / stride);
    }
  }
  return map;
}

/// x[start::step].
inline IndexMap strided(std::int64_t start, std::int64_t step) {
  return {1, step, {{start}}};
}

inline IndexMap flipped(std::int64_t positions) {
  return {1, -1, {{positions - 1}}};
}

/// For bounded maps only: what is shifted out comes in at the other end.
inline IndexMap rolled(std::int64_t positions, std::int64_t shift) {
  IndexMap map{positions, positions, {}};
  for (std::int64_t i = 0; i < positions; ++i) {
    const std::int64_t from = i - shift;
    map.taps.push_back({from - floor_div(from, positions) * positions});
  }
  return map;
}

/// Each input becomes `times` outputs.
inline IndexMap repeated(std::int64_t times) {
  return {times, 1, std::vector<std::vector<std::int64_t>>(static_cast<std::size_t>(times), {0})};
}

/// An adaptive pool: output i sees ⌊i·n/m⌋ … ⌈(i + 1)·n/m⌉ − 1.
inline IndexMap adaptive(std::int64_t inputs, std::int64_t outputs) {
  const std::int64_t common = std::gcd(inputs, outputs);
  IndexMap map{outputs / common, inputs / common, {}};
  for (std::int64_t i = 0; i < map.period; ++i) {
    std::vector<std::int64_t>& taps = map.taps.emplace_back();
    const std::int64_t end = -floor_div(-(i + 1) * inputs, outputs);
    for (std::int64_t j = floor_div(i * inputs, outputs); j < end; ++j) taps.push_back(j);
  }
  return map;
}

/// A ratio of two whole numbers, reduced.
struct Ratio {
  std::int64_t over;
  std::int64_t under;  ///< above 0

  friend bool operator==(const Ratio& a, const Ratio& b) {
    return a.over == b.over && a.under == b.under;
  }
};

inline Ratio ratio(std::int64_t over, std::int64_t under) {
  const std::int64_t common = std::gcd(over, under);
  return {over / common, under / common};
}

/// A number as a ratio of small whole numbers; nothing where it is none.
inline std::optional<Ratio> ratio_of(double number) {
  for (std::int64_t under = 1; under <= 4096; ++under) {
    const double over = number * static_cast<double>(under);
    const double whole = std::floor(over + 0.5);
    if (whole >= 1 && std::abs(over - whole) < 1e-9 * whole) {
      return ratio(static_cast<std::int64_t>(whole), under);
    }
  }
  return std::nullopt;
}

/// How an interpolation places the centres of its outputs.
enum class Alignment {
  Edges,    ///< source of i: i·step
  Middles,  ///< (i + ½)·step
  Centres,  ///< (i + ½)·step − ½
};

/// An interpolation that takes `taps` inputs around each output's place: 1 (the one at or before
/// it), 2 or 4.
/// @param step inputs per output
inline IndexMap interpolated(Ratio step, Alignment alignment, int taps) {
  // Places are counted in units of 1 / (2·under).
  IndexMap map{step.under, step.over, {}};
  const std::int64_t unit = 2 * step.under;
  for (std::int64_t i = 0; i < step.under; ++i) {
    const std::int64_t place =
        (alignment == Alignment::Edges ? 2 * i * step.over : (2 * i + 1) * step.over) -
        (alignment == Alignment::Centres ? step.under : 0);
    const std::int64_t before = floor_div(place, unit);
    std::vector<std::int64_t>& own = map.taps.emplace_back();
    if (taps == 1 || place % unit == 0) {
      own.push_back(before);  // exactly there the others have no weight
      continue;
    }
    for (std::int64_t t = 1 - taps / 2; t <= taps / 2; ++t) own.push_back(before + t);
  }
  return map;
}

/// The input positions that one index sees: all from `first` to `last`; none where last < first.
struct Interval {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = std::numeric_limits<std::int64_t>::min();

  [[nodiscard]] bool is_empty() const { return last < first; }
  [[nodiscard]] std::int64_t length() const { return is_empty() ? 0 : last - first + 1; }

  void add(const Interval& other) {
    if (other.is_empty()) return;
    first = std::min(first, other.first);
    last = std::max(last, other.last);
  }
  friend bool operator==(const Interval& a, const Interval& b) {
    return a.first == b.first && a.last == b.last;
  }
};

/// What each index of a tensor's axis sees of the network's input. Usually a table of one period.
/// Where positions were moved about or joined, the table has all of them, and there are none
/// outside.
class FieldMap {
 public:
  /// Each index sees itself.
  FieldMap() = default;

  /// A table of all positions.
  FieldMap(Ratio stride, std::vector<Interval> fields)
      : stride_(stride), fields_(std::move(fields)), is_bounded_(true) {}

  /// The field of any index, inside of the map or outside.
  [[nodiscard]] Interval at(std::int64_t index) const {
    if (is_bounded_) {
      const bool is_inside = index >= 0 && index < period();
      return is_inside ? fields_[static_cast<std::size_t>(index)] : Interval();
    }
    const std::int64_t periods = floor_div(index, period());
    const Interval field = fields_[static_cast<std::size_t>(index - periods * period())];
    if (field.is_empty()) return field;
    const std::int64_t moved = periods * advance();
    return {field.first + moved, field.last + moved};
  }

  /// The map of an operator's output with this many positions; nothing where no table can hold it.
  [[nodiscard]] std::optional<FieldMap> after(const IndexMap& op, std::int64_t positions) const {
    if (op.period <= 0 || op.advance == 0 || positions <= 0) return std::nullopt;
    FieldMap map;
    map.stride_ = ratio(stride_.over * op.advance, stride_.under * op.period);
    map.is_bounded_ = is_bounded_;
    std::int64_t repeats = period() / std::gcd(period(), std::abs(op.advance));
    if (is_bounded_) repeats = (positions + op.period - 1) / op.period;
    if (repeats > kLongestPeriod / op.period) return std::nullopt;
    map.fields_.clear();
    for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
      for (const std::vector<std::int64_t>& taps : op.taps) {
        Interval& field = map.fields_.emplace_back();
        for (const std::int64_t tap : taps) field.add(at(tap + repeat * op.advance));
      }
    }
    if (is_bounded_) {
      map.fields_.resize(static_cast<std::size_t>(positions));
    } else {
      map.reduce();
    }
    return map;
  }

  /// The same positions, none outside.
  [[nodiscard]] FieldMap bounded(std::int64_t positions) const {
    std::vector<Interval> fields;
    for (std::int64_t i = 0; i < positions; ++i) fields.push_back(at(i));
    return {stride_, std::move(fields)};
  }

  /// What either sees; nothing where they differ in stride.
  [[nodiscard]] std::optional<FieldMap> united(const FieldMap& other) const {
    if (!(stride_ == other.stride_)) return std::nullopt;
    if (is_bounded_ && other.is_bounded_ && period() != other.period()) return std::nullopt;
    FieldMap map;
    map.stride_ = stride_;
    map.is_bounded_ = is_bounded_ || other.is_bounded_;
    std::int64_t count = period() / std::gcd(period(), other.period());
    if (count > kLongestPeriod / other.period()) return std::nullopt;
    count *= other.period();
    if (map.is_bounded_) count = is_bounded_ ? period() : other.period();
    map.fields_.clear();
    for (std::int64_t i = 0; i < count; ++i) map.fields_.emplace_back(at(i)).add(other.at(i));
    if (!map.is_bounded_) map.reduce();
    return map;
  }

  /// The shortest and the longest field of an index that sees anything.
  /// @param positions how many there are; 0: one period of them
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> lengths(std::int64_t positions = 0) const {
    const std::int64_t count = positions > 0 ? std::min(positions, period()) : period();
    std::pair<std::int64_t, std::int64_t> lengths{0, 0};
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t length = at(i).length();
      if (length > 0 && (lengths.first == 0 || length < lengths.first)) lengths.first = length;
      lengths.second = std::max(lengths.second, length);
    }
    return lengths;
  }

  /// How many input positions further the next index sees, on average.
  [[nodiscard]] double stride() const {
    return static_cast<double>(stride_.over) / static_cast<double>(stride_.under);
  }
  [[nodiscard]] Ratio exact_stride() const { return stride_; }

  friend bool operator==(const FieldMap& a, const FieldMap& b) {
    return a.stride_ == b.stride_ && a.is_bounded_ == b.is_bounded_ && a.fields_ == b.fields_;
  }

 private:
  static constexpr std::int64_t kLongestPeriod = 1 << 16;

  [[nodiscard]] std::int64_t period() const { return static_cast<std::int64_t>(fields_.size()); }
  [[nodiscard]] std::int64_t advance() const { return stride_.over * period() / stride_.under; }

  /// Reduces the period to one where that says the same, as mostly behind transposed convolutions.
  void reduce() {
    if (stride_.under != 1) return;
    FieldMap single;
    single.stride_ = stride_;
    single.fields_ = {fields_.front()};
    for (std::int64_t i = 0; i < period(); ++i) {
      if (!(fields_[static_cast<std::size_t>(i)] == single.at(i))) return;
    }
    *this = single;
  }

  Ratio stride_{1, 1};  // input positions per index; a whole number per period
  std::vector<Interval> fields_ = {{0, 0}};
  bool is_bounded_ = false;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
