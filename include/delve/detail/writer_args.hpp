// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>      // std::from_chars
#include <stdexcept>     // std::invalid_argument
#include <string_view>   // std::string_view
#include <system_error>  // std::errc

#include <fmt/format.h>  // fmt::format

// Settings that a writer made by its key is given as texts.

namespace delve::detail {

[[noreturn]] inline void bad_writer_arg(std::string_view name, std::string_view text,
                                        std::string_view expected) {
  throw std::invalid_argument(
      fmt::format("delve: writer_args: {} is \"{}\"; it must be {}", name, text, expected));
}

inline int int_arg(std::string_view name, std::string_view text, std::string_view expected) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    bad_writer_arg(name, text, expected);
  }
  return number;
}

inline bool bool_arg(std::string_view name, std::string_view text) {
  if (text != "true" && text != "false") bad_writer_arg(name, text, "true or false");
  return text == "true";
}

}  // namespace delve::detail
