// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <memory>       // std::shared_ptr
#include <stdexcept>    // std::invalid_argument
#include <string_view>  // std::string_view
#include <tuple>        // std::get
#include <type_traits>  // std::is_same_v
#include <utility>      // std::move

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/tensor_state.hpp>
#include <delve/detail/sums/memory.hpp>
#include <delve/detail/sums/noise_floor.hpp>
#include <delve/detail/sums/product_sums.hpp>
#include <delve/detail/sums/products.hpp>
#include <delve/detail/sums/shift.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/sums/waiting_memory.hpp>
#include <delve/detail/sums/waiting_rows.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tensors/plain_tensor.hpp>
#include <delve/product_precision.hpp>
#include <delve/row_targets.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a Covariance knows of its data, apart from how it was summed.
struct Moments {
  std::int64_t samples = 0;                 ///< n
  std::int64_t skipped_batches = 0;         ///< left out for values that are not finite
  c10::ScalarType coarsest = c10::kDouble;  ///< the type with the fewest digits that came
  at::Tensor mean;  ///< (d + c) float64: of the features, then of the targets; zeros where n is 0
  at::Tensor scatter;  ///< (d + c, d) float64: n times their covariance with the features

  /// d; 0 before any batch.
  [[nodiscard]] std::int64_t width() const { return scatter.defined() ? scatter.size(1) : 0; }
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
/// Each row may come with c targets t, labels or numbers to be predicted: their means and their
/// covariance with the features are summed the same way. Then a row may also be masked, that is,
/// left out on the device.
///
/// Scalar, float or double, is the type of the sums. Not thread-safe.
template <typename Scalar = double>
class Covariance {
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "delve::Covariance sums in float or double");

 public:
  /// @param targets c, how many come with each row
  explicit Covariance(Products products = Products::Float32, std::int64_t targets = 0)
      : products_(products), targets_(targets) {}
  /// For tests: sums as the tuning says, wherever they are.
  Covariance(Products products, const detail::Tuning& tuning, std::int64_t targets = 0)
      : products_(products), targets_(targets), given_tuning_(&tuning) {}
  Covariance(Covariance&&) noexcept = default;
  Covariance& operator=(Covariance&&) noexcept = default;

  /// Takes one batch in. Does not wait for the device, unless the sums have to follow the rows to
  /// another one. On CUDA all members are to be called on one stream.
  /// @param rows (n, d) or (b, n, d), of any strides and any floating type; the last axis is that
  ///   of the features. It is not kept. An empty batch changes nothing. Where its device is not
  ///   that of the sums, they follow it.
  /// @param with the targets, and which rows count; needed where c is not 0. Not kept
  /// @throws std::invalid_argument where the shape or the type is not as above, d is not as before,
  ///   or the targets do not fit the rows
  /// @throws std::runtime_error where d × d numbers do not fit into the host's memory
  void update(const at::Tensor& rows, const RowTargets& with = {});

  /// Adds all that another accumulator has seen, as if this one had seen it too. The sums of the
  /// other one are copied to this one's device; its result stays the same. One that has seen
  /// nothing takes the other one's device. One without targets leaves those of the other out.
  /// @throws std::invalid_argument where the widths differ, or the targets
  /// @throws std::runtime_error as update()
  void merge(Covariance& other);

  /// Adds a vector to the targets of all rows that came: (c), float64.
  void move_targets(const at::Tensor& by);

  /// Sets memory of a device apart where more rows may wait, shared with other accumulators: fewer
  /// operators then start for each batch. Without it at most 2048 rows wait there.
  void share_memory(std::shared_ptr<detail::WaitingMemory> memory) { memory_ = std::move(memory); }

  /// Gives such memory back: sums up the rows that wait in it, or, where they are fewer than d and
  /// nothing was summed yet, keeps them in memory of their own. Does not wait for the device.
  /// @throws std::runtime_error as update()
  void release_memory();

  /// Another accumulator that has seen the same.
  [[nodiscard]] Covariance copy() const;

  /// The memory that it holds on its device, in bytes.
  [[nodiscard]] std::int64_t bytes() const;

