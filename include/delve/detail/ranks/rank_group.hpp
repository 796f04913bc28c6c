// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::min
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t, std::uint64_t
#include <exception>    // std::exception
#include <functional>   // std::function
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/ATen.h>

#include <delve/detail/support/random_bits.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The ranks do not go on together: each reports its own data of this epoch.
class RanksDisagree : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The program's function failed: what the other ranks do is not known any more, and it is not
/// called again.
class RankSumFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The processes of one training, of which nothing is known but that a function sums tensors over
/// them. All of them must make the same calls in the same order. Not thread-safe.
class RankGroup {
 public:
  using Sum = std::function<void(at::Tensor&)>;

  explicit RankGroup(Sum sum = {}) : sum_(std::move(sum)) {}

  /// Whether the ranks can still be summed.
  [[nodiscard]] bool is_on() const { return sum_ && !has_failed_; }

  /// Calls the function no more.
  void give_up() { has_failed_ = true; }

  /// Where the tensors that the function is given are.
  void use_device(at::Device device) { device_ = device; }
  [[nodiscard]] at::Device device() const { return device_; }

  /// How many ranks there are; 0 before agree().
  [[nodiscard]] std::int64_t ranks() const { return ranks_; }

  /// The first sum: whether all are ready, at the same step with the same layers and options. It
  /// has the same size whatever these are: (1, faults, and for each of two hashes four pieces of 16
  /// bits and their squares). Pieces p are equal where N·Σp² = (Σp)² (Cauchy and Schwarz).
  /// @param has_fault whether this rank cannot take part
  /// @param layers,options what the ranks must agree on
  /// @throws RanksDisagree on all ranks; RankSumFailed on this one
  void agree(bool has_fault, std::string_view layers, std::string_view options) {
    std::vector<std::int64_t> own = {1, has_fault ? 1 : 0};
    for (const std::string_view text : {layers, options}) {
      const std::uint64_t hash = fnv1a(text);
      for (unsigned piece = 0; piece < 4; ++piece) {
        const auto bits = static_cast<std::int64_t>(hash >> (16U * piece) & 0xFFFFU);
        own.push_back(bits);
        own.push_back(bits * bits);
      }
    }
    const std::vector<std::int64_t> all = sum(own);
    ranks_ = all[0];
    if (all[1] > 0) {
      throw RanksDisagree(has_fault ? "this rank could not take part"
                                    : "another rank could not take part, and says why");
    }
    const auto are_equal = [&](std::size_t begin) {
      for (std::size_t i = begin; i < begin + 8; i += 2) {
        if (ranks_ * all[i + 1] != all[i] * all[i]) return false;
      }
      return true;
    };
    if (!are_equal(2)) {
      throw RanksDisagree("the ranks differ in the layers or modes that they know; this one has " +
                          std::string(layers));
    }
    if (!are_equal(10)) {
      throw RanksDisagree("the ranks differ in options, epoch or call; this one has " +
                          std::string(options));
    }
  }

  /// Sums integers. @throws RankSumFailed
  [[nodiscard]] std::vector<std::int64_t> sum(const std::vector<std::int64_t>& own) {
    at::Tensor tensor = at::tensor(own, at::kLong).to(device_);
    call(tensor);
    tensor = tensor.cpu();
    const auto* numbers = tensor.data_ptr<std::int64_t>();
    return {numbers, numbers + own.size()};
  }

  /// Sums tensors, each in its place, whatever their devices; 64 MB at a time.
  /// @param tensors float64, contiguous
  /// @throws RankSumFailed
  void sum(const std::vector<at::Tensor>& tensors) {
    constexpr std::int64_t most = (std::int64_t{64} << 20U) / 8;
    std::vector<at::Tensor> parts;  // views of them
    std::int64_t count = 0;
    const auto send = [&] {
      if (parts.empty()) return;
      std::vector<at::Tensor> there;
      for (const at::Tensor& part : parts) there.push_back(part.to(device_));
      at::Tensor packed = at::cat(there);
      call(packed);
      std::int64_t begin = 0;
      for (at::Tensor& part : parts) {
        part.copy_(packed.narrow(0, begin, part.size(0)));
        begin += part.size(0);
      }
      parts.clear();
      count = 0;
    };
    for (const at::Tensor& tensor : tensors) {
      const at::Tensor flat = tensor.view({-1});
      for (std::int64_t begin = 0; begin < flat.size(0);) {
        const std::int64_t length = std::min(flat.size(0) - begin, most - count);
        parts.push_back(flat.narrow(0, begin, length));
        begin += length;
        count += length;
        if (count == most) send();
      }
    }
    send();
  }

  /// The last sum: whether all went well on all ranks. Before it nobody uses the result.
  /// @throws RanksDisagree on all ranks; RankSumFailed on this one
  void confirm(bool is_good) {
    if (sum(std::vector<std::int64_t>{is_good ? 0 : 1})[0] > 0) {
      throw RanksDisagree(is_good ? "another rank failed during the sums, and says why"
                                  : "this rank failed during the sums");
    }
  }

 private:
  /// Calls the program's function, which may put another tensor in the place of the one it is
  /// given.
  void call(at::Tensor& tensor) {
    const at::Tensor given = tensor;
    try {
      sum_(tensor);
    } catch (const std::exception& error) {
      fail(error.what());
    } catch (...) {
      fail("it threw something that is no std::exception");
    }
    const bool is_alike = tensor.defined() && tensor.sizes() == given.sizes() &&
                          tensor.scalar_type() == given.scalar_type();
    if (!is_alike) fail("it left a tensor of a different shape or type");
  }

  [[noreturn]] void fail(const std::string& reason) {
    has_failed_ = true;
    throw RankSumFailed(reason);
  }

  Sum sum_;
  bool has_failed_ = false;
  at::Device device_ = at::kCPU;
  std::int64_t ranks_ = 0;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
