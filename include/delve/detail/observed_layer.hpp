// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max, std::min
#include <array>      // std::array
#include <atomic>     // std::atomic
#include <cmath>      // NAN
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <exception>  // std::exception
#include <memory>     // std::shared_ptr
#include <mutex>      // std::mutex
#include <optional>   // std::optional
#include <string>     // std::string
#include <utility>    // std::exchange, std::move
#include <vector>     // std::vector

#include <fmt/format.h>
#include <Eigen/Core>

#include <delve/covariance.hpp>
#include <delve/detail/module_reference.hpp>
#include <delve/detail/plain_mode.hpp>
#include <delve/detail/problems.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/features.hpp>
#include <delve/layers.hpp>
#include <delve/options.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistics.hpp>

namespace delve::detail {

/// What the layers of a tracker share.
struct Observation {
  explicit Observation(CheckLayerSatOptions given)
      : options(std::move(given)),
        statistics(statistics_of(options)),
        problems(options.on_warning()) {
    check_ranges(options);
    bool needs_float64 = false;
    for (const Statistic& statistic : statistics) {
      needs_float64 = needs_float64 || statistic.needs_small_eigenvalues;
    }
    products = options.products().value_or(needs_float64 ? Products::Float64 : Products::Float32);
    features.conv_method = options.conv_method();
    features.timeseries_method = options.timeseries_method();
    features.interpolation_strategy = options.interpolation_strategy();
    features.interpolation_downsampling = options.interpolation_downsampling();
  }

  const CheckLayerSatOptions options;
  const std::vector<Statistic> statistics;
  FeatureOptions features;
  Products products;
  Problems problems;
  std::atomic<int> evaluation_guards{0};
  std::atomic<std::int64_t> layers_called{0};
};

/// What an epoch leaves of a layer.
struct LayerReport {
  LayerRecord train;
  LayerRecord eval;
  std::int64_t skipped_batches;  ///< left out in this epoch for values that are not finite
  /// It counted as evaluated, being in eval(), while the model around it was training.
  bool is_frozen;
};

/// One tracked layer, from its forward to its record. Thread-safe.
template <typename Scalar>
class ObservedLayer {
 public:
  ObservedLayer(const FoundLayer& layer, std::shared_ptr<Observation> observation)
      : name_(layer.name),
        family_(layer.kind->family),
        batch_first_(layer.kind->batch_first(layer.module)),
        module_(layer.module),
        root_(layer.root),
        observation_(std::move(observation)),
        covariances_(empty_covariances()) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const ModuleReference& module() const { return module_; }

  /// When, among all layers, this one was first called; unset before.
  [[nodiscard]] std::optional<std::int64_t> order() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return order_;
  }

