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
#include <delve/row_targets.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Sums of batches, laid out as products.hpp says. Each batch is summed apart, so that neither a
/// bad one nor an exception can spoil what is there; a few of those sums are kept before they are
/// settled, that is, checked and added together. How many batches were good is known on the device.
class ProductSums {
 public:
  ProductSums() = default;

  /// @param type of the sums
  /// @param targets c, how many come with each row
  ProductSums(std::int64_t width, at::Device device, at::ScalarType type, std::int64_t targets = 0)
      : width_(width),
        targets_(targets),
        type_(type),
        count_(at::zeros({}, at::TensorOptions(device).dtype(at::kDouble))),
        skipped_(at::zeros_like(count_)),
        target_sum_(at::zeros({targets}, count_.options())) {}

  [[nodiscard]] at::Device device() const { return count_.device(); }

  /// Whether there is memory for the sums: a batch was settled, or merged.
  [[nodiscard]] bool defined() const { return sums_.defined(); }

  /// Whether no batch has come.
  [[nodiscard]] bool untouched() const { return !defined() && unsettled_rows_.empty(); }

  // Of the batches that are settled:

  [[nodiscard]] const at::Tensor& count() const { return count_; }            ///< () of rows
  [[nodiscard]] at::Tensor product() const { return product_in(sums_); }      ///< lower triangle
  [[nodiscard]] at::Tensor sum() const { return sum_in(sums_); }              ///< (d)
  [[nodiscard]] at::Tensor cross() const { return cross_in(sums_); }          ///< (c, d)
  [[nodiscard]] const at::Tensor& target_sum() const { return target_sum_; }  ///< (c) float64

  /// How many rows of all batches are in the sums: (), float64.
  [[nodiscard]] at::Tensor samples() const {
    if (unsettled_rows_.empty()) return count_;
    return count_ + at::dot(are_good(unsettled()).to(at::kDouble), unsettled_totals().select(1, 0));
  }

  /// How many of all batches were left out: (), float64.
  [[nodiscard]] at::Tensor skipped() const {
    if (unsettled_rows_.empty()) return skipped_;
    return skipped_ + are_good(unsettled()).logical_not().sum();
  }

  /// Takes a batch of rows (b, n, d), `count` of them.
  /// @param type in which the products are formed
  /// @param with what comes with them, where c is not 0
  void take(const at::Tensor& rows, std::int64_t count, const Shift& shift, at::ScalarType type,
            const Tuning& tuning, const RowTargets& with = {}) {
    // One block is summed in the type of its products.
    const bool is_one_block = rows.size(0) <= samples_per_block(rows, tuning);
    const at::ScalarType sum_type = is_one_block ? type : type_;
    const std::int64_t most = shift.is_chosen() ? tuning.most_unsettled(width_) : 1;
    if (!unsettled_.defined() || unsettled_.scalar_type() != sum_type ||
        unsettled_.size(0) != most || unsettled_count() == most) {
      settle(tuning);
      unsettled_ = at::empty({most, width_ + 1 + targets_, width_}, rows.options().dtype(sum_type));
    }
    sum_up(rows, shift, type, unsettled_[unsettled_count()], tuning, with);
    if (targets_ > 0) unsettled_totals_.push_back(totals_of(with, count));
    unsettled_rows_.push_back(static_cast<double>(count));
    if (unsettled_count() == most) settle(tuning);
  }

  /// Adds the sums that are kept apart. An exception loses them, rather than have them added twice.
  void settle(const Tuning& tuning) {
    if (unsettled_rows_.empty()) return;
    const at::Tensor sums = unsettled();
    const at::Tensor totals = unsettled_totals();
    unsettled_rows_.clear();
    unsettled_totals_.clear();
    if (unsettled_.size(0) == 1) unsettled_ = at::Tensor();
    add(sums, totals, tuning);
  }

