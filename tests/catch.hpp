// SPDX-License-Identifier: MIT
#pragma once

// Catch2 2 or 3, whichever is installed. Include it after LibTorch: both define CHECK, and a test
// means Catch2's.

#include <string>  // std::string

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
