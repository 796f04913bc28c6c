// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::any_of, std::find, std::max, std::min, std::sort, …
#include <atomic>        // std::atomic
#include <chrono>        // std::chrono::steady_clock
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <cstring>       // std::memcpy
#include <exception>     // std::exception, std::uncaught_exceptions
#include <future>        // std::async, std::promise, std::shared_future
#include <iostream>      // std::cerr
#include <limits>        // std::numeric_limits
#include <memory>        // std::make_shared, std::shared_ptr
#include <mutex>         // std::lock_guard, std::mutex
#include <optional>      // std::optional
#include <ostream>       // std::ostream
#include <set>           // std::set
#include <stdexcept>     // std::invalid_argument, std::logic_error, std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::system_error
#include <type_traits>   // std::enable_if_t, std::is_convertible_v, std::is_pointer_v
#include <utility>       // std::exchange, std::move, std::pair
#include <vector>        // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/probes/labelled_batch.hpp>
#include <delve/detail/ranks/epoch_sums.hpp>
#include <delve/detail/ranks/rank_group.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/detail/state/tracker_state.hpp>
#include <delve/detail/sums/memory.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/tracking/epoch_review.hpp>
#include <delve/detail/tracking/layer_choice.hpp>
#include <delve/detail/tracking/mode_guard.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/detail/tracking/options_text.hpp>
#include <delve/detail/tracking/settings.hpp>
#include <delve/detail/tracking/thread_guard.hpp>
#include <delve/detail/tracking/training_fields_base.hpp>
#include <delve/forward_hook.hpp>
#include <delve/fwd.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/mode.hpp>
#include <delve/module_view.hpp>
#include <delve/options.hpp>
#include <delve/record.hpp>
#include <delve/saved_epoch.hpp>  // IWYU pragma: export
#include <delve/statistic.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace torch::serialize {
class InputArchive;
class OutputArchive;
}  // namespace torch::serialize

