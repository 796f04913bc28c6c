// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cmath>        // std::exp2, INFINITY
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <cstring>      // std::memcpy
#include <stdexcept>    // std::invalid_argument
#include <string_view>  // std::string_view
#include <tuple>        // std::get
#include <type_traits>  // std::is_same_v
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/detail/sums/memory.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tensors/plain_tensor.hpp>
#include <delve/detail/tensors/to_device.hpp>
#include <delve/product_precision.hpp>

namespace delve {

namespace detail {

/// Whether a tensor is where small operators are cheap and parts of a product can be left out; on a
/// device it is the other way round. The one place that decides: a test has it say no on the host.
inline bool is_on_host(const at::Tensor& tensor) {
  return tensor.is_cpu();
}

}  // namespace detail

/// Mean and covariance of data that comes in batches, on the device where it comes.
///
///     Σ = 1/n · Σᵢ (xᵢ − m)(xᵢ − m)ᵀ       m = 1/n · Σᵢ xᵢ
///
/// the population covariance, by the shifted-data algorithm: with s near the data and yᵢ = xᵢ − s,
/// 1/n · Σᵢ yᵢyᵢᵀ − (1/n · Σᵢ yᵢ)(1/n · Σᵢ yᵢ)ᵀ cancels nothing, however far from the origin the
/// data lies (Chan, Golub & LeVeque, "Algorithms for computing the sample variance", The American
/// Statistician 37(3), 1983). s is the mean of the first good rows that are summed: those that have
/// waited, or about a thousand of a large batch. The y are scaled by a power of two as well, so
/// that products of activations of 1e30 do not overflow.
///
/// No batch is dropped or weighted: but for rounding, the result depends neither on how the data is
/// split into batches nor on their order. Only a batch with a NaN or an infinity (or with values
/// 1e15 times as large as the first ones) is left out whole, and counted. That is decided on the
/// device: update() never waits for it. Small batches are kept as rows until a product is worth it.
///
/// Scalar, float or double, is the type of the sums. Not thread-safe.
template <typename Scalar = double>
class Covariance {
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "delve::Covariance sums in float or double");

 public:
  explicit Covariance(Products products = Products::Float32) : products_(products) {}
  Covariance(Covariance&&) noexcept = default;
  Covariance& operator=(Covariance&&) noexcept = default;

  /// Takes one batch in. Does not wait for the device, unless the sums have to follow the rows to
  /// another one. On CUDA all members are to be called on one stream.
  /// @param rows (n, d) or (b, n, d), of any strides and any floating type; the last axis is that
  ///   of the features. It is not kept. An empty batch changes nothing. Where its device is not
  ///   that of the sums, they follow it.
  /// @throws std::invalid_argument where the shape or the type is another, or d is not as before
  /// @throws std::runtime_error where d × d numbers are more than the host's memory
  void update(const at::Tensor& rows);

  /// Adds all that another accumulator has seen, as if this one had seen it too. The sums of the
  /// other one are copied to this one's device; its result stays the same. One that has seen
  /// nothing takes the other one's device.
  /// @throws std::invalid_argument where the widths differ
  /// @throws std::runtime_error as update()
  void merge(Covariance& other);

  /// Another accumulator that has seen the same.
  [[nodiscard]] Covariance copy() const;

  /// The memory that it holds on its device, in bytes.
  [[nodiscard]] std::int64_t bytes() const;

  /// Forgets all data and frees its memory.
  void reset() { *this = Covariance(products_); }

  /// d; 0 before the first batch.
  [[nodiscard]] std::int64_t width() const { return width_; }

  /// n: the data points in the sums. Waits for the device.
  [[nodiscard]] std::int64_t samples() const;

  /// How many batches were left out, for values that are not finite. Waits for the device.
  [[nodiscard]] std::int64_t skipped_batches() const;

  /// m: (d), float64, on the device. Needs samples() > 0.
  /// @throws std::runtime_error as update()
  [[nodiscard]] at::Tensor mean();

  /// Σ: (d, d), float64, symmetric, on the device. Needs samples() > 0.
  /// @throws std::runtime_error as update()
  [[nodiscard]] at::Tensor matrix();

  /// The diagonal of Σ: (d), float64, on the device. Needs samples() > 0.
  /// @throws std::runtime_error as update()
  [[nodiscard]] at::Tensor variances();

