// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <cmath>        // INFINITY
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <cstring>      // std::memcpy
#include <stdexcept>    // std::invalid_argument
#include <string_view>  // std::string_view
#include <type_traits>  // std::is_same_v
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/detail/memory.hpp>
#include <delve/detail/plain_mode.hpp>

namespace delve {

/// In what precision products of activations are formed, before they are summed in Scalar.
enum class Products {
  Float32,  ///< in float32 where the activations are not wider: enough for leading eigenvalues
  Float64,  ///< for what hangs on small eigenvalues, such as determinants
};

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
  void choose_shift(const at::Tensor& rows, const at::Tensor& first_row);
  void fold(const at::Tensor& rows, const at::Tensor& count);
  void add_to(const at::Tensor& product, const at::Tensor& sum, const at::Tensor& rows) const;
  [[nodiscard]] at::Tensor shifted(const at::Tensor& x, const at::Tensor& shift) const;
  [[nodiscard]] at::Tensor centred_waiting_rows() const;

  struct FiniteRows {
    at::Tensor rows;         // (n) bool: belongs to a batch that is finite throughout
    at::Tensor bad_batches;  // () float64
  };
  [[nodiscard]] FiniteRows finite_rows() const;

  [[nodiscard]] at::ScalarType product_type(const at::Tensor& rows) const {
    const bool wide = products_ == Products::Float64 || rows.scalar_type() == at::kDouble;
    return wide ? at::kDouble : at::kFloat;
  }
  /// How many rows wait at most: a product of d × d should not cost more to add than to form, and
  /// the dozens of small operators around it not more than to collect 256 KB of rows.
  [[nodiscard]] std::int64_t capacity() const {
    return std::clamp<std::int64_t>(std::max(width_, (1 << 16) / width_), 256, 2048);
  }
  [[nodiscard]] bool all_rows_wait() const { return !product_.defined() && !batch_ends_.empty(); }
  [[nodiscard]] std::int64_t waiting_count() const {
    return batch_ends_.empty() ? 0 : batch_ends_.back();
  }
  [[nodiscard]] at::Tensor waiting_rows() const { return waiting_.narrow(0, 0, waiting_count()); }

  Products products_;
  std::int64_t width_ = 0;

  // Sums over the y = (x − shift) · scale of all rows that do not wait; all on one device.
  at::Tensor shift_;    // (d)
  at::Tensor scale_;    // ()
  at::Tensor count_;    // () float64
  at::Tensor skipped_;  // () float64
  at::Tensor sum_;      // (d) of Scalar
  at::Tensor product_;  // (d, d) of Scalar, lower triangle; undefined before rows are folded
  int shifts_tried_ = 0;

  at::Tensor waiting_;                    // (capacity, d)
  std::vector<std::int64_t> batch_ends_;  // of the waiting rows: where each batch ends

  static constexpr at::Tensor Covariance::*kTensors[] = {
      &Covariance::shift_, &Covariance::scale_,   &Covariance::count_,  &Covariance::skipped_,
      &Covariance::sum_,   &Covariance::product_, &Covariance::waiting_};
};