  /// What is known of the data, on its device. Waits for it.
  /// @throws std::runtime_error as update()
  [[nodiscard]] Moments moments();

  /// Replaces all data by what another accumulator with as many targets, or several of them
  /// together, had seen.
  /// @throws std::runtime_error as update()
  void assign(const Moments& moments);

  /// Forgets all data and frees its memory.
  void reset() { *this = fresh(); }

  /// d; 0 before the first batch.
  [[nodiscard]] std::int64_t width() const { return width_; }

  /// c.
  [[nodiscard]] std::int64_t targets() const { return targets_; }

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

  /// 1/n · Σᵢ tᵢ: (c), float64, on the device. Needs samples() > 0.
  /// @throws std::runtime_error as update()
  [[nodiscard]] at::Tensor target_means();

  /// 1/n · Σᵢ (xᵢ − m)tᵢᵀ, the covariance of features and targets: (d, c), float64, on the device.
  /// Needs samples() > 0.
  /// @throws std::runtime_error as update()
  [[nodiscard]] at::Tensor cross_covariance();

  /// A symmetric float64 matrix with the non-zero eigenvalues of Σ: Σ itself, or, as long as fewer
  /// than d data points have come and none was folded yet, the (n, n) Gram matrix 1/n · YYᵀ of the
  /// centred rows Y. Needs samples() > 0. Waits for the device.
  /// @throws std::runtime_error as update(), where it is Σ itself
  [[nodiscard]] at::Tensor spectral_matrix();

  /// How large an eigenvalue of Σ becomes by rounding alone: what is below may as well be zero.
  /// Needs samples() > 0. Waits for the device.
  [[nodiscard]] double noise_floor();

  /// Where the sums are. Needs width() > 0.
  [[nodiscard]] at::Device device() const { return sums_.device(); }

  /// The type of the sums.
  static constexpr at::ScalarType kSumType =
      std::is_same_v<Scalar, float> ? at::kFloat : at::kDouble;

 private:
  friend struct detail::StateAccess;

  template <typename Archive>
  void state(Archive& archive);
  void begin(std::int64_t width, const at::TensorOptions& options);
  void use_device(at::Device device);
  void move_to(at::Device device);
  void foresee(std::size_t bytes_per_number, std::string_view purpose) const;
  void foresee_sums() const;
  void require_fitting(const at::Tensor& rows, const RowTargets& with) const;
  [[nodiscard]] bool are_to_wait(std::int64_t count, at::ScalarType type);
  [[nodiscard]] detail::WaitingMemoryShare take_memory(at::ScalarType type) const;
  void reserve(at::ScalarType type, detail::WaitingMemoryShare share);
  void append(const at::Tensor& rows, std::int64_t count, const RowTargets& with);
  void fold(const at::Tensor& rows, std::int64_t count, const RowTargets& with);
  void flush();
  void flush_equal_batches();
  void note_shift();
  [[nodiscard]] detail::WaitingRows::Good good_waiting_rows() const;
  [[nodiscard]] at::Tensor centred_waiting_rows() const;

  [[nodiscard]] Covariance fresh() const {
    Covariance fresh = given_tuning_ != nullptr ? Covariance(products_, *given_tuning_, targets_)
                                                : Covariance(products_, targets_);
    fresh.memory_ = memory_;
    return fresh;
  }
  [[nodiscard]] at::ScalarType product_type(const at::Tensor& rows) const {
    return detail::product_type(products_, rows);
  }
  /// Whether all wait, as they came.
  [[nodiscard]] bool all_rows_wait() const {
    return sums_.untouched() && !waiting_.empty() && !waiting_.are_shifted();
  }
  [[nodiscard]] at::Tensor shifted_waiting_rows() const {
    const at::Tensor rows = waiting_.rows();
    return waiting_.are_shifted() ? rows : shift_.of_rows(rows, rows.scalar_type());
  }