namespace delve {
inline namespace DELVE_ABI {

/// While alive, counts every forward pass as evaluation, in all threads; in its own thread it
/// takes precedence over the guards made before it.
/// @see CheckLayerSat::evaluating
class [[nodiscard]] EvaluationGuard {
 public:
  explicit EvaluationGuard(std::shared_ptr<detail::ModeSwitches> switches)
      : switches_(std::move(switches)), here_(switches_, {nullptr, Mode::Eval}) {
    ++switches_->evaluating;
  }
  EvaluationGuard(const EvaluationGuard&) = delete;
  EvaluationGuard& operator=(const EvaluationGuard&) = delete;
  ~EvaluationGuard() { --switches_->evaluating; }

 private:
  std::shared_ptr<detail::ModeSwitches> switches_;
  detail::ThreadModeGuard here_;
};

/// While alive, counts what runs in the thread that made it under one mode, or not at all. Guards
/// nest: the innermost holds.
/// @see CheckLayerSat::mode, CheckLayerSat::paused
class [[nodiscard]] ModeGuard {
 public:
  ModeGuard(std::shared_ptr<detail::ModeSwitches> switches, std::optional<Mode> mode)
      : here_(std::move(switches), {nullptr, mode}) {}

 private:
  detail::ThreadModeGuard here_;
};

/// While alive, gives the labels or targets of the batch that runs in the thread that made it.
/// Guards nest: the innermost holds.
/// @see CheckLayerSat::labels, CheckLayerSat::targets
class [[nodiscard]] LabelsGuard {
 public:
  /// Says nothing.
  LabelsGuard() = default;
  LabelsGuard(std::shared_ptr<detail::LabelSwitches> switches,
              std::shared_ptr<const detail::BatchLabels> labels) {
    here_.emplace(std::move(switches), detail::ThreadLabels{nullptr, std::move(labels)});
  }

 private:
  std::optional<detail::ThreadGuard<detail::ThreadLabels>> here_;
};

/// Watches what the layers of a model do with their data while it trains, and reports each epoch
/// how many directions of its space each layer fills: its saturation.
///
///     delve::CheckLayerSat tracker("runs/vgg16", "plotcsv", model);
///     for (int epoch = 0; epoch < epochs; ++epoch) {
///       train(model);
///       evaluate(model);
///       tracker.add_scalar("accuracy", accuracy);
///       tracker.add_saturations();
///     }
///     tracker.close();
///
/// The model stays as it is. Outputs of its layers are summed on their device, in Scalar, training
/// and evaluation apart by each layer's own is_training(). A forward does not wait for the device;
/// add_saturations() does. With CheckLayerSatOptions::device each forward copies its rows to that
/// device, and waits for a copy to the host.
///
/// No failure here stops the training: after construction, only misuse throws (a call after
/// close(), an unknown name). Everything else that goes wrong is reported once, through on_warning,
/// and kept in problems().
///
/// The layers may run in several threads at once, and observe(), mode(), paused(), evaluating(),
/// labels() and targets() may be called in any; the other members are for one thread at a time.
/// While it records, nothing else in the program changes; while it does not, LibTorch runs as
/// if it were not there. Neither it nor its hooks keep the model alive. It cannot be copied or
/// moved.
template <typename Scalar>
class CheckLayerSat {
 public:
  /// Begins to record.
  /// @param savefile what the names of files begin with, "runs/vgg16"; missing folders are made
  /// @param save_to a key ("csv", "plotcsv", "console", …: docs/writers.md), a writer, or a
  ///   list of both
  /// @param modules what to track: a module, holder or shared_ptr, or a list, with names if wished
  /// @throws std::invalid_argument where an option is out of its range, a name is unknown or taken
  ///   twice, or there is nothing to track; the message says which, and what is known
  CheckLayerSat(const std::string& savefile, const WriterList& save_to, const Modules& modules,
                CheckLayerSatOptions options = {});

  /// Never compiles: its errors say what is wanted where an argument is something else.
  template <typename SaveTo, typename Model, typename... Rest,
            typename = std::enable_if_t<!std::is_convertible_v<const SaveTo&, WriterList> ||
                                        !std::is_convertible_v<const Model&, Modules>>>
  CheckLayerSat(const std::string& /*savefile*/, const SaveTo& /*save_to*/,
                const Model& /*modules*/, const Rest&... /*options*/) {
    constexpr bool are_modules = std::is_convertible_v<const Model&, Modules>;
    static_assert(std::is_convertible_v<const SaveTo&, WriterList>,
                  "delve::CheckLayerSat: save_to must be a key such as \"csv\", a shared_ptr to a "
                  "writer, or delve::WriterList{\"csv\", \"console\"}, a list of both");
    static_assert(are_modules || !std::is_pointer_v<Model>,
                  "delve::CheckLayerSat: modules is a raw pointer; pass *model, the module itself, "
                  "or the holder or shared_ptr that owns it");
    static_assert(are_modules || std::is_pointer_v<Model>,
                  "delve::CheckLayerSat: modules must be a torch::nn::Module, its holder or "
                  "shared_ptr, a torch::jit::Module, or a list of these with names if wished");
  }

  CheckLayerSat(const CheckLayerSat&) = delete;
  CheckLayerSat& operator=(const CheckLayerSat&) = delete;

  /// close().
  ~CheckLayerSat() { close(); }

  /// Adds a user-defined number, such as an accuracy, to the epoch's record. An earlier one of the
  /// same name in that epoch is replaced. Does not touch the device.
  /// @throws std::invalid_argument where the name is empty; std::logic_error after close()
  void add_scalar(const std::string& name, double value);

  /// The same for several numbers: add_scalars({{"loss", loss}, {"accuracy", accuracy}}).
  void add_scalars(const std::vector<std::pair<std::string, double>>& scalars);

  /// Takes in a tensor that no tracked layer produced: an attention map, a residual sum, a loss's
  /// input. It counts as the output of a layer of that name, as do later tensors under it. Does
  /// nothing while the tracker is stopped or paused. Waits for the device no more than a forward
  /// does. Thread-safe.
  /// @param output (…, D), each position of the leading axes a data point; or, of the family
  ///   Convolution, (B, C, positions…)
  /// @param mode whether it counts as training or as evaluation
  /// @param family what the axes mean; that of the first call under a name holds for all of them
  /// @throws std::invalid_argument where the name is empty, a tracked layer bears it, or the family
  ///   is Recurrent; std::logic_error after close()
  void observe(const std::string& name, const torch::Tensor& output, Mode mode,
               LayerFamily family = LayerFamily::Linear);

  /// Ends an epoch: computes the statistics of each layer and hands them to the writers. Waits for
  /// the device, and takes a while for wide layers: one eigenvalue problem per layer and mode.
  /// @param save whether to write now; otherwise the record waits for the next save()
  /// @throws std::logic_error after close()
  EpochRecord add_saturations(bool save = true);

  /// The same, but all that takes time is done in a thread of its own, while the next epoch trains:
  /// here the sums are only taken. Writers and on_warning are called in that thread. Epochs are
  /// reported in their order: a call waits until the one before it is done, as do
  /// add_saturations(), save() and close(). On CUDA, training must use the default stream.
  /// @return the same record; get() waits for it
  /// @throws std::logic_error after close()
  std::shared_future<EpochRecord> add_saturations_async();

  /// A value of the last add_saturations(); none where it is missing there.
  /// @param stat by the name by which it was requested: "lsat"
  /// @throws std::invalid_argument where no such layer is tracked or the statistic was not
  /// requested
  [[nodiscard]] std::optional<double> last(std::string_view layer, std::string_view stat,
                                           Mode mode) const;

  /// Takes the hooks away; data already summed is kept.
  void stop();

  /// Records again after stop().
  /// @throws std::logic_error after close()
  void resume();

  [[nodiscard]] bool is_recording() const { return is_recording_; }

  /// Counts every forward as evaluation as long as the guard lives, in all threads: for programs
  /// that evaluate without eval().
  EvaluationGuard evaluating() { return EvaluationGuard(observation_->switches); }

  /// Counts what runs in this thread as long as the guard lives under a mode of that name, apart
  /// from training and evaluation: `auto acting = tracker.mode("acting");` gives columns
  /// "acting-saturation_…".
  /// @throws std::invalid_argument where the name is not of letters, digits and '.'
  ModeGuard mode(std::string_view name) {
    const Mode mode(name);
    observation_->modes.note(mode);
    return ModeGuard(observation_->switches, mode);
  }

  /// Counts nothing of what runs in this thread as long as the guard lives: sampling, a search for
  /// a learning rate.
  ModeGuard paused() { return ModeGuard(observation_->switches, std::nullopt); }

  /// Says what the samples of a batch are, before its forward and as long as the guard lives, in
  /// this thread: for "probe", "probe_train" and "nc1".
  ///
  ///     const auto labels = tracker.labels(targets);
  ///     auto loss = torch::nn::functional::cross_entropy(model->forward(data), targets);
  ///
  /// Labels that do not fit a layer's output, and batches with an invalid one, are left out
  /// of its probe, and reported once. Those in the host's memory are looked at here; those on a
  /// device stay unread, and nothing waits, unless a layer's output is on the host.
  /// @param labels classes 0 … C − 1 of an integer type: (B), one per sample, or shaped like the
  ///   leading axes of an output (…, D); or shares of the classes, with one more axis of size C
  /// @param ignore_index the label that means "no label"
  /// @return a guard; one that does nothing, at no cost, where no probe is requested
  /// @throws std::logic_error where the probes requested are of targets
  LabelsGuard labels(const torch::Tensor& labels, std::int64_t ignore_index = -100) {
    return labelled(labels, ignore_index, options().classes() > 0, "labels");
  }

  /// The same with numbers to be predicted, for "probe_r2".
  /// @param targets (B, K) or (…, K), of a real type; the last axis may be missing where K is 1
  /// @throws std::logic_error where the probes requested are of classes
  LabelsGuard targets(const torch::Tensor& targets) {
    return labelled(targets, 0, options().targets() > 0, "targets");
  }

  /// With CheckLayerSatOptions::sum_over_ranks: fits the probes to what all ranks have trained on
  /// so far in this epoch. To be called by all of them, between training and evaluation; without it
  /// an evaluation scores the probes of the last add_saturations(). Waits for the device, and for
  /// the other ranks. Does nothing where no probe is requested or there is one process, whose
  /// probes are fitted when an evaluation begins.
  /// @throws std::logic_error after close()
  void fit_probes();

  /// Hands the writers the records that wait for this call.
  /// @throws std::logic_error after close()
  void save();

  /// Writes all that it remembers, so that a training that is stopped can go on from here as if it
  /// had not stopped: sums, rows that wait for a product, random numbers, probes, the epoch's
  /// scalars, records that save() has not written, and what was reported. To be called between two
  /// forwards, with model and optimizer saved as well. Waits for the device and for a running
  /// report. Meanwhile it takes twice the memory of memory_usage() on the host.
  /// @param path of a file, replaced whole or left as it was; missing folders are made
  /// @return false, and reported once, where it could not be written
  /// @throws std::logic_error after close()
  bool save_state(const std::string& path);

  /// Resumes from what save_state() wrote, in a tracker of the same layers and options, whose own
  /// data is forgotten. Its writers resume there, too, if it was made with
  ///
  ///     delve::CheckLayerSatOptions().initial_epoch(delve::saved_epoch(path))
  ///
  /// Sums come back to the device that they were on, or, where that is missing here, to the host,
  /// and follow the model from there. Waits for the device.
  /// @throws std::runtime_error where the file cannot be read, is corrupt or of another format, or
  ///   layers or options differ; the message says which, and nothing has changed
  /// @throws std::invalid_argument where this tracker's writers begin with another epoch
  /// @throws std::logic_error after close()
  void load_state(const std::string& path);

  /// As save_state() and load_state(), for torch::save() and torch::load(), or as a part of an
  /// archive of the program's own. What torch::save() throws is not caught, and it may leave a file
  /// half written.
  template <typename Archive>
  friend std::enable_if_t<std::is_same_v<Archive, torch::serialize::OutputArchive>, Archive&>
  operator<<(Archive& archive, const CheckLayerSat& tracker) {
    const std::string bytes = tracker.state();
    torch::Tensor tensor = torch::empty({static_cast<std::int64_t>(bytes.size())}, torch::kByte);
    std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
    archive.write("delve", tensor, /*is_buffer=*/true);
    return archive;
  }
  template <typename Archive>
  friend std::enable_if_t<std::is_same_v<Archive, torch::serialize::InputArchive>, Archive&>
  operator>>(Archive& archive, CheckLayerSat& tracker) {
    torch::Tensor tensor;
    archive.read("delve", tensor, /*is_buffer=*/true);
    tensor = tensor.to(torch::kCPU, torch::kByte).contiguous();
    tracker.set_state({static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}, "an archive");
    return archive;
  }

  /// Stops, reports what came since the last add_saturations() as a last epoch, marked as part of
  /// one (CheckLayerSatOptions::partial_epoch), and closes the writers. A second call does nothing.
  /// Never throws.
  void close() noexcept;

  /// The memory that each layer's data takes on its device now, in bytes: sums of d × d numbers per
  /// mode once there was that much data, rows that wait for a product, samples for "embed", and
  /// what probes and "drift" keep.
  [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> memory_usage() const;

  /// All that went wrong so far without stopping the training, each once.
  [[nodiscard]] std::vector<std::string> problems() const {
    return observation_->problems.messages();
  }

  /// The settings that hold.
  [[nodiscard]] const CheckLayerSatOptions& options() const {
    return observation_->settings.options();
  }

  /// The names of the tracked layers, in the order of their registration.
  [[nodiscard]] std::vector<std::string> layer_names() const;

 private:
  using Layer = detail::ObservedLayer<Scalar>;

  /// What an epoch leaves to be reported.
  struct EpochData {
    EpochRecord record;  // its layers are added later
    std::vector<std::pair<std::shared_ptr<Layer>, typename Layer::EpochData>> layers;
  };

  void require_open(std::string_view function) const;
  void require_probe_memory(const std::vector<FoundLayer>& layers) const;
  void use_device_for_ranks(const std::vector<FoundLayer>& layers);
  LabelsGuard labelled(const torch::Tensor& labels, std::int64_t ignore_index, bool is_set,
                       std::string_view function);
  void require_known(std::string_view layer, std::string_view stat) const;
  void watch_fields();
  void inform(Writer& writer) const;
  void add(const FoundLayer& found);
  void hook(const std::shared_ptr<Layer>& layer, const ModuleView& module);
  [[nodiscard]] std::vector<std::shared_ptr<Layer>> layers(bool with_hidden = false) const;
  std::shared_ptr<Layer> observed_layer(const std::string& name, LayerFamily family);
  [[nodiscard]] std::vector<std::shared_ptr<Layer>> layers_in_forward_order(bool with_hidden) const;
  [[nodiscard]] bool saw_data() const;
  EpochData end_epoch(bool is_of_all_ranks);
  template <typename Action>
  bool with_ranks(const Action& action);
  EpochRecord finish_epoch(EpochData data);
  void write_unsaved();
  [[nodiscard]] std::string state() const;
  void set_state(std::string_view bytes, const std::string& name);
  void wait() const;
  void tell_of_ambiguous_layers();
  static void add_average(const std::vector<LayerRecord>& layers, EpochRecord& record);
  [[nodiscard]] std::string description() const;

  friend std::ostream& operator<<(std::ostream& out, const CheckLayerSat& tracker) {
    return out << tracker.description();
  }

  const std::shared_ptr<detail::Observation> observation_;
  mutable std::mutex layers_mutex_;  // guards layers_
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<std::shared_ptr<Writer>> writers_;
  detail::RankGroup ranks_;
  RunInfo run_info_;  // but for the problems, which grow
  std::vector<std::pair<std::shared_ptr<Layer>, RemovableHandle>> hooks_;  // none while stopped
  std::shared_ptr<detail::TrainingFieldsBase> fields_;  // nullptr unless requested
  std::vector<std::pair<std::string, double>> scalars_;
  std::shared_future<EpochRecord> pending_;  // while it runs, what follows is its own
  std::vector<EpochRecord> unsaved_;
  mutable std::mutex last_mutex_;  // guards last_
  std::optional<EpochRecord> last_;
  std::int64_t epoch_;
  const int exceptions_ = std::uncaught_exceptions();  // under way when it was made
  std::atomic<bool> is_recording_{false};
  std::atomic<bool> is_closed_{false};
};

/// `delve::CheckLayerSat tracker(…)` sums in double.
CheckLayerSat(const std::string&, const WriterList&, const Modules&, CheckLayerSatOptions = {})
    ->CheckLayerSat<double>;

// None of these is inline, so that `extern template class delve::CheckLayerSat<double>;` spares a
// file their compilation.

template <typename Scalar>
CheckLayerSat<Scalar>::CheckLayerSat(const std::string& savefile, const WriterList& save_to,
                                     const Modules& modules, CheckLayerSatOptions options)
    : observation_(std::make_shared<detail::Observation>(std::move(options))),
      ranks_(this->options().sum_over_ranks()),
      epoch_(this->options().initial_epoch()) {
  const detail::LayerChoice choice =
      detail::choose_layers(modules, this->options(), observation_->problems);
  for (const FoundLayer& layer : choice.layers) add(layer);
  if (observation_->settings.has_probes()) require_probe_memory(choice.layers);
  use_device_for_ranks(choice.layers);
  if (!this->options().nosave() && this->options().rank() == 0) {
    writers_ = save_to.make({savefile, epoch_, this->options().writer_args()});
  }
  watch_fields();
  run_info_ = {
      /*is_known=*/true, detail::options_text(observation_->settings), choice.left_out, {}};
  for (const std::shared_ptr<Writer>& writer : writers_) {
    writer->on_problem([observation = observation_](std::string_view message) {
      observation->problems.tell_once(std::string(message), std::string(message));
    });
  }
  resume();
  if (!this->options().verbose()) return;
  std::cerr << fmt::format("delve: tracking {} layer{}: {}\n", choice.layers.size(),
                           choice.layers.size() == 1 ? "" : "s", fmt::join(layer_names(), ", "));
  if (!choice.left_out.empty()) {
    std::cerr << fmt::format("delve: left out: {}\n", fmt::join(choice.left_out, "; "));
  }
}

/// Starts the search for receptive fields if they were requested or a writer has a use for them.
template <typename Scalar>
void CheckLayerSat<Scalar>::watch_fields() {
  const bool is_wanted = std::any_of(writers_.begin(), writers_.end(), [](const auto& writer) {
    return writer->wants_receptive_fields();
  });
  if (!options().receptive_field() && !is_wanted) return;
  const detail::TrainingFieldsFactory make_fields = detail::training_fields_factory();
  if (make_fields != nullptr) {
    fields_ = make_fields();
  } else if (options().receptive_field()) {
    throw std::invalid_argument(
        fmt::format("delve::CheckLayerSatOptions: receptive_field(true) needs #include <{}>",
                    "delve/receptive_field.hpp"));
  }
}

template <typename Scalar>
void CheckLayerSat<Scalar>::add_scalar(const std::string& name, double value) {
  require_open("add_scalar");
  if (name.empty()) throw std::invalid_argument("delve::CheckLayerSat::add_scalar: no name");
  for (auto& [known, old_value] : scalars_) {
    if (known != name) continue;
    old_value = value;
    return;
  }
  scalars_.emplace_back(name, value);
}

template <typename Scalar>
void CheckLayerSat<Scalar>::add_scalars(
    const std::vector<std::pair<std::string, double>>& scalars) {
  for (const auto& [name, value] : scalars) add_scalar(name, value);
}

template <typename Scalar>
void CheckLayerSat<Scalar>::observe(const std::string& name, const torch::Tensor& output, Mode mode,
                                    LayerFamily family) {
  require_open("observe");
  if (!is_recording()) return;
  observation_->modes.note(mode);
  observed_layer(name, family)->take(output, mode);
}

template <typename Scalar>
EpochRecord CheckLayerSat<Scalar>::add_saturations(bool save) {
  require_open("add_saturations");
  wait();
  EpochRecord record = finish_epoch(end_epoch(/*is_of_all_ranks=*/true));
  if (save) write_unsaved();
  return record;
}

template <typename Scalar>
std::shared_future<EpochRecord> CheckLayerSat<Scalar>::add_saturations_async() {
  require_open("add_saturations_async");
  wait();
  auto data = std::make_shared<EpochData>(end_epoch(/*is_of_all_ranks=*/true));
  const auto report = [this, data] {
    EpochRecord record = finish_epoch(std::move(*data));
    write_unsaved();
    return record;
  };
  try {
    pending_ = std::async(std::launch::async, report).share();
  } catch (const std::system_error&) {  // the thread could not be started
    std::promise<EpochRecord> promise;
    promise.set_value(report());
    pending_ = promise.get_future().share();
  }
  return pending_;
}

template <typename Scalar>
std::optional<double> CheckLayerSat<Scalar>::last(std::string_view layer, std::string_view stat,
                                                  Mode mode) const {
  require_known(layer, stat);
  const std::lock_guard<std::mutex> lock(last_mutex_);
  if (!last_) return std::nullopt;
  for (const LayerRecord& record : last_->layers) {
    if (record.layer != layer || record.mode != mode) continue;
    for (const Value& value : record.values) {
      if (value.stat == stat && !is_missing(value.value)) return value.value;
    }
  }
  return std::nullopt;
}

template <typename Scalar>
void CheckLayerSat<Scalar>::stop() {
  is_recording_ = false;
  hooks_.clear();
}

template <typename Scalar>
void CheckLayerSat<Scalar>::resume() {
  require_open("resume");
  if (is_recording_) return;
  is_recording_ = true;
  const std::lock_guard<std::mutex> lock(layers_mutex_);
  for (const auto& layer : layers_) {
    if (!layer->has_module()) continue;
    layer->module().visit([&](const ModuleView& module) { hook(layer, module); });
    if (fields_) fields_->expect(layer->root().address());
  }
}

template <typename Scalar>
void CheckLayerSat<Scalar>::save() {
  require_open("save");
  wait();
  write_unsaved();
}

template <typename Scalar>
void CheckLayerSat<Scalar>::close() noexcept {
  if (is_closed_) return;
  // A step that fails does not keep the others from being done.
  const auto attempt = [&](const char* step, const auto& action) {
    try {
      action();
    } catch (const std::exception& error) {
      observation_->problems.tell_once(step, fmt::format("close(): {}: {}", step, error.what()));
    }
  };
  attempt("waiting", [&] { wait(); });
  attempt("stopping", [&] { stop(); });
  attempt("the last epoch", [&] {
    const bool has_data = saw_data();
    if (has_data && options().partial_epoch() == PartialEpoch::Drop) return;
    if (scalars_.empty() && !has_data) return;
    const bool is_thrown = std::uncaught_exceptions() > exceptions_;
    if (has_data && (is_thrown || options().partial_epoch() == PartialEpoch::Mark)) {
      add_scalar("partial-epoch", 1);
    }
    // Nobody knows what other ranks do now.
    finish_epoch(end_epoch(/*is_of_all_ranks=*/false));
  });
  attempt("saving", [&] { write_unsaved(); });
  for (const std::shared_ptr<Writer>& writer : writers_) {
    attempt("closing a writer", [&] {
      inform(*writer);
      writer->close();
    });
  }
  is_closed_ = true;
}

template <typename Scalar>
std::vector<std::pair<std::string, std::int64_t>> CheckLayerSat<Scalar>::memory_usage() const {
  std::vector<std::pair<std::string, std::int64_t>> usage;
  for (const auto& layer : layers()) usage.emplace_back(layer->name(), layer->bytes());
  return usage;
}

template <typename Scalar>
std::vector<std::string> CheckLayerSat<Scalar>::layer_names() const {
  std::vector<std::string> names;
  for (const auto& layer : layers()) names.push_back(layer->name());
  return names;
}

template <typename Scalar>
void CheckLayerSat<Scalar>::require_open(std::string_view function) const {
  if (!is_closed_) return;
  throw std::logic_error(fmt::format("delve::CheckLayerSat::{}: the tracker is closed", function));
}

/// Refuses probes whose sums the host has no room for, as far as the layers' weights tell.
template <typename Scalar>
void CheckLayerSat<Scalar>::require_probe_memory(const std::vector<FoundLayer>& layers) const {
  const std::int64_t targets = options().classes() + options().targets();
  double bytes = 0;
  for (const FoundLayer& layer : layers) {
    const torch::Tensor weight = layer.kind->weight(layer.module);
    if (!weight.defined() || !weight.is_cpu() || weight.dim() < 2) continue;
    const bool is_pooled = layer.kind->family == LayerFamily::Convolution;
    const std::int64_t units = weight.size(layer.kind->is_transposed ? 1 : 0);
    std::int64_t width = units;
    for (std::int64_t axis = 2; is_pooled && axis < weight.dim(); ++axis) {
      width *= options().probe_pooling();
    }
    width = std::min(width, std::max(units, options().probe_features()));
    bytes += static_cast<double>(sizeof(Scalar)) * static_cast<double>(width) *
             static_cast<double>(width + 1 + targets);
  }
  const auto available = detail::available_memory();
  if (!available || bytes <= static_cast<double>(*available)) return;
  constexpr double giga = 1e9;
  detail::require(
      false, options().classes() > 0 ? "classes" : "targets", fmt::to_string(targets),
      fmt::format(
          "small enough that, with these layers and probe_features, the sums of all probes, up to "
          "{:.1f} GB, fit into the {:.1f} GB that are free",
          bytes / giga, static_cast<double>(*available) / giga));
}

/// What is summed over ranks is where sums are kept, as far as that is known now: NCCL wants it on
/// a GPU.
template <typename Scalar>
void CheckLayerSat<Scalar>::use_device_for_ranks(const std::vector<FoundLayer>& layers) {
  if (!options().sum_over_ranks()) return;
  if (options().device()) return ranks_.use_device(*options().device());
  for (const FoundLayer& layer : layers) {
    const torch::Tensor weight = layer.kind->weight(layer.module);
    if (weight.defined()) return ranks_.use_device(weight.device());
  }
}

template <typename Scalar>
LabelsGuard CheckLayerSat<Scalar>::labelled(const torch::Tensor& labels, std::int64_t ignore_index,
                                            bool is_set, std::string_view function) {
  if (!observation_->settings.has_probes()) return {};
  if (!is_set) {
    throw std::logic_error(
        fmt::format("delve::CheckLayerSat::{}: the probes requested are of {}", function,
                    options().classes() > 0 ? "classes: use labels()" : "targets: use targets()"));
  }
  auto options = observation_->settings.probe();
  std::shared_ptr<const detail::BatchLabels> batch;
  try {
    batch = std::make_shared<const detail::BatchLabels>(labels, options.ignore_index(ignore_index),
                                                        observation_->labels);
  } catch (const std::exception& error) {  // such as a device that has no memory left
    observation_->problems.tell_once(
        "labels failed",
        fmt::format("{}(): the batch is left out of all probes: {}", function, error.what()));
    return {};
  }
  if (!batch->fault().empty()) {
    observation_->problems.tell_once(
        "labels", fmt::format("{}(): what is given is {}; the batch is left out of all probes",
                              function, batch->fault()));
  }
  return LabelsGuard(observation_->labels, std::move(batch));
}

template <typename Scalar>
void CheckLayerSat<Scalar>::require_known(std::string_view layer, std::string_view stat) const {
  std::vector<std::string> stats;
  for (const Statistic& statistic : observation_->settings.statistics()) {
    stats.push_back(statistic.name);
  }
  const auto require = [](std::string_view what, std::string_view name,
                          const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), name) != known.end()) return;
    throw std::invalid_argument(
        fmt::format("delve::CheckLayerSat::last: no {0} \"{1}\"; the {0}s are {2}", what, name,
                    fmt::join(known, ", ")));
  };
  require("layer", layer, layer_names());
  require("statistic", stat, stats);
}

