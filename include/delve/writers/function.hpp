// SPDX-License-Identifier: MIT
#pragma once

#include <functional>  // std::function
#include <stdexcept>   // std::invalid_argument
#include <utility>     // std::move

#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Hands every epoch's record to a function. What the function throws is reported.
class FunctionWriter final : public Writer {
 public:
  using Function = std::function<void(const EpochRecord&)>;

  /// @throws std::invalid_argument if there is nothing to call
  explicit FunctionWriter(Function function) : function_(std::move(function)) {
    if (!function_) throw std::invalid_argument("delve::FunctionWriter: the function is empty");
  }

 protected:
  void write_epoch(const EpochRecord& record) override { function_(record); }

 private:
  Function function_;
};

}  // namespace DELVE_ABI
}  // namespace delve
