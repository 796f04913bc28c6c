// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::min
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <utility>    // std::move

#include <ATen/ATen.h>
#include <Eigen/Core>

#include <delve/covariance.hpp>
#include <delve/detail/tracking/drift.hpp>
#include <delve/detail/tracking/settings.hpp>
#include <delve/detail/tracking/stream.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Below this width float64 is quick enough, and a float32 solve that leaves a doubt is wasted.
constexpr std::int64_t kWidthWorthFloat32 = 1024;

/// The same for leading eigenvalues alone.
constexpr std::int64_t kWidthWorthLeading = 512;

/// Data points (m, d), centred, on the two leading eigenvectors of Σ; (m, 1) where d is 1.
inline Eigen::MatrixXd embedded(const at::Tensor& rows, const at::Tensor& mean,
                                const at::Tensor& sigma) {
  const std::int64_t count = std::min<std::int64_t>(2, sigma.size(0));
  return to_eigen(at::mm(rows.to(sigma.options()) - mean, leading_eigenvectors(sigma, count)));
}

/// Puts what a probe found into a record without data: that of a frozen layer's training, whose
/// rows are those of an evaluation.
inline void read_probe(const ProbeMeasurement& probe, const Settings& settings,
                       LayerRecord& record) {
  const Spectrum nothing(Eigen::VectorXd::Zero(1), 1);
  LayerMeasurement layer{nothing, 0, 0, settings.options().sat_threshold(),
                         settings.options().idim_rule()};
  layer.probe = &probe;
  for (Value& value : record.values) {
    for (const Statistic& statistic : settings.statistics()) {
      const bool is_of_probe = statistic.name == value.stat && statistic.needs_the(Need::Probe);
      if (is_of_probe && is_for(statistic, record.mode)) value.value = statistic.value(layer);
    }
  }
}

/// Puts what a stream's data says into a record: n, status and statistics. Waits for the device.
/// @param probe of the layer, in all modes
/// @param shape of the last epoch with data in that mode; becomes that of this one
/// @param failed receives each statistic that throws
/// @throws what LibTorch throws where memory is short
template <typename Scalar>
void measure(Stream<Scalar>& stream, const ProbeMeasurement& probe, CovarianceShape& shape,
             const Settings& settings, LayerRecord& record, const FailedStatistic& failed) {
  DriftMeasurement drift;
  if (stream.second_half.width() > 0) drift.floor = join_halves(stream);
  Covariance<Scalar>& covariance = stream.covariance;
  record.samples = covariance.samples();
  record.skipped_batches = covariance.skipped_batches();
  if (record.samples == 0) {
    if (settings.has_probes()) read_probe(probe, settings, record);
    return;
  }
  const bool needs_sigma =
      settings.need(Need::Covariance) || settings.need(Need::Embedding) || settings.has_drift();
  const at::Tensor matrix = needs_sigma ? covariance.matrix() : covariance.spectral_matrix();
  const double trace = matrix.trace().template item<double>();
  Eigen::VectorXd variances;
  Eigen::MatrixXd sigma;
  Eigen::MatrixXd embedding;
  if (settings.need(Need::Variances)) variances = to_eigen(covariance.variances());
  if (settings.need(Need::Covariance)) sigma = to_eigen(matrix);
  if (settings.need(Need::Embedding)) {
    const at::Tensor rows =
        stream.sample.rows();  // undefined where rank 0, whose rows they are, had none
    if (rows.defined()) embedding = embedded(rows, covariance.mean(), matrix);
  }
  if (settings.has_drift()) {
    CovarianceShape now = shape_of(matrix);
    drift.drift = drift_between(now, shape);
    drift.chance = chance_drift(now, shape);
    shape = std::move(now);
  }
  const auto read = [&](const Spectrum& spectrum) {
    LayerMeasurement layer{spectrum, trace, record.samples, settings.options().sat_threshold(),
                           settings.options().idim_rule()};
    layer.variances = &variances;
    layer.covariance = &sigma;
    layer.embedding = &embedding;
    layer.probe = &probe;
    layer.drift = &drift;
    record.status = trace > 0 ? Status::Ok : Status::NoVariance;
    read_off(layer, settings.statistics(), record, failed);
  };

  // For constant data Σ is exactly zero, which needs no solver.
  if (trace == 0) {
    read(Spectrum(Eigen::VectorXd::Zero(matrix.size(0)), covariance.width()));
    return;
  }
  const double floor = covariance.noise_floor();
  /// Whether these eigenvalues leave no doubt about what is read off them.
  const auto read_approximate = [&](std::optional<ApproximateEigenvalues> found) {
    if (!found) return false;
    const Spectrum spectrum(std::move(found->values), covariance.width(), found->approximation,
                            floor);
    read(spectrum);
    return !spectrum.in_doubt();
  };
  const std::optional<double> share = settings.leading_share();
  if (matrix.size(0) >= kWidthWorthLeading && share &&
      read_approximate(proven_leading_eigenvalues(matrix, *share))) {
    return;
  }
  if (matrix.size(0) >= kWidthWorthFloat32 && !settings.need(Need::SmallEigenvalues) &&
      read_approximate(approximate_eigenvalues(matrix))) {
    return;
  }
  if (auto eigenvalues = symmetric_eigenvalues(matrix)) {
    read(Spectrum(*std::move(eigenvalues), covariance.width(), {}, floor));
  } else {
    record.status = Status::NotConverged;
    record.values = missing_values(settings.statistics(), record.mode);
    record.arrays.clear();
  }
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
