// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max, std::min
#include <atomic>       // std::atomic
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t, std::uint64_t
#include <exception>    // std::exception
#include <memory>       // std::make_shared, std::shared_ptr
#include <mutex>        // std::lock_guard, std::mutex, std::scoped_lock, …
#include <optional>     // std::optional
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::exchange, std::move, std::pair, std::swap
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/covariance.hpp>
#include <delve/detail/hooks/module_reference.hpp>
#include <delve/detail/hooks/probe_scope.hpp>
#include <delve/detail/probes/labelled_batch.hpp>
#include <delve/detail/probes/layer_probe.hpp>
#include <delve/detail/probes/probe_rows.hpp>
#include <delve/detail/probes/probe_score.hpp>
#include <delve/detail/state/tensor_state.hpp>
#include <delve/detail/sums/memory.hpp>
#include <delve/detail/sums/products.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/sums/waiting_memory.hpp>
#include <delve/detail/support/random_bits.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tracking/drift.hpp>
#include <delve/detail/tracking/measurement.hpp>
#include <delve/detail/tracking/mode_guard.hpp>
#include <delve/detail/tracking/problems.hpp>
#include <delve/detail/tracking/random_rows.hpp>
#include <delve/detail/tracking/settings.hpp>
#include <delve/detail/tracking/stream.hpp>
#include <delve/detail/tracking/strided_points.hpp>
#include <delve/detail/tracking/thread_guard.hpp>
#include <delve/detail/tracking/training_fields_base.hpp>
#include <delve/features.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/mode.hpp>
#include <delve/module_view.hpp>
#include <delve/options.hpp>
#include <delve/product_precision.hpp>
#include <delve/record.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The modes that a program has named. Thread-safe.
class NamedModes {
 public:
  void note(Mode mode) {
    const std::lock_guard<std::mutex> lock(mutex_);
    modes_.insert(mode);
  }

  /// Train and Eval, then these.
  [[nodiscard]] std::vector<Mode> all() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {modes_.begin(), modes_.end()};
  }

  template <typename Archive>
  void state(Archive& archive) {
    const std::lock_guard<std::mutex> lock(mutex_);
    archive(modes_);
  }

 private:
  mutable std::mutex mutex_;  // guards modes_
  std::set<Mode> modes_{Mode::Train, Mode::Eval};
};

/// What the layers of a tracker share.
struct Observation {
  explicit Observation(CheckLayerSatOptions given)
      : settings(std::move(given)), problems(settings.options().on_warning()) {
    if (settings.need(Need::Drift) && !settings.has_drift()) {
      problems.tell_once(
          "drift",
          "drift compares an epoch with the one before, which reset_covariance(false) "
          "does not separate: its values are missing");
    }
    if (!settings.widened_for_threshold()) return;
    problems.tell_once("products",
                       "a threshold within 1e-5 of 1 needs products in float64, which take about "
                       "twice as long; set products() to choose otherwise");
  }

  const Settings settings;
  Problems problems;
  const std::shared_ptr<ModeSwitches> switches = std::make_shared<ModeSwitches>();
  const std::shared_ptr<LabelSwitches> labels = std::make_shared<LabelSwitches>();
  /// Of the covariances; probes have few rows that wait.
  const std::shared_ptr<WaitingMemory> waiting_memory =
      std::make_shared<WaitingMemory>(settings.options().waiting_memory());
  const Tuning* tuning = nullptr;  // for tests: of the covariances, wherever they are
  std::atomic<std::int64_t> layers_called{0};
  NamedModes modes;
};

/// Whether the log_interval records a forward. The draw is the same for all layers, so that those
/// that are called equally often record the same forwards.
/// @param call its number in the mode, from 0
inline bool is_recorded(std::int64_t call, Mode mode, const CheckLayerSatOptions& options) {
  const std::int64_t interval = options.log_interval();
  const std::int64_t place = call % interval;
  if (interval == 1) return true;
  if (options.log_sampling() == LogSampling::Every) return place == interval - 1;
  const std::uint64_t bits = random_bits(options.sample_seed() + fnv1a(to_string(mode)),
                                         static_cast<std::uint64_t>(call / interval));
  return bits % static_cast<std::uint64_t>(interval) == static_cast<std::uint64_t>(place);
}

