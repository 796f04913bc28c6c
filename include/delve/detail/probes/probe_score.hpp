// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>   // std::int64_t
#include <memory>    // std::shared_ptr
#include <mutex>     // std::lock_guard, std::mutex, std::unique_lock
#include <optional>  // std::optional
#include <utility>   // std::move
#include <vector>    // std::vector

#include <ATen/ATen.h>

#include <delve/detail/probes/row_labels.hpp>
#include <delve/detail/sums/products.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/probe.hpp>
#include <delve/product_precision.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Whether a probe was right on each sample of a batch, for two probes to be compared on the same
/// ones.
struct SampleScores {
  std::int64_t first_sample;  ///< the number of the batch's first sample
  at::Tensor is_right;        ///< (b) float32: 1 or 0; a NaN where the sample does not count

  template <typename Archive>
  void state(Archive& archive) {
    archive(first_sample, is_right);
    archive.require(is_right.defined() && is_right.dim() == 1);
  }
};

/// How well one fitted probe did on the rows that it was shown: sums on their device, which no call
/// but share() waits for. Not thread-safe.
class ProbeScore {
 public:
  /// @param fit on the rows' device
  /// @param rows (n, d). Where one is not finite the batch is left out, and so are all batches
  ///   where the fit has no solution
  /// @param first_sample where the rows are samples of classes whose scores are to be kept: the
  ///   number of the first
  void add(const FittedProbe& fit, const at::Tensor& rows, const RowLabels& labels,
           std::optional<std::int64_t> first_sample = std::nullopt) {
    const at::Tensor without_bias = fit.scores_without_bias(rows);
    const at::Tensor is_good = at::isfinite(rows.sum(at::kDouble))
                                   .logical_and(at::isnan(without_bias.sum()).logical_not());
    at::Tensor counts = is_good.expand({rows.size(0)});
    if (labels.with.mask.defined()) counts = counts.logical_and(labels.with.mask);
    if (!sums_.defined()) sums_ = at::zeros({4}, rows.options().dtype(at::kDouble));
    if (sums_.device() != rows.device()) sums_ = sums_.to(rows.device());
    if (labels.classes.defined()) {
      const at::Tensor scores = without_bias + fit.bias.to(without_bias.scalar_type());
      const at::Tensor right = scores.argmax(1).eq(labels.classes).logical_and(counts);
      sums_.add_(at::stack({counts.sum(), right.sum(), right.new_zeros({}, at::kLong),
                            right.new_zeros({}, at::kLong)}));
      if (first_sample && kept_ + rows.size(0) <= kMostKept) {
        const at::Tensor nothing =
            at::full({}, missing_number(), right.options().dtype(at::kFloat));
        by_sample_.push_back({*first_sample, at::where(counts, right.to(at::kFloat), nothing)});
        kept_ += rows.size(0);
      }
      return;
    }
    // About the training's mean, which is near, so that nothing cancels (see Covariance).
    const at::Tensor wide = labels.with.targets.to(at::kDouble);
    const at::Tensor row_counts = counts.unsqueeze(1);
    const auto where_it_counts = [&](const at::Tensor& tensor) {
      return at::where(row_counts, tensor, at::zeros_like(tensor));
    };
    const at::Tensor centred = where_it_counts(wide - fit.bias.to(at::kDouble));
    const at::Tensor missed = where_it_counts(centred - without_bias.to(at::kDouble));
    if (!target_sum_.defined()) target_sum_ = at::zeros({wide.size(1)}, sums_.options());
    target_sum_ = target_sum_.to(rows.device()) + centred.sum(0);
    sums_.add_(at::stack({counts.sum().to(at::kDouble), at::zeros({}, sums_.options()),
                          missed.square().sum(), centred.square().sum()}));
  }

  [[nodiscard]] bool empty() const { return !sums_.defined(); }

  /// All that share() is read off, to be summed over ranks: (4 + K) float64, on a device.
  /// @param targets K, of targets that are numbers; else 0
  [[nodiscard]] at::Tensor numbers(std::int64_t targets, at::Device device) const {
    at::Tensor all = at::zeros({4 + targets}, at::TensorOptions(device).dtype(at::kDouble));
    if (sums_.defined()) all.narrow(0, 0, 4).copy_(sums_);
    if (target_sum_.defined()) all.narrow(0, 4, targets).copy_(target_sum_);
    return all;
  }

  /// Takes the sums of all ranks. Scores by sample are this rank's own, and are forgotten.
  void assign(const at::Tensor& numbers) {
    by_sample_.clear();
    sums_ = numbers.narrow(0, 0, 4);
    if (numbers.size(0) > 4) target_sum_ = numbers.narrow(0, 4, numbers.size(0) - 4);
  }

