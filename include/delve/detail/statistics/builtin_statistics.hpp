// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::count_if, std::max, std::max_element, std::min
#include <cmath>      // std::exp, std::log
#include <cstdint>    // std::int64_t
#include <string>     // std::string
#include <utility>    // std::move
#include <vector>     // std::vector

#include <Eigen/Core>

#include <delve/detail/statistics/enough_points.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistic.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Π λᵢ of Σ, by logarithms, so that it neither over- nor underflows on the way.
inline double determinant(const Spectrum& spectrum) {
  if (spectrum.eigenvalues().size() < spectrum.width()) return 0;
  double sign = 1;
  double log_size = 0;
  for (const double value : spectrum.eigenvalues()) {
    if (value == 0) return 0;
    if (value < 0) sign = -sign;
    log_size += std::log(std::abs(value));
  }
  return sign * std::exp(log_size);
}

/// How many units never say anything: the standard deviation of their output is at most a
/// thousandth of that of the liveliest one.
inline double dead_units(const Eigen::VectorXd& variances) {
  constexpr double share_of_largest = 1e-6;
  const double largest = *std::max_element(variances.begin(), variances.end());
  return static_cast<double>(
      std::count_if(variances.begin(), variances.end(),
                    [&](double variance) { return variance <= share_of_largest * largest; }));
}

/// p_1, …, p_d.
inline Eigen::MatrixXd explained_variance_curve(const Spectrum& spectrum) {
  Eigen::MatrixXd curve(spectrum.width(), 1);
  for (Eigen::Index k = 0; k < curve.rows(); ++k) curve(k, 0) = spectrum.explained(k + 1);
  return curve;
}

/// The leading `count` eigenvalues, or all d, those included that are zero for lack of data.
inline Eigen::MatrixXd leading_eigenvalues(const Spectrum& spectrum, std::int64_t count) {
  const Eigen::Index width = spectrum.width();
  Eigen::MatrixXd values(count == 0 ? width : std::min<Eigen::Index>(count, width), 1);
  const Eigen::VectorXd& known = spectrum.eigenvalues();
  for (Eigen::Index i = 0; i < values.size(); ++i) values(i) = i < known.size() ? known[i] : 0;
  return values;
}

/// What stands for "probe" and "probe_r2" in an epoch without evaluation. Requested with them, and
/// left out where no layer has it.
inline constexpr const char* kHeldOutAccuracy = "probe_held_out";
inline constexpr const char* kHeldOutR2 = "probe_r2_held_out";

/// How well the gain of "probe" on the layers before is known. Requested with it; the tracker,
/// which knows the other layers, computes it.
inline constexpr const char* kProbeError = "probe_error";

/// What "drift" is to be compared with. Requested with it.
inline constexpr const char* kDriftFloor = "drift_floor";
inline constexpr const char* kDriftChance = "drift_chance";

/// How many units would have been enough for this data: the dimensionality, whatever the rule.
/// Missing where there were too few data points to tell, or nothing varied.
inline double suggested_width(const LayerMeasurement& layer) {
  if (has_few_points(static_cast<double>(layer.samples), layer.spectrum.width())) {
    return missing_value();
  }
  const std::int64_t directions = layer.spectrum.dimensionality(layer.threshold);
  return directions > 0 ? static_cast<double>(directions) : missing_value();
}