  /// A symmetric float64 matrix with the non-zero eigenvalues of Σ: Σ itself, or, as long as fewer
  /// than d data points have come and none was folded yet, the (n, n) Gram matrix 1/n · YYᵀ of the
  /// centred rows Y. Needs samples() > 0. Waits for the device.
  /// @throws std::runtime_error as update(), where it is Σ itself
  [[nodiscard]] at::Tensor spectral_matrix();

  /// Where the sums are. Needs width() > 0.
  [[nodiscard]] at::Device device() const { return count_.device(); }

  /// The type of the sums.
  static constexpr at::ScalarType kSumType =
      std::is_same_v<Scalar, float> ? at::kFloat : at::kDouble;

 private:
  void begin(const at::Tensor& rows);
  void move_to(at::Device device);
  void foresee(std::size_t bytes_a_number, std::string_view purpose) const;
  void foresee_sums() const;
  void append(const at::Tensor& rows, std::int64_t count);
  void flush();
  [[nodiscard]] bool shift_is_chosen() const;
  void choose_shift(const at::Tensor& rows, const at::Tensor& first_row);
  void set_shift(const at::Tensor& shift, const at::Tensor& scale);
  void fold(const at::Tensor& rows, std::int64_t count);
  void settle();
  void add(const at::Tensor& sums, const at::Tensor& counts);
  void sum_up(const at::Tensor& rows, const at::Tensor& sums) const;
  [[nodiscard]] at::Tensor are_finite(const at::Tensor& sums) const;
  [[nodiscard]] std::int64_t most_unsettled() const;
  [[nodiscard]] at::Tensor unsettled_sums() const;
  [[nodiscard]] at::Tensor unsettled_row_counts() const;
  [[nodiscard]] at::Tensor shifted(const at::Tensor& rows) const;
  [[nodiscard]] at::Tensor shifted_by_feature(const at::Tensor& features) const;
  [[nodiscard]] at::Tensor centred_waiting_rows() const;

  struct FiniteRows {
    at::Tensor batches;  // (k) bool: whether a batch that waits is finite throughout
    at::Tensor rows;     // (n) bool: whether a row that waits belongs to one that is
  };
  [[nodiscard]] FiniteRows finite_rows(const at::Tensor& y) const;

  [[nodiscard]] at::ScalarType product_type(const at::Tensor& rows) const {
    const bool wide = products_ == Products::Float64 || rows.scalar_type() == at::kDouble;
    return wide ? at::kDouble : at::kFloat;
  }
  /// How many rows wait at most: a product of d × d should not cost more to add than to form, and
  /// the dozens of small operators around it not more than to collect 256 KB of rows. On a device
  /// it is those operators that cost.
  [[nodiscard]] std::int64_t capacity() const {
    if (!detail::is_on_host(count_)) return 2048;
    return std::clamp<std::int64_t>(std::max(width_, (1 << 16) / width_), 256, 2048);
  }
  /// Whether a batch of so many rows waits. On a device only where its product is of more numbers.
  [[nodiscard]] bool waits(std::int64_t count) const {
    return count <
           (detail::is_on_host(count_) ? capacity() : std::clamp<std::int64_t>(width_, 256, 2048));
  }
  [[nodiscard]] std::int64_t unsettled_count() const {
    return static_cast<std::int64_t>(unsettled_rows_.size());
  }
  [[nodiscard]] bool all_rows_wait() const {
    return !sums_.defined() && unsettled_rows_.empty() && !batch_ends_.empty();
  }
  [[nodiscard]] std::int64_t waiting_count() const {
    return batch_ends_.empty() ? 0 : batch_ends_.back();
  }
  [[nodiscard]] at::Tensor waiting_rows() const { return waiting_.narrow(0, 0, waiting_count()); }
  [[nodiscard]] at::Tensor product() const { return sums_.narrow(0, 0, width_); }
  [[nodiscard]] at::Tensor sum() const { return sums_.select(0, width_); }

  Products products_;
  std::int64_t width_ = 0;

  // Sums over the y = (x − shift) · scale of all rows, but for those below; all on one device.
  at::Tensor shift_;    // (d)
  at::Tensor scale_;    // ()
  at::Tensor offset_;   // (d): −shift · scale
  at::Tensor count_;    // () float64
  at::Tensor skipped_;  // () float64
  // (d + 1, d) of Scalar: of Σ yyᵀ the lower triangle, and below it Σ y. In one, for what each
  // operator costs on a device. Undefined before rows are folded.
  at::Tensor sums_;
  int shifts_tried_ = 0;

