// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max, std::min
#include <cmath>      // std::abs, std::exp2, std::isfinite, std::log2, std::pow, std::sqrt
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <tuple>      // std::get
#include <utility>    // std::move

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <Eigen/Core>

#include <delve/spectrum.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// A float64 tensor of at most two axes as an Eigen matrix, for what leaves LibTorch. One axis
/// becomes a column. Waits for the device.
inline Eigen::MatrixXd to_eigen(const at::Tensor& tensor) {
  const at::Tensor matrix = tensor.dim() == 2 ? tensor : tensor.reshape({-1, 1});
  // Eigen stores columns one after the other.
  const at::Tensor columns = matrix.t().contiguous().cpu();
  return Eigen::Map<const Eigen::MatrixXd>(columns.data_ptr<double>(), matrix.size(0),
                                           matrix.size(1));
}

/// The eigenvalues of a symmetric matrix, ascending, by LibTorch's LAPACK or that of the matrix's
/// device; no eigenvectors, which would take several times as long. Waits for the device.
/// @param matrix (d, d), float64; one triangle of it is read
/// @return nothing where the matrix is not finite or the iteration did not converge
inline std::optional<Eigen::VectorXd> symmetric_eigenvalues(const at::Tensor& matrix) {
  // LAPACK does not promise to end on a matrix with a NaN.
  if (!at::isfinite(matrix.sum()).item<bool>()) return std::nullopt;
  try {
    return Eigen::VectorXd(to_eigen(at::linalg_eigvalsh(matrix)));
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

/// What approximate_eigenvalues() finds.
struct ApproximateEigenvalues {
  Eigen::VectorXd values;       ///< (d), ascending
  Approximation approximation;  ///< how far they may be off, and their exact sum
};

/// The largest error that a float32 solve is trusted to make: ‖E‖ ≤ 4√d · 2⁻²⁴ · ‖A‖, both norms
/// Frobenius's, where the eigenvalues found are exactly those of A + E. A symmetric solver is
/// backward stable (Anderson et al., "LAPACK Users' Guide", 3rd ed., 4.7: ‖E‖ is at most a modestly
/// growing p(d) times the rounding unit times ‖A‖). It applies d − 2 reflections, each off by a few
/// units of ‖A‖ in a direction of its own; errors that are independent of each other add up as √d
/// (Higham & Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput.
/// 41, 2019). The factor 4 is three times the largest that was found with four builds of LAPACK
/// (tests/test_eigenvalues.cpp).
inline double float32_error(std::int64_t width, double norm) {
  return 4 * std::sqrt(static_cast<double>(width)) * std::exp2(-24) * norm;
}

/// symmetric_eigenvalues() in float32, which takes half the time or less. Waits for the device.
/// @param matrix (d, d), float64, both triangles of it
/// @return nothing where the matrix is not finite, the iteration did not converge, or ‖λ‖ is
///   further from ‖A‖ than the error bound allows, as with a less exact solver
/// @see symmetric_eigenvalues, float32_error
inline std::optional<ApproximateEigenvalues> approximate_eigenvalues(const at::Tensor& matrix) {
  const double norm = matrix.norm().item<double>();
  if (!std::isfinite(norm)) return std::nullopt;
  try {
    // So that nothing over- or underflows on the way to float32.
    const double scale = norm > 0 ? 1 / norm : 1;
    const at::Tensor values = at::linalg_eigvalsh((matrix * scale).to(at::kFloat));
    const double error = float32_error(matrix.size(0), norm);
    Eigen::VectorXd found = to_eigen(values.to(at::kDouble)) / scale;
    if (!(std::abs(found.norm() - norm) <= error)) return std::nullopt;
    return ApproximateEigenvalues{std::move(found),
                                  {error, matrix.trace().item<double>(), norm * norm}};
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

/// Whether A has no eigenvalue above a limit on what is orthogonal to these vectors: whether
/// μI − A + QΘQᵀ, which equals μI − A there, has a Cholesky factor. Waits for the device.
/// @param matrix A, (d, d), float64, both triangles of it
/// @param vectors Q, (d, k), orthonormal
/// @param values Θ, (k)
/// @param limit μ
inline bool are_leading(const at::Tensor& matrix, const at::Tensor& vectors,
                        const at::Tensor& values, double limit) {
  at::Tensor rest = at::addmm(matrix, vectors * values, vectors.t(), /*beta=*/-1, /*alpha=*/1);
  rest.diagonal().add_(limit);
  return std::get<1>(at::linalg_cholesky_ex(rest)).item<std::int64_t>() == 0;
}

namespace detail {

/// The Ritz pairs of a block of vectors, largest first: the best that can be said of a matrix's
/// eigenvectors within the space that the block spans.
struct RitzPairs {
  at::Tensor vectors;         // Q, (d, b), orthonormal
  at::Tensor values;          // Θ, (b)
  at::Tensor image;           // AQ, (d, b), which spans the next block
  Eigen::VectorXd theta;      // Θ
  Eigen::VectorXd residuals;  // ‖Aq − qθ‖² of each

  RitzPairs(const at::Tensor& matrix, const at::Tensor& block) {
    const at::Tensor basis = std::get<0>(at::linalg_qr(block));
    const at::Tensor product = matrix.mm(basis);
    const auto [ascending, rotation] = at::linalg_eigh(basis.t().mm(product));
    const at::Tensor turn = rotation.flip(1);
    values = ascending.flip(0);
    vectors = basis.mm(turn);
    image = product.mm(turn);
    theta = to_eigen(values);
    residuals = to_eigen((image - vectors * values).square().sum(0));
  }

  [[nodiscard]] std::int64_t count() const { return theta.size(); }
};

/// What a Cholesky factor says; nothing where there is none.
struct FactorProof {
  std::optional<ApproximateEigenvalues> found;
};

/// Whether Ritz values are a covariance's leading eigenvalues, and decide how many of these explain
/// a share of its variance. See proven_leading_eigenvalues().
class LeadingProof {
 public:
  LeadingProof(const at::Tensor& matrix, double share)
      : matrix_(matrix),
        share_(share),
        width_(matrix.size(0)),
        // By rows first: no square is lost in a long sum.
        norm_(matrix.norm(2, 1).norm().item<double>()),
        total_(matrix.trace().item<double>()) {}

  /// Squares of smaller numbers would underflow.
  [[nodiscard]] bool is_possible() const {
    return std::isfinite(norm_) && norm_ > 1e-140 && total_ > 0;
  }

  /// How many eigenvalues it takes at least: by Cauchy and Schwarz the k leading ones sum up to
  /// √k · ‖A‖ at most.
  [[nodiscard]] double least() const {
    const double sum = share_ * (total_ / norm_);
    return sum * sum;
  }

  /// How many of these reach the share; one more than there are where all do not.
  [[nodiscard]] std::int64_t needed(const Eigen::VectorXd& theta) const {
    std::int64_t count = 0;
    double sum = 0;
    while (sum < share_ * total_) {
      if (count == theta.size()) return count + 1;
      sum += theta[count++];
    }
    return count;
  }

  /// Whether some more, at most so many, could reach it if they fall on by the same power as those
  /// of the later half.
  [[nodiscard]] bool could_reach(const Eigen::VectorXd& theta, double most) const {
    const std::int64_t last = theta.size() - 1;
    const auto known = static_cast<double>(theta.size());
    const double power = std::log2(theta[(last - 1) / 2] / theta[last]);
    const double next = theta[last] * known / (power - 1) * (1 - std::pow(known / most, power - 1));
    return known < most && theta.sum() + next >= share_ * total_;
  }

  /// No eigenvalue of B but the first so many is larger: the root of the sum of their squares.
  [[nodiscard]] double rest(const Eigen::VectorXd& theta, std::int64_t kept) const {
    const double squares = norm_ * norm_ - theta.head(kept).squaredNorm();
    return std::sqrt(std::max(0., squares) + 4 * rounding() * norm_);
  }

  /// The proof by what is left of ‖A‖: of the first count, by these and as many more as it takes.
  [[nodiscard]] std::optional<ApproximateEigenvalues> by_rest(const RitzPairs& pairs,
                                                              std::int64_t count) const {
    std::int64_t kept = count;
    while (kept < pairs.count() && rest(pairs.theta, kept) > pairs.theta[count - 1]) ++kept;
    if (rest(pairs.theta, kept) > pairs.theta[count - 1]) return std::nullopt;
    return decided(pairs, count, count, error_of(pairs, kept));
  }

  /// The proof by a Cholesky factor, of those before the widest gap, where the block tells best
  /// what follows.
  /// @return unset where it is too early to try
  [[nodiscard]] std::optional<FactorProof> by_factor(const RitzPairs& pairs,
                                                     std::int64_t count) const {
    const Eigen::VectorXd& theta = pairs.theta;
    std::int64_t end = count - 1;
    for (std::int64_t i = count; i + 1 < pairs.count(); ++i) {
      if (theta[i] - theta[i + 1] > theta[end] - theta[end + 1]) end = i;
    }
    const double limit = (theta[end] + theta[end + 1]) / 2;
    const auto width = static_cast<double>(width_);
    const double slack = (width + 1) * kUnit * width * limit + rounding();
    if (!(theta[end] - limit > slack)) return std::nullopt;
    auto found = decided(pairs, count, end + 1, error_of(pairs, end + 1));
    if (!found) return std::nullopt;
    const bool is_proven = are_leading(matrix_, pairs.vectors.narrow(1, 0, end + 1),
                                       pairs.values.narrow(0, 0, end + 1), limit);
    return FactorProof{is_proven ? std::move(found) : std::nullopt};
  }

 private:
  static constexpr double kUnit = 1.2e-16;  // u, rounded up

  /// Of Q, Θ, R and their products.
  [[nodiscard]] double rounding() const { return static_cast<double>(width_) * kUnit * norm_; }

  /// ‖A − B‖ at most, with so many vectors in Q.
  [[nodiscard]] double error_of(const RitzPairs& pairs, std::int64_t kept) const {
    return std::sqrt(2.) * (std::sqrt(pairs.residuals.head(kept).sum()) + rounding());
  }

  /// The first so many values, if they are exact enough for count to be the integer.
  [[nodiscard]] std::optional<ApproximateEigenvalues> decided(const RitzPairs& pairs,
                                                              std::int64_t count,
                                                              std::int64_t returned,
                                                              double error) const {
    const double sum = pairs.theta.head(count).sum();
    const double margin = std::sqrt(static_cast<double>(count)) * error;
    // The values themselves are off by about the square of this.
    const bool is_exact = error <= 1e-4 * pairs.theta[0] && sum - margin >= share_ * total_ &&
                          sum - pairs.theta[count - 1] + margin < share_ * total_;
    if (!is_exact) return std::nullopt;
    return ApproximateEigenvalues{pairs.theta.head(returned), {error, total_, norm_ * norm_}};
  }

  const at::Tensor& matrix_;
  double share_;
  std::int64_t width_;
  double norm_;   // ‖A‖
  double total_;  // tr A
};

}  // namespace detail

/// The eigenvalues of a covariance that explain a share of its variance, and some that follow, if a
/// few suffice, as for a layer in a tail. Found by iterating a block of vectors, they are proved to
/// be the leading ones, within the error that is returned. Waits for the device; the same matrix
/// always gives the same result, and none of the program's random numbers is drawn.
///
/// With Q some orthonormal Ritz vectors, Θ their values and R = AQ − QΘ, which is orthogonal to Q,
/// the matrix B = A − RQᵀ − QRᵀ has the eigenvalues Θ, and those of A on what is orthogonal to Q.
/// Sorted, those of A and B differ by a vector of at most ‖A − B‖ = √2·‖R‖ (Hoffman & Wielandt, see
/// Spectrum). Residuals cannot tell that no other eigenvalue of B is above θ, the smallest that is
/// returned, for a direction that the block misses leaves none. None is above θ where ‖A‖² − ‖Θ‖²,
/// the sum of 2·‖R‖² and the squares of all others, is at most θ². In a tail that is so if Q holds
/// a few more vectors than are returned. Or else are_leading() holds with a μ below θ, which takes
/// a third to a half of a float32 solve; θ − μ has room for its rounding, (d + 1)·u·dμ (Higham,
/// "Accuracy and stability of numerical algorithms", 2nd ed., theorem 10.3, with
/// ‖ |L||Lᵀ| ‖ ≤ tr(LLᵀ) ≤ dμ).
/// @param matrix (d, d), float64, both triangles of it
/// @param share of the trace, above 0
/// @return nothing where too many are needed for it to be worth it, more than about d/32, or where
///   the proof fails
inline std::optional<ApproximateEigenvalues> proven_leading_eigenvalues(const at::Tensor& matrix,
                                                                        double share) {
  const detail::LeadingProof proof(matrix, share);
  if (!proof.is_possible()) return std::nullopt;
  const std::int64_t width = matrix.size(0);
  const auto most = static_cast<double>(width) / 32;
  // So few as the least are seldom enough.
  if (4 * proof.least() > most) return std::nullopt;
  const auto first = static_cast<std::int64_t>(2 * std::min(most, 16 + 2 * proof.least()));
  if (first < 8) return std::nullopt;
  try {
    const at::Generator generator = at::detail::createCPUGenerator(/*seed=*/1);
    const auto draw = [&](std::int64_t count) {
      return at::randn({width, count}, generator, at::TensorOptions(at::kDouble))
          .to(matrix.device());
    };
    at::Tensor block = draw(first);
    // A fraction of what a solver for all of them does: 4d³/3, half of it of the slow kind.
    std::int64_t columns_left = width / 6;  // 2d² multiplications each
    for (int step = 0; block.size(1) <= columns_left; ++step) {
      columns_left -= block.size(1);
      const detail::RitzPairs pairs(matrix, block);
      block = pairs.image;
      const auto widen = [&] { block = at::cat({block, draw(block.size(1))}, 1); };
      const std::int64_t count = proof.needed(pairs.theta);
      if (count > pairs.count()) {
        if (step < 1) continue;
        if (!proof.could_reach(pairs.theta, most)) return std::nullopt;
        widen();
        continue;
      }
      if (count == pairs.count()) continue;
      if (auto found = proof.by_rest(pairs, count)) return found;
      // Where the whole block would do, its vectors are not exact enough yet; where twice as many
      // may, they are cheaper than a factor.
      const double limit = pairs.theta[count - 1];
      const double rest = proof.rest(pairs.theta, pairs.count());
      if (rest <= limit && block.size(1) <= columns_left) continue;
      if (rest <= 2 * limit && 6 * pairs.count() <= columns_left) {
        if (step > 0) widen();
        continue;
      }
      // One factor is all that there is time for.
      if (auto tried = proof.by_factor(pairs, count)) return std::move(tried->found);
    }
    return std::nullopt;
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

/// What symmetric_eigenvectors() finds.
struct SymmetricEigenvectors {
  at::Tensor values;   ///< (d), ascending
  at::Tensor vectors;  ///< (d, d), in columns, in the order of the values
};

/// Eigenvalues and eigenvectors of a symmetric matrix, by LibTorch's LAPACK or that of the matrix's
/// device, where they stay. May wait for the device.
/// @param matrix (d, d), of a floating type, finite; one triangle of it is read
/// @throws c10::Error where the iteration did not converge
inline SymmetricEigenvectors symmetric_eigenvectors(const at::Tensor& matrix) {
  auto [values, vectors] = at::linalg_eigh(matrix);
  return {std::move(values), std::move(vectors)};
}

/// The eigenvectors of a symmetric matrix with the largest eigenvalues. Each has the sign that
/// makes its largest component positive. Waits for the device.
/// @param matrix (d, d), float64, finite; one triangle of it is read
/// @param count how many, 1 to d
/// @return (d, count), float64, on the matrix's device: in columns, that of the largest first
/// @throws c10::Error where the iteration did not converge
inline at::Tensor leading_eigenvectors(const at::Tensor& matrix, std::int64_t count) {
  const at::Tensor all = symmetric_eigenvectors(matrix).vectors;
  const at::Tensor vectors = all.narrow(1, all.size(1) - count, count).flip(1);
  const at::Tensor largest = vectors.gather(0, vectors.abs().argmax(0, /*keepdim=*/true));
  return vectors * largest.sign();
}

}  // namespace DELVE_ABI
}  // namespace delve