/// The table of statistics: the one place to add one to the library. The first ones bear the names
/// and quantities of Delve (Python).
inline std::vector<Statistic> builtin_statistics() {
  using Layer = LayerMeasurement;
  const std::vector<Need> small = {Need::SmallEigenvalues};
  const auto saturation_called = [](const char* name) {
    return Statistic::number(
               name, "saturation",
               [](const Layer& it) { return it.spectrum.saturation(it.threshold, it.idim_rule); })
        .shown_as(ValueKind::Saturation)
        .with(Parameter::Threshold)
        .of_leading();
  };
  const auto of_probe = [](std::string name, const char* quantity, Mode mode,
                           double ProbeMeasurement::*figure) {
    return Statistic::number(std::move(name), quantity,
                             [figure](const Layer& it) { return it.probe->*figure; })
        .shown_as(ValueKind::Share)
        .needing({Need::Probe})
        .only_in(mode)
        .of_leading();
  };
  const auto of_drift = [](std::string name, const char* quantity,
                           double DriftMeasurement::*figure) {
    return Statistic::number(std::move(name), quantity,
                             [figure](const Layer& it) { return it.drift->*figure; })
        .shown_as(ValueKind::Drift)
        .needing({Need::Drift})
        .of_leading();
  };
  return {
      saturation_called("lsat"),
      saturation_called("lsat_train").only_in(Mode::Train),
      saturation_called("lsat_eval").only_in(Mode::Eval),
      Statistic::number("idim", "intrinsic-dimensionality",
                        [](const Layer& it) {
                          return static_cast<double>(
                              it.spectrum.dimensionality(it.threshold, it.idim_rule));
                        })
          .shown_as(ValueKind::Count)
          .with(Parameter::Threshold)
          .of_leading(),
      Statistic::number("suggested_width", "suggested-width", suggested_width)
          .shown_as(ValueKind::Count)
          .with(Parameter::Threshold)
          .of_leading(),
      Statistic::number("trc", "covariance-trace", [](const Layer& it) { return it.trace; })
          .shown_as(ValueKind::Variance)
          .of_leading(),
      Statistic::number("dtrc", "diagonal-trace",
                        [](const Layer& it) { return it.spectrum.total(); })
          .shown_as(ValueKind::Variance)
          .of_leading(),
      Statistic::number("det", "covariance-determinant",
                        [](const Layer& it) { return determinant(it.spectrum); })
          .needing(small),
      Statistic::numbers("cov", "covariance-matrix", ArrayKind::Matrix,
                         [](const Layer& it) { return *it.covariance; })
          .needing({Need::Covariance})
          .of_leading(),
      Statistic::numbers("embed", "embedded-sample", ArrayKind::Points,
                         [](const Layer& it) { return *it.embedding; })
          .needing({Need::Embedding})
          .of_leading(),
      Statistic::number("logdet", "log-determinant",
                        [](const Layer& it) { return it.spectrum.log_determinant(); })
          .needing(small),
      Statistic::number("effective_rank", "effective-rank",
                        [](const Layer& it) { return it.spectrum.effective_rank(); })
          .needing(small),
      Statistic::number("participation_ratio", "participation-ratio",
                        [](const Layer& it) { return it.spectrum.participation_ratio(); })
          .of_leading(),
      Statistic::number("stable_rank", "stable-rank",
                        [](const Layer& it) { return it.spectrum.stable_rank(); })
          .of_leading(),
      Statistic::number("entropy", "spectral-entropy",
                        [](const Layer& it) { return it.spectrum.entropy(); })
          .shown_as(ValueKind::Share)
          .needing(small),
      Statistic::number("explained", "explained-variance",
                        [](const Layer& it) {
                          return it.spectrum.explained(std::max<std::int64_t>(1, it.count));
                        })
          .shown_as(ValueKind::Share)
          .with(Parameter::Count),
      Statistic::numbers("curve", "explained-variance-curve", ArrayKind::Curve,
                         [](const Layer& it) { return explained_variance_curve(it.spectrum); }),
      Statistic::numbers("eigenvalues", "eigenvalues", ArrayKind::List,
                         [](const Layer& it) { return leading_eigenvalues(it.spectrum, it.count); })
          .needing(small)
          .with(Parameter::Count),
      Statistic::number("dead", "dead-units",
                        [](const Layer& it) { return dead_units(*it.variances); })
          .shown_as(ValueKind::Count)
          .needing({Need::Variances})
          .of_leading(),
      of_drift("drift", "drift", &DriftMeasurement::drift),
      of_drift(kDriftFloor, "drift-floor", &DriftMeasurement::floor).only_in(Mode::Train),
      of_drift(kDriftChance, "drift-chance", &DriftMeasurement::chance),
      of_probe("probe", "probe-accuracy", Mode::Eval, &ProbeMeasurement::evaluation),
      of_probe("probe_train", "probe-accuracy", Mode::Train, &ProbeMeasurement::training),
      of_probe(kHeldOutAccuracy, "held-out-probe-accuracy", Mode::Train,
               &ProbeMeasurement::held_out),
      Statistic::number(kProbeError, "probe-error", [](const Layer&) { return missing_value(); })
          .needing({Need::Probe})
          .only_in(Mode::Eval)
          .of_leading(),
      // R² of a poor probe is below 0.
      of_probe("probe_r2", "probe-r2", Mode::Eval, &ProbeMeasurement::evaluation)
          .shown_as(ValueKind::Number),
      of_probe(kHeldOutR2, "held-out-probe-r2", Mode::Train, &ProbeMeasurement::held_out)
          .shown_as(ValueKind::Number),
      of_probe("nc1", "neural-collapse", Mode::Train, &ProbeMeasurement::neural_collapse)
          .shown_as(ValueKind::Number),
      Statistic::number("samples", "samples",
                        [](const Layer& it) { return static_cast<double>(it.samples); })
          .shown_as(ValueKind::Count)
          .of_leading(),
  };
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
