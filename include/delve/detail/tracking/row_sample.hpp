// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::min
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <vector>     // std::vector

#include <ATen/ATen.h>

#include <delve/detail/state/tensor_state.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Some of the rows of a stream of batches, spread evenly over all of it: some of every batch,
/// later of every second one, of every fourth one, and so on. At most kBatches · kRowsPerBatch of
/// them, on their device. add() never waits for it. Not thread-safe.
class RowSample {
 public:
  /// @param rows (n, d) or (b, n, d), not empty; d as before
  void add(const at::Tensor& rows) {
    if (batches_seen_++ % interval_ != 0) return;
    if (picked_.size() == kBatches) halve();
    picked_.push_back(pick(rows.dim() == 3 ? rows : rows.unsqueeze(1)));
  }

  /// Becomes rows that were drawn elsewhere: (m, d).
  void assign(const at::Tensor& rows) {
    picked_.clear();
    if (rows.numel() > 0) picked_.push_back(rows);
  }

  /// (m, d), without those that are not finite; undefined where there was no batch. Waits for the
  /// device.
  [[nodiscard]] at::Tensor rows() const {
    if (picked_.empty()) return {};
    // A model may have moved to another device meanwhile.
    std::vector<at::Tensor> here;
    for (const at::Tensor& rows : picked_) here.push_back(rows.to(picked_.back().device()));
    const at::Tensor all = at::cat(here);
    return all.index_select(0, at::isfinite(all).all(1).nonzero().squeeze(1));
  }

  /// The memory that it holds, on its device.
  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t bytes = 0;
    for (const at::Tensor& rows : picked_) bytes += static_cast<std::int64_t>(rows.nbytes());
    return bytes;
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(picked_, batches_seen_, interval_);
    archive.require(picked_.size() <= kBatches && interval_ > 0);
    for (const at::Tensor& rows : picked_) archive.require(rows.defined() && rows.dim() == 2);
  }

 private:
  static constexpr std::size_t kBatches = 64;
  static constexpr std::int64_t kRowsPerBatch = 64;

  static at::Tensor pick(const at::Tensor& rows) {
    const std::int64_t total = rows.size(0) * rows.size(1);
    const std::int64_t count = std::min(total, kRowsPerBatch);
    const at::Tensor place =
        at::arange(count, rows.options().dtype(at::kLong)).mul_(total).floor_divide_(count);
    return rows.index({place.floor_divide(rows.size(1)), place.remainder(rows.size(1))});
  }

  /// Forgets every second batch, and takes only every second one from now on.
  void halve() {
    for (std::size_t i = 0; 2 * i < picked_.size(); ++i) picked_[i] = picked_[2 * i];
    picked_.resize(kBatches / 2);
    interval_ *= 2;
  }

  std::vector<at::Tensor> picked_;  // one a batch
  std::int64_t batches_seen_ = 0;
  std::int64_t interval_ = 1;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