  Products products_;
  std::int64_t targets_ = 0;
  const detail::Tuning* given_tuning_ = nullptr;
  const detail::Tuning* tuning_ = nullptr;  // set with the device
  std::int64_t width_ = 0;
  at::ScalarType coarsest_ = at::kDouble;  // of the types that came
  detail::Shift shift_;
  detail::ProductSums sums_;  // of the y = (x − s) · scale of all rows but those below
  detail::WaitingRows waiting_;
  std::shared_ptr<detail::WaitingMemory> memory_;  // null: none is set apart
};

template <typename Scalar>
void Covariance<Scalar>::update(const at::Tensor& given, const RowTargets& with) {
  const at::Tensor rows = detail::plain_tensor(given);
  if ((rows.dim() != 2 && rows.dim() != 3) || !rows.is_floating_point() || rows.is_meta()) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::update: rows must be (n, d) or (b, n, d) of a floating "
                    "type, with data; these have {} axes, type {} and device {}",
                    rows.dim(), c10::toString(rows.scalar_type()), rows.device().str()));
  }
  if (rows.numel() == 0) return;
  require_fitting(rows, with);
  const detail::PlainMode plain;
  if (width_ == 0) {
    begin(rows.size(-1), at::TensorOptions(rows.device()).dtype(product_type(rows)));
  }
  if (rows.size(-1) != width_) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::update: these rows have {} features, the ones before {}",
                    rows.size(-1), width_));
  }
  if (rows.device() != device()) move_to(rows.device());
  if (rows.scalar_type() != coarsest_) coarsest_ = detail::coarser(coarsest_, rows.scalar_type());
  const std::int64_t count = rows.numel() / width_;
  if (are_to_wait(count, product_type(rows))) {
    append(rows, count, with);
  } else {
    fold(rows.dim() == 3 ? rows : rows.unsqueeze(1), count, with);
  }
}

template <typename Scalar>
void Covariance<Scalar>::require_fitting(const at::Tensor& rows, const RowTargets& with) const {
  const std::int64_t count = rows.numel() / rows.size(-1);
  const at::Tensor& targets = with.targets;
  const bool fit = targets_ == 0
                       ? !targets.defined() && !with.mask.defined()
                       : targets.defined() && targets.dim() == 2 && targets.size(0) == count &&
                             targets.size(1) == targets_ && targets.is_floating_point() &&
                             targets.device() == rows.device();
  if (fit && (!with.mask.defined() || with.mask.numel() == count)) return;
  throw std::invalid_argument(
      fmt::format("delve::Covariance::update: {} rows need {} targets each, on their device, and a "
                  "mask, if one "
                  "is given, of as many rows",
                  count, targets_));
}

template <typename Scalar>
void Covariance<Scalar>::begin(std::int64_t width, const at::TensorOptions& options) {
  shift_ = detail::Shift(width, options);
  sums_ = detail::ProductSums(width, options.device(), kSumType, targets_);
  use_device(options.device());
  width_ = width;
}

template <typename Scalar>
void Covariance<Scalar>::use_device(at::Device device) {
  tuning_ = given_tuning_ != nullptr ? given_tuning_ : &detail::tuning_on(device);
}

template <typename Scalar>
void Covariance<Scalar>::move_to(at::Device device) {
  flush();
  waiting_ = {};
  // Both or none: a device may have no room for the second one.
  detail::Shift shift = shift_.on(device);
  detail::ProductSums sums = sums_.on(device);
  shift_ = std::move(shift);
  sums_ = std::move(sums);
  use_device(device);
  note_shift();
}

/// Refuses d × d numbers that do not fit before the host allocates them: a device does so itself.
template <typename Scalar>
void Covariance<Scalar>::foresee(std::size_t bytes_per_number, std::string_view purpose) const {
  if (!device().is_cpu()) return;
  const auto width = static_cast<double>(width_);
  const auto height = static_cast<double>(width_ + targets_);
  detail::require_memory(static_cast<double>(bytes_per_number) * width * height,
                         fmt::format("{} {} features", purpose, width_));
}

template <typename Scalar>
void Covariance<Scalar>::foresee_sums() const {
  if (!sums_.defined()) foresee(2 * sizeof(Scalar), "the covariance of");
}

