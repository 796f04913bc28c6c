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

/// A tensor of at most two axes, float64, as a matrix of Eigen's: what leaves LibTorch. One of one
/// axis becomes a column. Waits for the device.
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

/// The same in float32, which takes half the time or less. Waits for the device.
/// @param matrix (d, d), float64, both triangles of it
/// @return nothing where the matrix is not finite, the iteration did not converge, or ‖λ‖ is
///   further from ‖A‖ than the error bound allows, as it would be with a solver less exact
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

/// Whether what is orthogonal to these vectors has no eigenvalue above a limit: whether
/// μI − A + QΘQᵀ, which there is μI − A, has a Cholesky factor. Waits for the device.
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

/// The eigenvalues of a covariance that explain a share of its variance, and some that follow,
/// where a few do: those of a layer in a tail. Found by iterating a block of vectors, they are
/// proved to be the leading ones, within the error that is returned. Waits for the device; of the
/// same matrix the same, and no random number of the program's is drawn.
///
/// With Q the orthonormal Ritz vectors that are returned, Θ their values and R = AQ − QΘ, which is
/// orthogonal to Q, the matrix B = A − RQᵀ − QRᵀ has the eigenvalues Θ, and those of A on what is
/// orthogonal to Q. Sorted, those of A and B are off by a vector of at most ‖A − B‖ = √2·‖R‖
/// (Hoffman & Wielandt, see Spectrum). That no other one of B's is above θ, the smallest in Θ, is
/// what residuals cannot tell, for a direction that the block misses leaves none. It is so where
/// ‖A‖² − ‖Θ‖², which is all their squares' sum and 2·‖R‖², is at most θ², as in a tail; and else
/// where are_leading() with a μ below θ. That takes a third to a half of a float32 solve. θ − μ has
/// room for its rounding, (d + 1)·u·dμ (Higham, "Accuracy and stability of numerical
/// algorithms", 2nd ed., theorem 10.3, with ‖ |L||Lᵀ| ‖ ≤ tr(LLᵀ) ≤ dμ).
/// @param matrix (d, d), float64, both triangles of it
/// @param share of the trace, above 0
/// @return nothing where too many are needed for it to be worth it, more than about d/32, or where
///   the proof fails
inline std::optional<ApproximateEigenvalues> proven_leading_eigenvalues(const at::Tensor& matrix,
                                                                        double share) {
  constexpr double unit = 1.2e-16;  // u, rounded up
  const std::int64_t width = matrix.size(0);
  const double norm = matrix.norm().item<double>();
  const double total = matrix.trace().item<double>();
  if (!std::isfinite(norm) || !(total > 0)) return std::nullopt;
  const auto most = static_cast<double>(width) / 32;
  // By Cauchy and Schwarz the k leading ones sum up to √k · ‖A‖ at most. Seldom are so few enough.
  const double least = share * (total / norm) * share * (total / norm);
  if (4 * least > most) return std::nullopt;
  auto block = static_cast<std::int64_t>(2 * std::min(most, 16 + 2 * least));
  if (block < 8) return std::nullopt;
  try {
    const at::Generator generator = at::detail::createCPUGenerator(/*seed=*/1);
    const auto draw = [&](std::int64_t count) {
      return at::randn({width, count}, generator, at::TensorOptions(at::kDouble))
          .to(matrix.device());
    };
    at::Tensor basis = draw(block);
    // A fraction of what a solver for all of them does: 4d³/3, half of it of the slow kind.
    const double most_columns = static_cast<double>(width) / 6;  // 2d² multiplications each
    double columns = 0;
    for (int step = 0; columns + static_cast<double>(block) <= most_columns; ++step) {
      columns += static_cast<double>(block);
      basis = std::get<0>(at::linalg_qr(basis));
      const at::Tensor image = matrix.mm(basis);
      const auto [ascending, rotation] = at::linalg_eigh(basis.t().mm(image));
      const at::Tensor turn = rotation.flip(1);
      const at::Tensor values = ascending.flip(0);
      const at::Tensor vectors = basis.mm(turn);
      basis = image.mm(turn);  // for the next step
      const Eigen::VectorXd theta = to_eigen(values);
      const Eigen::VectorXd residuals = to_eigen((basis - vectors * values).square().sum(0));

      std::int64_t count = 0;  // that reach the share
      double sum = 0;
      while (count < block && sum < share * total) sum += theta[count++];
      if (sum < share * total) {
        if (step < 1) continue;
        // Whether more could be enough, if they fall on by the power of those of the later half.
        const auto known = static_cast<double>(block);
        const double power = std::log2(theta[block / 2 - 1] / theta[block - 1]);
        const double next =
            theta[block - 1] * known / (power - 1) * (1 - std::pow(known / most, power - 1));
        if (!(known < most && sum + next >= share * total)) return std::nullopt;
        basis = at::cat({basis, draw(block)}, 1);
        block *= 2;
        continue;
      }
      if (count == block) continue;
      const double rounding =
          static_cast<double>(width) * unit * norm;  // of Q, Θ, R, their products
      const auto error_of = [&](std::int64_t kept) {
        return std::sqrt(2.) * (std::sqrt(residuals.head(kept).sum()) + rounding);
      };
      const auto decides = [&](double error) {
        const double margin = std::sqrt(static_cast<double>(count)) * error;
        // The values themselves are off by about the square of this.
        return error <= 1e-4 * theta[0] && sum - margin >= share * total &&
               sum - theta[count - 1] + margin < share * total;
      };
      // No other eigenvalue of B is larger than the root of the sum of all their squares.
      const double rest =
          std::sqrt(std::max(0., norm * norm - theta.head(count).squaredNorm()) + rounding * norm);
      if (rest <= theta[count - 1]) {
        const double error = error_of(count);
        if (!decides(error)) continue;
        return ApproximateEigenvalues{theta.head(count), {error, total, norm * norm}};
      }
      // Those are returned that come before the widest gap, where the block tells best what
      // follows.
      std::int64_t end = count - 1;
      for (std::int64_t i = count; i + 1 < block; ++i) {
        if (theta[i] - theta[i + 1] > theta[end] - theta[end + 1]) end = i;
      }
      const double error = error_of(end + 1);
      const double limit = (theta[end] + theta[end + 1]) / 2;
      const double slack =
          static_cast<double>(width + 1) * unit * static_cast<double>(width) * limit;
      const bool is_proven =
          decides(error) && theta[end] - limit > slack + rounding &&
          are_leading(matrix, vectors.narrow(1, 0, end + 1), values.narrow(0, 0, end + 1), limit);
      if (is_proven) {
        return ApproximateEigenvalues{theta.head(end + 1), {error, total, norm * norm}};
      }
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

/// The eigenvectors of a symmetric matrix with the largest eigenvalues. Of the two signs that each
/// may have, that which makes its largest component positive. Waits for the device.
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
