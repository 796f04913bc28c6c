// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <memory>       // std::shared_ptr
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::pair
#include <vector>       // std::vector

#include <Eigen/Core>

namespace delve {

/// Which of a layer's two streams of data a value describes: what passed while it trained, or while
/// it was evaluated.
enum class Mode { Train, Eval };

[[nodiscard]] constexpr std::string_view to_string(Mode mode) {
  return mode == Mode::Train ? "train" : "eval";
}

/// How far the values of a layer can be trusted.
enum class Status {
  Ok,
  NoData,        ///< nothing usable passed since the last report: every value is missing (NaN)
  NoVariance,    ///< the layer always returned the same: saturation and dimensionality are 0
  NotConverged,  ///< the eigensolver gave up: what hangs on eigenvalues is missing (NaN)
};

/// One statistic of one layer in one mode.
struct Value {
  std::string stat;      ///< the name it was asked for by: "lsat"
  std::string quantity;  ///< its name in files: "saturation"
  double value;          ///< NaN: missing
};

/// A statistic that is more than a number: a covariance matrix, all eigenvalues.
struct ArrayValue {
  std::string stat;      ///< the name it was asked for by: "cov"
  std::string quantity;  ///< its name in files: "covariance-matrix"
  /// Never null. A vector is a matrix of one column. Shared, since it may be large.
  std::shared_ptr<const Eigen::MatrixXd> array;
};

/// All that is known of one layer in one mode at the end of an epoch.
struct LayerRecord {
  std::string layer;  ///< "features-0"
  Mode mode;
  std::int64_t width;    ///< d: number of features, and of eigenvalues; 0 while unknown
  std::int64_t samples;  ///< n: data points seen since the covariance was last reset
  Status status;
  std::vector<Value> values;  ///< one per number asked for, in that order
  /// One per statistic asked for that is more than a number; those that are missing are left out.
  std::vector<ArrayValue> arrays = {};
  /// Batches left out since then for values that are not finite, or far too large.
  std::int64_t skipped_batches = 0;
};

/// What add_saturations() found, and what a writer gets: plain values, nothing of LibTorch.
struct EpochRecord {
  std::int64_t epoch;
  std::vector<std::pair<std::string, double>> scalars;  ///< of add_scalar(), in the order added
  /// First the training layers, then the evaluation layers, each in the order of their first
  /// forward call. A mode in which no layer saw data is left out.
  std::vector<LayerRecord> layers;
};

/// The name of a value in files, "train-saturation_features-0", as Delve (Python) has it.
[[nodiscard]] inline std::string value_name(Mode mode, std::string_view quantity,
                                            std::string_view layer) {
  std::string name(to_string(mode));
  return name.append("-").append(quantity).append("_").append(layer);
}

}  // namespace delve
