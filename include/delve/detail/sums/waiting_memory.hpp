// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>   // std::atomic
#include <cstdint>  // std::int64_t
#include <memory>   // std::shared_ptr
#include <utility>  // std::exchange, std::move, std::swap

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How much memory of a device the waiting rows of all layers that share it may take.
/// Thread-safe.
class WaitingMemory {
 public:
  explicit WaitingMemory(std::int64_t bytes) : left_(bytes) {}

  /// @return false, and takes none, where less is left
  [[nodiscard]] bool take(std::int64_t bytes) {
    std::int64_t left = left_.load();
    while (left >= bytes) {
      if (left_.compare_exchange_weak(left, left - bytes)) return true;
    }
    return false;
  }

  void give_back(std::int64_t bytes) { left_ += bytes; }

  [[nodiscard]] std::int64_t left() const { return left_; }

 private:
  std::atomic<std::int64_t> left_;
};

/// What was taken of that memory; given back on destruction.
class WaitingMemoryShare {
 public:
  /// Nothing.
  WaitingMemoryShare() = default;

  /// @param memory may be null
  /// @return nothing where less is left
  static WaitingMemoryShare of(const std::shared_ptr<WaitingMemory>& memory, std::int64_t bytes) {
    WaitingMemoryShare share;
    if (memory == nullptr || !memory->take(bytes)) return share;
    share.memory_ = memory;
    share.bytes_ = bytes;
    return share;
  }

  WaitingMemoryShare(WaitingMemoryShare&& other) noexcept
      : memory_(std::move(other.memory_)), bytes_(std::exchange(other.bytes_, 0)) {}
  WaitingMemoryShare& operator=(WaitingMemoryShare&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~WaitingMemoryShare() {
    if (memory_ != nullptr) memory_->give_back(bytes_);
  }

  [[nodiscard]] bool empty() const { return memory_ == nullptr; }

 private:
  std::shared_ptr<WaitingMemory> memory_;
  std::int64_t bytes_ = 0;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