  /// The scores of 131,072 samples at most, on their device; a batch beyond these is left out.
  [[nodiscard]] const std::vector<SampleScores>& by_sample() const { return by_sample_; }

  /// The share of the rows whose class was found; of numbers R², the share of their variance that
  /// was predicted, 1 − Σ|y − ŷ|² / Σ|y − ȳ|². Waits for the device.
  /// @return missing where no row counted, or the numbers never varied
  [[nodiscard]] double share() const {
    if (empty()) return missing_number();
    const at::Tensor sums = sums_.cpu();
    const auto sum = [&](std::int64_t place) { return sums[place].item<double>(); };
    if (sum(0) == 0) return missing_number();
    if (!target_sum_.defined()) return sum(1) / sum(0);
    const double variation = sum(3) - target_sum_.square().sum().item<double>() / sum(0);
    return variation > 0 ? 1 - sum(2) / variation : missing_number();
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(sums_, target_sum_, by_sample_, kept_);
    archive.require(!sums_.defined() || sums_.numel() == 4);
    archive.require(!target_sum_.defined() || sums_.defined());
  }

 private:
  at::Tensor sums_;        // (4): rows, right ones, Σ|y − ŷ|², Σ|y − b|²
  at::Tensor target_sum_;  // (c): Σ(y − b), of targets that are numbers
  std::vector<SampleScores> by_sample_;
  std::int64_t kept_ = 0;
  static constexpr std::int64_t kMostKept = std::int64_t{1} << 17U;
};

/// A probe that is fitted when it is first requested, by whichever thread does. Thread-safe.
template <typename Scalar>
class LazyFit {
 public:
  explicit LazyFit(std::shared_ptr<Probe<Scalar>> sums) : sums_(std::move(sums)) {}
  /// One to be read by state().
  LazyFit() = default;

  /// On the device of the rows, for products of their type. Does not wait for it.
  [[nodiscard]] FittedProbe get(const at::Tensor& rows) {
    const std::lock_guard<std::mutex> lock(mutex_);
    solve();
    const at::ScalarType type = product_type(Products::Float32, rows);
    if (fit_.weight.scalar_type() != type || fit_.weight.device() != rows.device()) {
      const auto moved = [&](const at::Tensor& tensor) { return tensor.to(rows.device(), type); };
      fit_ = {moved(fit_.mean), moved(fit_.weight), fit_.bias.to(rows.device())};
    }
    return fit_;
  }

  /// NC1. Needs the sums. Waits for the device.
  [[nodiscard]] double neural_collapse() {
    const std::shared_ptr<Probe<Scalar>> sums = solved_sums();
    return sums ? sums->neural_collapse() : missing_number();
  }

  /// Whether rows came, and there is no solution to them. Needs the sums. Waits for the device.
  [[nodiscard]] bool has_failed() {
    const std::shared_ptr<Probe<Scalar>> sums = solved_sums();
    std::unique_lock<std::mutex> lock(mutex_);
    const FittedProbe fit = fit_;
    lock.unlock();
    return sums && sums->samples() > 0 && !fit.is_solved();
  }

  /// For neural_collapse(): takes the sums that it was fitted to.
  void take_sums(std::shared_ptr<Probe<Scalar>> sums) {
    const std::lock_guard<std::mutex> lock(mutex_);
    solve();
    sums_ = std::move(sums);
  }

  /// Gives the sums' memory back: what is fitted stays.
  void forget_sums() {
    const std::lock_guard<std::mutex> lock(mutex_);
    solve();
    sums_.reset();
  }

  /// What is fitted, without the sums.
  template <typename Archive>
  void state(Archive& archive) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if constexpr (!Archive::kReads) solve();
    archive(fit_.mean, fit_.weight, fit_.bias);
    archive.require(fit_.weight.defined() && fit_.weight.dim() == 2 && fit_.mean.defined() &&
                    fit_.mean.numel() == fit_.weight.size(0) && fit_.bias.defined() &&
                    fit_.bias.numel() == fit_.weight.size(1));
  }

 private:
  /// Once the fit is solved no hook needs its sums, and they are the caller's alone.
  [[nodiscard]] std::shared_ptr<Probe<Scalar>> solved_sums() {
    const std::lock_guard<std::mutex> lock(mutex_);
    solve();
    return sums_;
  }

  void solve() {
    if (!fit_.weight.defined()) fit_ = sums_->fit();
  }

  std::mutex mutex_;  // guards all below
  std::shared_ptr<Probe<Scalar>> sums_;
  FittedProbe fit_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