  at::Tensor unsettled_;                // (most_unsettled(), d + 1, d): laid out as sums_, each
  std::vector<double> unsettled_rows_;  // for how many rows each stands that is there

  at::Tensor waiting_;                    // (capacity, d)
  std::vector<std::int64_t> batch_ends_;  // of the waiting rows: where each batch ends

  static constexpr at::Tensor Covariance::*kTensors[] = {
      &Covariance::shift_,   &Covariance::scale_, &Covariance::offset_,    &Covariance::count_,
      &Covariance::skipped_, &Covariance::sums_,  &Covariance::unsettled_, &Covariance::waiting_};
};

namespace detail {

/// Rows that are multiplied at a time. On the host few enough for them to stay in a cache, 4 MB of
/// float32, and for float32 to sum them; enough for a product to be worth adding d × d numbers. On
/// a device, where it is operators that cost, 128 MB of float32.
inline std::int64_t rows_per_block(const at::Tensor& rows) {
  const std::int64_t width = rows.size(-1);
  if (!is_on_host(rows)) return std::clamp<std::int64_t>((1 << 25) / width, 2048, 1 << 19);
  return std::clamp<std::int64_t>((1 << 20) / width, 2048, 16384);
}

/// A bad first batch must not become the shift. Whether it was bad may be known to a device alone,
/// so the choice is offered again with the next batches, and taken if nothing was summed so far.
constexpr int kShiftAttempts = 4;

/// Whether flags are set, all of them, where that is known at once: a device is not waited for.
inline bool are_known_true(const at::Tensor& flags) {
  return is_on_host(flags) && flags.all().item<bool>();
}

/// narrow(), but at once where it is all that is wanted.
inline at::Tensor part(const at::Tensor& tensor, std::int64_t axis, std::int64_t begin,
                       std::int64_t length) {
  return length == tensor.size(axis) ? tensor : tensor.narrow(axis, begin, length);
}

/// Rows of a symmetric product that are formed at a time, up to the diagonal: what lies above it is
/// left out. Strips that are narrower cost more than they leave out, on a device any strips do.
inline std::int64_t rows_per_strip(const at::Tensor& sum) {
  const std::int64_t width = sum.size(1);
  return is_on_host(sum) ? std::max<std::int64_t>(64, width / 8) : width;
}

/// So many times as large as the data so far, values are too large for their float32 products.
constexpr double kLargest = 1e15;

/// The squares of ten thousand of them. That of float32 is 3e38.
constexpr double kLargestSum = 1e34;

/// About a thousand of the rows of (b, n, d), spread over all of it.
inline at::Tensor some_of(const at::Tensor& rows) {
  constexpr std::int64_t enough = 1024;
  const std::int64_t step = std::max<std::int64_t>(1, rows.size(0) * rows.size(1) / enough);
  const std::int64_t step_of_samples = std::max<std::int64_t>(1, step / rows.size(1));
  return rows.slice(0, 0, rows.size(0), step_of_samples)
      .slice(1, 0, rows.size(1), std::max<std::int64_t>(1, step / step_of_samples));
}

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

/// Whether a product a sample pays: each sample of (b, n, d) is stored feature by feature, as an
/// NCHW tensor is, and all the products take no more memory than half of the rows. Putting the rows
/// in order first takes longer than the product where there are few features.
inline bool pays_by_sample(const at::Tensor& rows) {
  return rows.stride(1) == 1 && rows.stride(2) != 1 && 2 * rows.size(2) <= rows.size(1);
}

/// A sum strip by strip, up to its diagonal: act(strip, begin, rows) is called with the part of the
/// (d, d) or (d + 1, d) sum from row `begin` on.
template <typename Act>
void for_each_strip(const at::Tensor& sum, std::int64_t rows_at_a_time, const Act& act) {
  for (std::int64_t begin = 0; begin < sum.size(0); begin += rows_at_a_time) {
    const std::int64_t rows = std::min(rows_at_a_time, sum.size(0) - begin);
    const std::int64_t columns = std::min(begin + rows, sum.size(1));
    act(part(part(sum, 0, begin, rows), 1, 0, columns), begin, rows);
  }
}

/// How many samples of rows (b, n, d) make a block.
inline std::int64_t samples_per_block(const at::Tensor& rows) {
  return std::max<std::int64_t>(1, rows_per_block(rows) / rows.size(1));
}

/// Adds to a sum, or begins it, whatever its memory held before. Widens on the way.
inline void add_or_begin(at::Tensor sum, const at::Tensor& more, bool begins) {
  begins ? sum.copy_(more) : sum.add_(more);
}

/// The same of the sum of some parts, those along some axes.
inline void add_sum(at::Tensor sum, const at::Tensor& parts, at::IntArrayRef axes, bool begins) {
  if (begins && sum.scalar_type() == parts.scalar_type()) {
    at::sum_out(sum, parts, axes);
  } else {
    add_or_begin(sum, parts.sum(axes), begins);
  }
}

/// Adds yᵀy, for y of shape (n, d), to the lower triangle of a sum, or begins it.
inline void add_product(const at::Tensor& sum, const at::Tensor& y, bool begins) {
  for_each_strip(sum, rows_per_strip(sum), [&](at::Tensor strip, auto begin, auto rows) {
    const at::Tensor left = part(y, 1, begin, rows).t();
    const at::Tensor right = part(y, 1, 0, begin + rows);
    if (strip.scalar_type() == y.scalar_type()) {
      strip.addmm_(left, right, /*beta=*/begins ? 0 : 1);
    } else {
      add_or_begin(strip, at::mm(left, right), begins);
    }
  });
}

/// The same of y that is stored feature by feature, (b, d, n), with a product a sample.
inline void add_products_by_sample(const at::Tensor& sum, const at::Tensor& y, bool begins) {
  for_each_strip(sum, rows_per_strip(sum), [&](at::Tensor strip, auto begin, auto rows) {
    const at::Tensor left = part(y, 1, begin, rows);
    const at::Tensor right = part(y, 1, 0, begin + rows).transpose(1, 2);
    add_sum(strip, at::bmm(left, right), 0, begins);
  });
}

/// Adds sums to sums: a narrower type is widened on the way, on the host in strips that stay in a
/// cache.
inline void add_sums(const at::Tensor& sums, const at::Tensor& more) {
  const std::int64_t rows_at_a_time = is_on_host(sums) ? 64 : sums.size(0);
  for_each_strip(sums, rows_at_a_time, [&](at::Tensor strip, auto begin, auto rows) {
    strip.add_(part(part(more, 0, begin, rows), 1, 0, strip.size(1)));
  });
}

}  // namespace detail