namespace detail {

/// Rows that are multiplied at a time: few enough for them to stay in a cache, 4 MB of float32, and
/// for float32 to sum them; enough for a product to be worth adding d × d numbers.
inline std::int64_t rows_per_block(std::int64_t width) {
  return std::clamp<std::int64_t>((1 << 20) / width, 2048, 16384);
}

/// A bad first batch must not become the shift. Whether it was bad may be known to a device alone,
/// so the choice is offered again with the next batches, and taken if nothing was summed so far.
constexpr int kShiftAttempts = 4;

/// Whether a flag is set, where that is known at once: a device is not waited for.
inline bool is_known_true(const at::Tensor& flag) {
  return flag.is_cpu() && flag.item<bool>();
}

/// Rows of a symmetric product that are formed at a time, up to the diagonal: what lies above it is
/// left out. Strips that are narrower cost more than they leave out.
inline std::int64_t rows_per_strip(std::int64_t width) {
  return std::max<std::int64_t>(64, width / 8);
}

/// So many times as large as the data so far, values are too large for their float32 products.
constexpr double kLargest = 1e15;

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

/// Adds to the lower triangle of a (d, d) sum, strip by strip: add(strip, begin, rows) is
/// called with the part of the sum from row `begin` on that ends at the diagonal.
template <typename Add>
void add_strips(const at::Tensor& sum, std::int64_t rows_at_a_time, const Add& add) {
  const std::int64_t width = sum.size(0);
  for (std::int64_t begin = 0; begin < width; begin += rows_at_a_time) {
    const std::int64_t rows = std::min(rows_at_a_time, width - begin);
    add(sum.narrow(0, begin, rows).narrow(1, 0, begin + rows), begin, rows);
  }
}

/// Adds yᵀy, for y of shape (n, d), to the lower triangle of a sum.
inline void add_product(const at::Tensor& sum, const at::Tensor& y) {
  add_strips(sum, rows_per_strip(y.size(1)), [&](at::Tensor strip, auto begin, auto rows) {
    const at::Tensor left = y.narrow(1, begin, rows).t();
    const at::Tensor right = y.narrow(1, 0, begin + rows);
    if (strip.scalar_type() == y.scalar_type()) {
      strip.addmm_(left, right);
    } else {
      strip.add_(at::mm(left, right));
    }
  });
}

/// The same of y that is stored feature by feature, (b, d, n), with a product a sample.
inline void add_products_by_sample(const at::Tensor& sum, const at::Tensor& y) {
  add_strips(sum, rows_per_strip(y.size(1)), [&](at::Tensor strip, auto begin, auto rows) {
    const at::Tensor left = y.narrow(1, begin, rows);
    const at::Tensor right = y.narrow(1, 0, begin + rows).transpose(1, 2);
    strip.add_(at::bmm(left, right).sum(0));
  });
}

/// Adds the lower triangle of a matrix to a sum: a narrower type is widened on the way, and a strip
/// of that stays in a cache.
inline void add_lower_triangle(const at::Tensor& sum, const at::Tensor& matrix) {
  add_strips(sum, 64, [&](at::Tensor strip, auto begin, auto rows) {
    strip.add_(matrix.narrow(0, begin, rows).narrow(1, 0, begin + rows));
  });
}

}  // namespace detail

template <typename Scalar>
void Covariance<Scalar>::update(const at::Tensor& rows) {
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
  if (count < capacity()) {
    append(rows, count);
  } else {
    const at::Tensor samples = rows.dim() == 3 ? rows : rows.unsqueeze(1);
    foresee_sums();
    choose_shift(detail::some_of(samples), samples[0][0]);
    fold(samples, at::full_like(count_, static_cast<double>(count)));
  }
}

template <typename Scalar>
void Covariance<Scalar>::begin(const at::Tensor& rows) {
  width_ = rows.size(-1);
  const at::TensorOptions options = at::TensorOptions(rows.device()).dtype(product_type(rows));
  shift_ = at::zeros({width_}, options);
  scale_ = at::ones({}, options);
  count_ = at::zeros({}, options.dtype(at::kDouble));
  skipped_ = at::zeros_like(count_);
  sum_ = at::zeros({width_}, options.dtype(kSumType));
}

