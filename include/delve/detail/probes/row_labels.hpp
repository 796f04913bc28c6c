// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>  // std::int64_t
#include <utility>  // std::move
#include <vector>   // std::vector

#include <ATen/ATen.h>

#include <delve/row_targets.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What the rows of one batch stand for, on their device: for each a class, as a number and as one
/// of c columns, or c numbers to be predicted.
struct RowLabels {
  RowTargets with;     ///< (n, c); the mask is undefined where the host knows that all count
  at::Tensor classes;  ///< (n) int64: the class of each; undefined where there are none
  at::Tensor is_bad;   ///< () bool: the batch is left out, all of it; undefined: known to be false
  bool is_known_bad = false;  ///< the host knows that it is

  [[nodiscard]] std::int64_t rows() const { return with.targets.size(0); }

  template <typename Archive>
  void state(Archive& archive) {
    archive(with.targets, with.mask, classes, is_bad, is_known_bad);
    archive.require(with.targets.defined() && with.targets.dim() == 2);
    archive.require(!with.mask.defined() || with.mask.numel() == rows());
    archive.require(!classes.defined() || classes.numel() == rows());
  }

  /// The same with all data by row changed: rows repeated, chosen or put into another order.
  template <typename Change>
  [[nodiscard]] RowLabels with_rows(const Change& change) const {
    RowLabels changed = *this;
    changed.with.targets = change(with.targets);
    if (with.mask.defined()) changed.with.mask = change(with.mask);
    if (classes.defined()) changed.classes = change(classes);
    return changed;
  }
};

/// Turns data by row, (b · n, …), into data by sample, (b, n, …).
inline at::Tensor by_sample(const at::Tensor& rows, std::int64_t samples, std::int64_t per_sample) {
  std::vector<std::int64_t> shape = rows.sizes().vec();
  shape.front() = per_sample;
  shape.insert(shape.begin(), samples);
  return rows.reshape(shape);
}

/// Which labels of a batch count, and whether the batch is good: found by comparisons alone.
/// one_hot and scatter ask the host, or fail on a GPU.
struct Validity {
  at::Tensor counts;   ///< (n) bool: which rows count if the batch is good
  at::Tensor is_good;  ///< () bool

  /// Whether the host knows, without waiting, that the batch is to be left out.
  [[nodiscard]] bool is_known_bad() const { return is_good.is_cpu() && !is_good.item<bool>(); }
  /// The same, that it is good and all rows count.
  [[nodiscard]] bool is_known_good() const {
    return is_good.is_cpu() && is_good.item<bool>() && counts.all().item<bool>();
  }
};

/// Of class numbers: those outside 0 … c − 1 make the batch bad, but for ignore_index, whose rows
/// do not count.
/// @param labels (n), int64
inline Validity validity_of_classes(const at::Tensor& labels, std::int64_t classes,
                                    std::int64_t ignore_index) {
  const at::Tensor is_class = labels.ge(0).logical_and(labels.lt(classes));
  const at::Tensor is_ignored = labels.eq(ignore_index);
  return {is_class.logical_and(is_ignored.logical_not()), is_class.logical_or(is_ignored).all()};
}

/// Of shares of each class: none below 0, and each row must sum to 1.
/// @param shares (n, c), of a floating type
inline Validity validity_of_shares(const at::Tensor& shares) {
  constexpr double rounding = 1e-2;  // bfloat16 has 8 bits
  const at::Tensor sum = shares.sum(1, /*keepdim=*/false, at::kDouble);
  return {at::ones({shares.size(0)}, shares.options().dtype(at::kBool)),
          sum.sub(1).abs().le(rounding).all().logical_and(shares.ge(0).all())};
}

/// Of numbers to be predicted: one that is not finite, or above 1e30, makes the batch bad.
/// @param numbers (n, c)
inline Validity validity_of_numbers(const at::Tensor& numbers) {
  constexpr double largest = 1e30;  // whose sums float32 can hold
  return {at::ones({numbers.size(0)}, numbers.options().dtype(at::kBool)),
          numbers.to(at::kDouble).abs().lt(largest).all()};
}

/// Leaves out a bad batch as a whole. On the host, where a result is read at once, that is
/// known; on a device nobody looks.
/// @param targets (n, c)
/// @param classes (n) int64; undefined where there are none
inline RowLabels judged(at::Tensor targets, at::Tensor classes, const Validity& validity) {
  RowLabels labels;
  labels.classes = std::move(classes);
  labels.is_known_bad = validity.is_known_bad();
  if (validity.is_known_good()) {
    labels.with.targets = std::move(targets);
    return labels;
  }
  labels.is_bad = validity.is_good.logical_not();
  labels.with.mask = validity.counts.logical_and(validity.is_good);
  labels.with.targets = targets.masked_fill(labels.with.mask.logical_not().unsqueeze(1), 0);
  return labels;
}

/// @param type of the targets
inline RowLabels labels_of_classes(const at::Tensor& labels, std::int64_t classes,
                                   std::int64_t ignore_index, at::ScalarType type) {
  const at::Tensor all = at::arange(classes, labels.options());
  return judged(labels.unsqueeze(1).eq(all).to(type), labels,
                validity_of_classes(labels, classes, ignore_index));
}

inline RowLabels labels_of_shares(const at::Tensor& shares, at::ScalarType type) {
  return judged(shares.to(type), shares.argmax(1), validity_of_shares(shares));
}

/// Float64 until their origin is subtracted: it may be large.
inline RowLabels labels_of_numbers(const at::Tensor& numbers) {
  return judged(numbers.to(at::kDouble), {}, validity_of_numbers(numbers));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
