// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>   // std::find
#include <cstdint>     // std::int64_t
#include <functional>  // std::function
#include <optional>    // std::optional
#include <string>      // std::string
#include <utility>     // std::move
#include <vector>      // std::vector

#include <Eigen/Core>

#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What the probe of a layer found (docs/probes.md); missing where there was nothing to find.
struct ProbeMeasurement {
  double evaluation = missing_value();       ///< accuracy, or R², on the evaluation's rows
  double training = missing_value();         ///< of the fit before, on the training's rows
  double held_out = missing_value();         ///< on rows of the training that were held out
  double neural_collapse = missing_value();  ///< NC1 of the training's rows
  bool is_solved = true;  ///< false: the equations had no solution, and all else is missing
};

/// How far the covariance of a layer has turned since the last epoch in which the layer had data
/// (docs/statistics.md#drift); each of these is missing where there was nothing to compare.
struct DriftMeasurement {
  double drift = missing_value();   ///< 0: the same but for its size; 1: of other directions
  double floor = missing_value();   ///< what drift is by chance alone, of the same layer and data
  double chance = missing_value();  ///< what drift would be between unrelated directions
};

/// What a statistic is computed from: one layer in one mode. The pointers are null unless the
/// statistic itself needs what they point to.
struct LayerMeasurement {
  const Spectrum& spectrum;
  double trace;          ///< of Σ, by its diagonal
  std::int64_t samples;  ///< n
  double threshold;      ///< of explained variance, in (0, 1]; what follows '@' where that is one
  IdimRule idim_rule;
  std::int64_t count = 0;                       ///< what follows '@' where that is a number; else 0
  const Eigen::VectorXd* variances = nullptr;   ///< (d): the diagonal of Σ
  const Eigen::MatrixXd* covariance = nullptr;  ///< (d, d): Σ
  /// (m, 2): m of the data points, centred, on the two leading eigenvectors of Σ.
  const Eigen::MatrixXd* embedding = nullptr;
  const ProbeMeasurement* probe = nullptr;
  const DriftMeasurement* drift = nullptr;
};

/// What a statistic needs besides the leading eigenvalues; each costs something.
enum class Need {
  SmallEigenvalues,  ///< float32 products spoil them: products are formed in float64
  Variances,
  Covariance,  ///< d × d numbers leave the device
  Embedding,   ///< data points are kept, and one eigenvalue problem more is solved, with vectors
  Probe,       ///< sums of rows with labels, and a linear map fitted to them
  Drift,       ///< d × d numbers of the last epoch are kept, and training is summed in two halves
};

/// What may follow a statistic's name: "lsat@0.9".
enum class Parameter {
  None,
  Threshold,  ///< a share of the variance, above 0 and at most 1; without it sat_threshold holds
  Count,      ///< an integer, at least 1; without it 0
};

/// A number, or an array of numbers, that describes a layer in one mode:
///
///     Statistic::number("tail", "tail-share", tail_share).shown_as(ValueKind::Share)
///         .needing({Need::SmallEigenvalues})
struct Statistic {
  using Number = std::function<double(const LayerMeasurement&)>;
  using Array = std::function<Eigen::MatrixXd(const LayerMeasurement&)>;

  std::string name;      ///< by which it is requested: "lsat"
  std::string quantity;  ///< in files: "saturation"; without '_' and '@', which end it there
  Number value;          ///< missing_value() where there is none
  std::vector<Need> needs = {};
  Parameter parameter = Parameter::None;
  Array array = {};               ///< instead of value; no rows: missing
  std::optional<Mode> only = {};  ///< unset: in all modes
  ValueKind kind = ValueKind::Number;
  ArrayKind array_kind = ArrayKind::Matrix;
  /// Of the spectrum it reads at most what is read off the leading eigenvalues (spectrum.hpp).
  /// Where all statistics of a tracker do so, wide layers with few directions are solved for the
  /// leading ones alone.
  bool is_of_leading = false;

  [[nodiscard]] static Statistic number(std::string name, std::string quantity, Number value) {
    return {std::move(name), std::move(quantity), std::move(value)};
  }
  [[nodiscard]] static Statistic numbers(std::string name, std::string quantity, ArrayKind kind,
                                         Array array) {
    Statistic statistic{std::move(name), std::move(quantity), {}};
    statistic.array = std::move(array);
    statistic.array_kind = kind;
    return statistic;
  }
  [[nodiscard]] Statistic shown_as(ValueKind what) && {
    kind = what;
    return std::move(*this);
  }
  [[nodiscard]] Statistic needing(std::vector<Need> what) && {
    needs = std::move(what);
    return std::move(*this);
  }
  [[nodiscard]] Statistic with(Parameter what) && {
    parameter = what;
    return std::move(*this);
  }
  [[nodiscard]] Statistic only_in(Mode mode) && {
    only = mode;
    return std::move(*this);
  }

  [[nodiscard]] Statistic of_leading() && {
    is_of_leading = true;
    return std::move(*this);
  }

  [[nodiscard]] bool needs_the(Need need) const {
    return std::find(needs.begin(), needs.end(), need) != needs.end();
  }
};

}  // namespace DELVE_ABI
}  // namespace delve
