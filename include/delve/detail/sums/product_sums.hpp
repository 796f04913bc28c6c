// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t
#include <vector>   // std::vector

#include <ATen/ATen.h>

#include <delve/detail/sums/products.hpp>
#include <delve/detail/sums/shift.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/detail/tensors/to_device.hpp>

namespace delve::detail {

/// Sums of batches, laid out as products.hpp says. Each batch is summed apart, so that neither a
/// bad one nor an exception can spoil what is there; a few of those sums are kept before they are
/// settled, that is, checked and added together. How many batches were good is known on the device.
class ProductSums {
 public:
  ProductSums() = default;

  /// @param type of the sums
  ProductSums(std::int64_t width, at::Device device, at::ScalarType type)
      : width_(width),
        type_(type),
        count_(at::zeros({}, at::TensorOptions(device).dtype(at::kDouble))),
        skipped_(at::zeros_like(count_)) {}

  [[nodiscard]] at::Device device() const { return count_.device(); }

  /// Whether there is memory for the sums: a batch was settled, or merged.
  [[nodiscard]] bool defined() const { return sums_.defined(); }

  /// Whether no batch has come.
  [[nodiscard]] bool untouched() const { return !defined() && unsettled_rows_.empty(); }

  // Of the batches that are settled:

  [[nodiscard]] const at::Tensor& count() const { return count_; }        ///< () of rows
  [[nodiscard]] at::Tensor product() const { return product_in(sums_); }  ///< lower triangle
  [[nodiscard]] at::Tensor sum() const { return sum_in(sums_); }          ///< (d)

  /// How many rows of all batches are in the sums: (), float64.
  [[nodiscard]] at::Tensor samples() const {
    if (unsettled_rows_.empty()) return count_;
    return count_ + at::dot(are_good(unsettled()).to(at::kDouble), unsettled_counts());
  }

  /// How many of all batches were left out: (), float64.
  [[nodiscard]] at::Tensor skipped() const {
    if (unsettled_rows_.empty()) return skipped_;
    return skipped_ + are_good(unsettled()).logical_not().sum();
  }

  /// Takes a batch of rows (b, n, d), count of them.
  /// @param type in which the products are formed
  void take(const at::Tensor& rows, std::int64_t count, const Shift& shift, at::ScalarType type,
            const Tuning& tuning) {
    // One block is summed in the type of its products.
    const bool is_one_block = rows.size(0) <= samples_per_block(rows, tuning);
    const at::ScalarType sum_type = is_one_block ? type : type_;
    const std::int64_t most = shift.is_chosen() ? tuning.most_unsettled(width_) : 1;
    if (!unsettled_.defined() || unsettled_.scalar_type() != sum_type ||
        unsettled_.size(0) != most || unsettled_count() == most) {
      settle(tuning);
      unsettled_ = at::empty({most, width_ + 1, width_}, rows.options().dtype(sum_type));
    }
    sum_up(rows, shift, type, unsettled_[unsettled_count()], tuning);
    unsettled_rows_.push_back(static_cast<double>(count));
    if (unsettled_count() == most) settle(tuning);
  }

  /// Adds the sums that are kept apart. An exception loses them, rather than have them added twice.
  void settle(const Tuning& tuning) {
    if (unsettled_rows_.empty()) return;
    const at::Tensor sums = unsettled();
    const at::Tensor counts = unsettled_counts();
    unsettled_rows_.clear();
    if (unsettled_.size(0) == 1) unsettled_ = at::Tensor();
    add(sums, counts, tuning);
  }