  /// Adds sums of batches, leaving out those that are not finite.
  /// @param sums (k, d + 1 + c, d), of one batch each; may be written to
  /// @param totals (k, 1 + c), float64: how many rows of each count, and the sums of their targets
  void add(const at::Tensor& sums, const at::Tensor& totals, const Tuning& tuning) {
    // What takes memory comes first.
    const at::Tensor good = are_good(sums);
    const at::Tensor total = at::mv(totals.t(), good.to(at::kDouble));
    const at::Tensor bad = good.logical_not();
    const at::Tensor skipped = bad.sum(at::kDouble);
    if (!are_known_true(good, tuning)) sums.masked_fill_(bad.view({-1, 1, 1}), 0);
    const at::Tensor sum = sums.size(0) == 1 ? sums[0] : sums.sum(0, /*keepdim=*/false, type_);
    if (sums_.defined()) {
      add_sums(sums_, sum, tuning);
    } else {
      sums_ = sum.to(type_, /*non_blocking=*/false, /*copy=*/true);
    }
    count_.add_(total[0]);
    if (targets_ > 0) target_sum_.add_(total.narrow(0, 1, targets_));
    skipped_.add_(skipped);
  }

  /// Counts batches that were left out before they were summed.
  /// @param batches (), float64
  void skip(const at::Tensor& batches) { skipped_.add_(batches); }

  /// Adds all that others have summed; both must be settled. The sums of the others are copied to
  /// this device. Their targets are left out where this has none.
  void merge(const ProductSums& others, const Shift& shift, const Shift& others_shift) {
    const auto here = [&](const at::Tensor& tensor) { return tensor.to(device(), at::kDouble); };
    // The others' y are r·y + δ in our coordinates; their sums follow by expansion.
    const at::Tensor r = here(shift.scale()) / here(others_shift.scale());
    const at::Tensor delta =
        (here(others_shift.shift()) - here(shift.shift())) * here(shift.scale());
    const at::Tensor count = here(others.count_);
    const at::Tensor others_sum = here(others.sum()) * r;
    const at::Tensor mixed = at::outer(others_sum + delta * (count / 2), delta);
    if (!defined())
      sums_ = at::zeros({width_ + 1 + targets_, width_}, count_.options().dtype(type_));
    product().add_(here(others.product()) * r.square() + mixed + mixed.t());
    sum().add_(others_sum + delta * count);
    if (targets_ > 0) {
      const at::Tensor others_target_sum = here(others.target_sum_);
      cross().add_(here(others.cross()) * r + at::outer(others_target_sum, delta));
      target_sum_.add_(others_target_sum);
    }
    count_.add_(count);
    skipped_.add_(here(others.skipped_));
  }

  /// Becomes the sums of data that was summed elsewhere. Must be new.
  /// @param samples, skipped how many rows and batches
  /// @param sums (d + 1 + c, d), float64, and target_sum (c)
  void assign(double samples, double skipped, const at::Tensor& sums,
              const at::Tensor& target_sum) {
    count_.fill_(samples);
    skipped_.fill_(skipped);
    sums_ = sums.to(type_);
    target_sum_.copy_(target_sum);
  }

  /// Adds a vector to the targets of all rows: (c), float64. Must be settled.
  void move_targets(const at::Tensor& by) {
    cross().add_(at::outer(by, sum().to(at::kDouble)));
    target_sum_.add_(by * count_);
  }

  [[nodiscard]] ProductSums copy() const {
    ProductSums copy = *this;
    copy.count_ = clone_of(count_);
    copy.skipped_ = clone_of(skipped_);
    copy.sums_ = clone_of(sums_);
    copy.target_sum_ = clone_of(target_sum_);
    copy.unsettled_ = unsettled_rows_.empty() ? at::Tensor() : clone_of(unsettled_);
    return copy;
  }

  /// The same on another device; must be settled.
  [[nodiscard]] ProductSums on(at::Device device) const {
    ProductSums moved = *this;
    moved.count_ = moved_to(count_, device);
    moved.skipped_ = moved_to(skipped_, device);
    moved.sums_ = moved_to(sums_, device);
    moved.target_sum_ = moved_to(target_sum_, device);
    moved.unsettled_ = at::Tensor();
    return moved;
  }

