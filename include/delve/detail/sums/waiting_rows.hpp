// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t
#include <cstring>  // std::memcpy
#include <utility>  // std::move
#include <vector>   // std::vector

#include <ATen/ATen.h>

#include <delve/detail/sums/shift.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/sums/waiting_memory.hpp>
#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/detail/tensors/to_device.hpp>
#include <delve/row_targets.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Whether the numbers of a tensor lie in the host's memory as they are, one after the other.
inline bool is_plain_memory(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.has_storage() && tensor.is_contiguous() && !tensor.is_neg() &&
         !tensor._is_zerotensor();
}

/// Copies (n, d) or (b, n, d) into a matrix of as many columns, from one of its rows on. Where that
/// is one block of memory, without LibTorch's operators: they take longer than a small layer.
inline void copy_rows(const at::Tensor& rows, const at::Tensor& matrix, std::int64_t first) {
  const std::int64_t width = matrix.size(1);
  const std::int64_t count = rows.numel() / width;
  if (is_plain_memory(rows) && rows.scalar_type() == matrix.scalar_type()) {
    const auto row_bytes = static_cast<std::size_t>(width) * matrix.itemsize();
    std::memcpy(static_cast<char*>(matrix.data_ptr()) + static_cast<std::size_t>(first) * row_bytes,
                rows.data_ptr(), static_cast<std::size_t>(count) * row_bytes);
  } else {
    matrix.narrow(0, first, count).view(rows.sizes()).copy_(rows);
  }
}

/// Rows of small batches, which are kept until there are enough for a product.
class WaitingRows {
 public:
  [[nodiscard]] bool empty() const { return batch_ends_.empty(); }
  [[nodiscard]] std::int64_t count() const { return empty() ? 0 : batch_ends_.back(); }

  /// The rows, (n, d), of the type that they wait in: as they came, or shifted.
  [[nodiscard]] at::Tensor rows() const { return buffer_.narrow(0, 0, count()); }

  /// How many rows each batch that waits has, where all have equally many and all rows count; else
  /// 0.
  [[nodiscard]] std::int64_t rows_a_batch() const { return mask_.defined() ? 0 : rows_a_batch_; }

  /// Whether the rows that wait were shifted. Needs some.
  [[nodiscard]] bool are_shifted() const { return are_shifted_; }

  /// Whether they wait in memory that was set apart for that.
  [[nodiscard]] bool have_share() const { return !share_.empty(); }

  [[nodiscard]] bool is_of(at::ScalarType type) const {
    return buffer_.defined() && buffer_.scalar_type() == type;
  }

  /// Whether so many more rows, to wait in this type, can be appended.
  [[nodiscard]] bool have_room(std::int64_t count, at::ScalarType type) const {
    return is_of(type) && this->count() + count <= buffer_.size(0);
  }

  /// The targets that came with them: (n, c); undefined where c is 0.
  [[nodiscard]] at::Tensor targets() const {
    return targets_.defined() ? targets_.narrow(0, 0, count()) : targets_;
  }

  /// Makes room. Must be empty.
  /// @param options the device, and the type to wait in
  /// @param targets c
  /// @param share of the memory that it takes
  void reserve(std::int64_t capacity, std::int64_t width, const at::TensorOptions& options,
               std::int64_t targets = 0, WaitingMemoryShare share = {}) {
    *this = {};
    buffer_ = at::empty({capacity, width}, options);
    share_ = std::move(share);
    if (targets == 0) return;
    targets_ = at::empty({capacity, targets}, options);
    mask_ = at::empty({capacity}, options.dtype(at::kBool));
  }

  /// Appends one batch, (n, d) or (b, n, d), for which there must be room. On a device once the
  /// shift is chosen it is shifted on the way, which takes no more operators than copying it.
  void append(const at::Tensor& rows, std::int64_t count, const Shift& shift, const Tuning& tuning,
              const RowTargets& with = {}) {
    if (empty()) {
      are_shifted_ = !tuning.is_host && shift.is_chosen();
      rows_a_batch_ = count;
    } else if (rows_a_batch_ != count) {
      rows_a_batch_ = 0;
    }
    if (tuning.is_host) {
      copy_rows(rows, buffer_, this->count());
    } else if (are_shifted_) {
      shift.write(rows, slot_for(rows, count));
    } else {
      slot_for(rows, count).copy_(rows);
    }
    if (targets_.defined()) {
      copy_rows(with.targets, targets_, this->count());
      at::Tensor mask = mask_.narrow(0, this->count(), count);
      with.mask.defined() ? mask.copy_(with.mask) : mask.fill_(true);
    }
    batch_ends_.push_back(this->count() + count);
  }

  /// Forgets the rows, and keeps the memory unless it is for just these rows.
  void clear() {
    batch_ends_.clear();
    if (is_compact_) *this = {};
  }

  /// Which of the batches are good.
  struct Good {
    at::Tensor batches;  ///< (k) bool: whether all of a batch that counts is good
    at::Tensor rows;     ///< (n) bool: whether a row belongs to such a batch, and counts
  };
  /// @param rows_are_good (n), bool
  [[nodiscard]] Good good(at::Tensor rows_are_good) const {
    const at::Tensor mask = mask_.defined() ? mask_.narrow(0, 0, count()) : mask_;
    if (mask.defined()) rows_are_good = rows_are_good.logical_or(mask.logical_not());
    std::vector<std::int64_t> batch_of_row;
    batch_of_row.reserve(static_cast<std::size_t>(count()));
    for (std::size_t batch = 0; batch < batch_ends_.size(); ++batch) {
      batch_of_row.resize(static_cast<std::size_t>(batch_ends_[batch]),
                          static_cast<std::int64_t>(batch));
    }
    const at::Tensor batch = to_device(at::tensor(batch_of_row, at::kLong), buffer_.device());
    const at::Tensor batches =
        at::zeros({static_cast<std::int64_t>(batch_ends_.size())},
                  buffer_.options().dtype(at::kDouble))
            .index_add_(0, batch, rows_are_good.logical_not().to(at::kDouble))
            .eq(0);
    const at::Tensor rows = batches.index_select(0, batch);
    return {batches, mask.defined() ? rows.logical_and(mask) : rows};
  }

