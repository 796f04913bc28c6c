// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of, std::equal, std::max, std::min
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t, std::uint32_t, std::uint64_t
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <delve/detail/support/numbers.hpp>
#include <delve/version.hpp>

// What std::from_chars() makes of a text, which libc++ has for double only from version 20 on.
// std::strtod() is no replacement: the locale decides what it takes for a decimal point.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A natural number of any size, in 32-bit digits from the lowest on.
class BigNumber {
 public:
  BigNumber() = default;
  explicit BigNumber(std::uint64_t number) {
    for (; number > 0; number >>= 32U) digits_.push_back(static_cast<std::uint32_t>(number));
  }

  /// Multiplies, and adds.
  void multiply(std::uint32_t factor, std::uint32_t summand = 0) {
    std::uint64_t carry = summand;
    for (std::uint32_t& digit : digits_) {
      carry += std::uint64_t{digit} * factor;
      digit = static_cast<std::uint32_t>(carry);
      carry >>= 32U;
    }
    if (carry > 0) digits_.push_back(static_cast<std::uint32_t>(carry));
  }

  /// By 1 where the power is negative.
  void multiply_by_ten_to(std::int64_t power) {
    for (; power >= 9; power -= 9) multiply(1'000'000'000);
    for (; power > 0; --power) multiply(10);
  }

  /// Not at all where the bits are negative.
  void shift_left(std::int64_t bits) {
    if (bits <= 0) return;
    multiply(std::uint32_t{1} << static_cast<unsigned>(bits % 32));
    if (!digits_.empty()) digits_.insert(digits_.begin(), static_cast<std::size_t>(bits / 32), 0);
  }

  /// Negative, zero or positive, as a is less than, equal to or more than b.
  friend int compare(const BigNumber& a, const BigNumber& b) {
    if (a.digits_.size() != b.digits_.size()) return a.digits_.size() < b.digits_.size() ? -1 : 1;
    for (std::size_t i = a.digits_.size(); i-- > 0;) {
      if (a.digits_[i] != b.digits_[i]) return a.digits_[i] < b.digits_[i] ? -1 : 1;
    }
    return 0;
  }

 private:
  std::vector<std::uint32_t> digits_;  // the last one is not 0
};

/// digits · 10^exponent, as a text has it.
struct Decimal {
  std::string digits;  ///< without zeros before and behind them; empty: zero
  std::int64_t exponent = 0;
};

/// Takes digits, a point among them, and an exponent off the beginning of a text.
/// @return nothing where it begins with no digit
inline std::optional<Decimal> take_decimal(std::string_view& text) {
  constexpr std::int64_t most = 1'000'000'000;
  const auto is_digit = [&] { return !text.empty() && text.front() >= '0' && text.front() <= '9'; };
  Decimal decimal;
  bool has_digits = false;
  bool is_behind_point = false;
  while (is_digit() || (!is_behind_point && !text.empty() && text.front() == '.')) {
    if (text.front() == '.') {
      is_behind_point = true;
    } else {
      has_digits = true;
      decimal.digits.push_back(text.front());
      if (is_behind_point) --decimal.exponent;
    }
    text.remove_prefix(1);
  }
  if (!has_digits) return std::nullopt;
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    std::string_view rest = text;  // an 'e' without digits is not part of the number
    text.remove_prefix(1);
    const bool is_negative = !text.empty() && text.front() == '-';
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
    if (is_digit()) {
      std::int64_t exponent = 0;
      for (; is_digit(); text.remove_prefix(1)) {
        exponent = std::min(most, 10 * exponent + (text.front() - '0'));
      }
      decimal.exponent += is_negative ? -exponent : exponent;
    } else {
      text = rest;
    }
  }
  decimal.digits.erase(0, decimal.digits.find_first_not_of('0'));
  while (!decimal.digits.empty() && decimal.digits.back() == '0') {
    decimal.digits.pop_back();
    ++decimal.exponent;
  }
  return decimal;
}

/// The double nearest to a positive decimal; of two equally near ones the even one. Infinity, or
/// zero, for what is beyond the largest and the smallest.
///
/// Doubles from 0 on are in the order of their bits, so the right one is found by bisection: the
/// first whose middle to the next one is not below the decimal. They are compared exactly, as
/// natural numbers. No such middle has more than 768 digits that count, so that one more digit can
/// stand for all behind them (Goldberg, "What every computer scientist should know about
/// floating-point arithmetic", ACM Computing Surveys 23(1), 1991, on correct rounding).
inline double nearest_double(const Decimal& decimal) {
  constexpr std::size_t most_digits = 770;
  std::string_view digits = decimal.digits;
  std::int64_t exponent = decimal.exponent;
  const std::int64_t places = exponent + static_cast<std::int64_t>(digits.size());
  if (places > 310) return infinity();
  if (places < -330) return 0;
  BigNumber number;
  for (const char digit : digits.substr(0, most_digits)) {
    number.multiply(10, static_cast<std::uint32_t>(digit - '0'));
  }
  if (digits.size() > most_digits) {
    number.multiply(10, 1);
    exponent += static_cast<std::int64_t>(digits.size() - most_digits) - 1;
  }
  number.multiply_by_ten_to(exponent);

  const auto is_rounded_to_at_most = [&](std::uint64_t bits) {
    const std::uint64_t fraction = bits & 0xFFFFFFFFFFFFFU;
    const auto field = static_cast<std::int64_t>(bits >> 52U);
    const std::uint64_t mantissa = field > 0 ? fraction | (std::uint64_t{1} << 52U) : fraction;
    // IEEE 754-2019, 3.4: the number is mantissa·2^(power + 1), the middle half a unit more.
    const std::int64_t power = std::max<std::int64_t>(field, 1) - 1076;
    BigNumber middle(2 * mantissa + 1);
    middle.multiply_by_ten_to(-exponent);
    middle.shift_left(power);
    BigNumber scaled = number;
    scaled.shift_left(-power);
    const int order = compare(scaled, middle);
    return order < 0 || (order == 0 && bits % 2 == 0);
  };
  std::uint64_t first = 0;
  std::uint64_t last = kInfinityBits;
  while (first < last) {
    const std::uint64_t between = first + (last - first) / 2;
    if (is_rounded_to_at_most(between)) {
      last = between;
    } else {
      first = between + 1;
    }
  }
  return from_bits(first);
}

/// Whether a text is this word, in letters of any case.
inline bool is_word(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
    return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b);
  });
}

/// "nan", or "nan(…)" around letters, digits and underscores.
inline bool is_nan_word(std::string_view text) {
  if (!is_word(text.substr(0, 3), "nan")) return false;
  text.remove_prefix(3);
  if (text.empty()) return true;
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return false;
  text = text.substr(1, text.size() - 2);
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  });
}

/// The number that a text consists of, by the rules of std::from_chars().
[[nodiscard]] inline std::optional<double> double_in(std::string_view text) {
  const bool is_below_zero = text.substr(0, 1) == "-";
  if (is_below_zero) text.remove_prefix(1);
  const auto with_sign = [&](double number) { return is_below_zero ? -number : number; };
  if (is_word(text, "inf") || is_word(text, "infinity")) return infinity(is_below_zero);
  if (is_nan_word(text)) return with_sign(missing_number());
  const std::optional<Decimal> decimal = take_decimal(text);
  if (!decimal || !text.empty()) return std::nullopt;
  if (decimal->digits.empty()) return with_sign(0);
  const double number = nearest_double(*decimal);
  if (is_infinite(number) || magnitude_bits(number) == 0) return std::nullopt;
  return with_sign(number);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