/// Whether a recorded forward belongs to the second half of a training: of every two in a row, one
/// goes to each half, drawn as in is_recorded(), so that the halves do not differ in what
/// alternates within a step (real and fake).
inline bool is_of_second_half(std::int64_t call, Mode mode, const CheckLayerSatOptions& options) {
  const auto taken = static_cast<std::uint64_t>(call / options.log_interval());
  const std::uint64_t seed = options.sample_seed() + fnv1a("half") + fnv1a(to_string(mode));
  return (random_bits(seed, taken / 2) & 1U) == taken % 2;
}

/// What went wrong, with the options that help where memory is short.
inline std::string explained(const std::exception& error) {
  const bool lacks_memory = dynamic_cast<const NotEnoughMemory*>(&error) != nullptr;
  return std::string(error.what())
      .append(lacks_memory ? ": exclude the layer with ignore_layer_names() or layer_filter(), or "
                             "choose a conv_method() that makes it narrower"
                           : "");
}

/// A forward whose outputs are those of one part of the layer alone.
inline ForwardCall share_of(const ForwardCall& call, const LayerPart& part) {
  ForwardCall own = call;
  if (part.shares == 1) return own;
  const at::NoGradGuard no_grad;
  for (at::Tensor& output : own.outputs) {
    const std::int64_t width = output.size(-1) / part.shares;
    output = output.narrow(-1, part.share * width, width);
  }
  return own;
}

/// What kept labels from a layer's probe.
struct ProbeFaults {
  bool shape = false;         ///< they fit neither its samples nor its positions
  bool is_ambiguous = false;  ///< they fit two axes of its output
  bool other_thread = false;  ///< it ran in a thread without a guard, while another one had one
  bool is_untrained = false;  ///< it was evaluated, and trained without labels
  bool is_unsolved = false;   ///< the equations had no solution
  bool is_late = false;       ///< what was tried was fitted before the training that came last

  template <typename Archive>
  void state(Archive& archive) {
    archive(shape, is_ambiguous, other_thread, is_untrained, is_unsolved, is_late);
  }
};

/// What an epoch leaves of a layer.
struct LayerReport {
  std::string layer;
  std::vector<LayerRecord> records;  ///< one for each mode in which the layer was ever called
  std::int64_t width;                ///< d; 0 while unknown
  /// It counted as evaluated, being in eval(), while the model around it was training.
  bool is_frozen;
  bool was_called;      ///< in this epoch, whatever became of the output
  std::string part_of;  ///< the name of the layer that it is a part of; empty where it is whole
  ProbeFaults probe_faults;
  std::vector<SampleScores> probe_scores;  ///< of its evaluation
  /// The statistic "probe_error", where it is known already, and not found from those.
  std::optional<double> probe_error;
};

/// One tracked layer, from its output to its record. Thread-safe.
template <typename Scalar>
class ObservedLayer {
 public:
  ObservedLayer(const FoundLayer& layer, std::shared_ptr<Observation> observation);

  /// A part of a layer that may run by itself: it is shown once it did.
  ObservedLayer(const FoundLayer& whole, std::string_view suffix,
                std::shared_ptr<Observation> observation);

  /// Without a module: its outputs are handed over by observe().
  ObservedLayer(std::string name, const OutputLayout& layout,
                std::shared_ptr<Observation> observation);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool has_module() const { return module_.has_value(); }
  /// Needs has_module().
  [[nodiscard]] const ModuleReference& module() const { return *module_; }
  [[nodiscard]] const ModuleReference& root() const { return *root_; }
  /// The suffix of a part; empty for a whole layer.
  [[nodiscard]] const std::string& part() const { return part_; }
  /// Whether it is a part that never ran.
  [[nodiscard]] bool is_hidden() const { return !part_.empty() && !order(); }

  /// When, among all layers, this one was first called; unset before.
  [[nodiscard]] std::optional<std::int64_t> order() const;

  /// The forward hook: takes the output in. Never throws. Does not wait for the device, unless
  /// another device was requested.
  void take(const ForwardCall& call) noexcept;

  /// The same for an output that no module gave.
  void take(const at::Tensor& output, Mode mode) noexcept;

  /// Shows a forward to what finds receptive fields, unless it is not counted.
  void show(const ForwardCall& call, TrainingFieldsBase& fields) const noexcept;

