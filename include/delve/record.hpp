// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <memory>       // std::shared_ptr
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::pair
#include <vector>       // std::vector

#include <Eigen/Core>

#include <delve/detail/support/numbers.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// How far the values of a layer can be trusted.
enum class Status {
  Ok,
  NoData,           ///< nothing usable passed since the last report: every value is missing
  NoVariance,       ///< the output never varied: saturation and dimensionality are 0
  NotConverged,     ///< the eigensolver gave up: statistics based on eigenvalues are missing
  StatisticFailed,  ///< a statistic threw: its own value is missing, the others are right
};

/// What a number says, and so how it is shown.
enum class ValueKind {
  Number,      ///< nothing of the below
  Saturation,  ///< the share that stands for a layer in bars, averages and heat maps; 0 to 1
  Share,       ///< of a whole, 0 to 1
  Count,       ///< of directions, units or data points
  Variance,    ///< in the square of the activations' unit
  Drift,       ///< how far something has moved, 0 to 1, where small values matter as much
};

/// What the axes of an array are, and so how it is drawn.
enum class ArrayKind {
  Matrix,  ///< (d, d)
  List,    ///< (k, 1)
  Curve,   ///< (d, 1): a share, 0 to 1, for 1, 2, … d directions
  Points,  ///< (m, 2): places in a plane
};

/// The value of a number that is missing: a NaN. Test for it with is_missing(), which works under
/// -ffast-math, too.
[[nodiscard]] inline double missing_value() {
  return detail::missing_number();
}

/// Whether a number is a NaN.
[[nodiscard]] inline bool is_missing(double number) {
  return detail::is_nan(number);
}

/// One statistic of one layer in one mode.
struct Value {
  std::string stat;      ///< the name by which it was requested: "lsat"
  std::string quantity;  ///< its name in files: "saturation"
  double value;          ///< a NaN where it is missing: is_missing(value)
  ValueKind kind = ValueKind::Number;
};

/// A statistic that is more than a number: a covariance matrix, all eigenvalues.
struct ArrayValue {
  std::string stat;      ///< the name by which it was requested: "cov"
  std::string quantity;  ///< its name in files: "covariance-matrix"
  /// Never null. A vector is a matrix of one column. Shared, since it may be large.
  std::shared_ptr<const Eigen::MatrixXd> array;
  ArrayKind kind = ArrayKind::Matrix;
};

/// All that is known of one layer in one mode at the end of an epoch.
struct LayerRecord {
  std::string layer;  ///< "features-0"
  Mode mode;
  std::int64_t width;    ///< d: number of features, and of eigenvalues; 0 while unknown
  std::int64_t samples;  ///< n: data points seen since the covariance was last reset
  Status status;
  std::vector<Value> values;  ///< one per number requested, in order, and what belongs to it
  /// One per statistic requested that is more than a number; those that are missing are left out.
  std::vector<ArrayValue> arrays = {};
  /// Batches left out since that reset for values that are not finite, or far too large.
  std::int64_t skipped_batches = 0;
};

/// What add_saturations() found, and what a writer gets: plain values, nothing of LibTorch.
struct EpochRecord {
  std::int64_t epoch;
  /// Those of add_scalar() in the order added, then the tracker's own ("average-eval-sat").
  std::vector<std::pair<std::string, double>> scalars;
  /// First the training layers, then the evaluation layers, then those of each other mode by its
  /// name; in each the layers in the order of their first forward call. A mode in which no layer
  /// saw data is left out.
  std::vector<LayerRecord> layers;
  /// What each layer sees of the input, in the first epoch in which that was found; once for each
  /// size of the input. CheckLayerSatOptions::receptive_field.
  std::vector<LayerField> fields = {};
};

/// The modes that a record holds, in its order.
[[nodiscard]] inline std::vector<Mode> modes_of(const EpochRecord& record) {
  std::vector<Mode> modes;
  for (const LayerRecord& layer : record.layers) {
    bool is_new = true;
    for (const Mode mode : modes) is_new = is_new && mode != layer.mode;
    if (is_new) modes.push_back(layer.mode);
  }
  return modes;
}

/// The name of a value in files, "train-saturation_features-0", as Delve (Python) has it. It is
/// read back by detail/reading/value_name.hpp.
[[nodiscard]] inline std::string value_name(Mode mode, std::string_view quantity,
                                            std::string_view layer) {
  std::string name(to_string(mode));
  return name.append("-").append(quantity).append("_").append(layer);
}

/// The names of a layer's receptive field in files, "rf-max_features-0": they have no mode.
constexpr std::string_view kLeastField = "rf-min";
constexpr std::string_view kMostField = "rf-max";
constexpr std::string_view kBorder = "border";
/// Only for layers where it is below 1.
constexpr std::string_view kRankLimit = "rank-limit";

[[nodiscard]] inline std::string field_name(std::string_view quantity, std::string_view layer) {
  return std::string(quantity).append("_").append(layer);
}

}  // namespace DELVE_ABI
}  // namespace delve
