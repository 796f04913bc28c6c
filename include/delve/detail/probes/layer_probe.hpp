// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>   // std::int64_t, std::uint64_t
#include <memory>    // std::make_shared, std::shared_ptr
#include <optional>  // std::optional
#include <utility>   // std::exchange, std::move
#include <vector>    // std::vector

#include <ATen/ATen.h>

#include <delve/covariance.hpp>
#include <delve/detail/probes/held_out.hpp>
#include <delve/detail/probes/probe_score.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/probe.hpp>
#include <delve/statistic.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What an epoch leaves of a layer's probe.
template <typename Scalar>
struct ProbeEpoch {
  std::shared_ptr<LazyFit<Scalar>> fit;  ///< to the epoch's training; null: there was none
  ProbeScore evaluation;
  ProbeScore training;
  std::vector<LabelledRows> held_out;  ///< to try fit on, for lack of an evaluation
  /// Where the probe does not fit itself: what it is to be fitted to, with the sums of other
  /// ranks.
  std::shared_ptr<Probe<Scalar>> sums = nullptr;
  std::optional<ProbeScore> tried = std::nullopt;  ///< of held_out, if it was tried already
  /// The statistic "probe_error", where it was found with the samples of all ranks.
  std::optional<double> error = std::nullopt;

  /// How well what was fitted does on what was held out.
  [[nodiscard]] ProbeScore try_held_out() const {
    ProbeScore score;
    for (const LabelledRows& part : held_out) {
      score.add(fit->get(part.rows), part.counted(), part.labels);
    }
    return score;
  }

  /// Computes the figures, then forgets the sums. Waits for the device.
  [[nodiscard]] ProbeMeasurement measure(bool needs_collapse) const {
    const PlainMode plain;
    ProbeMeasurement found;
    found.evaluation = evaluation.share();
    found.training = training.share();
    if (!fit) return found;
    found.is_solved = !fit->has_failed();
    found.held_out = tried ? tried->share() : try_held_out().share();
    if (needs_collapse) found.neural_collapse = fit->neural_collapse();
    fit->forget_sums();
    return found;
  }
};

/// A layer's probe while it trains: sums of the training's rows, and how well what was fitted to
/// them does on those of the evaluation. No member waits for the device. Not thread-safe.
template <typename Scalar>
class LayerProbe {
 public:
  /// @param seed of the samples that are held out
  /// @param scores_training whether rows of the training are tried, too
  /// @param fits_itself whether it is fitted to what it has summed; else accept() brings what is to
  ///   be tried
  LayerProbe(const ProbeOptions& options, std::uint64_t seed, bool scores_training,
             bool fits_itself)
      : options_(options),
        scores_training_(scores_training),
        fits_itself_(fits_itself),
        own_(new_probe()),
        shared_(new_probe()),
        held_out_(seed) {}

  /// Takes rows of the training.
  /// @param batch where is_shared is set, its rows are those of the layer's covariance as well, and
  ///   end_epoch() gives it what was taken here
  /// @param first_sample the number of its first sample
  /// @param is_taken is set once part of the batch was taken, even if an exception follows
  void train(LabelledRows batch, std::int64_t first_sample, bool& is_taken) {
    if (fit_ && scores_training_) {
      if (trained_with_ != fit_) training_ = {};
      trained_with_ = fit_;
      try_on(training_, batch);
    }
    // A batch that is not finite is left out whole, and so must not be split unseen.
    const at::Tensor is_finite = at::isfinite(batch.counted().sum(at::kDouble));
    if (!is_finite.is_cpu()) {
      const at::Tensor spoilt = at::full({}, missing_number(), batch.rows.options());
      batch.rows = batch.rows + at::where(is_finite, at::zeros_like(spoilt), spoilt);
    } else if (!is_finite.item<bool>()) {
      add(batch);
      is_taken = true;
      return;
    }
    for (const LabelledRows& rows : held_out_.take(std::move(batch), first_sample)) {
      add(rows);
      is_taken = true;
    }
    is_taken = true;
    has_news_ = true;
  }

  /// Tries what was fitted, after fitting it to what came since.
  /// @param first_sample the number of its first sample
  void evaluate(const LabelledRows& batch, std::int64_t first_sample) {
    is_late_ = is_late_ || (has_news_ && !fits_itself_);
    if (has_news_ && fits_itself_) {
      return_held_out();
      auto fit = std::make_shared<LazyFit<Scalar>>(all_of(own_, shared_));
      fit->forget_sums();  // which training may change
      fit_ = std::move(fit);
      evaluation_ = {};  // of the fit before
      has_news_ = false;
    }
    if (!fit_) return;
    if (batch.rows_per_sample() == 1) {
      try_on(evaluation_, batch, first_sample);
    } else {
      try_on(evaluation_, batch);
    }
  }