  /// Whether data came since the last epoch ended.
  [[nodiscard]] bool has_news() const;

  /// What an epoch left, to be reported.
  struct EpochData {
    Streams<Scalar> streams;
    bool is_frozen;
    bool was_called;
    std::optional<ProbeEpoch<Scalar>> probe;
    ProbeFaults probe_faults;
  };

  /// Ends the epoch: takes all data since the covariance was last reset, or a copy where it is
  /// not to be reset. What forwards in other threads bring meanwhile is the next epoch's. Does not
  /// wait for the device.
  [[nodiscard]] EpochData end_epoch();

  /// The statistics of that data, epoch by epoch. May run while forwards bring more, in any thread.
  /// Waits for the device. Never throws: what cannot be computed is missing, and reported.
  [[nodiscard]] LayerReport report(EpochData data);

  /// Notes that it ran, where only other processes know that: a part is then shown.
  void note_called();

  /// What its probe has summed in this epoch. Needs one. Waits for the device.
  [[nodiscard]] Moments probe_moments();

  /// Takes what its probe is to try from here on.
  void accept(std::shared_ptr<LazyFit<Scalar>> fit);

  /// The record of a mode without data.
  [[nodiscard]] LayerRecord empty_record(Mode mode, std::int64_t width) const;

  /// The memory that its data takes, in bytes.
  [[nodiscard]] std::int64_t bytes() const;

  /// A stream without data, made like this layer's own.
  [[nodiscard]] Stream<Scalar> new_stream() const;

  /// How its outputs are to be read.
  [[nodiscard]] const OutputLayout& layout() const { return layout_; }

  /// All that its forwards have left, to the bit. Waits for the device.
  template <typename Archive>
  void state(Archive& archive);

  /// Continues from another layer of the same tracker, which must not be used any more.
  void take_over(ObservedLayer& other);

 private:
  [[nodiscard]] Stream<Scalar>& stream_of(Mode mode);
  [[nodiscard]] CovarianceShape& shape_of_last(Mode mode);
  void release_memory_of_others(Mode mode);
  template <typename Action>
  void guarded(const Action& action) noexcept;
  /// Unset where the forward is not to be counted.
  [[nodiscard]] std::optional<Mode> mode_of(const ForwardCall& call);
  [[nodiscard]] std::optional<Mode> probe_mode_of(const ForwardCall& call) const;
  void take_rows(const std::vector<at::Tensor>& outputs, Mode mode, Mode probe_mode);
  [[nodiscard]] bool take_labelled(const std::vector<at::Tensor>& outputs, std::int64_t samples,
                                   Mode mode, Mode probe_mode, bool takes_all);
  [[nodiscard]] ProbeMeasurement measured(const ProbeEpoch<Scalar>& probe) const;
  void tell_once(std::string_view consequence, std::string_view what) const;

  const std::string name_;
  const OutputLayout layout_;
  std::string part_;
  const LayerKind* kind_ = nullptr;  // of a whole layer with a module
  std::optional<ModuleReference> module_;
  std::optional<ModuleReference> root_;
  const std::shared_ptr<Observation> observation_;

  mutable std::mutex mutex_;  // guards all below
  RandomRows random_rows_;
  Streams<Scalar> streams_;
  std::vector<std::pair<Mode, CovarianceShape>> shapes_;  // of the last report, where compared
  std::optional<LayerProbe<Scalar>> probe_;               // unset unless a statistic needs it
  std::int64_t pooled_side_ = 0;  // of maps that it takes; 0: there were none yet
  ProbeFaults probe_faults_;
  bool has_trained_ = false;  // with labels or without
  std::optional<std::int64_t> order_;
  Mode last_mode_;  // in which data came
  bool is_frozen_ = false;
  bool was_called_ = false;  // in this epoch
};

// None of these is inline, so that `extern template` spares a file their compilation.

template <typename Scalar>
ObservedLayer<Scalar>::ObservedLayer(const FoundLayer& layer,
                                     std::shared_ptr<Observation> observation)
    : ObservedLayer(layer.name, layer.kind->layout(layer.module), std::move(observation)) {
  kind_ = layer.kind;
  module_.emplace(layer.module);
  root_.emplace(layer.root);
}

