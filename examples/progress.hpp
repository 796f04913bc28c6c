// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>  // isatty

#include <algorithm>  // std::max
#include <chrono>     // std::chrono
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <cstdio>     // stdout
#include <ostream>    // std::ostream, std::flush
#include <string>     // std::string
#include <utility>    // std::move

#include <fmt/format.h>

namespace examples {

/// Whether a person watches the standard output: if not, lines should not be overwritten.
[[nodiscard]] inline bool stdout_is_terminal() {
  return isatty(fileno(stdout)) == 1;
}

/// Shows how far an epoch is, its loss and pictures a second: on a terminal as a bar, renewed at
/// most ten times a second; elsewhere as a line at every tenth of the way.
class Progress {
 public:
  Progress(std::ostream& out, bool terminal, std::string label, std::int64_t total)
      : out_(out), terminal_(terminal), label_(std::move(label)), total_(total) {}

  /// Whether show() has something to show after `done` pictures. Ask before computing the loss:
  /// reading it makes a GPU wait.
  [[nodiscard]] bool due(std::int64_t done) const {
    if (done == total_) return true;
    return terminal_ ? Clock::now() >= next_time_ : done * kLines / total_ > lines_;
  }

  void show(std::int64_t done, double loss) {
    const Clock::time_point now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const std::string text = fmt::format("{:>{}}/{} pictures  loss {:.4f}  {:.1f} pictures/s", done,
                                         std::to_string(total_).size(), total_, loss,
                                         static_cast<double>(done) / std::max(seconds, 1e-9));
    if (terminal_) {
      out_ << '\r' << label_ << ' ' << bar(done) << ' ' << text << kEraseRest
           << (done == total_ ? "\n" : "") << std::flush;
    } else {
      out_ << label_ << ' ' << text << '\n' << std::flush;
    }
    next_time_ = now + std::chrono::milliseconds(100);
    lines_ = done * kLines / total_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::int64_t kLines = 10;
  static constexpr std::size_t kBarWidth = 24;
  static constexpr const char* kEraseRest = "\x1b[K";

  [[nodiscard]] std::string bar(std::int64_t done) const {
    const std::size_t full =
        static_cast<std::size_t>(done) * kBarWidth / static_cast<std::size_t>(total_);
    return '[' + std::string(full, '=') + std::string(kBarWidth - full, ' ') + ']';
  }

  std::ostream& out_;
  bool terminal_;
  std::string label_;
  std::int64_t total_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_time_ = start_;
  std::int64_t lines_ = 0;
};

}  // namespace examples
