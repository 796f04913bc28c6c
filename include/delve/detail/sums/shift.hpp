// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cmath>      // std::exp2
#include <cstdint>    // std::int64_t
#include <tuple>      // std::get

#include <ATen/ATen.h>

#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Values this many times as large as the data so far are too large for float32 products.
constexpr double kLargest = 1e15;

/// About a thousand of the rows of (b, n, d), spread over all of it.
inline at::Tensor some_of(const at::Tensor& rows) {
  constexpr std::int64_t enough = 1024;
  const std::int64_t step = std::max<std::int64_t>(1, rows.size(0) * rows.size(1) / enough);
  const std::int64_t step_of_samples = std::max<std::int64_t>(1, step / rows.size(1));
  return rows.slice(0, 0, rows.size(0), step_of_samples)
      .slice(1, 0, rows.size(1), std::max<std::int64_t>(1, step / step_of_samples));
}

/// The tensor in a type, without an operator where it already has that type.
inline at::Tensor in_type(const at::Tensor& tensor, at::ScalarType type) {
  return tensor.scalar_type() == type ? tensor : tensor.to(type);
}

/// What rows x become before they are summed: y = (x − s) · scale, where s is near the data and the
/// scale a power of two. They are 0 and 1 until a first batch chooses them. That batch may be bad,
/// and only the device may know, so the next batches choose again, and their choice counts if
/// nothing has been summed so far.
class Shift {
 public:
  Shift() = default;

  /// @param options the device, and the type of the products
  Shift(std::int64_t width, const at::TensorOptions& options) {
    set(at::zeros({width}, options), at::ones({}, options));
  }

  /// One that is chosen.
  /// @param shift s: (d)
  /// @param scale (), a power of two, of the same type
  Shift(const at::Tensor& shift, const at::Tensor& scale) : is_chosen_(true) { set(shift, scale); }

  [[nodiscard]] const at::Tensor& shift() const { return shift_; }  ///< s: (d)
  [[nodiscard]] const at::Tensor& scale() const { return scale_; }  ///< ()

  /// Whether no batch can change it any more, as far as is known without waiting for the device.
  [[nodiscard]] bool is_chosen() const { return is_chosen_; }

  /// Notes that it is chosen: something was summed.
  void keep() { is_chosen_ = true; }

  /// Chooses s as the mean of rows, and the scale by how far they lie from it. Does nothing where
  /// it is chosen, or where data has been summed.
  /// @param rows (…, d)
  /// @param first_row (d), one of them
  /// @param count (), how many rows were summed so far
  void choose(const at::Tensor& rows, const at::Tensor& first_row, const at::Tensor& count) {
    if (is_chosen_) return;
    is_chosen_ = ++attempts_ == kMostAttempts;
    // By way of one row, so that the mean of a constant is that constant to the last bit, and a
    // dead layer has no variance at all.
    const at::Tensor first = first_row.to(shift_.scalar_type());
    const at::Tensor deviation = (rows - first).reshape({-1, rows.size(-1)});
    const at::Tensor mean = first + deviation.mean(0).to(first.scalar_type());
    // The deviation of a constant says nothing, and what follows may be as large as the constant.
    const at::Tensor peak = deviation.abs().amax();
    const at::Tensor largest = first.abs().amax();
    at::Tensor size = at::where(peak.eq(0), largest, peak).to(scale_.scalar_type());
    // What varies by 1e-38 around 1 is not scaled so much that 1 overflows.
    size = at::maximum(size, largest * std::exp2(-100));
    // 2^(1 − e) for a size of m · 2^e, exactly.
    const at::Tensor scale = std::get<0>(at::frexp(size)).mul(2).div_(size);
    const at::Tensor is_first = count.eq(0).logical_and(at::isfinite(mean).all());
    set(at::where(is_first, mean, shift_),
        at::where(is_first.logical_and(at::isfinite(scale)), scale, scale_));
  }

  /// Becomes another one, where nothing has been summed so far.
  /// @param count as of choose()
  void take_over(const Shift& other, const at::Tensor& count) {
    const at::Tensor is_empty = count.eq(0);
    const at::TensorOptions here = shift_.options();
    set(at::where(is_empty, other.shift_.to(here), shift_),
        at::where(is_empty, other.scale_.to(here), scale_));
  }