template <typename Scalar>
void Covariance<Scalar>::update(const at::Tensor& given) {
  const at::Tensor rows = detail::plain_tensor(given);
  if ((rows.dim() != 2 && rows.dim() != 3) || !rows.is_floating_point() || rows.is_meta()) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::update: rows must be (n, d) or (b, n, d) of a floating "
                    "type, with data; these have {} axes, type {} and device {}",
                    rows.dim(), c10::toString(rows.scalar_type()), rows.device().str()));
  }
  if (rows.numel() == 0) return;
  const detail::PlainMode plain;
  if (width_ == 0) begin(rows);
  if (rows.size(-1) != width_) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::update: these rows have {} features, the ones before {}",
                    rows.size(-1), width_));
  }
  if (rows.device() != device()) move_to(rows.device());
  const std::int64_t count = rows.numel() / width_;
  if (waits(count)) {
    append(rows, count);
  } else {
    const at::Tensor samples = rows.dim() == 3 ? rows : rows.unsqueeze(1);
    foresee_sums();
    choose_shift(detail::some_of(samples), samples[0][0]);
    fold(samples, count);
  }
}

template <typename Scalar>
void Covariance<Scalar>::begin(const at::Tensor& rows) {
  width_ = rows.size(-1);
  const at::TensorOptions options = at::TensorOptions(rows.device()).dtype(product_type(rows));
  set_shift(at::zeros({width_}, options), at::ones({}, options));
  count_ = at::zeros({}, options.dtype(at::kDouble));
  skipped_ = at::zeros_like(count_);
}