/// Adds a layer, and those of its parts that may run by themselves.
template <typename Scalar>
void CheckLayerSat<Scalar>::add(const FoundLayer& found) {
  layers_.push_back(std::make_shared<Layer>(found, observation_));
  if (found.kind->parts == nullptr) return;
  std::set<std::string_view> suffixes;
  for (const LayerPart& part : *found.kind->parts) {
    if (!suffixes.insert(part.suffix).second) continue;
    layers_.push_back(std::make_shared<Layer>(found, part.suffix, observation_));
  }
}

/// Makes the layer take in the outputs of its module.
template <typename Scalar>
void CheckLayerSat<Scalar>::hook(const std::shared_ptr<Layer>& layer, const ModuleView& module) {
  if (layer->part().empty()) {
    const auto take = [layer, fields = fields_](const ForwardCall& call) {
      if (fields) layer->show(call, *fields);
      layer->take(call);
    };
    hooks_.emplace_back(layer,
                        detail::register_forward_hook_of_kind(module, *layer_kind_of(module), take,
                                                              detail::HookCode::Tracker));
    return;
  }
  for (const LayerPart& part : *layer_kind_of(module)->parts) {
    if (part.suffix != layer->part()) continue;
    hooks_.emplace_back(layer, detail::register_forward_hook_of_kind(
                                   module, *part.kind,
                                   [layer, &part](const ForwardCall& call) {
                                     layer->take(detail::share_of(call, part));
                                   },
                                   detail::HookCode::Tracker));
  }
}

