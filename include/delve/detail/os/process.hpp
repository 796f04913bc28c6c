// SPDX-License-Identifier: MIT
#pragma once

#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// "gnuplot was not found in PATH", the beginning of a sentence.
[[nodiscard]] inline std::string was_not_found(const std::string& program) {
  return program + " was not found" + (path_of(program).has_parent_path() ? "" : " in PATH");
}

/// How the program failed, as the beginning of a sentence; empty where it did not.
/// @param limit how long the program had, in words
[[nodiscard]] inline std::string fault_of(const ProcessEnd& end, std::string_view program,
                                          std::string_view limit) {
  if (end.timed_out) return fmt::format("{} did not end within {}", program, limit);
  if (end.signal != 0) return fmt::format("signal {} ended {}", end.signal, program);
  if (end.exit_code != 0) return fmt::format("{} ended with code {}", program, end.exit_code);
  return {};
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