template <typename Scalar>
void Covariance<Scalar>::move_to(at::Device device) {
  flush();
  waiting_ = at::Tensor();
  unsettled_ = at::Tensor();
  // All or none: a device may have no room for the last of them.
  std::vector<at::Tensor> moved;
  for (const auto tensor : kTensors) {
    const at::Tensor& here = this->*tensor;
    moved.push_back(here.defined() ? here.to(device) : here);
  }
  std::size_t next = 0;
  for (const auto tensor : kTensors) this->*tensor = std::move(moved[next++]);
}

/// d × d numbers are refused before they are taken, on the host: a device says so by itself.
template <typename Scalar>
void Covariance<Scalar>::foresee(std::size_t bytes_a_number, std::string_view purpose) const {
  if (!device().is_cpu()) return;
  const auto width = static_cast<double>(width_);
  detail::require_memory(static_cast<double>(bytes_a_number) * width * width,
                         fmt::format("{} {} features", purpose, width_));
}

template <typename Scalar>
void Covariance<Scalar>::foresee_sums() const {
  if (!sums_.defined()) foresee(2 * sizeof(Scalar), "the covariance of");
}

template <typename Scalar>
void Covariance<Scalar>::append(const at::Tensor& rows, std::int64_t count) {
  const at::ScalarType type = product_type(rows);
  const bool fits = waiting_.defined() && waiting_.scalar_type() == type;
  if (!fits || waiting_count() + count > capacity()) flush();
  if (!fits) {
    waiting_ = at::empty({capacity(), width_}, at::TensorOptions(rows.device()).dtype(type));
  }
  detail::copy_rows(rows, waiting_, waiting_count());
  batch_ends_.push_back(waiting_count() + count);
}

/// Which of those that wait are finite, and not too large for products in float32.
/// @param y the waiting rows, shifted; read only once the shift is chosen
template <typename Scalar>
typename Covariance<Scalar>::FiniteRows Covariance<Scalar>::finite_rows(const at::Tensor& y) const {
  std::vector<std::int64_t> batch_of_row;
  batch_of_row.reserve(static_cast<std::size_t>(waiting_count()));
  for (std::size_t batch = 0; batch < batch_ends_.size(); ++batch) {
    batch_of_row.resize(static_cast<std::size_t>(batch_ends_[batch]),
                        static_cast<std::int64_t>(batch));
  }
  const at::Tensor batch = detail::to_device(at::tensor(batch_of_row, at::kLong), device());
  // Neither a NaN nor an infinity is less than any limit.
  at::Tensor row_is_good;
  if (shift_is_chosen()) {
    // By far the fastest norm on the host.
    row_is_good = at::linalg_vector_norm(y, 2, at::IntArrayRef(1)).lt(detail::kLargest);
  } else {
    const at::Tensor limit = at::where(count_.eq(0), at::full_like(count_, INFINITY),
                                       detail::kLargest / scale_.to(at::kDouble));
    row_is_good = waiting_rows().abs().amax(1).lt(limit);
  }
  const at::Tensor batches =
      at::zeros({static_cast<std::int64_t>(batch_ends_.size())}, count_.options())
          .index_add_(0, batch, row_is_good.logical_not().to(at::kDouble))
          .eq(0);
  return {batches, batches.index_select(0, batch)};
}

template <typename Scalar>
void Covariance<Scalar>::flush() {
  settle();
  if (batch_ends_.empty()) return;
  foresee_sums();
  const at::Tensor rows = waiting_rows();
  at::Tensor y = shifted(rows);
  const FiniteRows finite = finite_rows(y);
  const bool all_are_finite = detail::are_known_true(finite.batches);
  if (!shift_is_chosen()) {
    if (all_are_finite) {
      choose_shift(rows, rows[0]);
    } else {
      const at::Tensor first_good = rows.index_select(0, finite.rows.to(at::kByte).argmax());
      choose_shift(at::where(finite.rows.unsqueeze(1), rows, first_good), first_good[0]);
    }
    y = shifted(rows);
  }
  if (!all_are_finite) y.masked_fill_(finite.rows.logical_not().unsqueeze(1), 0);
  const at::Tensor sums = at::empty({1, width_ + 1, width_}, y.options());
  detail::add_sum(sums[0].select(0, width_), y, 0, /*begins=*/true);
  detail::add_product(sums[0].narrow(0, 0, width_), y, /*begins=*/true);
  const at::Tensor count = finite.rows.sum().to(at::kDouble).unsqueeze(0);
  const at::Tensor bad_batches = finite.batches.logical_not().sum().to(at::kDouble);
  // An exception from here on loses them, rather than have them summed twice.
  batch_ends_.clear();
  add(sums, count);
  skipped_.add_(bad_batches);
}

