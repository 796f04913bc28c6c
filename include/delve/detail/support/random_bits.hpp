// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::uint64_t
#include <string_view>  // std::string_view

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// 64-bit FNV-1a (Fowler, Noll & Vo; draft-eastlake-fnv): the same with every standard library, as
/// std::hash is not.
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  return hash;
}

/// The number at a place of the sequence that a seed begins: splitmix64 (Steele, Lea & Flood, "Fast
/// splittable pseudorandom number generators", OOPSLA 2014).
constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t place) {
  std::uint64_t bits = seed + 0x9E3779B97F4A7C15U * (place + 1);
  bits = (bits ^ (bits >> 30U)) * 0xBF58476D1CE4E5B9U;
  bits = (bits ^ (bits >> 27U)) * 0x94D049BB133111EBU;
  return bits ^ (bits >> 31U);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
