// SPDX-License-Identifier: MIT
#pragma once

#include <exception>    // std::exception
#include <functional>   // std::function
#include <iostream>     // std::cerr
#include <stdexcept>    // std::logic_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::exchange, std::move
#include <vector>       // std::vector

#include <delve/record.hpp>

namespace delve {

/// Base of all writers. To make one, override write_epoch() and, where something is left to do at
/// the end, finish(). Order and faults are dealt with here: both may throw, the training goes on,
/// and the owner is told.
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
  }

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

  /// Called once, after the last epoch.
  virtual void finish() {}

  /// Tells the owner of a fault after which the writer goes on. Before there is an owner, the
  /// report waits for one.
  void report(std::string message) {
    if (handler_) {
      handler_(message);
    } else {
      unheard_.push_back(std::move(message));
    }
  }

 private:
  template <typename Action>
  void guarded(const Action& action) {
    try {
      action();
    } catch (const std::exception& error) {
      report(error.what());
    } catch (...) {
      report("a writer threw something that is no std::exception; let it throw one that says why");
    }
    if (handler_) return;
    for (const std::string& message : std::exchange(unheard_, {})) {
      std::cerr << "delve: " << message << '\n';
    }
  }

  ProblemHandler handler_;
  std::vector<std::string> unheard_;
  bool closed_ = false;
};

}  // namespace delve