/// The layers as they are now, hidden ones only if wanted: observe() may add some in any thread.
template <typename Scalar>
std::vector<std::shared_ptr<detail::ObservedLayer<Scalar>>> CheckLayerSat<Scalar>::layers(
    bool with_hidden) const {
  const std::lock_guard<std::mutex> lock(layers_mutex_);
  std::vector<std::shared_ptr<Layer>> shown;
  for (const auto& layer : layers_) {
    if (with_hidden || !layer->is_hidden()) shown.push_back(layer);
  }
  return shown;
}

/// The layer without a module that bears this name.
template <typename Scalar>
std::shared_ptr<detail::ObservedLayer<Scalar>> CheckLayerSat<Scalar>::observed_layer(
    const std::string& name, LayerFamily family) {
  const auto require = [&](bool holds, std::string_view fault) {
    if (holds) return;
    throw std::invalid_argument(
        fmt::format("delve::CheckLayerSat::observe: \"{}\": {}", name, fault));
  };
  require(!name.empty(), "a name is needed");
  require(family != LayerFamily::Recurrent,
          "LayerFamily::Recurrent is for modules; Linear takes every timestep of (B, T, D)");
  const std::lock_guard<std::mutex> lock(layers_mutex_);
  for (const auto& layer : layers_) {
    if (layer->name() != name) continue;
    require(!layer->has_module(), "a tracked layer bears this name");
    return layer;
  }
  const OutputLayout layout{family, /*position_axes=*/0};
  return layers_.emplace_back(std::make_shared<Layer>(name, layout, observation_));
}