  /// Adds sums of batches, leaving out those that are not finite.
  /// @param sums (k, d + 1, d), of one batch each; may be written to
  /// @param counts (k), float64: the rows of each
  void add(const at::Tensor& sums, const at::Tensor& counts, const Tuning& tuning) {
    // What takes memory comes first.
    const at::Tensor good = are_good(sums);
    const at::Tensor count = at::dot(good.to(at::kDouble), counts);
    const at::Tensor skipped = good.logical_not().sum().to(at::kDouble);
    if (!are_known_true(good, tuning)) {
      sums.masked_fill_(good.logical_not().view({-1, 1, 1}), 0);
    }
    const at::Tensor sum = sums.size(0) == 1 ? sums[0] : sums.sum(0, /*keepdim=*/false, type_);
    if (sums_.defined()) {
      add_sums(sums_, sum, tuning);
    } else {
      sums_ = sum.to(type_, /*non_blocking=*/false, /*copy=*/true);
    }
    count_.add_(count);
    skipped_.add_(skipped);
  }

  /// Counts batches that were left out before they were summed.
  /// @param batches (), float64
  void skip(const at::Tensor& batches) { skipped_.add_(batches); }

  /// Adds all that others have summed; both must be settled. The sums of the others are copied to
  /// this device.
  void merge(const ProductSums& others, const Shift& shift, const Shift& others_shift) {
    const auto here = [&](const at::Tensor& tensor) { return tensor.to(device(), at::kDouble); };
    // The others' y are r·y + δ in our coordinates; their sums follow by expansion.
    const at::Tensor r = here(shift.scale()) / here(others_shift.scale());
    const at::Tensor delta =
        (here(others_shift.shift()) - here(shift.shift())) * here(shift.scale());
    const at::Tensor count = here(others.count_);
    const at::Tensor others_sum = here(others.sum()) * r;
    const at::Tensor cross = at::outer(others_sum + delta * (count / 2), delta);
    if (!defined()) sums_ = at::zeros({width_ + 1, width_}, count_.options().dtype(type_));
    product().add_(here(others.product()) * r.square() + cross + cross.t());
    sum().add_(others_sum + delta * count);
    count_.add_(count);
    skipped_.add_(here(others.skipped_));
  }

  [[nodiscard]] ProductSums copy() const {
    ProductSums copy = *this;
    copy.count_ = clone_of(count_);
    copy.skipped_ = clone_of(skipped_);
    copy.sums_ = clone_of(sums_);
    copy.unsettled_ = unsettled_rows_.empty() ? at::Tensor() : clone_of(unsettled_);
    return copy;
  }

  /// The same on another device; must be settled.
  [[nodiscard]] ProductSums on(at::Device device) const {
    ProductSums moved = *this;
    moved.count_ = moved_to(count_, device);
    moved.skipped_ = moved_to(skipped_, device);
    moved.sums_ = moved_to(sums_, device);
    moved.unsettled_ = at::Tensor();
    return moved;
  }

  [[nodiscard]] std::int64_t bytes() const {
    return bytes_of(count_) + bytes_of(skipped_) + bytes_of(sums_) + bytes_of(unsettled_);
  }

 private:
  /// The squares of ten thousand values of kLargest. The largest float32 is 3e38.
  static constexpr double kLargestSum = 1e34;

  /// Which sums of batches, (k, d + 1, d), are finite, and not of values kLargest times as large as
  /// the data so far: (k), bool. Either shows on the diagonal, which is never negative.
  static at::Tensor are_good(const at::Tensor& sums) {
    return sums.narrow(1, 0, sums.size(2)).diagonal(0, 1, 2).sum(1).lt(kLargestSum);
  }

  [[nodiscard]] std::int64_t unsettled_count() const {
    return static_cast<std::int64_t>(unsettled_rows_.size());
  }
  [[nodiscard]] at::Tensor unsettled() const { return part(unsettled_, 0, 0, unsettled_count()); }
  [[nodiscard]] at::Tensor unsettled_counts() const {
    return to_device(at::tensor(unsettled_rows_, at::kDouble), device());
  }

  std::int64_t width_ = 0;
  at::ScalarType type_ = at::kDouble;
  at::Tensor count_;    // () float64
  at::Tensor skipped_;  // () float64
  at::Tensor sums_;     // (d + 1, d); undefined before batches are settled

  at::Tensor unsettled_;                // (most, d + 1, d): the sums of one batch each
  std::vector<double> unsettled_rows_;  // how many rows each of those that are there stands for
};

}  // namespace delve::detail
