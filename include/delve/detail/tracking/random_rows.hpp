// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>    // std::ceil
#include <cstdint>  // std::int64_t, std::uint64_t

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <delve/detail/state/tensor_state.hpp>
#include <delve/detail/tensors/to_device.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Takes a share of the rows that come, each with the same probability. Not thread-safe.
class RandomRows {
 public:
  RandomRows(double rate, std::uint64_t seed)
      : rate_(rate), generator_(at::detail::createCPUGenerator(seed)) {}

  /// Stratified: one row of every 1/rate consecutive ones, at a place drawn by itself, so that
  /// each is taken with probability `rate` and no pattern in the rows meets one in the choice.
  /// Does not wait for the device.
  /// @param rows (n, d) or (b, n, d)
  /// @return (m, d), m about rate · n or rate · b · n
  [[nodiscard]] at::Tensor pick(const at::Tensor& rows) {
    const at::Tensor samples = rows.dim() == 3 ? rows : rows.unsqueeze(1);
    const std::int64_t total = samples.size(0) * samples.size(1);
    const auto strata = static_cast<std::int64_t>(std::ceil(static_cast<double>(total) * rate_));
    const at::TensorOptions options = at::TensorOptions(at::kDouble);
    const at::Tensor place =
        (at::arange(strata, options) + at::rand({strata}, generator_, options)).div_(rate_);
    at::Tensor chosen = place.to(at::kLong);
    // The last stratum may reach beyond the rows.
    chosen = to_device(chosen.masked_select(chosen.lt(total)), rows.device());
    return samples.index({chosen.floor_divide(samples.size(1)), chosen.remainder(samples.size(1))});
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(generator_);
  }

 private:
  double rate_;
  at::Generator generator_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