/// Whether no batch can change it any more.
template <typename Scalar>
bool Covariance<Scalar>::shift_is_chosen() const {
  return shifts_tried_ == detail::kShiftAttempts || detail::are_known_true(count_.gt(0));
}

template <typename Scalar>
void Covariance<Scalar>::choose_shift(const at::Tensor& rows, const at::Tensor& first_row) {
  if (shift_is_chosen()) return;
  ++shifts_tried_;
  // By way of one row, so that the mean of a constant is that constant to the last bit, and a dead
  // layer has no variance at all.
  const at::Tensor first = first_row.to(shift_.scalar_type());
  const at::Tensor deviation = (rows - first).reshape({-1, width_});
  const at::Tensor mean = first + deviation.mean(0).to(first.scalar_type());
  // Of a constant the deviation says nothing; what comes after it may be as large as it is.
  const at::Tensor peak = deviation.abs().amax();
  const at::Tensor largest = first.abs().amax();
  at::Tensor size = at::where(peak.eq(0), largest, peak).to(scale_.scalar_type());
  // What varies by 1e-38 around 1 is not scaled so much that 1 overflows.
  size = at::maximum(size, largest * std::exp2(-100));
  // 2^(1 − e) of a size of m · 2^e, exactly.
  const at::Tensor scale = std::get<0>(at::frexp(size)).mul(2).div_(size);
  const at::Tensor is_first = count_.eq(0).logical_and(at::isfinite(mean).all());
  set_shift(at::where(is_first, mean, shift_),
            at::where(is_first.logical_and(at::isfinite(scale)), scale, scale_));
}

template <typename Scalar>
void Covariance<Scalar>::set_shift(const at::Tensor& shift, const at::Tensor& scale) {
  offset_ = (shift * scale).neg_();  // which may throw, and the others not
  shift_ = shift;
  scale_ = scale;
}

/// (x − shift) · scale, for x of shape (b, n, d), in that order. The scale being a power of two,
/// the difference of the products is the product of the difference, to the last bit.
template <typename Scalar>
at::Tensor Covariance<Scalar>::shifted(const at::Tensor& rows) const {
  const at::TensorOptions options = rows.options().dtype(product_type(rows));
  at::Tensor y = at::empty(rows.sizes(), options);
  return at::addcmul_out(y, offset_.to(y.scalar_type()), rows, scale_.to(y.scalar_type()));
}

/// The same for x that is stored feature by feature, (b, d, n).
template <typename Scalar>
at::Tensor Covariance<Scalar>::shifted_by_feature(const at::Tensor& features) const {
  const at::TensorOptions options = features.options().dtype(product_type(features));
  at::Tensor y = at::empty(features.sizes(), options);
  if (detail::is_on_host(features)) {
    // In this order two operators in the place of one take three quarters of its time.
    return at::sub_out(y, features, shift_.unsqueeze(1).to(y.scalar_type())).mul_(scale_);
  }
  return at::addcmul_out(y, offset_.unsqueeze(1).to(y.scalar_type()), features,
                         scale_.to(y.scalar_type()));
}

