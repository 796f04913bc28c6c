// SPDX-License-Identifier: MIT
#pragma once

#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

// Settings given as texts to a writer that is made by its key.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

[[noreturn]] inline void bad_writer_arg(std::string_view name, std::string_view text,
                                        std::string_view expected) {
  throw std::invalid_argument(
      fmt::format("delve: writer_args: {} is \"{}\"; it must be {}", name, text, expected));
}

inline int int_arg(std::string_view name, std::string_view text, std::string_view expected) {
  const std::optional<int> number = number_in<int>(text);
  if (!number) bad_writer_arg(name, text, expected);
  return *number;
}

inline bool bool_arg(std::string_view name, std::string_view text) {
  if (text != "true" && text != "false") bad_writer_arg(name, text, "true or false");
  return text == "true";
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