template <typename Scalar>
ObservedLayer<Scalar>::ObservedLayer(const FoundLayer& whole, std::string_view suffix,
                                     std::shared_ptr<Observation> observation)
    : ObservedLayer(joined(whole.name, std::string(suffix)), whole.kind->layout(whole.module),
                    std::move(observation)) {
  part_ = suffix;
  module_.emplace(whole.module);
  root_.emplace(whole.root);
}

template <typename Scalar>
ObservedLayer<Scalar>::ObservedLayer(std::string name, const OutputLayout& layout,
                                     std::shared_ptr<Observation> observation)
    : name_(std::move(name)),
      layout_(layout),
      observation_(std::move(observation)),
      random_rows_(observation_->settings.options().sample_rate(),
                   observation_->settings.options().sample_seed() + fnv1a(name_)) {
  const Settings& settings = observation_->settings;
  if (!settings.has_probes()) return;
  probe_.emplace(settings.probe(), settings.options().sample_seed(), settings.has("probe_train"),
                 /*fits_itself=*/!settings.options().sum_over_ranks());
}

template <typename Scalar>
std::optional<std::int64_t> ObservedLayer<Scalar>::order() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return order_;
}

template <typename Scalar>
void ObservedLayer<Scalar>::take(const ForwardCall& call) noexcept {
  if (probes_of_thread() > 0) return;
  guarded([&] {
    const std::optional<Mode> mode = mode_of(call);
    if (mode) take_rows(call.outputs, *mode, probe_ ? probe_mode_of(call).value_or(*mode) : *mode);
  });
}

template <typename Scalar>
void ObservedLayer<Scalar>::show(const ForwardCall& call,
                                 TrainingFieldsBase& fields) const noexcept {
  if (probes_of_thread() > 0) return;
  if (const auto guard = innermost_mode(*observation_->switches); guard && !guard->mode) return;
  module_->visit([&](const ModuleView& module) {
    fields.layer_ran(root_->address(), name_, *kind_, module, call);
  });
}

template <typename Scalar>
void ObservedLayer<Scalar>::take(const at::Tensor& output, Mode mode) noexcept {
  guarded([&] {
    const auto guard = innermost_mode(*observation_->switches);
    if (!guard || guard->mode) take_rows({output}, mode, mode);
  });
}

template <typename Scalar>
bool ObservedLayer<Scalar>::has_news() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [mode, stream] : streams_) {
    if (stream.samples_taken > 0) return true;
  }
  return false;
}

template <typename Scalar>
typename ObservedLayer<Scalar>::EpochData ObservedLayer<Scalar>::end_epoch() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const PlainMode plain;
  EpochData data{{}, is_frozen_, std::exchange(was_called_, false), std::nullopt, {}};
  if (probe_) {
    try {
      data.probe = probe_->end_epoch(stream_of(Mode::Train).covariance);
      // Its record needs one, also where the layer itself was training.
      if (!data.probe->evaluation.empty()) static_cast<void>(stream_of(Mode::Eval));
    } catch (const std::exception& error) {
      tell_once("its probe could not be ended", explained(error));
    }
    probe_faults_.is_late = probe_->is_late();
    data.probe_faults = probe_faults_;
  }
  for (auto& [mode, stream] : streams_) {
    if (observation_->settings.options().reset_covariance()) {
      Stream<Scalar> next = new_stream();
      try {
        stream.release_memory();  // for the next epoch, which begins before the report
      } catch (const std::exception& error) {
        tell_once("rows that waited could not be summed and are left out", explained(error));
      }
      next.calls = stream.calls;
      if (const auto points = observation_->settings.options().points_per_dimension()) {
        next.points = stream.points;
        next.points.end_epoch(*points);
      }
      data.streams.emplace_back(mode, std::exchange(stream, std::move(next)));
    } else {
      data.streams.emplace_back(mode, Stream<Scalar>{stream.covariance.copy(), stream.sample});
      stream.samples_taken = 0;
    }
  }
  return data;
}