/// How many batches' sums are kept apart, to be checked and added together: that takes a dozen
/// small operators, on a device longer than to sum a batch. At most 256 KB of float32, on a device
/// 16 MB.
template <typename Scalar>
std::int64_t Covariance<Scalar>::most_unsettled() const {
  if (!shift_is_chosen()) return 1;
  const std::int64_t numbers = detail::is_on_host(count_) ? 1 << 16 : 1 << 22;
  return std::clamp<std::int64_t>(numbers / (width_ * width_), 1, 16);
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::unsettled_sums() const {
  return detail::part(unsettled_, 0, 0, unsettled_count());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::unsettled_row_counts() const {
  return detail::to_device(at::tensor(unsettled_rows_, at::kDouble), device());
}

/// Writes the sums of rows (b, n, d), block by block.
/// @param sums laid out as sums_
template <typename Scalar>
void Covariance<Scalar>::sum_up(const at::Tensor& rows, const at::Tensor& sums) const {
  const at::Tensor product = sums.narrow(0, 0, width_);
  const at::Tensor sum = sums.select(0, width_);
  const bool by_sample = detail::pays_by_sample(rows);
  const std::int64_t block = detail::samples_per_block(rows);
  for (std::int64_t begin = 0; begin < rows.size(0); begin += block) {
    const at::Tensor some = detail::part(rows, 0, begin, std::min(block, rows.size(0) - begin));
    const bool begins = begin == 0;
    if (by_sample) {
      const at::Tensor y = shifted_by_feature(some.transpose(1, 2));
      detail::add_sum(sum, y, {0, 2}, begins);
      detail::add_products_by_sample(product, y, begins);
    } else {
      const at::Tensor y = shifted(some).view({-1, width_});
      detail::add_sum(sum, y, 0, begins);
      detail::add_product(product, y, begins);
    }
  }
}

/// Takes rows (b, n, d) into the sums, count of them. They are summed apart first, so that neither
/// they nor an exception can spoil what is there.
template <typename Scalar>
void Covariance<Scalar>::fold(const at::Tensor& rows, std::int64_t count) {
  // One block is summed in the type of its products.
  const bool is_one_block = rows.size(0) <= detail::samples_per_block(rows);
  const at::ScalarType type = is_one_block ? product_type(rows) : kSumType;
  const std::int64_t most = most_unsettled();
  if (!unsettled_.defined() || unsettled_.scalar_type() != type || unsettled_.size(0) != most ||
      unsettled_count() == most) {
    settle();
    unsettled_ = at::empty({most, width_ + 1, width_}, rows.options().dtype(type));
  }
  sum_up(rows, unsettled_[unsettled_count()]);
  unsettled_rows_.push_back(static_cast<double>(count));
  if (unsettled_count() == most) settle();
}

/// Adds to the sums what was summed apart. An exception loses it, rather than have it added twice.
template <typename Scalar>
void Covariance<Scalar>::settle() {
  if (unsettled_rows_.empty()) return;
  const at::Tensor sums = unsettled_sums();
  const at::Tensor counts = unsettled_row_counts();
  unsettled_rows_.clear();
  if (unsettled_.size(0) == 1) unsettled_ = at::Tensor();
  add(sums, counts);
}

/// Adds sums of batches, but those that are not finite.
/// @param sums (k, d + 1, d), of one batch each laid out as sums_
/// @param counts (k), float64: for how many rows each stands
template <typename Scalar>
void Covariance<Scalar>::add(const at::Tensor& sums, const at::Tensor& counts) {
  // What takes memory comes first.
  const at::Tensor are_good = are_finite(sums);
  const at::Tensor count = at::dot(are_good.to(at::kDouble), counts);
  const at::Tensor skipped = are_good.logical_not().sum().to(at::kDouble);
  if (!detail::are_known_true(are_good)) {
    sums.masked_fill_(are_good.logical_not().view({-1, 1, 1}), 0);
  }
  const at::Tensor sum = sums.size(0) == 1 ? sums[0] : sums.sum(0, /*keepdim=*/false, kSumType);
  if (sums_.defined()) {
    detail::add_sums(sums_, sum);
  } else {
    sums_ = sum.to(kSumType, /*non_blocking=*/false, /*copy=*/true);
  }
  count_.add_(count);
  skipped_.add_(skipped);
}

/// Of the sums of batches, (k, d + 1, d), which are finite, and not of values kLargest times as
/// large as the data so far: (k), bool. Either shows on the diagonal, which is never negative.
template <typename Scalar>
at::Tensor Covariance<Scalar>::are_finite(const at::Tensor& sums) const {
  return sums.narrow(1, 0, width_).diagonal(0, 1, 2).sum(1).lt(detail::kLargestSum);
}

template <typename Scalar>
void Covariance<Scalar>::merge(Covariance& other) {
  const detail::PlainMode plain;
  if (other.width_ == 0) return;
  other.flush();
  if (width_ == 0) begin(other.shift_.unsqueeze(0));
  if (width_ != other.width_) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::merge: this one has {} features, the other one {}", width_,
                    other.width_));
  }
  flush();
  if (!other.sums_.defined()) return;
  const auto here = [&](const at::Tensor& tensor) { return tensor.to(device(), at::kDouble); };

  const at::Tensor is_empty = count_.eq(0);
  set_shift(at::where(is_empty, other.shift_.to(device(), shift_.scalar_type()), shift_),
            at::where(is_empty, other.scale_.to(device(), scale_.scalar_type()), scale_));

  // The other one's y are r·y + δ in our coordinates; their sums follow by expansion.
  const at::Tensor r = here(scale_) / here(other.scale_);
  const at::Tensor delta = (here(other.shift_) - here(shift_)) * here(scale_);
  const at::Tensor count = here(other.count_);
  const at::Tensor others_sum = here(other.sum()) * r;
  const at::Tensor cross = at::outer(others_sum + delta * (count / 2), delta);
  if (!sums_.defined()) sums_ = at::zeros({width_ + 1, width_}, shift_.options().dtype(kSumType));
  product().add_(here(other.product()) * r.square() + cross + cross.t());
  sum().add_(others_sum + delta * count);
  count_.add_(count);
  skipped_.add_(here(other.skipped_));
}