/// Whether a batch of so many rows of this type is to wait. If only memory set apart for that
/// allows it, that memory has been reserved.
template <typename Scalar>
bool Covariance<Scalar>::are_to_wait(std::int64_t count, at::ScalarType type) {
  if (count < tuning_->rows_worth_a_product(width_)) return true;
  if (memory_ == nullptr) return false;
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(type));
  if (count > tuning_->large_capacity(width_, bytes) / 8) return false;
  if (waiting_.is_of(type)) return waiting_.have_share();
  detail::WaitingMemoryShare share = take_memory(type);
  if (share.empty()) return false;
  flush();
  reserve(type, std::move(share));
  return true;
}

/// Memory for as many rows as may wait, if that much is left.
template <typename Scalar>
detail::WaitingMemoryShare Covariance<Scalar>::take_memory(at::ScalarType type) const {
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(type));
  const std::int64_t capacity = tuning_->large_capacity(width_, bytes);
  if (capacity == tuning_->capacity(width_)) return {};
  return detail::WaitingMemoryShare::of(memory_, capacity * width_ * bytes);
}

/// Makes room for rows to wait in. None must wait.
/// @param share empty where no memory was set apart
template <typename Scalar>
void Covariance<Scalar>::reserve(at::ScalarType type, detail::WaitingMemoryShare share) {
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(type));
  const std::int64_t capacity =
      share.empty() ? tuning_->capacity(width_) : tuning_->large_capacity(width_, bytes);
  waiting_.reserve(capacity, width_, at::TensorOptions(device()).dtype(type), targets_,
                   std::move(share));
}

template <typename Scalar>
void Covariance<Scalar>::append(const at::Tensor& rows, std::int64_t count,
                                const RowTargets& with) {
  const at::ScalarType type = product_type(rows);
  if (!waiting_.have_room(count, type)) {
    flush();
    if (!waiting_.have_room(count, type)) reserve(type, take_memory(type));
  }
  waiting_.append(rows, count, shift_, *tuning_, with);
}

template <typename Scalar>
void Covariance<Scalar>::release_memory() {
  if (!waiting_.have_share()) return;
  const detail::PlainMode plain;
  if (all_rows_wait() && waiting_.count() < width_) {
    waiting_ = waiting_.copy();
  } else {
    flush();
    waiting_ = {};
  }
}

/// Takes rows (b, n, d) into the sums, count of them.
template <typename Scalar>
void Covariance<Scalar>::fold(const at::Tensor& rows, std::int64_t count, const RowTargets& with) {
  foresee_sums();
  if (!shift_.is_chosen()) {
    if (with.mask.defined()) {  // by rows that count
      const at::Tensor flat = rows.reshape({-1, width_});
      const at::Tensor first = flat.index_select(0, with.mask.to(at::kByte).argmax());
      const at::Tensor good = at::where(with.mask.view({-1, 1}), flat, first);
      shift_.choose(detail::some_of(good.unsqueeze(1)), first[0], sums_.count());
    } else {
      shift_.choose(detail::some_of(rows), rows[0][0], sums_.count());
    }
  }
  sums_.take(rows, count, shift_, product_type(rows), *tuning_, with);
  note_shift();
}