template <typename Scalar>
LayerReport ObservedLayer<Scalar>::report(EpochData data) {
  LayerReport report{name_, {}, 0, data.is_frozen, data.was_called, {}, data.probe_faults, {}, {}};
  if (!part_.empty()) report.part_of = name_.substr(0, name_.size() - part_.size() - 1);
  for (const auto& [mode, stream] : data.streams) {
    report.width = std::max(report.width, stream.width());
  }
  ProbeMeasurement probe;
  if (data.probe) {
    probe = measured(*data.probe);
    report.probe_scores = data.probe->evaluation.by_sample();
    report.probe_error = data.probe->error;
  }
  report.probe_faults.is_unsolved = !probe.is_solved;
  for (auto& [mode, stream] : data.streams) {
    LayerRecord record = empty_record(mode, report.width);
    const auto give_up = [&](std::string_view reason) {
      record.status = Status::NotConverged;
      tell_once("its values could not be computed and are missing", reason);
    };
    try {
      std::unique_lock<std::mutex> lock(mutex_);
      CovarianceShape shape = shape_of_last(mode);
      lock.unlock();  // no forward is to wait with this
      const std::int64_t width = shape.width();
      measure(stream, probe, shape, observation_->settings, record,
              [this](const Statistic& statistic, std::string_view reason) {
                tell_once(fmt::format("the statistic \"{}\" failed, and its value is missing",
                                      statistic.name),
                          reason);
              });
      if (width > 0 && shape.defined() && shape.width() != width) {
        tell_once("its drift is missing",
                  fmt::format("its outputs have {} features, and had {} in the epoch before",
                              shape.width(), width));
      }
      lock.lock();
      shape_of_last(mode) = std::move(shape);
    } catch (const std::exception& error) {
      give_up(explained(error));
    } catch (...) {
      give_up("something that is no std::exception was thrown");
    }
    report.records.push_back(std::move(record));
  }
  return report;
}

template <typename Scalar>
void ObservedLayer<Scalar>::note_called() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!order_) order_ = observation_->layers_called.fetch_add(1);
}

template <typename Scalar>
Moments ObservedLayer<Scalar>::probe_moments() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const PlainMode plain;
  return probe_->moments();
}

template <typename Scalar>
void ObservedLayer<Scalar>::accept(std::shared_ptr<LazyFit<Scalar>> fit) {
  const std::lock_guard<std::mutex> lock(mutex_);
  probe_->accept(std::move(fit));
}

template <typename Scalar>
LayerRecord ObservedLayer<Scalar>::empty_record(Mode mode, std::int64_t width) const {
  return {name_, mode,           width,
          0,     Status::NoData, missing_values(observation_->settings.statistics(), mode)};
}

template <typename Scalar>
std::int64_t ObservedLayer<Scalar>::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::int64_t bytes = 0;
  for (const auto& [mode, stream] : streams_) {
    bytes += stream.covariance.bytes() + stream.second_half.bytes() + stream.sample.bytes();
  }
  for (const auto& [mode, shape] : shapes_) bytes += shape.bytes();
  if (probe_) bytes += probe_->bytes();
  return bytes;
}

template <typename Scalar>
Stream<Scalar> ObservedLayer<Scalar>::new_stream() const {
  const auto no_rows = [this] {
    const Products products = observation_->settings.products();
    const Tuning* tuning = observation_->tuning;
    Covariance<Scalar> covariance =
        tuning != nullptr ? Covariance<Scalar>(products, *tuning) : Covariance<Scalar>(products);
    covariance.share_memory(observation_->waiting_memory);
    return covariance;
  };
  Stream<Scalar> stream{no_rows()};
  stream.second_half = no_rows();
  return stream;
}

template <typename Scalar>
template <typename Archive>
void ObservedLayer<Scalar>::state(Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const PlainMode plain;
  // Streams and the probe must be made by this layer's settings before they are read.
  const std::size_t count = archive.length(streams_.size());
  for (std::size_t i = 0; i < count; ++i) {
    Mode mode = Archive::kReads ? Mode() : streams_[i].first;
    archive(mode);
    archive(Archive::kReads ? stream_of(mode) : streams_[i].second);
  }
  if (probe_) archive(*probe_);
  archive(random_rows_, shapes_, pooled_side_, probe_faults_, has_trained_, order_, last_mode_,
          is_frozen_, was_called_);
}