template <typename Scalar>
void Covariance<Scalar>::move_to(at::Device device) {
  flush();
  waiting_ = at::Tensor();
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
  if (!product_.defined()) foresee(2 * sizeof(Scalar), "the covariance of");
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

template <typename Scalar>
typename Covariance<Scalar>::FiniteRows Covariance<Scalar>::finite_rows() const {
  std::vector<std::int64_t> batch_of_row;
  batch_of_row.reserve(static_cast<std::size_t>(waiting_count()));
  for (std::size_t batch = 0; batch < batch_ends_.size(); ++batch) {
    batch_of_row.resize(static_cast<std::size_t>(batch_ends_[batch]),
                        static_cast<std::int64_t>(batch));
  }
  const at::Tensor batch = at::tensor(batch_of_row, at::kLong).to(device(), /*non_blocking=*/true);
  // Neither a NaN nor an infinity is less than the limit.
  const at::Tensor limit = at::where(count_.eq(0), at::full_like(count_, INFINITY),
                                     detail::kLargest / scale_.to(at::kDouble));
  const auto [smallest, largest] = at::aminmax(waiting_rows(), /*dim=*/1);
  const at::Tensor row_is_bad = at::maximum(smallest.neg(), largest).lt(limit).logical_not();
  const at::Tensor batch_is_bad =
      at::zeros({static_cast<std::int64_t>(batch_ends_.size())}, count_.options())
          .index_add_(0, batch, row_is_bad.to(at::kDouble))
          .gt(0);
  return {batch_is_bad.logical_not().index_select(0, batch), batch_is_bad.sum().to(at::kDouble)};
}

template <typename Scalar>
void Covariance<Scalar>::flush() {
  if (batch_ends_.empty()) return;
  foresee_sums();
  const FiniteRows finite = finite_rows();
  const at::Tensor count = finite.rows.sum().to(at::kDouble);
  at::Tensor rows = waiting_rows();
  if (detail::is_known_true(finite.bad_batches.eq(0))) {
    choose_shift(rows, rows[0]);
  } else {
    const at::Tensor is_good = finite.rows.unsqueeze(1);
    const at::Tensor first_good = rows.index_select(0, finite.rows.to(at::kByte).argmax());
    choose_shift(at::where(is_good, rows, first_good), first_good[0]);
    // A row that equals the shift adds nothing to the sums.
    rows = at::where(is_good, rows, shift_.to(rows.scalar_type()));
  }
  fold(rows.unsqueeze(1), count);
  skipped_.add_(finite.bad_batches);
  batch_ends_.clear();
}

template <typename Scalar>
void Covariance<Scalar>::choose_shift(const at::Tensor& rows, const at::Tensor& first_row) {
  if (shifts_tried_ == detail::kShiftAttempts || detail::is_known_true(count_.gt(0))) return;
  ++shifts_tried_;
  // By way of one row, so that the mean of a constant is that constant to the last bit, and a dead
  // layer has no variance at all.
  const at::Tensor first = first_row.to(shift_.scalar_type());
  const at::Tensor deviation = (rows - first).reshape({-1, width_});
  const at::Tensor mean = first + deviation.mean(0).to(first.scalar_type());
  // Of a constant the deviation says nothing; what comes after it may be as large as it is.
  const at::Tensor peak = deviation.abs().amax();
  const at::Tensor size = at::where(peak.eq(0), first.abs().amax(), peak).to(scale_.scalar_type());
  const at::Tensor scale = size.log2().floor().neg().exp2();
  const at::Tensor is_first = count_.eq(0).logical_and(at::isfinite(mean).all());
  shift_ = at::where(is_first, mean, shift_);
  scale_ = at::where(is_first.logical_and(at::isfinite(scale)), scale, scale_);
}

/// (x − shift) · scale, in the order of x's axes.
template <typename Scalar>
at::Tensor Covariance<Scalar>::shifted(const at::Tensor& x, const at::Tensor& shift) const {
  at::Tensor y = at::empty(x.sizes(), x.options().dtype(product_type(x)));
  return at::sub_out(y, x, shift.to(y.scalar_type())).mul_(scale_);
}

/// Adds the products and the rows of (b, n, d) to sums, block by block.
template <typename Scalar>
void Covariance<Scalar>::add_to(const at::Tensor& product, const at::Tensor& sum,
                                const at::Tensor& rows) const {
  const bool by_sample = detail::pays_by_sample(rows);
  const std::int64_t block =
      std::max<std::int64_t>(1, detail::rows_per_block(width_) / rows.size(1));
  for (std::int64_t begin = 0; begin < rows.size(0); begin += block) {
    const at::Tensor part = rows.narrow(0, begin, std::min(block, rows.size(0) - begin));
    if (by_sample) {
      const at::Tensor y = shifted(part.transpose(1, 2), shift_.unsqueeze(1));
      sum.add_(y.sum(2).sum(0));
      detail::add_products_by_sample(product, y);
    } else {
      const at::Tensor y = shifted(part, shift_).view({-1, width_});
      sum.add_(y.sum(0));
      detail::add_product(product, y);
    }
  }
}

/// Adds rows (b, n, d) to the sums, if they are finite; count, (), says for how many they stand.
/// They are summed apart first, so that neither they nor an exception can spoil what is there.
template <typename Scalar>
void Covariance<Scalar>::fold(const at::Tensor& rows, const at::Tensor& count) {
  const bool is_one_block = rows.size(0) * rows.size(1) <= detail::rows_per_block(width_);
  const at::Tensor product = at::zeros(
      {width_, width_}, sum_.options().dtype(is_one_block ? product_type(rows) : kSumType));
  const at::Tensor sum = at::zeros_like(sum_);
  add_to(product, sum, rows);
  // Any value that is not finite, and any overflow, shows on the diagonal.
  const at::Tensor is_good = at::isfinite(product.diagonal().sum());
  const at::Tensor is_bad = is_good.logical_not();
  if (!detail::is_known_true(is_good)) product.masked_fill_(is_bad, 0);
  if (product_.defined()) {
    detail::add_lower_triangle(product_, product);
  } else {
    product_ = product.to(kSumType);
  }
  sum_.add_(sum.masked_fill_(is_bad, 0));
  count_.add_(count.masked_fill(is_bad, 0));
  skipped_.add_(is_bad);
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
  if (!other.product_.defined()) return;
  const auto here = [&](const at::Tensor& tensor) { return tensor.to(device(), at::kDouble); };

  const at::Tensor is_empty = count_.eq(0);
  shift_ = at::where(is_empty, other.shift_.to(device(), shift_.scalar_type()), shift_);
  scale_ = at::where(is_empty, other.scale_.to(device(), scale_.scalar_type()), scale_);

  // The other one's y are r·y + δ in our coordinates; their sums follow by expansion.
  const at::Tensor r = here(scale_) / here(other.scale_);
  const at::Tensor delta = (here(other.shift_) - here(shift_)) * here(scale_);
  const at::Tensor count = here(other.count_);
  const at::Tensor sum = here(other.sum_) * r;
  const at::Tensor cross = at::outer(sum + delta * (count / 2), delta);
  if (!product_.defined()) product_ = at::zeros({width_, width_}, sum_.options());
  product_.add_(here(other.product_) * r.square() + cross + cross.t());
  sum_.add_(sum + delta * count);
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
  for (const auto tensor : kTensors) {
    if ((this->*tensor).defined()) other.*tensor = (this->*tensor).clone();
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
  const double waiting = batch_ends_.empty() ? 0 : finite_rows().rows.sum().template item<double>();
  return static_cast<std::int64_t>(count_.item<double>() + waiting);
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::skipped_batches() const {
  if (width_ == 0) return 0;
  const detail::PlainMode plain;
  const double waiting =
      batch_ends_.empty() ? 0 : finite_rows().bad_batches.template item<double>();
  return static_cast<std::int64_t>(skipped_.item<double>() + waiting);
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::mean() {
  const detail::PlainMode plain;
  flush();
  return shift_.to(at::kDouble) + sum_.to(at::kDouble) / (count_ * scale_);
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::matrix() {
  const detail::PlainMode plain;
  flush();
  foresee(3 * sizeof(double), "reporting");
  const at::Tensor mean = sum_.to(at::kDouble) / count_;
  const at::Tensor sigma = (product_.to(at::kDouble) / count_).sub_(at::outer(mean, mean)).tril_();
  return (sigma + sigma.tril(-1).t()).div_(scale_.to(at::kDouble).square());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::variances() {
  const detail::PlainMode plain;
  if (all_rows_wait()) return centred_waiting_rows().square().mean(0);
  flush();
  const at::Tensor mean = sum_.to(at::kDouble) / count_;
  return (product_.diagonal().to(at::kDouble) / count_ - mean.square()) /
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
  const at::Tensor rows =
      waiting_rows().index_select(0, finite_rows().rows.nonzero().squeeze(1)).to(at::kDouble);
  // By way of one row, as in choose_shift().
  const at::Tensor deviation = rows - rows[0];
  return deviation - deviation.mean(0, /*keepdim=*/true);
}

}  // namespace delve