  /// The same rows in memory for just as many.
  [[nodiscard]] WaitingRows copy() const {
    WaitingRows copy;
    if (empty()) return copy;
    const auto used = [this](const at::Tensor& tensor) {
      return tensor.defined() ? tensor.narrow(0, 0, count()).clone() : tensor;
    };
    copy.buffer_ = used(buffer_);
    copy.targets_ = used(targets_);
    copy.mask_ = used(mask_);
    copy.batch_ends_ = batch_ends_;
    copy.rows_a_batch_ = rows_a_batch_;
    copy.are_shifted_ = are_shifted_;
    copy.is_compact_ = true;
    return copy;
  }

  [[nodiscard]] std::int64_t bytes() const {
    return bytes_of(buffer_) + bytes_of(targets_) + bytes_of(mask_);
  }

  /// @param width, targets d and c
  /// @param take_share takes memory for rows of a type; called where those that are read had some
  template <typename Archive, typename TakeShare>
  void state(Archive& archive, std::int64_t width, std::int64_t targets,
             const TakeShare& take_share) {
    std::int64_t capacity = buffer_.defined() ? buffer_.size(0) : 0;
    bool had_share = have_share();
    archive(capacity, had_share, batch_ends_, rows_a_batch_, are_shifted_, is_compact_);
    if (capacity == 0) {
      archive.require(batch_ends_.empty());
      return;
    }
    at::Tensor values;
    at::Tensor their_targets;
    at::Tensor mask;
    if constexpr (!Archive::kReads) {
      values = rows();
      their_targets = this->targets();
      mask = mask_.defined() ? mask_.narrow(0, 0, count()) : mask_;
      archive(values, their_targets, mask);
    } else {
      archive(values, their_targets, mask);
      const std::int64_t last = count();
      std::int64_t begin = 0;
      for (const std::int64_t end : batch_ends_) {
        archive.require(end > begin);
        begin = end;
      }
      const auto is_column = [&](const at::Tensor& tensor) {
        return tensor.defined() && tensor.dim() > 0 && tensor.size(0) == last;
      };
      archive.require(is_column(values) && values.dim() == 2 && values.size(1) == width);
      const std::int64_t bytes = static_cast<std::int64_t>(values.itemsize());
      archive.require(last <= capacity && capacity <= kDeviceTuning.large_capacity(width, bytes));
      archive.require(rows_a_batch_ >= 0 && (rows_a_batch_ == 0 || last % rows_a_batch_ == 0));
      archive.require(targets == 0 || (is_column(their_targets) && their_targets.dim() == 2 &&
                                       their_targets.size(1) == targets && is_column(mask)));
      const WaitingRows read = std::move(*this);
      WaitingMemoryShare share;
      if (had_share) share = take_share(values.scalar_type());
      // Without the memory that they had, they take no more than they need.
      const bool is_compact = read.is_compact_ || (had_share && share.empty());
      reserve(is_compact ? last : capacity, width, values.options(), targets, std::move(share));
      batch_ends_ = read.batch_ends_;
      rows_a_batch_ = read.rows_a_batch_;
      are_shifted_ = read.are_shifted_;
      is_compact_ = is_compact;
      if (last == 0) return;
      rows().copy_(values);
      if (targets == 0) return;
      this->targets().copy_(their_targets);
      mask_.narrow(0, 0, last).copy_(mask);
    }
  }

 private:
  /// The memory of the next rows, in their shape. It takes one view, or none where all batches
  /// have one shape.
  [[nodiscard]] at::Tensor slot_for(const at::Tensor& rows, std::int64_t count) {
    constexpr std::int64_t kMostSlots = 1024;  // each takes 200 bytes of the host
    const std::int64_t first = this->count();
    const std::int64_t slots = buffer_.size(0) / count;
    if (first == 0 && slots <= kMostSlots &&
        (slots_.empty() || slots_[0].sizes() != rows.sizes())) {
      std::vector<std::int64_t> shape = rows.sizes().vec();
      shape.insert(shape.begin(), slots);
      slots_ = buffer_.narrow(0, 0, slots * count).view(shape).unbind(0);
    }
    if (!slots_.empty() && slots_[0].sizes() == rows.sizes() && first % count == 0) {
      return slots_[static_cast<std::size_t>(first / count)];
    }
    const std::int64_t width = buffer_.size(1);
    std::vector<std::int64_t> strides = {width, 1};
    if (rows.dim() == 3) strides.insert(strides.begin(), rows.size(1) * width);
    return buffer_.as_strided(rows.sizes(), strides, first * width);
  }

  at::Tensor buffer_;                     // (capacity, d)
  std::vector<at::Tensor> slots_;         // views of it, of one batch each
  WaitingMemoryShare share_;              // of its memory; empty where none was set apart
  at::Tensor targets_;                    // (capacity, c); undefined where c is 0, like mask_
  at::Tensor mask_;                       // (capacity) bool: whether a row counts
  std::vector<std::int64_t> batch_ends_;  // where each batch ends
  std::int64_t rows_a_batch_ = 0;
  bool are_shifted_ = false;
  bool is_compact_ = false;  // there is memory for these rows alone
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