/// The layers in the order of their first forward; those that were never called come last.
template <typename Scalar>
std::vector<std::shared_ptr<detail::ObservedLayer<Scalar>>>
CheckLayerSat<Scalar>::layers_in_forward_order(bool with_hidden) const {
  std::vector<std::pair<std::int64_t, std::shared_ptr<Layer>>> ordered;
  for (const auto& layer : layers(with_hidden)) {
    ordered.emplace_back(layer->order().value_or(std::numeric_limits<std::int64_t>::max()), layer);
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::shared_ptr<Layer>> layers;
  for (auto& [order, layer] : ordered) layers.push_back(std::move(layer));
  return layers;
}

template <typename Scalar>
bool CheckLayerSat<Scalar>::saw_data() const {
  const auto all = layers();
  return std::any_of(all.begin(), all.end(), [](const auto& layer) { return layer->has_news(); });
}

template <typename Scalar>
bool CheckLayerSat<Scalar>::save_state(const std::string& path) {
  require_open("save_state");
  try {
    detail::make_parent_folders(path);
    detail::replace_file(path, state());
    return true;
  } catch (const std::exception& error) {
    observation_->problems.tell_once(
        "save_state", fmt::format("save_state(\"{}\"): {}; the file is as it was", path,
                                  detail::first_line(error.what())));
    return false;
  }
}

template <typename Scalar>
void CheckLayerSat<Scalar>::load_state(const std::string& path) {
  require_open("load_state");
  set_state(detail::read_state_file(path), path);
}

/// The whole state, framed. Waits for the device.
template <typename Scalar>
std::string CheckLayerSat<Scalar>::state() const {
  wait();
  detail::RunState run{epoch_, scalars_, unsaved_, last_};
  return detail::framed_state(
      detail::TrackerState<Scalar>(observation_, fields_.get()).write(run, layers(true)));
}

/// @param name of where the bytes are from, for messages
template <typename Scalar>
void CheckLayerSat<Scalar>::set_state(std::string_view bytes, const std::string& name) {
  wait();
  const std::string_view content = detail::content_of_state(bytes, name);
  const std::int64_t epoch = detail::epoch_in(content, name);
  if (!writers_.empty() && options().initial_epoch() != epoch) {
    throw std::invalid_argument(fmt::format(
        "delve::CheckLayerSat::load_state: \"{}\" resumes in epoch {}, and the writers of this "
        "tracker begin with epoch {}; make the tracker with "
        "initial_epoch(delve::saved_epoch(path))",
        name, epoch, options().initial_epoch()));
  }
  try {
    const std::lock_guard<std::mutex> lock(layers_mutex_);
    detail::RunState run =
        detail::TrackerState<Scalar>(observation_, fields_.get()).read(content, layers_);
    epoch_ = run.epoch;
    scalars_ = std::move(run.scalars);
    unsaved_ = std::move(run.unsaved);
    const std::lock_guard<std::mutex> lock_of_last(last_mutex_);
    last_ = std::move(run.last);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("delve: \"{}\": {}", name, detail::first_line(error.what())));
  }
}

