// SPDX-License-Identifier: MIT
#pragma once

// Catch2 2 or 3, whichever is installed. Include it after LibTorch: both define CHECK, and a test
// means Catch2's.

#include <cstddef>  // std::size_t
#include <string>   // std::string

#undef CHECK

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>  // Catch2 3
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
#else
#include <catch2/catch.hpp>  // Catch2 2

inline auto ContainsSubstring(const std::string& text) {
  return Catch::Matchers::Contains(text);
}
#endif

namespace delve_test {

/// How often something is tried: under a sanitizer, where each takes ten times as long, less often.
constexpr std::size_t times(std::size_t count) {
#if defined(DELVE_TEST_SANITIZED)
  return count / 10;
#else
  return count;
#endif
}

}  // namespace delve_test
