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

// Which positions see which, along one axis, in whole numbers. All that convolutions, pools,
// strides and interpolations do repeats itself from some period on, so that a table of one period
// is exact, outside of the map, too.

namespace delve::detail {

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

/// A share of two whole numbers, reduced.
struct Ratio {
  std::int64_t over;
  std::int64_t under;
};

inline Ratio ratio(std::int64_t over, std::int64_t under) {
  const std::int64_t common = std::gcd(over, under);
  return {over / common, under / common};
}

/// The share of small numbers that a number is; nothing where it is none.
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
/// @param step inputs an output
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

/// What each index of a tensor's axis sees of the network's input.
class FieldMap {
 public:
  /// Each index sees itself.
  FieldMap() = default;

  /// @param fields of one period
  FieldMap(std::int64_t advance, std::vector<Interval> fields)
      : advance_(advance), fields_(std::move(fields)) {}

  /// Of any index, inside of the map or outside.
  [[nodiscard]] Interval at(std::int64_t index) const {
    const std::int64_t periods = floor_div(index, period());
    Interval field = fields_[static_cast<std::size_t>(index - periods * period())];
    if (field.is_empty()) return field;
    return {field.first + periods * advance_, field.last + periods * advance_};
  }

  /// That of an operator's output; nothing where its period is too long to be written down.
  [[nodiscard]] std::optional<FieldMap> after(const IndexMap& op) const {
    const std::int64_t repeats = period() / std::gcd(period(), std::abs(op.advance));
    if (repeats > kLongestPeriod / op.period) return std::nullopt;
    FieldMap map(advance_ * (op.advance * repeats / period()), {});
    for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
      for (const std::vector<std::int64_t>& taps : op.taps) {
        Interval& field = map.fields_.emplace_back();
        for (const std::int64_t tap : taps) field.add(at(tap + repeat * op.advance));
      }
    }
    map.reduce();
    return map;
  }

  /// What either sees; nothing where they differ in stride.
  [[nodiscard]] std::optional<FieldMap> united(const FieldMap& other) const {
    if (advance_ * other.period() != other.advance_ * period()) return std::nullopt;
    const std::int64_t common = std::gcd(period(), other.period());
    if (period() / common > kLongestPeriod / other.period()) return std::nullopt;
    FieldMap map(advance_ * (other.period() / common), {});
    for (std::int64_t i = 0; i < period() / common * other.period(); ++i) {
      map.fields_.emplace_back(at(i)).add(other.at(i));
    }
    map.reduce();
    return map;
  }

  /// The shortest and the longest field of an index that sees anything.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> lengths() const {
    std::pair<std::int64_t, std::int64_t> lengths{0, 0};
    for (const Interval& field : fields_) {
      const std::int64_t length = field.length();
      if (length > 0 && (lengths.first == 0 || length < lengths.first)) lengths.first = length;
      lengths.second = std::max(lengths.second, length);
    }
    return lengths;
  }

  /// How many input positions further the next index sees, on average.
  [[nodiscard]] double stride() const {
    return static_cast<double>(advance_) / static_cast<double>(period());
  }

  friend bool operator==(const FieldMap& a, const FieldMap& b) {
    return a.advance_ == b.advance_ && a.fields_ == b.fields_;
  }

 private:
  static constexpr std::int64_t kLongestPeriod = 1 << 16;

  [[nodiscard]] std::int64_t period() const { return static_cast<std::int64_t>(fields_.size()); }

  /// To a period of one where that says the same: most of what follows a transposed convolution.
  void reduce() {
    if (advance_ % period() != 0) return;
    const std::int64_t stride = advance_ / period();
    const FieldMap single(stride, {fields_.front()});
    for (std::int64_t i = 0; i < period(); ++i) {
      if (!(fields_[static_cast<std::size_t>(i)] == single.at(i))) return;
    }
    *this = single;
  }

  std::int64_t advance_ = 1;
  std::vector<Interval> fields_ = {{0, 0}};
};

}  // namespace delve::detail