/// Takes all rows that wait into the sums, and settles the sums.
template <typename Scalar>
void Covariance<Scalar>::flush() {
  sums_.settle(*tuning_);
  if (waiting_.empty()) return;
  foresee_sums();
  if (!tuning_->is_host && shift_.is_chosen() && waiting_.rows_a_batch() > 0) {
    flush_equal_batches();
    return;
  }
  const at::Tensor rows = waiting_.rows();
  const at::Tensor targets = waiting_.targets();
  at::Tensor y = shifted_waiting_rows();
  const auto good = waiting_.good(shift_.are_in_range(rows, y, sums_.count()));
  const bool all_are_good = detail::are_known_true(good.rows, *tuning_);
  if (!shift_.is_chosen()) {
    if (all_are_good) {
      shift_.choose(rows, rows[0], sums_.count());
    } else {
      const at::Tensor first_good = rows.index_select(0, good.rows.to(at::kByte).argmax());
      shift_.choose(at::where(good.rows.unsqueeze(1), rows, first_good), first_good[0],
                    sums_.count());
    }
    y = shift_.of_rows(rows, rows.scalar_type());
  }
  at::Tensor bad_rows;
  if (!all_are_good) bad_rows = good.rows.logical_not().unsqueeze(1);
  const at::Tensor sums = at::empty({1, width_ + 1 + targets_, width_}, y.options());
  at::Tensor totals = good.rows.sum().to(at::kDouble).unsqueeze(0);
  if (targets_ > 0) {
    totals = at::cat({totals, at::mv(targets.to(at::kDouble).t(), good.rows.to(at::kDouble))});
  }
  const at::Tensor bad_batches = good.batches.logical_not().sum().to(at::kDouble);
  // An exception from here on loses the rows: better than summing them twice, or bad ones as zeros.
  waiting_.clear();
  if (!all_are_good) y.masked_fill_(bad_rows, 0);
  detail::sum_shifted(y, sums[0], *tuning_, targets);
  sums_.add(sums, totals.unsqueeze(0), *tuning_);
  sums_.skip(bad_batches);
  note_shift();
}

/// flush() on a device, where each operator saved counts, for batches of equally many rows and a
/// shift that is chosen: such batches can be checked whole.
template <typename Scalar>
void Covariance<Scalar>::flush_equal_batches() {
  const at::Tensor y = shifted_waiting_rows();
  const std::int64_t count = waiting_.rows_a_batch();
  const at::Tensor batches = y.view({-1, count * width_});
  // With a NaN this norm is NaN, too, and neither NaN nor infinity is less than any limit.
  const at::Tensor good =
      at::linalg_vector_norm(batches, detail::infinity(), at::IntArrayRef(1)).lt(detail::kLargest);
  const at::Tensor bad = good.logical_not();
  const at::Tensor totals = good.sum(at::kDouble).mul_(static_cast<double>(count)).view({1, 1});
  const at::Tensor bad_batches = bad.sum(at::kDouble);
  const at::Tensor sums = at::empty({1, width_ + 1, width_}, y.options());
  // As in flush().
  waiting_.clear();
  batches.masked_fill_(bad.unsqueeze(1), 0);
  detail::sum_shifted(y, sums[0], *tuning_);
  sums_.add(sums, totals, *tuning_);
  sums_.skip(bad_batches);
}

/// Keeps the shift once something was summed, where that is known without waiting.
template <typename Scalar>
void Covariance<Scalar>::note_shift() {
  if (shift_.is_chosen() || !tuning_->is_host) return;
  if (sums_.count().template item<double>() > 0) shift_.keep();
}

template <typename Scalar>
void Covariance<Scalar>::merge(Covariance& other) {
  const detail::PlainMode plain;
  if (other.width_ == 0) return;
  other.flush();
  if (width_ == 0) begin(other.width_, other.shift_.shift().options());
  if (targets_ > 0 && targets_ != other.targets_) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::merge: this one has {} targets, the other one {}", targets_,
                    other.targets_));
  }
  if (width_ != other.width_) {
    throw std::invalid_argument(
        fmt::format("delve::Covariance::merge: this one has {} features, the other one {}", width_,
                    other.width_));
  }
  flush();
  if (!other.sums_.defined()) return;
  coarsest_ = detail::coarser(coarsest_, other.coarsest_);
  shift_.take_over(other.shift_, sums_.count());
  sums_.merge(other.sums_, shift_, other.shift_);
  note_shift();
}

template <typename Scalar>
void Covariance<Scalar>::move_targets(const at::Tensor& by) {
  const detail::PlainMode plain;
  flush();
  if (sums_.defined()) sums_.move_targets(by);
}

template <typename Scalar>
Covariance<Scalar> Covariance<Scalar>::copy() const {
  const detail::PlainMode plain;
  Covariance other = fresh();
  other.tuning_ = tuning_;
  other.width_ = width_;
  other.coarsest_ = coarsest_;
  other.shift_ = shift_.copy();
  other.sums_ = sums_.copy();
  other.waiting_ = waiting_.copy();
  return other;
}