template <typename Scalar>
void ObservedLayer<Scalar>::take_over(ObservedLayer& other) {
  const std::scoped_lock lock(mutex_, other.mutex_);
  std::swap(random_rows_, other.random_rows_);
  std::swap(streams_, other.streams_);
  std::swap(shapes_, other.shapes_);
  std::swap(probe_, other.probe_);
  pooled_side_ = other.pooled_side_;
  probe_faults_ = other.probe_faults_;
  has_trained_ = other.has_trained_;
  order_ = other.order_;
  last_mode_ = other.last_mode_;
  is_frozen_ = other.is_frozen_;
  was_called_ = other.was_called_;
}

/// Needs the lock.
template <typename Scalar>
CovarianceShape& ObservedLayer<Scalar>::shape_of_last(Mode mode) {
  for (auto& [known, shape] : shapes_) {
    if (known == mode) return shape;
  }
  return shapes_.emplace_back(mode, CovarianceShape{}).second;
}

template <typename Scalar>
Stream<Scalar>& ObservedLayer<Scalar>::stream_of(Mode mode) {
  for (auto& [known, stream] : streams_) {
    if (known == mode) return stream;
  }
  return streams_.emplace_back(mode, new_stream()).second;
}

/// Has the modes of a layer use the same memory for rows that wait, one after the other, where
/// there is not enough for each of them.
template <typename Scalar>
void ObservedLayer<Scalar>::release_memory_of_others(Mode mode) {
  if (mode == last_mode_) return;
  last_mode_ = mode;
  if (observation_->waiting_memory->left() >= kDeviceTuning.waiting_bytes) return;
  for (auto& [other, stream] : streams_) {
    if (other != mode) stream.release_memory();
  }
}

template <typename Scalar>
template <typename Action>
void ObservedLayer<Scalar>::guarded(const Action& action) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    const PlainMode plain;
    action();
  } catch (const std::exception& error) {
    tell_once("its output could not be taken in and is left out", explained(error));
  }
}

template <typename Scalar>
std::optional<Mode> ObservedLayer<Scalar>::mode_of(const ForwardCall& call) {
  const ModeSwitches& switches = *observation_->switches;
  if (const auto guard = innermost_mode(switches)) return guard->mode;
  if (switches.evaluating.load() > 0) return Mode::Eval;
  const ModeSource source = observation_->settings.options().mode_from();
  if (call.training && source == ModeSource::Layer) return Mode::Train;
  bool root_is_training = call.training;
  root_->visit([&](const ModuleView& root) { root_is_training = root.is_training(); });
  if (source == ModeSource::Root) return root_is_training ? Mode::Train : Mode::Eval;
  is_frozen_ = is_frozen_ || root_is_training;
  return Mode::Eval;
}

/// Which of a probe's streams a forward belongs to: that of the module handed to the tracker, since
/// a frozen layer's outputs train the probe as well.
template <typename Scalar>
std::optional<Mode> ObservedLayer<Scalar>::probe_mode_of(const ForwardCall& call) const {
  const ModeSwitches& switches = *observation_->switches;
  if (const auto guard = innermost_mode(switches)) return guard->mode;
  if (switches.evaluating.load() > 0) return Mode::Eval;
  bool is_training = call.training;
  root_->visit([&](const ModuleView& root) { is_training = root.is_training(); });
  return is_training ? Mode::Train : Mode::Eval;
}

template <typename Scalar>
void ObservedLayer<Scalar>::take_rows(const std::vector<at::Tensor>& outputs, Mode mode,
                                      Mode probe_mode) {
  was_called_ = true;
  if (!order_) order_ = observation_->layers_called.fetch_add(1);
  const Settings& settings = observation_->settings;
  const CheckLayerSatOptions& options = settings.options();
  Stream<Scalar>& stream = stream_of(mode);
  const std::int64_t call = stream.calls++;
  if (!is_recorded(call, mode, options)) return;
  release_memory_of_others(mode);
  at::Tensor rows = data_matrix(outputs, layout_, settings.features());
  if (options.max_samples()) {
    const std::int64_t left = *options.max_samples() - stream.samples_taken;
    rows = rows.narrow(0, 0, std::min(left, rows.size(0)));
  }
  stream.samples_taken += rows.size(0);
  const bool takes_all = options.sample_rate() == 1 && stream.points.takes_all();
  const bool is_summed = probe_ && rows.numel() > 0 &&
                         take_labelled(outputs, rows.size(0), mode, probe_mode, takes_all);
  if (options.sample_rate() < 1 && rows.numel() > 0) rows = random_rows_.pick(rows);
  if (options.points_per_dimension() && rows.numel() > 0) {
    rows = stream.points.pick(
        rows, forward_bits(options.sample_seed(), name_, to_string(mode), stream.calls));
  }
  if (options.device()) {
    // A copy to the host that nobody waits for would be read before it is there.
    rows = rows.to(*options.device(), /*non_blocking=*/!options.device()->is_cpu());
  }
  if (!is_summed) {
    const bool is_of_other =
        settings.has_drift() && mode == Mode::Train && is_of_second_half(call, mode, options);
    (is_of_other ? stream.second_half : stream.covariance).update(rows);
  }
  if (settings.keeps_sample() && rows.numel() > 0) stream.sample.add(rows);
}

