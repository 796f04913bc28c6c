// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max, std::min
#include <cstdint>    // std::int64_t
#include <utility>    // std::move

#include <ATen/ATen.h>

#include <delve/detail/sums/shift.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/product_precision.hpp>
#include <delve/row_targets.hpp>
#include <delve/version.hpp>

// Sums of rows y, of their products, and of their products with c targets t. All are in one tensor,
// (d + 1 + c, d), since on a device each operator costs: the lower triangle of Σ yyᵀ, below it Σ y,
// and below that Σ tyᵀ.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline at::Tensor product_in(const at::Tensor& sums) {
  return sums.narrow(0, 0, sums.size(1));
}

inline at::Tensor sum_in(const at::Tensor& sums) {
  return sums.select(0, sums.size(1));
}

/// (c, d)
inline at::Tensor cross_in(const at::Tensor& sums) {
  return sums.narrow(0, sums.size(1) + 1, sums.size(0) - sums.size(1) - 1);
}

/// In which type the products of rows are formed.
inline at::ScalarType product_type(Products products, const at::Tensor& rows) {
  const bool is_wide = products == Products::Float64 || rows.scalar_type() == at::kDouble;
  return is_wide ? at::kDouble : at::kFloat;
}

/// Whether all flags are set, where that is known at once: a device is not waited for.
inline bool are_known_true(const at::Tensor& flags, const Tuning& tuning) {
  return tuning.is_host && flags.all().item<bool>();
}

/// narrow(), or the tensor itself where that is all of it.
inline at::Tensor part(const at::Tensor& tensor, std::int64_t axis, std::int64_t begin,
                       std::int64_t length) {
  return length == tensor.size(axis) ? tensor : tensor.narrow(axis, begin, length);
}

/// Whether a product of n rows of d features is one for which BLAS may add all n one after the
/// other, so that rounding grows by √n. Most work in blocks of some hundreds of rows; OpenBLAS from
/// 0.3.22 on has kernels without blocks for up to 10⁶ multiplications.
inline bool may_be_unblocked(std::int64_t rows, std::int64_t width) {
  constexpr std::int64_t most_multiplications = std::int64_t{1} << 20;
  return width * width <= most_multiplications / std::max<std::int64_t>(1, rows);
}

/// Whether one product per sample pays: each sample of (b, n, d) is stored feature by feature, as
/// in an NCHW tensor, and all the products take no more memory than half of the rows. Putting the
/// rows in order first takes longer than the product where there are few features.
inline bool pays_by_sample(const at::Tensor& rows) {
  constexpr std::int64_t many_rows = 1024;
  return rows.stride(1) == 1 && rows.stride(2) != 1 && 2 * rows.size(2) <= rows.size(1) &&
         !(rows.size(1) > many_rows && may_be_unblocked(rows.size(1), rows.size(2)));
}

/// How many samples of rows (b, n, d) make a block.
inline std::int64_t samples_per_block(const at::Tensor& rows, const Tuning& tuning) {
  return std::max<std::int64_t>(1, tuning.rows_per_block(rows.size(2)) / rows.size(1));
}

/// Takes a sum strip by strip, up to its diagonal: act(strip, begin, rows) is called with the part
/// of the (d, d) or (d + 1 + c, d) sum from row `begin` on.
template <typename Act>
void for_each_strip(const at::Tensor& sum, std::int64_t rows_at_a_time, const Act& act) {
  for (std::int64_t begin = 0; begin < sum.size(0); begin += rows_at_a_time) {
    const std::int64_t rows = std::min(rows_at_a_time, sum.size(0) - begin);
    const std::int64_t columns = std::min(begin + rows, sum.size(1));
    act(part(part(sum, 0, begin, rows), 1, 0, columns), begin, rows);
  }
}

/// Adds to a sum, or begins it, whatever its memory held before. Widens the type on the way.
inline void add_or_begin(const at::Tensor& sum, const at::Tensor& more, bool begins) {
  begins ? sum.copy_(more) : sum.add_(more);
}

/// The same with the sum of some parts, along some axes.
inline void add_sum(at::Tensor sum, const at::Tensor& parts, at::IntArrayRef axes, bool begins) {
  if (begins && sum.scalar_type() == parts.scalar_type()) {
    at::sum_out(sum, parts, axes);
  } else {
    add_or_begin(sum, parts.sum(axes), begins);
  }
}

