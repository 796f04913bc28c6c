// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t
#include <cstring>  // std::memcpy
#include <vector>   // std::vector

#include <ATen/ATen.h>

#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/detail/tensors/to_device.hpp>

namespace delve::detail {

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

  /// The rows as they came: (n, d), of the type that they wait in.
  [[nodiscard]] at::Tensor rows() const { return buffer_.narrow(0, 0, count()); }

  [[nodiscard]] bool is_of(at::ScalarType type) const {
    return buffer_.defined() && buffer_.scalar_type() == type;
  }

  /// Whether so many more rows, to wait in this type, can be appended.
  [[nodiscard]] bool have_room(std::int64_t count, at::ScalarType type) const {
    return is_of(type) && this->count() + count <= buffer_.size(0);
  }

  /// Makes room. Must be empty.
  /// @param options the device, and the type to wait in
  void reserve(std::int64_t capacity, std::int64_t width, const at::TensorOptions& options) {
    buffer_ = at::empty({capacity, width}, options);
  }

  /// Appends one batch, (n, d) or (b, n, d), for which there must be room.
  void append(const at::Tensor& rows, std::int64_t count) {
    copy_rows(rows, buffer_, this->count());
    batch_ends_.push_back(this->count() + count);
  }

  /// Forgets the rows, and keeps the memory.
  void clear() { batch_ends_.clear(); }

  /// Which of the batches are good.
  struct Good {
    at::Tensor batches;  ///< (k) bool: whether all of a batch is good
    at::Tensor rows;     ///< (n) bool: whether a row belongs to such a batch
  };
  /// @param rows_are_good (n), bool
  [[nodiscard]] Good good(const at::Tensor& rows_are_good) const {
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
    return {batches, batches.index_select(0, batch)};
  }

  [[nodiscard]] WaitingRows copy() const {
    WaitingRows copy = *this;
    copy.buffer_ = clone_of(buffer_);
    return copy;
  }

  [[nodiscard]] std::int64_t bytes() const { return bytes_of(buffer_); }

 private:
  at::Tensor buffer_;                     // (capacity, d)
  std::vector<std::int64_t> batch_ends_;  // where each batch ends
};

}  // namespace delve::detail
