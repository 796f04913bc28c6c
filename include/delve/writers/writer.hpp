// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <exception>    // std::exception
#include <functional>   // std::function
#include <iostream>     // std::cerr
#include <map>          // std::map
#include <stdexcept>    // std::logic_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::exchange, std::move, std::pair
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a tracker gives its writers about a run, besides its epochs.
struct RunInfo {
  bool is_known = false;                                      ///< whether a tracker gave it
  std::vector<std::pair<std::string, std::string>> settings;  ///< an option's name, and its value
  std::vector<std::string> left_out;                          ///< what is not tracked, and why
  std::vector<std::string> problems;                          ///< what was reported so far
};

/// Base of all writers. To make one, override write_epoch() and, where something is left to do at
/// the end, finish(). Order and faults are dealt with here: both may throw, the training goes on,
/// and the owner learns of it; what is thrown in the same words again is not repeated.
///
/// A writer is used by one thread at a time.
class Writer {
 public:
  /// Called with a sentence that says what went wrong, where, and what to do.
  using ProblemHandler = std::function<void(std::string_view)>;

  virtual ~Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Writes one epoch. Never throws for a fault of the outside world (a full disk): that is
  /// reported.
  /// @throws std::logic_error after close()
  void write(const EpochRecord& record) {
    if (closed_) throw std::logic_error("delve::Writer::write: the writer is closed");
    guarded([&] { write_epoch(record); });
  }

  /// Finishes what was begun; a second call does nothing. Call it before destruction: a destructor
  /// of this base could not reach finish() any more.
  void close() {
    if (closed_) return;
    closed_ = true;
    guarded([&] { finish(); });
    for (const auto& [reason, fault] : faults_) {
      if (fault.count < 2 || fault.happened.empty()) continue;
      say(fmt::format("{} {}: {}", fault.count, fault.happened, reason));
    }
    say_unheard();
  }

  /// Tells what write() and close() may use. A tracker does so before each of them.
  void inform(RunInfo run) { run_ = std::move(run); }

  /// Whether it has a use for receptive fields, so that a tracker finds them without being asked.
  [[nodiscard]] virtual bool wants_receptive_fields() const { return false; }

  /// Takes over the reports, those of the construction included. Without a handler they go to
  /// stderr.
  void on_problem(ProblemHandler handler) {
    handler_ = std::move(handler);
    for (const std::string& message : std::exchange(unheard_, {})) handler_(message);
  }

 protected:
  Writer() = default;

  /// Writes one epoch; epochs come in rising order. What is already on disk must survive a failure
  /// here.
  virtual void write_epoch(const EpochRecord& record) = 0;

  /// What inform() gave; nothing where nobody called it.
  [[nodiscard]] const RunInfo& run() const { return run_; }

  /// Called once, after the last epoch.
  virtual void finish() {}

  /// Reports a fault after which the writer goes on; one of the same words only once. Before there
  /// is an owner, the report waits for one.
  void report(const std::string& message) { report_once(message, message); }

  /// Reports what may happen to many things for one reason: the message the first time, and at the
  /// end how many there were.
  /// @param reason what faults of this kind have in common
  /// @param happened "pictures were not drawn because of", for "12 pictures were not drawn because
  ///   of: REASON"; empty: no word at the end
  void report_once(const std::string& reason, const std::string& message,
                   std::string_view happened = {}) {
    Fault& fault = faults_[reason];
    fault.happened = happened;
    if (++fault.count == 1) say(message);
  }

 private:
  struct Fault {
    std::size_t count = 0;
    std::string happened;
  };

  template <typename Action>
  void guarded(const Action& action) {
    try {
      action();
    } catch (const std::exception& error) {
      report(error.what());
    } catch (...) {
      report("a writer threw something that is no std::exception; let it throw one that says why");
    }
    say_unheard();
  }

  void say(const std::string& message) {
    if (handler_) {
      handler_(message);
    } else {
      unheard_.push_back(message);
    }
  }

  void say_unheard() {
    if (handler_) return;
    for (const std::string& message : std::exchange(unheard_, {})) {
      std::cerr << "delve: " << message << '\n';
    }
  }

  RunInfo run_;
  ProblemHandler handler_;
  std::vector<std::string> unheard_;
  std::map<std::string, Fault> faults_;  // by reason
  bool closed_ = false;
};

}  // namespace DELVE_ABI
}  // namespace delve
