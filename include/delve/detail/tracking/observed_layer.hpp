// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::max, std::min
#include <array>        // std::array
#include <atomic>       // std::atomic
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <exception>    // std::exception
#include <functional>   // std::hash
#include <memory>       // std::make_shared, std::shared_ptr
#include <mutex>        // std::mutex
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::swap
#include <vector>       // std::vector

#include <fmt/format.h>
#include <Eigen/Core>

#include <delve/covariance.hpp>
#include <delve/detail/hooks/module_reference.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tracking/problems.hpp>
#include <delve/detail/tracking/random_rows.hpp>
#include <delve/detail/tracking/row_sample.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/features.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/module_view.hpp>
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
    keeps_sample = need(Need::Embedding);
    const bool in_float64 = need(Need::SmallEigenvalues);
    products = options.products().value_or(in_float64 ? Products::Float64 : Products::Float32);
    features.conv_method = options.conv_method();
    features.timeseries_method = options.timeseries_method();
    features.interpolation_strategy = options.interpolation_strategy();
    features.interpolation_downsampling = options.interpolation_downsampling();
  }

  /// Whether one of the statistics asked for needs it.
  [[nodiscard]] bool need(Need what) const {
    return std::any_of(statistics.begin(), statistics.end(),
                       [&](const Statistic& statistic) { return statistic.needs_the(what); });
  }

  const CheckLayerSatOptions options;
  const std::vector<Statistic> statistics;
  FeatureOptions features;
  Products products;
  bool keeps_sample;  ///< asked at every forward, so looked up once
  Problems problems;
  std::atomic<int> evaluation_guards{0};
  std::atomic<std::int64_t> layers_called{0};
};

/// What an epoch leaves of a layer.
struct LayerReport {
  LayerRecord train;
  LayerRecord eval;
  /// It counted as evaluated, being in eval(), while the model around it was training.
  bool is_frozen;
};

/// One tracked layer, from its output to its record. Thread-safe.
template <typename Scalar>
class ObservedLayer {
 public:
  ObservedLayer(const FoundLayer& layer, std::shared_ptr<Observation> observation)
      : ObservedLayer(layer.name, layer.kind->layout(layer.module), std::move(observation)) {
    module_.emplace(layer.module);
    root_.emplace(layer.root);
  }

  /// Without a module: its outputs are handed over by observe().
  ObservedLayer(std::string name, const OutputLayout& layout,
                std::shared_ptr<Observation> observation)
      : name_(std::move(name)),
        layout_(layout),
        observation_(std::move(observation)),
        random_rows_(observation_->options.sample_rate(),
                     observation_->options.sample_seed() + std::hash<std::string>()(name_)),
        streams_(empty_streams()) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool has_module() const { return module_.has_value(); }
  /// Needs has_module().
  [[nodiscard]] const ModuleReference& module() const { return *module_; }