  [[nodiscard]] std::int64_t bytes() const {
    return bytes_of(count_) + bytes_of(skipped_) + bytes_of(sums_) + bytes_of(unsettled_) +
           bytes_of(target_sum_);
  }

  /// Of sums of the same width and type.
  template <typename Archive>
  void state(Archive& archive) {
    archive(count_, skipped_, sums_, target_sum_, unsettled_rows_, unsettled_totals_);
    const std::vector<std::int64_t> shape = {width_ + 1 + targets_, width_};
    archive.require(count_.defined() && count_.dim() == 0 && skipped_.defined());
    archive.require(!sums_.defined() || (sums_.sizes() == shape && sums_.scalar_type() == type_));
    archive.require(target_sum_.defined() && target_sum_.numel() == targets_);
    std::int64_t most = unsettled_.defined() ? unsettled_.size(0) : 0;
    at::Tensor used = most > 0 ? unsettled() : at::Tensor();
    archive(most, used);
    if constexpr (Archive::kReads) {
      const bool has_targets = targets_ > 0;
      archive.require(most >= 0 && most <= kMostUnsettled && used.defined() == (most > 0));
      archive.require(unsettled_count() <= most &&
                      unsettled_totals_.size() == (has_targets ? unsettled_rows_.size() : 0));
      for (const at::Tensor& totals : unsettled_totals_) {
        archive.require(totals.defined() && totals.numel() == 1 + targets_);
      }
      unsettled_ = at::Tensor();
      if (most == 0) return;
      archive.require(used.dim() == 3 && used.size(0) == unsettled_count() &&
                      used.sizes().slice(1) == at::IntArrayRef(shape));
      unsettled_ = at::empty({most, shape[0], shape[1]}, used.options());
      unsettled().copy_(used);
    }
  }

 private:
  /// The squares of ten thousand values of kLargest. The largest float32 is 3e38.
  static constexpr double kLargestSum = 1e34;

  /// How many rows count, and the sums of their targets: (1 + c), float64.
  static at::Tensor totals_of(const RowTargets& with, std::int64_t count) {
    const at::Tensor sums = with.targets.sum(0, /*keepdim=*/false, at::kDouble);
    const at::Tensor rows = with.mask.defined()
                                ? with.mask.sum(at::kDouble)
                                : at::full({}, static_cast<double>(count), sums.options());
    return at::cat({rows.reshape({1}), sums});
  }

  /// Which sums of batches, (k, d + 1 + c, d), are finite, and not of values kLargest times as
  /// large as the data so far: (k), bool. Either shows on the diagonal, which is never negative.
  static at::Tensor are_good(const at::Tensor& sums) {
    return sums.narrow(1, 0, sums.size(2)).diagonal(0, 1, 2).sum(1).lt(kLargestSum);
  }

  [[nodiscard]] std::int64_t unsettled_count() const {
    return static_cast<std::int64_t>(unsettled_rows_.size());
  }
  [[nodiscard]] at::Tensor unsettled() const { return part(unsettled_, 0, 0, unsettled_count()); }
  /// (k, 1 + c), as of add().
  [[nodiscard]] at::Tensor unsettled_totals() const {
    if (targets_ > 0) return at::stack(unsettled_totals_);
    return to_device(at::tensor(unsettled_rows_, at::kDouble), device()).unsqueeze(1);
  }

  std::int64_t width_ = 0;
  std::int64_t targets_ = 0;
  at::ScalarType type_ = at::kDouble;
  at::Tensor count_;       // () float64
  at::Tensor skipped_;     // () float64
  at::Tensor sums_;        // (d + 1 + c, d); undefined before batches are settled
  at::Tensor target_sum_;  // (c) float64

  at::Tensor unsettled_;                      // (most, d + 1 + c, d): the sums of one batch each
  std::vector<double> unsettled_rows_;        // how many rows each of these stands for
  std::vector<at::Tensor> unsettled_totals_;  // (1 + c) each, as of add(); none where c is 0
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