  /// y for x of shape (b, n, d), stored in that order. The scale being a power of two, the
  /// difference of the products is the product of the difference, to the last bit.
  [[nodiscard]] at::Tensor of_rows(const at::Tensor& rows, at::ScalarType type) const {
    const at::Tensor y = at::empty(rows.sizes(), rows.options().dtype(type));
    write(rows, y);
    return y;
  }

  /// Writes y for x of shape (n, d) or (b, n, d) into a tensor of that shape.
  void write(const at::Tensor& rows, at::Tensor y) const {
    const at::ScalarType type = y.scalar_type();
    at::addcmul_out(y, in_type(offset_, type), rows, in_type(scale_, type));
  }

  /// The same for x that is stored feature by feature, (b, d, n).
  /// @return (b · g, d, n / g): each sample in g parts, as the tuning says
  [[nodiscard]] at::Tensor of_features(const at::Tensor& features, at::ScalarType type,
                                       const Tuning& tuning) const {
    const at::TensorOptions options = features.options().dtype(type);
    if (tuning.is_host) {
      at::Tensor y = at::empty(features.sizes(), options);
      // In this order two operators take three quarters of the time of one.
      return at::sub_out(y, features, in_type(shift_.unsqueeze(1), type)).mul_(scale_);
    }
    const std::int64_t samples = features.size(0);
    const std::int64_t width = features.size(1);
    const std::int64_t parts = tuning.parts_of_sample(samples, features.size(2), width);
    const std::int64_t length = features.size(2) / parts;
    const at::Tensor y = at::empty({samples * parts, width, length}, options);
    at::Tensor by_part = parts == 1 ? y : y.view({samples, parts, width, length}).transpose(1, 2);
    at::addcmul_out(by_part,
                    in_type(parts == 1 ? offset_.unsqueeze(1) : offset_.view({width, 1, 1}), type),
                    parts == 1 ? features : features.view({samples, width, parts, length}),
                    in_type(scale_, type));
    return y;
  }

  /// Which rows are finite, and not too large for float32 products: (n), bool.
  /// @param rows (n, d)
  /// @param y the same rows, shifted; read only where the shift is chosen
  /// @param count as of choose()
  [[nodiscard]] at::Tensor are_in_range(const at::Tensor& rows, const at::Tensor& y,
                                        const at::Tensor& count) const {
    // Neither a NaN nor an infinity is less than any limit. This norm is by far the fastest one on
    // the host.
    if (is_chosen_) return at::linalg_vector_norm(y, 2, at::IntArrayRef(1)).lt(kLargest);
    const at::Tensor limit =
        at::where(count.eq(0), at::full_like(count, infinity()), kLargest / scale_.to(at::kDouble));
    return rows.abs().amax(1).lt(limit);
  }

  [[nodiscard]] Shift copy() const {
    return with([](const at::Tensor& tensor) { return clone_of(tensor); });
  }

  [[nodiscard]] Shift on(at::Device device) const {
    return with([&](const at::Tensor& tensor) { return moved_to(tensor, device); });
  }

  [[nodiscard]] std::int64_t bytes() const {
    return bytes_of(shift_) + bytes_of(scale_) + bytes_of(offset_);
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(shift_, scale_, offset_, attempts_, is_chosen_);
  }

 private:
  static constexpr int kMostAttempts = 4;

  void set(const at::Tensor& shift, const at::Tensor& scale) {
    offset_ = (shift * scale).neg_();  // may throw, unlike the others
    shift_ = shift;
    scale_ = scale;
  }

  /// The same with other tensors.
  template <typename Change>
  [[nodiscard]] Shift with(const Change& change) const {
    Shift changed = *this;
    for (at::Tensor Shift::*tensor : {&Shift::shift_, &Shift::scale_, &Shift::offset_}) {
      changed.*tensor = change(this->*tensor);
    }
    return changed;
  }

  at::Tensor shift_;   // (d)
  at::Tensor scale_;   // ()
  at::Tensor offset_;  // (d): −shift · scale
  int attempts_ = 0;
  bool is_chosen_ = false;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