/// Adds yᵀy, for y of shape (n, d), to the lower triangle of a sum, or begins it.
inline void add_product(const at::Tensor& sum, const at::Tensor& all, bool begins,
                        const Tuning& tuning) {
  constexpr std::int64_t rows_in_a_block = 256;
  at::Tensor y = all;
  const std::int64_t blocks = y.size(0) / rows_in_a_block;
  if (blocks > 1 && may_be_unblocked(y.size(0), y.size(1))) {
    const std::int64_t rows = blocks * rows_in_a_block;
    const at::Tensor in_blocks = part(y, 0, 0, rows).view({blocks, rows_in_a_block, y.size(1)});
    add_sum(sum, at::bmm(in_blocks.transpose(1, 2), in_blocks), 0, begins);
    if (rows == y.size(0)) return;
    y = y.narrow(0, rows, y.size(0) - rows);
    begins = false;
  }
  for_each_strip(sum, tuning.rows_per_strip(sum.size(1)),
                 [&](const at::Tensor& strip, auto begin, auto rows) {
                   const at::Tensor left = part(y, 1, begin, rows).t();
                   const at::Tensor right = part(y, 1, 0, begin + rows);
                   if (strip.scalar_type() == y.scalar_type()) {
                     strip.addmm_(left, right, /*beta=*/begins ? 0 : 1);
                   } else {
                     add_or_begin(strip, at::mm(left, right), begins);
                   }
                 });
}

/// The same for y that is stored feature by feature, (b, d, n), with one product for each of the b.
inline void add_products_by_sample(const at::Tensor& sum, const at::Tensor& y, bool begins,
                                   const Tuning& tuning) {
  for_each_strip(sum, tuning.rows_per_strip(sum.size(1)),
                 [&](at::Tensor strip, auto begin, auto rows) {
                   const at::Tensor left = part(y, 1, begin, rows);
                   const at::Tensor right = part(y, 1, 0, begin + rows).transpose(1, 2);
                   add_sum(std::move(strip), at::bmm(left, right), 0, begins);
                 });
}

/// Adds tᵀy, for t of shape (n, c), to a sum, or begins it.
inline void add_cross(const at::Tensor& sum, const at::Tensor& t, const at::Tensor& y,
                      bool begins) {
  if (sum.size(0) == 0) return;
  const at::Tensor left = t.to(y.scalar_type()).t();
  if (sum.scalar_type() == y.scalar_type()) {
    sum.addmm_(left, y, /*beta=*/begins ? 0 : 1);
  } else {
    add_or_begin(sum, at::mm(left, y), begins);
  }
}

/// Adds sums to sums, (d + 1 + c, d) each, of which the second may be of a narrower type.
inline void add_sums(const at::Tensor& sums, const at::Tensor& more, const Tuning& tuning) {
  for_each_strip(sums, tuning.rows_per_addition,
                 [&](const at::Tensor& strip, auto begin, auto rows) {
                   strip.add_(part(part(more, 0, begin, rows), 1, 0, strip.size(1)));
                 });
}

/// Writes the sums of rows that are shifted already.
/// @param y (n, d)
/// @param sums (d + 1 + c, d)
/// @param targets (n, c); undefined where c is 0
inline void sum_shifted(const at::Tensor& y, const at::Tensor& sums, const Tuning& tuning,
                        const at::Tensor& targets = {}) {
  add_sum(sum_in(sums), y, 0, /*begins=*/true);
  add_product(product_in(sums), y, /*begins=*/true, tuning);
  if (targets.defined()) add_cross(cross_in(sums), targets, y, /*begins=*/true);
}

/// Writes the sums of rows, block by block.
/// @param rows (b, n, d)
/// @param type in which the products are formed
/// @param sums (d + 1 + c, d)
/// @param with what comes with them; not defined where c is 0
inline void sum_up(const at::Tensor& rows, const Shift& shift, at::ScalarType type,
                   const at::Tensor& sums, const Tuning& tuning, const RowTargets& with = {}) {
  const at::Tensor product = product_in(sums);
  const at::Tensor sum = sum_in(sums);
  const bool by_sample = !with.targets.defined() && pays_by_sample(rows);
  const std::int64_t block = samples_per_block(rows, tuning);
  for (std::int64_t begin = 0; begin < rows.size(0); begin += block) {
    const at::Tensor some = part(rows, 0, begin, std::min(block, rows.size(0) - begin));
    const bool begins = begin == 0;
    if (by_sample) {
      const at::Tensor y = shift.of_features(some.transpose(1, 2), type, tuning);
      add_sum(sum, y, {0, 2}, begins);
      add_products_by_sample(product, y, begins, tuning);
    } else {
      at::Tensor y = shift.of_rows(some, type).view({-1, rows.size(2)});
      const std::int64_t first = begin * rows.size(1);
      if (with.mask.defined()) {
        y.masked_fill_(part(with.mask, 0, first, y.size(0)).logical_not().unsqueeze(1), 0);
      }
      add_sum(sum, y, 0, begins);
      add_product(product, y, begins, tuning);
      if (with.targets.defined()) {
        add_cross(cross_in(sums), part(with.targets, 0, first, y.size(0)), y, begins);
      }
    }
  }
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
