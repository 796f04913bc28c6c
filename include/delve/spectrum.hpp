// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>   // std::min, std::partition_point, std::sort
#include <cstdint>     // std::int64_t
#include <functional>  // std::greater
#include <utility>     // std::move

#include <Eigen/Core>

namespace delve {

/// Which number is called the intrinsic dimensionality.
enum class IdimRule {
  /// The fewest directions that explain the threshold's share of the variance (Shenk et al.,
  /// "Spectral analysis of latent representations", arXiv 1907.08589).
  ExplainedVariance,
  /// What Delve (Python) 0.1.50 returns: one less. For those who compare with its numbers.
  Delve,
};

/// The eigenvalues of a layer's covariance, solved for once; all else is read off them.
class Spectrum {
 public:
  /// @param eigenvalues in any order; where they are fewer than width, the others are zero
  Spectrum(Eigen::VectorXd eigenvalues, std::int64_t width)
      : eigenvalues_(std::move(eigenvalues)), width_(width) {
    std::sort(eigenvalues_.begin(), eigenvalues_.end(), std::greater<>());
    cumulated_ = eigenvalues_.cwiseMax(0);
    for (Eigen::Index i = 1; i < cumulated_.size(); ++i) cumulated_[i] += cumulated_[i - 1];
  }

  /// Descending; rounding may have made the last ones negative.
  [[nodiscard]] const Eigen::VectorXd& eigenvalues() const { return eigenvalues_; }

  /// d, the number of eigenvalues with those that are zero for lack of data.
  [[nodiscard]] std::int64_t width() const { return width_; }

  /// The variance in all directions: the sum of the eigenvalues, negative ones taken for zero.
  [[nodiscard]] double total() const {
    return cumulated_.size() == 0 ? 0 : cumulated_[cumulated_.size() - 1];
  }

  /// p_k, the share of the variance that the k leading directions explain; 0 ≤ k ≤ d. NaN where
  /// there is no variance.
  [[nodiscard]] double explained(std::int64_t k) const {
    const std::int64_t available = std::min<std::int64_t>(k, cumulated_.size());
    return (available == 0 ? 0 : cumulated_[available - 1]) / total();
  }

  /// The smallest k with p_k ≥ threshold; 0 where there is no variance. Where rounding leaves no
  /// such p_k, the number of positive eigenvalues.
  /// @param threshold in (0, 1]
  [[nodiscard]] std::int64_t dimensionality(double threshold,
                                            IdimRule rule = IdimRule::ExplainedVariance) const {
    if (!(total() > 0)) return 0;
    // The p_k rise, so that those below the threshold are the first ones.
    const auto below =
        std::partition_point(cumulated_.begin(), cumulated_.end(),
                             [&](double explained) { return explained / total() < threshold; });
    const std::int64_t count = below - cumulated_.begin();
    if (rule == IdimRule::Delve) return count;
    const std::int64_t positive = (eigenvalues_.array() > 0).count();
    return std::min(count + 1, positive);
  }

  /// dimensionality / d.
  [[nodiscard]] double saturation(double threshold,
                                  IdimRule rule = IdimRule::ExplainedVariance) const {
    return static_cast<double>(dimensionality(threshold, rule)) / static_cast<double>(width_);
  }

 private:
  Eigen::VectorXd eigenvalues_;
  Eigen::VectorXd cumulated_;
  std::int64_t width_;
};

}  // namespace delve
