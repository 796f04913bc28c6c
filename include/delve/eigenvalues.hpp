// SPDX-License-Identifier: MIT
#pragma once

#include <optional>  // std::optional

#include <ATen/ATen.h>
#include <Eigen/Core>

namespace delve {

/// The eigenvalues of a symmetric matrix, ascending, by LibTorch's LAPACK or that of the matrix's
/// device; no eigenvectors, which would take several times as long. From here on nothing knows of
/// LibTorch. Waits for the device.
/// @param matrix (d, d), float64; one triangle of it is read
/// @return nothing where the matrix is not finite or the iteration did not converge
inline std::optional<Eigen::VectorXd> symmetric_eigenvalues(const at::Tensor& matrix) {
  // LAPACK does not promise to end on a matrix with a NaN.
  if (!at::isfinite(matrix.sum()).item<bool>()) return std::nullopt;
  at::Tensor values;
  try {
    values = at::linalg_eigvalsh(matrix).cpu();
  } catch (const c10::Error&) {
    return std::nullopt;
  }
  const Eigen::Map<const Eigen::VectorXd> mapped(values.data_ptr<double>(), values.numel());
  return Eigen::VectorXd(mapped);
}

}  // namespace delve
