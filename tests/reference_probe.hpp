// SPDX-License-Identifier: MIT
#pragma once

// What probes are held against.

#include <cstdint>  // std::int64_t

#include <torch/torch.h>

namespace delve_test {

/// A linear map that was fitted, by its definition.
struct ReferenceProbe {
  torch::Tensor mean, weight, bias;

  [[nodiscard]] torch::Tensor scores(const torch::Tensor& rows) const {
    return (rows.to(torch::kDouble) - mean).mm(weight) + bias;
  }
  [[nodiscard]] double accuracy(const torch::Tensor& rows, const torch::Tensor& labels) const {
    return scores(rows).argmax(1).eq(labels).to(torch::kDouble).mean().item<double>();
  }
};

/// Linear discriminant analysis, class by class: the spread of each about its own mean, averaged by
/// the classes' shares and shrunk (Hastie, Tibshirani & Friedman, 4.3).
inline ReferenceProbe reference_lda(const torch::Tensor& given, const torch::Tensor& labels,
                                    std::int64_t classes, double shrinkage) {
  const torch::Tensor rows = given.to(torch::kDouble);
  const std::int64_t width = rows.size(1);
  torch::Tensor within = torch::zeros({width, width}, torch::kDouble);
  torch::Tensor means = torch::zeros({classes, width}, torch::kDouble);
  torch::Tensor shares = torch::zeros({classes}, torch::kDouble);
  for (std::int64_t c = 0; c < classes; ++c) {
    const torch::Tensor own = rows.index({labels.eq(c)});
    if (own.size(0) == 0) continue;
    means[c] = own.mean(0);
    shares[c] = static_cast<double>(own.size(0)) / static_cast<double>(rows.size(0));
    const torch::Tensor centred = own - means[c];
    within += centred.t().mm(centred) / rows.size(0);
  }
  const torch::Tensor identity = torch::eye(width, torch::kDouble);
  const torch::Tensor shrunk =
      (1 - shrinkage) * within + shrinkage * within.diagonal().mean() * identity;
  ReferenceProbe probe;
  probe.mean = rows.mean(0);
  const torch::Tensor centred =
      torch::where(shares.gt(0).unsqueeze(1), means - probe.mean, torch::zeros_like(means));
  probe.weight = torch::mm(torch::linalg_inv(shrunk), centred.t());
  probe.bias = shares.log() - (centred * probe.weight.t()).sum(1) / 2;
  return probe;
}

/// Ridge regression by its normal equations (Hastie, Tibshirani & Friedman, 3.4).
inline ReferenceProbe reference_ridge(const torch::Tensor& given, const torch::Tensor& targets,
                                      double shrinkage) {
  const torch::Tensor rows = given.to(torch::kDouble);
  const torch::Tensor wide = targets.to(torch::kDouble);
  ReferenceProbe probe;
  probe.mean = rows.mean(0);
  probe.bias = wide.mean(0);
  const torch::Tensor x = rows - probe.mean;
  const torch::Tensor sigma = x.t().mm(x) / rows.size(0);
  const torch::Tensor ridge =
      sigma + shrinkage * sigma.diagonal().mean() * torch::eye(rows.size(1), torch::kDouble);
  probe.weight = torch::linalg_inv(ridge).mm(x.t().mm(wide - probe.bias) / rows.size(0));
  return probe;
}

}  // namespace delve_test