template <typename Scalar>
Covariance<Scalar> Covariance<Scalar>::copy() const {
  const detail::PlainMode plain;
  Covariance other(products_);
  other.width_ = width_;
  other.shifts_tried_ = shifts_tried_;
  other.batch_ends_ = batch_ends_;
  other.unsettled_rows_ = unsettled_rows_;
  for (const auto tensor : kTensors) {
    const bool is_unused = tensor == &Covariance::unsettled_ && unsettled_rows_.empty();
    if ((this->*tensor).defined() && !is_unused) other.*tensor = (this->*tensor).clone();
  }
  return other;
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::bytes() const {
  std::int64_t bytes = 0;
  for (const auto tensor : kTensors) {
    if ((this->*tensor).defined()) bytes += static_cast<std::int64_t>((this->*tensor).nbytes());
  }
  return bytes;
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::samples() const {
  if (width_ == 0) return 0;
  const detail::PlainMode plain;
  at::Tensor count = count_;
  if (!unsettled_rows_.empty()) {
    count = count + at::dot(are_finite(unsettled_sums()).to(at::kDouble), unsettled_row_counts());
  }
  if (!batch_ends_.empty()) count = count + finite_rows(shifted(waiting_rows())).rows.sum();
  return static_cast<std::int64_t>(count.item<double>());
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::skipped_batches() const {
  if (width_ == 0) return 0;
  const detail::PlainMode plain;
  at::Tensor skipped = skipped_;
  if (!unsettled_rows_.empty()) {
    skipped = skipped + are_finite(unsettled_sums()).logical_not().sum();
  }
  if (!batch_ends_.empty()) {
    skipped = skipped + finite_rows(shifted(waiting_rows())).batches.logical_not().sum();
  }
  return static_cast<std::int64_t>(skipped.item<double>());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::mean() {
  const detail::PlainMode plain;
  flush();
  return shift_.to(at::kDouble) + sum().to(at::kDouble) / (count_ * scale_);
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::matrix() {
  const detail::PlainMode plain;
  flush();
  foresee(3 * sizeof(double), "reporting");
  const at::Tensor mean = sum().to(at::kDouble) / count_;
  const at::Tensor sigma = (product().to(at::kDouble) / count_).sub_(at::outer(mean, mean)).tril_();
  return (sigma + sigma.tril(-1).t()).div_(scale_.to(at::kDouble).square());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::variances() {
  const detail::PlainMode plain;
  if (all_rows_wait()) return centred_waiting_rows().square().mean(0);
  flush();
  const at::Tensor mean = sum().to(at::kDouble) / count_;
  return (product().diagonal().to(at::kDouble) / count_ - mean.square()) /
         scale_.to(at::kDouble).square();
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::spectral_matrix() {
  const detail::PlainMode plain;
  if (!all_rows_wait() || waiting_count() >= width_) return matrix();
  const at::Tensor rows = centred_waiting_rows();
  return at::mm(rows, rows.t()).div_(rows.size(0));
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::centred_waiting_rows() const {
  const at::Tensor is_good = finite_rows(shifted(waiting_rows())).rows;
  const at::Tensor rows =
      waiting_rows().index_select(0, is_good.nonzero().squeeze(1)).to(at::kDouble);
  // By way of one row, as in choose_shift().
  const at::Tensor deviation = rows - rows[0];
  return deviation - deviation.mean(0, /*keepdim=*/true);
}

}  // namespace delve
