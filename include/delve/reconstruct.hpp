// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument, std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join
#include <Eigen/Eigenvalues>

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/reading/stored_arrays.hpp>
#include <delve/detail/reading/value_name.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Settings of reconstruct().
struct ReconstructOptions {
  /// What to compute from the stored covariances, by name. Empty: nothing is computed, and the
  /// numbers are those that were stored.
  std::vector<std::string> stats = {};
  /// Of explained variance, in (0, 1].
  double sat_threshold = 0.99;
  /// Which number lsat and idim count.
  IdimRule idim_rule = IdimRule::ExplainedVariance;
  /// Called after each scalar, and after each layer and mode of an epoch, with the number of files
  /// done and that of all.
  std::function<void(std::size_t done, std::size_t total)> on_progress = {};
};

namespace detail {

/// The number of samples that a file holds.
/// @throws std::runtime_error where it holds none
inline std::int64_t samples_in(const StoredArray& file, const Eigen::MatrixXd& values) {
  const double samples = values.size() == 1 ? values(0, 0) : missing_value();
  constexpr double most = 9007199254740992;  // 2^53: float64 has every integer up to it
  if (samples >= 0 && samples <= most) return static_cast<std::int64_t>(samples);
  throw std::runtime_error(
      fmt::format("\"{}\": expected a number of samples, 0 to 2^53", file.path));
}

/// The numbers of a layer as they were stored; arrays are left out.
inline LayerRecord as_stored(const StoredLayer& layer) {
  const StatColumn& column = *layer.front().column;
  LayerRecord record{column.layer, column.mode, 0, 0, Status::Ok, {}};
  for (const StoredArray& array : layer) {
    const NpyArray stored = read_stored(array);
    if (!stored.shape.empty()) continue;
    const std::string& quantity = array.column->quantity;
    record.values.push_back(value_of_quantity(quantity, stored.values(0, 0)));
    if (quantity == "samples") record.samples = samples_in(array, stored.values);
  }
  return record;
}

/// The statistics of a layer, from its stored covariance.
/// @throws std::runtime_error where none is stored, or the matrix cannot be one
inline LayerRecord recomputed(const StoredLayer& layer, const std::vector<Statistic>& statistics,
                              const ReconstructOptions& options) {
  const StatColumn& column = *layer.front().column;
  const StoredArray* file = find_array(layer, "covariance-matrix");
  if (file == nullptr) {
    throw std::runtime_error(fmt::format(
        "epoch {}, layer \"{}\" in {}: there is no stored covariance matrix, from which {} could "
        "be computed. It is stored where \"cov\" is one of the statistics and \"npy\" one of the "
        "writers",
        layer.front().epoch, column.layer, to_string(column.mode), fmt::join(options.stats, ", ")));
  }
  const Eigen::MatrixXd sigma = read_stored(*file).values;
  const bool is_square = sigma.rows() == sigma.cols() && sigma.rows() > 0;
  // In this order: an axis of a matrix without numbers may be too long to iterate over.
  if (!is_square || !sigma.allFinite()) {
    throw std::runtime_error(fmt::format("\"{}\": not a covariance matrix: {} x {}{}", file->path,
                                         sigma.rows(), sigma.cols(),
                                         is_square ? ", not all finite" : ""));
  }
  LayerRecord record{column.layer, column.mode, sigma.rows(), 0, Status::Ok, {}};
  if (const StoredArray* samples = find_array(layer, "samples")) {
    record.samples = samples_in(*samples, read_stored(*samples).values);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(sigma, Eigen::EigenvaluesOnly);
  if (solver.info() != Eigen::Success) {
    record.status = Status::NotConverged;
    record.values = missing_values(statistics, record.mode);
    return record;
  }
  if (sigma.trace() <= 0) record.status = Status::NoVariance;
  const Spectrum spectrum(solver.eigenvalues(), sigma.rows());
  const Eigen::VectorXd variances = sigma.diagonal();
  LayerMeasurement measurement{spectrum, sigma.trace(), record.samples, options.sat_threshold,
                               options.idim_rule};
  measurement.variances = &variances;
  measurement.covariance = &sigma;
  read_off(
      measurement, statistics, record, [&](const Statistic& statistic, std::string_view reason) {
        throw std::runtime_error(fmt::format("epoch {}, layer \"{}\": the statistic \"{}\": {}",
                                             layer.front().epoch, column.layer, statistic.name,
                                             reason));
      });
  for (Value& value : record.values) {
    if (value.quantity == "samples" && record.samples == 0)
      value.value = missing_value();  // not stored
  }
  return record;
}

inline std::vector<Statistic> reconstructed_statistics(const ReconstructOptions& options) {
  require_share(options.sat_threshold, "delve::reconstruct", "sat_threshold");
  std::vector<Statistic> statistics;
  for (const std::string& name : options.stats) {
    statistics.push_back(find_statistic(name));
    if (statistics.back().needs_the(Need::Drift)) {
      throw std::invalid_argument(fmt::format(
          "delve::reconstruct: stats: \"{}\" compares two epochs, and one is read at a time; where "
          "it was requested, it is among the numbers stored",
          name));
    }
    if (statistics.back().needs_the(Need::Embedding) || statistics.back().needs_the(Need::Probe)) {
      throw std::invalid_argument(fmt::format(
          "delve::reconstruct: stats: \"{}\" needs the data itself, which is not stored", name));
    }
  }
  return statistics;
}

}  // namespace detail

/// The records of a run again, in rising order of epochs, from the tree of .npy files that
/// NpyWriter or Delve (Python) left: as they were stored, or with statistics computed from the
/// stored covariances, at any threshold. The user's scalars are kept in both cases. Layers come in
/// natural order of their names ("features-2" before "features-10"), those of training first: a
/// tree does not tell the order of their forward. One file is read at a time.
/// @param folder the SAVEFILE of that run
/// @throws std::invalid_argument for a bad option; std::runtime_error where the folder has no such
///   files, one cannot be read, or a covariance is needed and not there; it says which
inline std::vector<EpochRecord> reconstruct(const std::string& folder,
                                            const ReconstructOptions& options = {}) {
  const std::vector<Statistic> statistics = detail::reconstructed_statistics(options);
  const std::vector<detail::StoredArray> arrays = detail::stored_arrays(folder);
  if (arrays.empty()) {
    throw std::runtime_error(
        fmt::format("\"{}\": found no file called NAME/NAME_epochN.npy", folder));
  }
  std::vector<EpochRecord> records;
  for (auto begin = arrays.begin(); begin != arrays.end();) {
    if (records.empty() || records.back().epoch != begin->epoch) {
      records.push_back({begin->epoch, {}, {}});
    }
    auto end = begin + 1;
    if (!begin->column) {
      const Eigen::MatrixXd value = detail::read_stored(*begin).values;
      if (value.size() == 1) records.back().scalars.emplace_back(begin->name, value(0, 0));
    } else {
      while (end != arrays.end() && end->epoch == begin->epoch &&
             end->column->mode == begin->column->mode &&
             end->column->layer == begin->column->layer) {
        ++end;
      }
      const detail::StoredLayer layer(begin, end);
      records.back().layers.push_back(statistics.empty()
                                          ? detail::as_stored(layer)
                                          : detail::recomputed(layer, statistics, options));
    }
    begin = end;
    if (options.on_progress) {
      options.on_progress(static_cast<std::size_t>(begin - arrays.begin()), arrays.size());
    }
  }
  return records;
}

}  // namespace DELVE_ABI
}  // namespace delve