/// All that it knows, to the bit: rows that wait go on waiting. Only a new one can read it.
template <typename Scalar>
template <typename Archive>
void Covariance<Scalar>::state(Archive& archive) {
  const detail::PlainMode plain;
  archive(width_, coarsest_);
  archive.require(width_ >= 0 && width_ <= (std::int64_t{1} << 31U));
  if (width_ == 0) return;
  archive(shift_);
  const at::Tensor& shift = shift_.shift();
  if constexpr (Archive::kReads) {
    archive.require(shift.defined() && shift.dim() == 1 && shift.size(0) == width_ &&
                    shift_.scale().defined() && shift_.scale().numel() == 1);
    sums_ = detail::ProductSums(width_, shift.device(), kSumType, targets_);
  }
  archive(sums_);
  if constexpr (Archive::kReads) use_device(device());
  waiting_.state(archive, width_, targets_,
                 [this](at::ScalarType type) { return take_memory(type); });
  if constexpr (Archive::kReads) {
    // On the host rows wait as they came.
    if (archive.has_moved() && !waiting_.empty() && waiting_.are_shifted()) flush();
  }
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::bytes() const {
  return shift_.bytes() + sums_.bytes() + waiting_.bytes();
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::samples() const {
  if (width_ == 0) return 0;
  const detail::PlainMode plain;
  at::Tensor count = sums_.samples();
  if (!waiting_.empty()) count = count + good_waiting_rows().rows.sum();
  return static_cast<std::int64_t>(count.item<double>());
}

template <typename Scalar>
std::int64_t Covariance<Scalar>::skipped_batches() const {
  if (width_ == 0) return 0;
  const detail::PlainMode plain;
  at::Tensor skipped = sums_.skipped();
  if (!waiting_.empty()) skipped = skipped + good_waiting_rows().batches.logical_not().sum();
  return static_cast<std::int64_t>(skipped.item<double>());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::mean() {
  const detail::PlainMode plain;
  flush();
  return shift_.shift().to(at::kDouble) +
         sums_.sum().to(at::kDouble) / (sums_.count() * shift_.scale());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::matrix() {
  const detail::PlainMode plain;
  flush();
  foresee(3 * sizeof(double), "reporting");
  const at::Tensor mean = sums_.sum().to(at::kDouble) / sums_.count();
  const at::Tensor sigma =
      (sums_.product().to(at::kDouble) / sums_.count()).sub_(at::outer(mean, mean)).tril_();
  return (sigma + sigma.tril(-1).t()).div_(shift_.scale().to(at::kDouble).square());
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::variances() {
  const detail::PlainMode plain;
  if (all_rows_wait()) return centred_waiting_rows().square().mean(0);
  flush();
  const at::Tensor mean = sums_.sum().to(at::kDouble) / sums_.count();
  return (sums_.product().diagonal().to(at::kDouble) / sums_.count() - mean.square()) /
         shift_.scale().to(at::kDouble).square();
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::target_means() {
  const detail::PlainMode plain;
  flush();
  return sums_.target_sum() / sums_.count();
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::cross_covariance() {
  const detail::PlainMode plain;
  flush();
  const at::Tensor mean = sums_.sum().to(at::kDouble) / sums_.count();
  const at::Tensor targets = sums_.target_sum() / sums_.count();
  return (sums_.cross().to(at::kDouble) / sums_.count())
      .sub_(at::outer(targets, mean))
      .t()
      .div(shift_.scale().to(at::kDouble));
}

template <typename Scalar>
Moments Covariance<Scalar>::moments() {
  const detail::PlainMode plain;
  Moments known;
  if (width_ == 0) return known;
  known.samples = samples();
  known.skipped_batches = skipped_batches();
  known.coarsest = coarsest_;
  const auto options = at::TensorOptions(device()).dtype(at::kDouble);
  if (known.samples == 0) {
    known.mean = at::zeros({width_ + targets_}, options);
    known.scatter = at::zeros({width_ + targets_, width_}, options);
    return known;
  }
  known.scatter = matrix();
  known.mean = mean();
  if (targets_ > 0) {
    known.scatter = at::cat({known.scatter, cross_covariance().t()});
    known.mean = at::cat({known.mean, target_means()});
  }
  known.scatter.mul_(static_cast<double>(known.samples));
  return known;
}

template <typename Scalar>
void Covariance<Scalar>::assign(const Moments& moments) {
  const detail::PlainMode plain;
  reset();
  if (moments.width() == 0) return;
  begin(moments.width(), moments.scatter.options());
  coarsest_ = moments.coarsest;
  const at::Tensor mean = moments.mean.narrow(0, 0, width_);
  const at::Tensor targets = moments.mean.narrow(0, width_, targets_);
  const auto count = static_cast<double>(moments.samples);
  if (moments.samples == 0) {
    sums_.skip(at::full({}, static_cast<double>(moments.skipped_batches), mean.options()));
    return;
  }
  foresee_sums();
  // About the mean Σ y is 0; what is left is scaled so that no sum overflows.
  const at::Tensor spread =
      moments.scatter.diagonal().narrow(0, 0, width_).amax().div(count).sqrt();
  const at::Tensor scale = std::get<0>(at::frexp(spread)).mul(2).div_(spread);
  shift_ = detail::Shift(mean.clone(), at::where(at::isfinite(scale), scale, at::ones_like(scale)));
  const at::Tensor& s = shift_.scale();
  sums_.assign(count, static_cast<double>(moments.skipped_batches),
               at::cat({moments.scatter.narrow(0, 0, width_) * s.square(),
                        at::zeros({1, width_}, mean.options()),
                        moments.scatter.narrow(0, width_, targets_) * s}),
               targets * count);
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::spectral_matrix() {
  const detail::PlainMode plain;
  if (!all_rows_wait() || waiting_.count() >= width_) return matrix();
  const at::Tensor rows = centred_waiting_rows();
  return at::mm(rows, rows.t()).div_(rows.size(0));
}

template <typename Scalar>
double Covariance<Scalar>::noise_floor() {
  const detail::PlainMode plain;
  detail::NoiseSources sources{samples(), width_, coarsest_, 0, at::kDouble, 0, 0};
  at::Tensor square;
  at::Tensor shifted_square;
  at::Tensor variance;
  if (all_rows_wait()) {
    // The products of rows that wait are formed in float64.
    const at::Tensor good = good_waiting_rows().rows.nonzero().squeeze(1);
    square = waiting_.rows().index_select(0, good).to(at::kDouble).square().mean(0);
    variance = centred_waiting_rows().square().mean(0);
    shifted_square = variance;
  } else {
    const at::Tensor scale = shift_.scale().to(at::kDouble);
    variance = variances();
    square = variance + mean().square();
    shifted_square = sums_.product().diagonal().to(at::kDouble) / sums_.count() / scale.square();
    const bool is_wide = products_ == Products::Float64 || coarsest_ == at::kDouble;
    sources.products = detail::coarser(is_wide ? at::kDouble : at::kFloat, kSumType);
  }
  const at::Tensor found = at::stack({square.amax(), shifted_square.amax(), variance.sum()}).cpu();
  sources.largest_square = found[0].item<double>();
  sources.largest_shifted_square = found[1].item<double>();
  sources.trace = found[2].item<double>();
  return detail::noise_floor(sources);
}

template <typename Scalar>
detail::WaitingRows::Good Covariance<Scalar>::good_waiting_rows() const {
  return waiting_.good(shift_.are_in_range(waiting_.rows(), shifted_waiting_rows(), sums_.count()));
}

template <typename Scalar>
at::Tensor Covariance<Scalar>::centred_waiting_rows() const {
  const at::Tensor good = good_waiting_rows().rows;
  const at::Tensor rows =
      waiting_.rows().index_select(0, good.nonzero().squeeze(1)).to(at::kDouble);
  // By way of one row, as in Shift::choose().
  const at::Tensor deviation = rows - rows[0];
  return deviation - deviation.mean(0, /*keepdim=*/true);
}

}  // namespace DELVE_ABI
}  // namespace delve
