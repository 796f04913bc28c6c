// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>   // std::count_if, std::max, std::min, std::partition_point, std::sort
#include <cmath>       // std::exp, std::isnan, std::log, std::sqrt
#include <cstddef>     // std::size_t
#include <cstdint>     // std::int64_t
#include <functional>  // std::greater
#include <optional>    // std::optional
#include <utility>     // std::move
#include <vector>      // std::vector

#include <Eigen/Core>

#include <delve/detail/support/numbers.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Which number is called the intrinsic dimensionality.
enum class IdimRule {
  /// The fewest directions that explain the threshold's share of the variance (Shenk et al.,
  /// "Spectral analysis of latent representations", arXiv 1907.08589).
  ExplainedVariance,
  /// What Delve (Python) 0.1.50 returns: one less. For those who compare with its numbers.
  Delve,
};

/// What is known of eigenvalues that were computed in less than float64, or of which only the
/// leading ones were.
struct Approximation {
  /// A bound on the Frobenius norm of the change to the matrix that would give these eigenvalues.
  double error;
  double total;  ///< the exact sum of the eigenvalues: the trace
  /// The exact sum of their squares: ‖A‖², Frobenius's norm. NaN: unknown.
  double squares = detail::missing_number();
};

/// The eigenvalues of a layer's covariance, solved for once; all else is read off them. Several
/// threads may read one at once, unless it was made with an approximation: then dimensionality()
/// and saturation() note what in_doubt() returns.
class Spectrum {
 public:
  /// @param eigenvalues in any order; where they are fewer than width, the others are zero; with an
  ///   approximation they are not known, but no larger. Then only what is marked below as read off
  ///   the leading ones is right
  /// @param approximation unset where they are as good as float64 gives them
  /// @param floor eigenvalues that are not above it are rounding, and taken for zero; approximate
  ///   ones are only known to be small then, which may leave a doubt
  Spectrum(Eigen::VectorXd eigenvalues, std::int64_t width,
           std::optional<Approximation> approximation = {}, double floor = 0)
      : eigenvalues_(std::move(eigenvalues)),
        width_(width),
        approximation_(approximation),
        floor_(floor) {
    std::sort(eigenvalues_.data(), eigenvalues_.data() + eigenvalues_.size(), std::greater<>());
    cumulated_.reserve(static_cast<std::size_t>(eigenvalues_.size()) + 1);
    for (const double value : eigenvalues_) {
      cumulated_.push_back(cumulated_.back() + above_floor(value));
    }
  }

  /// Descending; rounding may have made the last ones negative.
  [[nodiscard]] const Eigen::VectorXd& eigenvalues() const { return eigenvalues_; }

  /// d, the number of eigenvalues, including those that are zero for lack of data.
  [[nodiscard]] std::int64_t width() const { return width_; }

  /// The variance in all directions: the sum of the eigenvalues, those that are not above the floor
  /// taken for zero; of approximate ones the exact sum, the trace.
  [[nodiscard]] double total() const {
    if (approximation_) return approximation_->total;
    return cumulated_.back();
  }

  /// p_k, the share of the variance that the k leading directions explain; 0 ≤ k ≤ d. NaN where
  /// there is no variance.
  [[nodiscard]] double explained(std::int64_t k) const {
    if (!(total() > 0)) return detail::missing_number();
    return cumulated_[std::min(static_cast<std::size_t>(k), cumulated_.size() - 1)] / total();
  }

  /// The smallest k with p_k ≥ threshold; 0 where there is no variance. Where rounding leaves no
  /// such p_k, the number of eigenvalues above the floor. Read off the leading ones.
  /// @param threshold in (0, 1]
  [[nodiscard]] std::int64_t dimensionality(double threshold,
                                            IdimRule rule = IdimRule::ExplainedVariance) const {
    if (!(total() > 0)) return 0;
    // The p_k rise, so that those below the threshold are the first ones.
    const auto below =
        std::partition_point(cumulated_.begin() + 1, cumulated_.end(),
                             [&](double explained) { return explained / total() < threshold; });
    const std::int64_t count = below - (cumulated_.begin() + 1);
    if (approximation_) doubt(count, threshold);
    if (rule == IdimRule::Delve) return count;
    return std::min(count + 1, count_if([&](double value) { return above_floor(value) > 0; }));
  }

  /// Whether the error of the eigenvalues could have changed a dimensionality or saturation
  /// requested so far. Never without an approximation.
  [[nodiscard]] bool in_doubt() const { return in_doubt_; }

  /// dimensionality / d. Read off the leading ones.
  [[nodiscard]] double saturation(double threshold,
                                  IdimRule rule = IdimRule::ExplainedVariance) const {
    return static_cast<double>(dimensionality(threshold, rule)) / static_cast<double>(width_);
  }

