// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::uint64_t
#include <cstring>  // std::memcpy
#include <limits>   // std::numeric_limits
#include <string>   // std::string

#include <fmt/format.h>  // fmt::format

#include <delve/version.hpp>

// Programs in this field are often compiled with -ffast-math, which lets a compiler take
// std::isnan() for false and lets fmt abort at an infinity. A missing value is a NaN here, so every
// question about one is answered by its bits, which no flag changes (IEEE 754-2019, 3.4).

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

static_assert(std::numeric_limits<double>::is_iec559 && sizeof(double) == sizeof(std::uint64_t),
              "delve reads the bits of IEEE 754's binary64");

constexpr std::uint64_t kInfinityBits = 0x7FF0000000000000U;
constexpr std::uint64_t kMissingBits = 0x7FF8000000000000U;

/// The bits of a number without its sign.
inline std::uint64_t magnitude_bits(double number) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  return bits & 0x7FFFFFFFFFFFFFFFU;
}

inline double from_bits(std::uint64_t bits) {
  double number = 0;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

inline bool is_nan(double number) {
  return magnitude_bits(number) > kInfinityBits;
}

inline bool is_finite(double number) {
  return magnitude_bits(number) < kInfinityBits;
}

inline bool is_infinite(double number) {
  return magnitude_bits(number) == kInfinityBits;
}

inline bool is_negative(double number) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  return bits >> 63U != 0;
}

/// The NaN that stands for a number that is missing.
inline double missing_number() {
  return from_bits(kMissingBits);
}

/// +infinity or −infinity.
inline double infinity(bool negative = false) {
  return from_bits(kInfinityBits | (negative ? std::uint64_t{1} << 63U : 0));
}

/// A number as text: "nan", "inf", "-inf", or as fmt has it.
/// @param format for a finite one: "{:.4g}"
inline std::string number_text(double number, const char* format = "{}") {
  if (is_nan(number)) return "nan";
  if (is_infinite(number)) return is_negative(number) ? "-inf" : "inf";
  return fmt::format(fmt::runtime(format), number);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