  /// Ends the epoch.
  /// @param covariance takes what was summed here for it
  [[nodiscard]] ProbeEpoch<Scalar> end_epoch(Covariance<Scalar>& covariance) {
    ProbeEpoch<Scalar> epoch;
    epoch.evaluation = std::exchange(evaluation_, {});
    epoch.training = std::exchange(training_, {});
    const bool is_all_held_out = own_->width() == 0 && shared_->width() == 0;
    if (!epoch.evaluation.empty() || is_all_held_out) return_held_out();
    epoch.held_out = held_out_.release();
    // The next epoch's sums begin first: what fails below is lost with this epoch.
    const Sums own = std::exchange(own_, new_probe());
    const Sums shared = std::exchange(shared_, new_probe());
    const bool has_news = std::exchange(has_news_, false);
    for (const LabelledRows& rows : epoch.held_out) {
      if (rows.is_shared) covariance.update(rows.rows);
    }
    covariance.merge(shared->sums());
    if (!fits_itself_) {
      epoch.sums = all_of(own, shared);
      return epoch;
    }
    if (own->width() == 0 && shared->width() == 0) return epoch;
    if (has_news) {
      fit_ = std::make_shared<LazyFit<Scalar>>(all_of(own, shared));
    } else if (fit_) {
      fit_->take_sums(all_of(own, shared));
    }
    epoch.fit = fit_;
    return epoch;
  }

  /// What was summed in this epoch. Waits for the device.
  [[nodiscard]] Moments moments() {
    return_held_out();
    return all_of(own_, shared_)->moments();
  }

  /// Takes what is to be tried from here on, where it does not fit itself.
  void accept(std::shared_ptr<LazyFit<Scalar>> fit) {
    fit_ = std::move(fit);
    evaluation_ = {};  // of the fit before
    has_news_ = false;
  }

  /// Whether an evaluation tried what was fitted before the training that came last.
  [[nodiscard]] bool is_late() const { return is_late_; }

  /// Whether something was fitted that an evaluation can try.
  [[nodiscard]] bool has_fit() const { return fit_ != nullptr; }

  /// The memory that its sums and rows take, in bytes.
  [[nodiscard]] std::int64_t bytes() const {
    return own_->bytes() + shared_->bytes() + held_out_.bytes();
  }

  /// Of a probe with the same options.
  template <typename Archive>
  void state(Archive& archive) {
    bool has_fit = fit_ != nullptr;
    bool has_trained_with_it = has_fit && trained_with_ == fit_;
    archive(has_fit, has_trained_with_it, is_late_, has_news_, *own_, *shared_, held_out_);
    if constexpr (Archive::kReads) {
      fit_ = has_fit ? std::make_shared<LazyFit<Scalar>>() : nullptr;
      trained_with_ = has_trained_with_it ? fit_ : nullptr;
    }
    if (has_fit) archive(*fit_);
    archive(evaluation_, training_);
  }

 private:
  using Sums = std::shared_ptr<Probe<Scalar>>;

  [[nodiscard]] Sums new_probe() const { return std::make_shared<Probe<Scalar>>(options_); }

  void try_on(ProbeScore& score, const LabelledRows& batch,
              std::optional<std::int64_t> first_sample = std::nullopt) {
    score.add(fit_->get(batch.rows), batch.counted(), batch.labels, first_sample);
  }

  void add(const LabelledRows& rows) {
    (rows.is_shared ? shared_ : own_)->update(rows.rows, rows.labels);
  }

  void return_held_out() {
    for (const LabelledRows& rows : held_out_.release()) add(rows);
  }

  /// The sums of all rows.
  [[nodiscard]] Sums all_of(const Sums& own, const Sums& shared) const {
    if (shared->width() == 0) return own;
    if (own->width() == 0) return shared;
    Sums both = new_probe();
    both->merge(*own);
    both->merge(*shared);
    return both;
  }

  ProbeOptions options_;
  bool scores_training_;
  bool fits_itself_;
  bool is_late_ = false;
  Sums own_;     // of rows that are pooled, or may be masked
  Sums shared_;  // of rows of the covariance
  HeldOut held_out_;
  std::shared_ptr<LazyFit<Scalar>> fit_;           // what is tried; null before the first one
  std::shared_ptr<LazyFit<Scalar>> trained_with_;  // the fit that training_ tries
  bool has_news_ = false;                          // rows came that it is not fitted to
  ProbeScore evaluation_;
  ProbeScore training_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
