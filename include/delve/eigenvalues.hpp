// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>     // std::abs, std::exp2, std::isfinite, std::sqrt
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <utility>   // std::move

#include <ATen/ATen.h>
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
    return ApproximateEigenvalues{std::move(found), {error, matrix.trace().item<double>()}};
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