/// Takes the epoch's data, and begins the next one.
template <typename Scalar>
typename CheckLayerSat<Scalar>::EpochData CheckLayerSat<Scalar>::end_epoch(bool is_of_all_ranks) {
  detail::end_wait();
  EpochData data{{epoch_++, std::exchange(scalars_, {}), {}}, {}};
  const bool has_ranks = static_cast<bool>(options().sum_over_ranks());
  for (auto& layer : layers_in_forward_order(/*with_hidden=*/has_ranks)) {
    auto layer_data = layer->end_epoch();
    data.layers.emplace_back(std::move(layer), std::move(layer_data));
  }
  if (has_ranks) {
    const bool is_summed =
        is_of_all_ranks && with_ranks([&](detail::RankGroup& group) {
          detail::EpochSums<Scalar>(group, *observation_).run(data.layers, data.record.epoch);
        });
    if (!is_summed) {
      detail::use_own_data<Scalar>(data.layers);
      data.record.scalars.emplace_back("own-rank", 1);
    }
  }
  tell_of_ambiguous_layers();
  if (fields_) {
    data.record.fields = fields_->take_news();
    if (options().receptive_field()) {
      detail::review_fields(data.record.fields, fields_->found_any(), observation_->problems);
    }
  }
  return data;
}

/// Does something together with the other ranks, if that is still possible.
/// @return whether it was done; else this rank's own data is all that there is
template <typename Scalar>
template <typename Action>
bool CheckLayerSat<Scalar>::with_ranks(const Action& action) {
  if (!ranks_.is_on()) return false;
  try {
    action(ranks_);
    return true;
  } catch (const detail::RanksDisagree& error) {
    const std::string_view reason(error.what());
    observation_->problems.tell_once(
        // The rest of the reason names the epoch.
        fmt::format("ranks disagree: {}", reason.substr(0, reason.find_first_of(";:"))),
        fmt::format("sum_over_ranks: {}. In such an epoch each rank reports its own data, with a "
                    "scalar \"own-rank\"",
                    error.what()));
  } catch (const std::exception& error) {  // of the program's function, or for lack of memory
    ranks_.give_up();
    observation_->problems.tell_once(
        "ranks failed",
        fmt::format("sum_over_ranks: {}; it is not called again, and this rank reports its own "
                    "data from here on, with a scalar \"own-rank\"",
                    detail::first_line(error.what())));
  }
  return false;
}