/// Hands the outputs to the probe, if labels came for them.
/// @param samples how many of the batch may be taken
/// @param takes_all whether the covariance takes all of their data points
/// @return whether it sums them for the covariance, too
template <typename Scalar>
bool ObservedLayer<Scalar>::take_labelled(const std::vector<at::Tensor>& outputs,
                                          std::int64_t samples, Mode mode, Mode probe_mode,
                                          bool takes_all) {
  if (probe_mode != Mode::Train && probe_mode != Mode::Eval) return false;
  has_trained_ = has_trained_ || probe_mode == Mode::Train;
  const Settings& settings = observation_->settings;
  const CheckLayerSatOptions& options = settings.options();
  const auto guard = innermost<ThreadLabels>(*observation_->labels);
  if (guard == nullptr) {
    if (observation_->labels->in_threads.load() > 0) probe_faults_.other_thread = true;
    return false;
  }
  const BatchLabels& batch = *guard->labels;
  if (!batch.fault().empty() || batch.is_known_bad()) return false;
  bool is_shared = false;
  bool is_taken = false;
  try {
    ProbeRows rows = probe_rows(outputs, layout_, settings.features(),
                                {options.probe_pooling(), options.probe_features()}, pooled_side_);
    if (options.device()) {
      rows.rows = rows.rows.to(*options.device(), !options.device()->is_cpu());
    }
    const at::ScalarType type = product_type(settings.products(), rows.rows);
    LabelFault fault = LabelFault::None;
    const auto labels = labels_for(rows, batch, batch.on(rows.rows.device(), type), fault);
    if (!labels) {
      (fault == LabelFault::Ambiguous ? probe_faults_.is_ambiguous : probe_faults_.shape) = true;
      return false;
    }
    LabelledRows labelled{rows.rows, *labels, false};
    const bool is_cut = options.max_samples() && !rows.is_turned && samples < rows.rows.size(0);
    if (is_cut) labelled = labelled.first(samples);
    if (probe_mode == Mode::Eval) {
      probe_->evaluate(labelled, batch.first_sample());
      const bool is_unfitted = !probe_->has_fit() && !probe_->is_late();
      if (is_unfitted && has_trained_) probe_faults_.is_untrained = true;
      return false;
    }
    labelled.is_shared = rows.are_tracked && mode == Mode::Train && takes_all &&
                         !settings.has_drift() &&  // whose halves are summed apart
                         !labels->with.mask.defined() && !(rows.is_turned && options.max_samples());
    is_shared = labelled.is_shared;
    probe_->train(labelled, batch.first_sample(), is_taken);
  } catch (const std::exception& error) {
    tell_once("its probe could not take a batch in and leaves it out", explained(error));
  }
  return is_shared && is_taken;
}

template <typename Scalar>
ProbeMeasurement ObservedLayer<Scalar>::measured(const ProbeEpoch<Scalar>& probe) const {
  try {
    return probe.measure(observation_->settings.has("nc1"));
  } catch (const std::exception& error) {
    tell_once("what its probe found could not be computed and is missing", explained(error));
    return {};
  }
}

template <typename Scalar>
void ObservedLayer<Scalar>::tell_once(std::string_view consequence, std::string_view what) const {
  const std::string_view reason = first_line(what);
  observation_->problems.tell_once(fmt::format("{} {}", consequence, name_),
                                   fmt::format("{}: {}: {}", name_, consequence, reason));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
