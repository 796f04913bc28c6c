// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <tuple>     // std::get

#include <ATen/ATen.h>
#include <Eigen/Core>

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

/// The eigenvectors of a symmetric matrix with the largest eigenvalues, the largest first, (d,
/// count). Of the two signs that each may have, that which makes its largest component positive.
/// @param matrix (d, d), float64, finite; one triangle of it is read
/// @throws c10::Error where the iteration did not converge
inline at::Tensor leading_eigenvectors(const at::Tensor& matrix, std::int64_t count) {
  const at::Tensor all = std::get<1>(at::linalg_eigh(matrix));
  const at::Tensor vectors = all.narrow(1, all.size(1) - count, count).flip(1);
  const at::Tensor largest = vectors.gather(0, vectors.abs().argmax(0, /*keepdim=*/true));
  return vectors * largest.sign();
}

}  // namespace delve