template <typename Scalar>
void CheckLayerSat<Scalar>::fit_probes() {
  require_open("fit_probes");
  if (!observation_->settings.has_probes() || !options().sum_over_ranks()) return;
  std::vector<std::shared_ptr<Layer>> sorted = layers_in_forward_order(/*with_hidden=*/true);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a->name() < b->name(); });
  detail::end_wait();
  const bool is_done = with_ranks([&](detail::RankGroup& group) {
    detail::fit_probes_of_ranks<Scalar>(group, *observation_, sorted, epoch_);
  });
  if (is_done) return;
  try {
    detail::fit_probes_to_own_data<Scalar>(*observation_, sorted);
  } catch (const std::exception& error) {
    observation_->problems.tell_once(
        "fit_probes", fmt::format("fit_probes(): the probes stay as they were: {}", error.what()));
  }
}

/// Computes the statistics; the record then waits to be written.
template <typename Scalar>
EpochRecord CheckLayerSat<Scalar>::finish_epoch(EpochData data) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<detail::LayerReport> reports;
  std::set<Mode> modes;  // of those that saw data
  for (auto& [layer, layer_data] : data.layers) {
    reports.push_back(layer->report(std::move(layer_data)));
    for (const LayerRecord& record : reports.back().records) {
      if (record.status != Status::NoData || detail::has_values(record)) modes.insert(record.mode);
    }
  }
  EpochRecord record = std::move(data.record);
  for (const Mode mode : modes) {
    std::vector<LayerRecord> layers;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const detail::LayerReport& report = reports[i];
      const auto found = std::find_if(report.records.begin(), report.records.end(),
                                      [&](const LayerRecord& it) { return it.mode == mode; });
      layers.push_back(found != report.records.end()
                           ? *found
                           : data.layers[i].first->empty_record(mode, report.width));
    }
    if (options().average_sat()) add_average(layers, record);
    record.layers.insert(record.layers.end(), layers.begin(), layers.end());
  }
  detail::review_epoch(record, reports, observation_->problems);
  if (observation_->settings.has_probes()) {
    detail::drop_unused_held_out(record);
    detail::add_probe_errors(record, reports);
    detail::review_probes(record, reports, *observation_->labels, observation_->problems);
  }
  if (!options().layerwise_sat()) record.layers.clear();
  unsaved_.push_back(record);
  {
    const std::lock_guard<std::mutex> lock(last_mutex_);
    last_ = record;
  }
  if (options().verbose()) {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    std::cerr << fmt::format("delve: epoch {} was reported in {:.3f} s\n", record.epoch,
                             taken.count());
  }
  return record;
}