  /// When, among all layers, this one was first called; unset before.
  [[nodiscard]] std::optional<std::int64_t> order() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return order_;
  }

  /// The forward hook: takes the output in. Never throws. Does not wait for the device, unless
  /// another one was asked for.
  void take(const ForwardCall& call) noexcept {
    guarded([&] { take_rows(call.outputs, mode_of(call)); });
  }

  /// The same for an output that no module gave.
  void take(const at::Tensor& output, Mode mode) noexcept {
    guarded([&] { take_rows({output}, mode); });
  }

  /// Whether data came in this mode since the last epoch ended.
  [[nodiscard]] bool has_news(Mode mode) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return streams_[index(mode)].samples_taken > 0;
  }

  /// What is known of one mode.
  struct Stream {
    Covariance<Scalar> covariance;
    RowSample sample;                // empty unless a statistic needs it
    std::int64_t calls = 0;          // never reset
    std::int64_t samples_taken = 0;  // in this epoch
  };
  /// What an epoch left, to be reported.
  struct EpochData {
    std::array<Stream, 2> streams;  // of training and of evaluation
    bool is_frozen;
  };

  /// Ends the epoch: takes all data since the covariance was last reset, or a copy of it where it
  /// is not to be. What forwards in other threads bring meanwhile is the next epoch's. Does not
  /// wait for the device.
  [[nodiscard]] EpochData end_epoch() {
    const std::lock_guard<std::mutex> lock(mutex_);
    EpochData data{empty_streams(), is_frozen_};
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      Stream& stream = streams_[i];
      if (observation_->options.reset_covariance()) {
        std::swap(data.streams[i], stream);
        stream.calls = data.streams[i].calls;
      } else {
        data.streams[i].covariance = stream.covariance.copy();
        data.streams[i].sample = stream.sample;
        stream.samples_taken = 0;
      }
    }
    return data;
  }

  /// The statistics of that data. May run while forwards bring more, in any thread. Waits for the
  /// device. Never throws: what cannot be computed is missing, and told.
  [[nodiscard]] LayerReport report(EpochData data) const {
    LayerReport report{empty_record(Mode::Train, data), empty_record(Mode::Eval, data),
                       data.is_frozen};
    for (LayerRecord* record : {&report.train, &report.eval}) {
      Stream& stream = data.streams[index(record->mode)];
      const auto give_up = [&](std::string_view reason) {
        record->status = Status::NotConverged;
        tell_once("its values could not be computed and are missing", reason);
      };
      try {
        measure(stream, *record);
      } catch (const std::exception& error) {
        give_up(error.what());
      } catch (...) {
        give_up("a statistic threw something that is no std::exception");
      }
    }
    return report;
  }

  /// The memory that its data takes, in bytes.
  [[nodiscard]] std::int64_t bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::int64_t bytes = 0;
    for (const Stream& stream : streams_)
      bytes += stream.covariance.bytes() + stream.sample.bytes();
    return bytes;
  }

 private:
  using Streams = std::array<Stream, 2>;

  /// Below, float64 is quick enough, and a float32 solve that leaves a doubt wasted.
  static constexpr std::int64_t kWidthWorthFloat32 = 1024;

  static constexpr std::size_t index(Mode mode) { return mode == Mode::Train ? 0 : 1; }

  [[nodiscard]] Streams empty_streams() const {
    const Products products = observation_->products;
    return {Stream{Covariance<Scalar>(products), {}}, Stream{Covariance<Scalar>(products), {}}};
  }

  template <typename Action>
  void guarded(const Action& action) noexcept {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      const PlainMode plain;
      action();
    } catch (const std::exception& error) {
      tell_once("its output could not be taken in and is left out", error.what());
    }
  }

  [[nodiscard]] LayerRecord empty_record(Mode mode, const EpochData& data) const {
    const std::int64_t width =
        std::max(data.streams[0].covariance.width(), data.streams[1].covariance.width());
    return {name_, mode, width, 0, Status::NoData, missing_values(observation_->statistics, mode)};
  }

  Mode mode_of(const ForwardCall& call) {
    if (observation_->evaluation_guards.load() > 0) return Mode::Eval;
    if (call.training && observation_->options.mode_from() == ModeSource::Layer) return Mode::Train;
    bool root_is_training = call.training;
    root_->visit([&](const ModuleView& root) { root_is_training = root.is_training(); });
    if (observation_->options.mode_from() == ModeSource::Root) {
      return root_is_training ? Mode::Train : Mode::Eval;
    }
    is_frozen_ = is_frozen_ || root_is_training;
    return Mode::Eval;
  }

  void take_rows(const std::vector<at::Tensor>& outputs, Mode mode) {
    if (!order_) order_ = observation_->layers_called.fetch_add(1);
    const CheckLayerSatOptions& options = observation_->options;
    Stream& stream = streams_[index(mode)];
    if (++stream.calls % options.log_interval() != 0) return;
    at::Tensor rows = data_matrix(outputs, layout_, observation_->features);
    if (options.max_samples()) {
      const std::int64_t left = *options.max_samples() - stream.samples_taken;
      rows = rows.narrow(0, 0, std::min(left, rows.size(0)));
    }
    stream.samples_taken += rows.size(0);
    if (options.sample_rate() < 1 && rows.numel() > 0) rows = random_rows_.pick(rows);
    if (options.device()) {
      // A copy to the host that nobody waits for would be read before it is there.
      rows = rows.to(*options.device(), /*non_blocking=*/!options.device()->is_cpu());
    }
    stream.covariance.update(rows);
    if (observation_->keeps_sample && rows.numel() > 0) stream.sample.add(rows);
  }

  void measure(Stream& stream, LayerRecord& record) const {
    Covariance<Scalar>& covariance = stream.covariance;
    record.samples = covariance.samples();
    record.skipped_batches = covariance.skipped_batches();
    if (record.samples == 0) return;
    const bool needs_sigma =
        observation_->need(Need::Covariance) || observation_->need(Need::Embedding);
    const at::Tensor matrix = needs_sigma ? covariance.matrix() : covariance.spectral_matrix();
    const double trace = matrix.trace().template item<double>();
    Eigen::VectorXd variances;
    Eigen::MatrixXd sigma;
    Eigen::MatrixXd embedding;
    if (observation_->need(Need::Variances)) variances = to_eigen(covariance.variances());
    if (observation_->need(Need::Covariance)) sigma = to_eigen(matrix);
    if (observation_->need(Need::Embedding)) {
      embedding = embedded(stream.sample.rows(), covariance.mean(), matrix);
    }
    const CheckLayerSatOptions& options = observation_->options;
    const auto read = [&](const Spectrum& spectrum) {
      LayerMeasurement layer{spectrum, trace, record.samples, options.sat_threshold(),
                             options.idim_rule()};
      layer.variances = &variances;
      layer.covariance = &sigma;
      layer.embedding = &embedding;
      read_off(layer, observation_->statistics, record);
    };

    record.status = trace > 0 ? Status::Ok : Status::NoVariance;
    // Of a constant the sums are exactly zero, which no solver needs to be told.
    if (trace == 0) {
      read(Spectrum(Eigen::VectorXd::Zero(matrix.size(0)), covariance.width()));
      return;
    }
    if (matrix.size(0) >= kWidthWorthFloat32 && !observation_->need(Need::SmallEigenvalues)) {
      if (auto approximate = approximate_eigenvalues(matrix)) {
        const Spectrum spectrum(std::move(approximate->values), covariance.width(),
                                approximate->approximation);
        read(spectrum);
        if (!spectrum.in_doubt()) return;
      }
    }
    if (auto eigenvalues = symmetric_eigenvalues(matrix)) {
      read(Spectrum(*std::move(eigenvalues), covariance.width()));
    } else {
      record.status = Status::NotConverged;
      record.values = missing_values(observation_->statistics, record.mode);
      record.arrays.clear();
    }
  }

  /// Data points (m, d), centred, on the two leading eigenvectors of Σ; (m, 1) where d is 1.
  static Eigen::MatrixXd embedded(const at::Tensor& rows, const at::Tensor& mean,
                                  const at::Tensor& sigma) {
    const std::int64_t count = std::min<std::int64_t>(2, sigma.size(0));
    return to_eigen(at::mm(rows.to(sigma.options()) - mean, leading_eigenvectors(sigma, count)));
  }

  void tell_once(const char* consequence, std::string_view what) const {
    // LibTorch's messages go on with a stack trace, and differ in it.
    const std::string_view reason = what.substr(0, what.find('\n'));
    observation_->problems.tell_once(fmt::format("{} {}", consequence, name_),
                                     fmt::format("{}: {}: {}", name_, consequence, reason));
  }

  const std::string name_;
  const OutputLayout layout_;
  std::optional<ModuleReference> module_;
  std::optional<ModuleReference> root_;
  const std::shared_ptr<Observation> observation_;

  mutable std::mutex mutex_;  // guards all below
  RandomRows random_rows_;
  Streams streams_;  // of training and of evaluation
  std::optional<std::int64_t> order_;
  bool is_frozen_ = false;
};

}  // namespace delve::detail