  /// The forward hook: takes the output in. Never throws. Does not wait for the device, unless
  /// another one was asked for.
  void take(const ForwardCall& call) noexcept {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      const PlainMode plain;
      take_rows(call);
    } catch (const std::exception& error) {
      tell_once("its output could not be taken in and is left out", error);
    }
  }

  /// Whether data came in this mode since the last epoch ended.
  [[nodiscard]] bool has_news(Mode mode) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return samples_taken_[index(mode)] > 0;
  }

  /// Ends the epoch: the statistics of all data since the covariance was last reset. What forwards
  /// in other threads bring meanwhile is the next epoch's, and none of them waits. Waits for the
  /// device. Never throws: what cannot be computed is missing, and told.
  [[nodiscard]] LayerReport end_epoch() {
    Covariances covariances = take_covariances();
    LayerReport report{empty_record(Mode::Train, covariances),
                       empty_record(Mode::Eval, covariances), 0, is_frozen()};
    for (LayerRecord* record : {&report.train, &report.eval}) {
      Covariance<Scalar>& covariance = covariances[index(record->mode)];
      try {
        measure(covariance, *record);
        report.skipped_batches += covariance.skipped_batches();
      } catch (const std::exception& error) {
        record->status = Status::NotConverged;
        tell_once("its values could not be computed and are missing", error);
      }
    }
    if (!observation_->options.reset_covariance()) give_back(std::move(covariances));
    return report;
  }

 private:
  using Covariances = std::array<Covariance<Scalar>, 2>;

  static constexpr std::size_t index(Mode mode) { return mode == Mode::Train ? 0 : 1; }

  [[nodiscard]] Covariances empty_covariances() const {
    return {Covariance<Scalar>(observation_->products), Covariance<Scalar>(observation_->products)};
  }

  [[nodiscard]] Covariances take_covariances() {
    const std::lock_guard<std::mutex> lock(mutex_);
    samples_taken_ = {};
    return std::exchange(covariances_, empty_covariances());
  }

  /// Puts data of the epochs before back, together with what came since it was taken.
  void give_back(Covariances covariances) {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (std::size_t i = 0; i < covariances.size(); ++i) covariances[i].merge(covariances_[i]);
      covariances_ = std::move(covariances);
    } catch (const std::exception& error) {
      tell_once("data of earlier epochs was lost", error);
    }
  }

  [[nodiscard]] bool is_frozen() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return is_frozen_;
  }

  [[nodiscard]] LayerRecord empty_record(Mode mode, const Covariances& covariances) const {
    const std::int64_t width = std::max(covariances[0].width(), covariances[1].width());
    LayerRecord record{name_, mode, width, 0, Status::NoData, {}};
    for (const Statistic& statistic : observation_->statistics) {
      record.values.push_back({statistic.name, statistic.quantity, NAN});
    }
    return record;
  }

  Mode mode_of(const ForwardCall& call) {
    if (observation_->evaluation_guards.load() > 0) return Mode::Eval;
    if (call.training && observation_->options.mode_from() == ModeSource::Layer) return Mode::Train;
    bool root_is_training = call.training;
    root_.visit([&](const torch::nn::Module& root) { root_is_training = root.is_training(); });
    if (observation_->options.mode_from() == ModeSource::Root) {
      return root_is_training ? Mode::Train : Mode::Eval;
    }
    is_frozen_ = is_frozen_ || root_is_training;
    return Mode::Eval;
  }

  void take_rows(const ForwardCall& call) {
    if (!order_) order_ = observation_->layers_called.fetch_add(1);
    const CheckLayerSatOptions& options = observation_->options;
    const std::size_t mode = index(mode_of(call));
    if (++calls_[mode] % options.log_interval() != 0) return;
    at::Tensor rows = data_matrix(call.outputs, family_, batch_first_, observation_->features);
    if (options.max_samples()) {
      const std::int64_t left = *options.max_samples() - samples_taken_[mode];
      rows = rows.narrow(0, 0, std::min(left, rows.size(0)));
    }
    if (options.device()) {
      // A copy to the host that nobody waits for would be read before it is there.
      rows = rows.to(*options.device(), /*non_blocking=*/!options.device()->is_cpu());
    }
    covariances_[mode].update(rows);
    samples_taken_[mode] += rows.size(0);
  }

  void measure(Covariance<Scalar>& covariance, LayerRecord& record) {
    record.samples = covariance.samples();
    if (record.samples == 0) return;
    const at::Tensor matrix = covariance.spectral_matrix();
    const double trace = matrix.trace().template item<double>();
    // Of a constant the sums are exactly zero, which no solver needs to be told.
    std::optional<Eigen::VectorXd> eigenvalues = Eigen::VectorXd::Zero(matrix.size(0));
    if (trace != 0) eigenvalues = symmetric_eigenvalues(matrix);
    if (!eigenvalues) {
      record.status = Status::NotConverged;
      return;
    }
    record.status = trace > 0 ? Status::Ok : Status::NoVariance;
    const Spectrum spectrum(*std::move(eigenvalues), covariance.width());
    const CheckLayerSatOptions& options = observation_->options;
    const LayerMeasurement layer{spectrum, trace, record.samples, options.sat_threshold(),
                                 options.idim_rule()};
    for (std::size_t i = 0; i < record.values.size(); ++i) {
      record.values[i].value = observation_->statistics[i].value(layer);
    }
  }

  void tell_once(const char* consequence, const std::exception& error) const {
    // LibTorch's messages go on with a stack trace, and differ in it.
    const std::string what = error.what();
    const std::string reason = what.substr(0, what.find('\n'));
    observation_->problems.tell_once(fmt::format("{} {}", consequence, name_),
                                     fmt::format("{}: {}: {}", name_, consequence, reason));
  }

  const std::string name_;
  const LayerFamily family_;
  const bool batch_first_;
  const ModuleReference module_;
  const ModuleReference root_;
  const std::shared_ptr<Observation> observation_;

  mutable std::mutex mutex_;  // guards all below

  // Of training and of evaluation.
  Covariances covariances_;
  std::array<std::int64_t, 2> calls_{};          // never reset
  std::array<std::int64_t, 2> samples_taken_{};  // in this epoch

  std::optional<std::int64_t> order_;
  bool is_frozen_ = false;
};

}  // namespace delve::detail