template <typename Scalar>
void CheckLayerSat<Scalar>::write_unsaved() {
  for (const EpochRecord& record : unsaved_) {
    for (const std::shared_ptr<Writer>& writer : writers_) {
      inform(*writer);
      writer->write(record);
    }
  }
  unsaved_.clear();
}

/// Tells a writer what it may say of the run.
template <typename Scalar>
void CheckLayerSat<Scalar>::inform(Writer& writer) const {
  try {
    RunInfo run = run_info_;
    run.problems = observation_->problems.messages();
    writer.inform(std::move(run));
  } catch (const std::exception& error) {  // there is no memory: what is written tells less
    observation_->problems.tell_once(
        "inform", fmt::format("a writer receives no settings: {}", error.what()));
  }
}

/// Until the report that runs in a thread of its own is done.
template <typename Scalar>
void CheckLayerSat<Scalar>::wait() const {
  if (pending_.valid()) pending_.wait();
}

template <typename Scalar>
void CheckLayerSat<Scalar>::tell_of_ambiguous_layers() {
  std::vector<std::string> names;
  for (const auto& [layer, hook] : hooks_) {
    if (hook.is_ambiguous()) names.push_back(layer->name());
  }
  observation_->problems.tell_once_of(
      names,
      "share weight and bias and cannot be distinguished; all their forwards are counted for the "
      "first of them");
}

/// Adds the mean saturation of the layers that have one.
template <typename Scalar>
void CheckLayerSat<Scalar>::add_average(const std::vector<LayerRecord>& layers,
                                        EpochRecord& record) {
  double sum = 0;
  int count = 0;
  for (const LayerRecord& layer : layers) {
    for (const Value& value : layer.values) {
      if (value.kind != ValueKind::Saturation || is_missing(value.value)) continue;
      sum += value.value;
      ++count;
    }
  }
  if (count == 0) return;
  record.scalars.emplace_back(fmt::format("average-{}-sat", to_string(layers.front().mode)),
                              sum / count);
}

/// "CheckLayerSat(lsat, idim of 2 layers: conv, fc; recording, next epoch 0)"
template <typename Scalar>
std::string CheckLayerSat<Scalar>::description() const {
  const std::vector<std::string> names = layer_names();
  return fmt::format("CheckLayerSat({} of {} layers: {}; {}, next epoch {})",
                     fmt::join(options().stats(), ", "), names.size(), fmt::join(names, ", "),
                     is_closed_      ? "closed"
                     : is_recording_ ? "recording"
                                     : "stopped",
                     epoch_);
}

}  // namespace DELVE_ABI
}  // namespace delve
