// SPDX-License-Identifier: MIT
#pragma once

// What the benchmarks have in common: a clock, and lines of JSON for table.py.

#include <algorithm>    // std::nth_element
#include <chrono>       // std::chrono::steady_clock
#include <cstddef>      // std::ptrdiff_t, std::size_t
#include <cstdio>       // stdout
#include <iterator>     // std::back_inserter
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join
#include <torch/utils.h>
#include <torch/version.h>

namespace benchmarks {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// How long an action takes, in seconds.
template <typename Action>
double seconds(const Action& action) {
  const Clock::time_point begin = Clock::now();
  action();
  return seconds_since(begin);
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// One measurement, as a line of JSON. Names and texts must need no escaping.
class Line {
 public:
  explicit Line(std::string_view measurement) {
    add("measurement", measurement);
    add("side", "here");
    add("torch", TORCH_VERSION);
    add("threads", torch::get_num_threads());
  }

  Line& add(std::string_view name, std::string_view text) {
    return add_literal(name, fmt::format("\"{}\"", text));
  }
  Line& add(std::string_view name, const char* text) { return add(name, std::string_view(text)); }
  Line& add(std::string_view name, bool value) {
    return add_literal(name, value ? "true" : "false");
  }
  Line& add(std::string_view name, int value) { return add_literal(name, fmt::to_string(value)); }
  Line& add(std::string_view name, double value) {
    return add_literal(name, fmt::format("{:.9g}", value));
  }
  Line& add(std::string_view name, const std::vector<double>& values) {
    return add_literal(name, fmt::format("[{:.9g}]", fmt::join(values, ", ")));
  }

  /// On stdout, at once: a run that is stopped keeps what it measured.
  void print() const {
    fmt::print("{{{}}}\n", text_);
    std::fflush(stdout);
  }

 private:
  Line& add_literal(std::string_view name, std::string_view literal) {
    fmt::format_to(std::back_inserter(text_), "{}\"{}\": {}", text_.empty() ? "" : ", ", name,
                   literal);
    return *this;
  }

  std::string text_;
};

}  // namespace benchmarks