  // Below, λᵢ are the eigenvalues, those that are not above the floor taken for zero. Where there
  // is no variance, all results but log_determinant() are 0.

  /// (Σλ)² / Σλ², between 1 and d (Gao et al., "A theory of multineuronal dimensionality, dynamics
  /// and measurement", bioRxiv 214262, 2017). Read off the leading ones.
  [[nodiscard]] double participation_ratio() const {
    if (!(total() > 0)) return 0;
    if (approximation_ && !std::isnan(approximation_->squares)) {
      return total() / approximation_->squares * total();
    }
    return 1 / sum_of([&](double value) { return (value / total()) * (value / total()); });
  }

  /// Σλ / λ₁, between 1 and d: the squared Frobenius norm of the centred data over its squared
  /// spectral norm (Rudelson & Vershynin, "Sampling from large matrices", J. ACM 54(4), 2007). Read
  /// off the leading ones.
  [[nodiscard]] double stable_rank() const { return total() > 0 ? total() / eigenvalues_[0] : 0; }

  /// exp(−Σ qᵢ ln qᵢ) with qᵢ = √λᵢ / Σ√λ, between 1 and d (Roy & Vetterli, "The effective rank: a
  /// measure of effective dimensionality", EUSIPCO 2007; √λ are the singular values of the data).
  [[nodiscard]] double effective_rank() const {
    return total() > 0 ? std::exp(entropy_of([](double value) { return std::sqrt(value); })) : 0;
  }

  /// −Σ pᵢ ln pᵢ / ln d with pᵢ = λᵢ / Σλ: 0 where one direction has all the variance, 1 where all
  /// have the same.
  [[nodiscard]] double entropy() const {
    if (!(total() > 0) || width_ == 1) return 0;
    return entropy_of([](double value) { return value; }) / std::log(static_cast<double>(width_));
  }

  /// ln det Σ = Σ ln λᵢ, whatever the floor. Where an eigenvalue is zero, or rounding made it
  /// negative, −infinity.
  [[nodiscard]] double log_determinant() const {
    if (count_if([](double value) { return value > 0; }) < width_)
      return detail::infinity(/*negative=*/true);
    double sum = 0;
    for (const double value : eigenvalues_) sum += std::log(value);
    return sum;
  }

 private:
  /// Notes whether p_count may not be below the threshold, or p_count+1 not reach it.
  void doubt(std::int64_t count, double threshold) const {
    in_doubt_ = in_doubt_ || explained(count) + margin(count) >= threshold ||
                explained(count + 1) - margin(count + 1) < threshold;
  }

  /// How far p_k may be off: no more than √k times the error's norm, over the total (Hoffman &
  /// Wielandt, "The variation of the spectrum of a normal matrix", Duke Math. J. 20, 1953: sorted,
  /// the eigenvalues are off by a vector of at most that norm; and by Cauchy and Schwarz).
  [[nodiscard]] double margin(std::int64_t k) const {
    // The total may include eigenvalues that are not above the floor, which do not count.
    const double below_floor = k == 0 ? 0 : floor_ * static_cast<double>(width_);
    const auto count = static_cast<double>(std::min<std::int64_t>(k, eigenvalues_.size()));
    return (std::sqrt(count) * approximation_->error + below_floor) / total();
  }

  // Loops, not Eigen's expressions, which took a ninth of the memory that delve.hpp cost a compiler
  // besides LibTorch's headers.

  /// An eigenvalue, or zero where it is not above the floor. An approximate one may be below it by
  /// its error alone.
  [[nodiscard]] double above_floor(double value) const {
    return value > (approximation_ ? 0 : floor_) ? value : 0;
  }

  /// How many eigenvalues satisfy a predicate.
  template <typename Predicate>
  [[nodiscard]] std::int64_t count_if(const Predicate& is_such) const {
    return std::count_if(eigenvalues_.begin(), eigenvalues_.end(), is_such);
  }

  /// Σ f(λᵢ).
  template <typename Function>
  [[nodiscard]] double sum_of(const Function& function) const {
    double sum = 0;
    for (const double value : eigenvalues_) sum += function(above_floor(value));
    return sum;
  }

  /// −Σ sᵢ ln sᵢ with sᵢ = f(λᵢ) / Σ f(λ), where 0 · ln 0 = 0.
  template <typename Function>
  [[nodiscard]] double entropy_of(const Function& function) const {
    const double sum = sum_of(function);
    return -sum_of([&](double value) {
      const double share = function(value) / sum;
      return share > 0 ? share * std::log(share) : 0;
    });
  }

  Eigen::VectorXd eigenvalues_;
  std::vector<double> cumulated_ = {0};  // the sum of the first 0, 1, … of them
  std::int64_t width_;
  std::optional<Approximation> approximation_;
  double floor_;
  mutable bool in_doubt_ = false;  // written only where there is an approximation
};

}  // namespace DELVE_ABI
}  // namespace delve
