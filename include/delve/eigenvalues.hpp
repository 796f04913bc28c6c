// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>     // std::exp2, std::isfinite
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <tuple>     // std::get

#include <ATen/ATen.h>
#include <Eigen/Core>

#include <delve/spectrum.hpp>

namespace delve {

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

/// The same in float32, which takes half the time or less. The values are off by a few units of
/// 2⁻²⁴ times the matrix's Frobenius norm. Waits for the device.
/// @param matrix (d, d), float64, both triangles of it
/// @return nothing where the matrix is not finite or the iteration did not converge
/// @see symmetric_eigenvalues
inline std::optional<ApproximateEigenvalues> approximate_eigenvalues(const at::Tensor& matrix) {
  const double norm = matrix.norm().item<double>();
  if (!std::isfinite(norm)) return std::nullopt;
  try {
    // So that nothing over- or underflows on the way to float32.
    const double scale = norm > 0 ? 1 / norm : 1;
    const at::Tensor values = at::linalg_eigvalsh((matrix * scale).to(at::kFloat));
    return ApproximateEigenvalues{to_eigen(values.to(at::kDouble)) / scale,
                                  {std::exp2(-24) * norm, matrix.trace().item<double>()}};
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

/// The eigenvectors of a symmetric matrix with the largest eigenvalues. Of the two signs that each
/// may have, that which makes its largest component positive. Waits for the device.
/// @param matrix (d, d), float64, finite; one triangle of it is read
/// @param count how many, 1 to d
/// @return (d, count), float64, on the matrix's device: in columns, that of the largest first
/// @throws c10::Error where the iteration did not converge
inline at::Tensor leading_eigenvectors(const at::Tensor& matrix, std::int64_t count) {
  const at::Tensor all = std::get<1>(at::linalg_eigh(matrix));
  const at::Tensor vectors = all.narrow(1, all.size(1) - count, count).flip(1);
  const at::Tensor largest = vectors.gather(0, vectors.abs().argmax(0, /*keepdim=*/true));
  return vectors * largest.sign();
}

}  // namespace delve
