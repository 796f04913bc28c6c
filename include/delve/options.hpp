// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t, std::uint64_t
#include <functional>   // std::function
#include <map>          // std::map
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/arg.h>

#include <delve/features.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/product_precision.hpp>
#include <delve/spectrum.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Whose is_training() decides between training and evaluation.
enum class ModeSource {
  Layer,  ///< that of the layer: one that is frozen in eval() counts as evaluated while others
          ///< train
  Root,   ///< that of the module handed to the tracker
};

/// Which of the forwards of a layer log_interval records.
enum class LogSampling {
  Random,  ///< one of every N in a row, drawn by sample_seed: what repeats within a step, such as
           ///< a discriminator that sees real and fake in turn, meets no pattern in the choice
  Every,   ///< every Nth, as Delve (Python) does
};

/// What close() does with data that came since the last add_saturations(): part of an epoch, such
/// as a test after the loop, or a training that an exception cut short.
enum class PartialEpoch {
  Mark,    ///< it is reported, with a scalar "partial-epoch" that is 1
  Report,  ///< it is reported as any other epoch; marked all the same where an exception is under
           ///< way
  Drop,    ///< it is not reported
};

/// Decides whether a layer is tracked. Called once per layer, at construction.
using LayerFilter = std::function<bool(const FoundLayer& layer)>;

/// Settings of a writer, by name.
using WriterArgs = std::map<std::string, std::string>;

/// Settings of a CheckLayerSat, read once, when it is constructed; chained, as in LibTorch:
///
///     CheckLayerSatOptions().stats({"lsat", "idim"}).conv_method(ConvMethod::Mean)
///
/// Names and defaults are those of Delve (Python).
struct CheckLayerSatOptions {
  /// What is reported of each layer, by name (statistics.hpp): at least one, none twice.
  TORCH_ARG(std::vector<std::string>, stats) = {"lsat"};

  /// The share of the variance that the dimensions counted by lsat and idim must explain; (0, 1].
  TORCH_ARG(double, sat_threshold) = 0.99;

  /// Which number lsat and idim count.
  TORCH_ARG(IdimRule, idim_rule) = IdimRule::ExplainedVariance;

  /// Record one of N forwards of a layer, the modes counted apart; >= 1.
  TORCH_ARG(std::int64_t, log_interval) = 1;

  /// Which one of these N.
  TORCH_ARG(LogSampling, log_sampling) = LogSampling::Random;

  /// How many samples (elements of a batch) a layer takes in each mode until the next
  /// add_saturations(); >= 1. Unset: all.
  TORCH_ARG(std::optional<std::int64_t>, max_samples) = std::nullopt;

  /// The share of the data points that are taken, of all that the options above let through, drawn
  /// at random: (0, 1]. It saves up to 1 − sample_rate of the time; docs/performance.md has what it
  /// costs.
  TORCH_ARG(double, sample_rate) = 1;

  /// About how many data points an epoch takes for each of a layer's dimensions, in each mode, of
  /// all that the options above let through; >= 1. A layer that saw more in the last epoch takes
  /// them with a stride; the first epoch takes all, and so do layers that see fewer. Not together
  /// with sample_rate or without reset_covariance; probes still see all. docs/performance.md has
  /// what it saves and costs. Unset: all.
  TORCH_ARG(std::optional<std::int64_t>, points_per_dimension) = std::nullopt;

  /// The seed of the draws of sample_rate, points_per_dimension and log_sampling, of the samples
  /// held out for probes, and of the halves of drift's floor. The same seed takes the same data
  /// points.
  TORCH_ARG(std::uint64_t, sample_seed) = 0;

  /// What a convolution's output contributes.
  TORCH_ARG(ConvMethod, conv_method) = ConvMethod::Channelwise;

  /// What a recurrent layer's output contributes.
  TORCH_ARG(TimeseriesMethod, timeseries_method) = TimeseriesMethod::LastTimestep;

  /// How pictures, outputs (B, C, H, W), are made smaller before they are taken. Others, of one or
  /// three axes of positions or of other layers, stay as they are. Unset: all do.
  TORCH_ARG(std::optional<Interpolation>, interpolation_strategy) = std::nullopt;

  /// The longest side, in pixels, that such a picture then has; >= 1. Smaller ones stay.
  TORCH_ARG(std::int64_t, interpolation_downsampling) = 32;

  /// Called for each layer that the other options let through; those for which it returns false
  /// are not tracked. Unset: all are.
  TORCH_ARG(LayerFilter, layer_filter);

  /// Layers not to be tracked, by full name ("classifier-6").
  TORCH_ARG(std::vector<std::string>, ignore_layer_names);

  /// Whether convolutions are tracked.
  TORCH_ARG(bool, include_conv) = true;

  /// Additional kinds of layers to track, besides the defaults (layer_kind.hpp): "BatchNorm1d",
  /// "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
  /// "LayerNorm", "GroupNorm", "PReLU", "Embedding", "EmbeddingBag", "MultiheadAttention".
  TORCH_ARG(std::vector<std::string>, also_track);

  /// Whether each layer's values are reported.
  TORCH_ARG(bool, layerwise_sat) = true;

  /// Whether the mean saturation of all layers is reported, as the scalars "average-train-sat" and
  /// "average-eval-sat". Needs "lsat" among the statistics.
  TORCH_ARG(bool, average_sat) = false;

  /// Whether add_saturations() forgets the data it reported. Otherwise each report is of all data
  /// since the start.
  TORCH_ARG(bool, reset_covariance) = true;

  /// Whether one forward of each network, and one more for each size of its input, is watched for
  /// what each layer sees of that input: its receptive field (EpochRecord::fields). Needs
  /// <delve/receptive_field.hpp>.
  TORCH_ARG(bool, receptive_field) = false;

  /// C, how many classes the labels of CheckLayerSat::labels() can name; 2 to 4096. Needed by
  /// "probe", "probe_train" and "nc1", and refused without them. 0: none.
  TORCH_ARG(std::int64_t, classes) = 0;

  /// K, how many numbers come with a sample or position in CheckLayerSat::targets(); 1 to 4096.
  /// Needed by "probe_r2". Either this or classes. 0: none.
  TORCH_ARG(std::int64_t, targets) = 0;

  /// λ, how far a probe's covariance is drawn towards a multiple of the identity; 0 to 1. Unset:
  /// 0.1 for classes, 0.001 for targets.
  TORCH_ARG(std::optional<double>, probe_shrinkage) = std::nullopt;

  /// For its probe a convolution's maps are averaged to this many positions per axis, or half as
  /// many, a quarter, …, 1; >= 1.
  TORCH_ARG(std::int64_t, probe_pooling) = 4;

  /// The most features that may come out of that: where there are more, sides are halved, down to
  /// 1; >= 1. Time grows with their square.
  TORCH_ARG(std::int64_t, probe_features) = 1024;

  /// What close() does with part of an epoch.
  TORCH_ARG(PartialEpoch, partial_epoch) = PartialEpoch::Mark;

  /// Whether nothing is written: no writer is used, given ones included; add_saturations() returns
  /// the values.
  TORCH_ARG(bool, nosave) = false;

  /// Whether the tracker says on stderr which layers it tracks and how long each report took.
  TORCH_ARG(bool, verbose) = false;

  /// Where sums are kept. Unset: on the device of the activations. Set: each forward copies its
  /// rows there, and where that is from another device to the host, it waits for the copy.
  TORCH_ARG(std::optional<c10::Device>, device) = std::nullopt;

  /// How many bytes of a GPU's memory rows may take while they wait to be summed, of all layers
  /// together, 16 MB a layer at most: the more wait, the fewer operators each forward starts.
  /// Layers for which none is left keep up to 2048 rows waiting. Of no effect on the CPU; >= 0.
  TORCH_ARG(std::int64_t, waiting_memory) = 512 << 20;

  /// The number of the first epoch; >= 0. Above 0, the files of the previous run are continued.
  TORCH_ARG(std::int64_t, initial_epoch) = 0;

  /// What a writer made by key receives, by name ("width"); docs/writers.md has the names.
  TORCH_ARG(WriterArgs, writer_args);

  /// Sums a tensor over all processes (ranks) of a training, in place: what an allreduce does. All
  /// ranks then report the data of all of them (docs/distributed.md). Called in the thread of
  /// add_saturations(), add_saturations_async() and fit_probes(), which all ranks must call equally
  /// often, with int64 and float64 tensors on `device` or, where that is unset, on the device of
  /// the first layer; never by close(). It may put another tensor of the same shape and type in the
  /// place of the one it is given. Where it throws, that is reported, it is not called again, and
  /// this rank reports its own data. Unset: there is one process.
  TORCH_ARG(std::function<void(at::Tensor&)>, sum_over_ranks);

  /// Which of the processes this is; rank 0 writes the files. >= 0, and 0 without sum_over_ranks.
  TORCH_ARG(std::int64_t, rank) = 0;

  /// Whose mode decides between training and evaluation.
  TORCH_ARG(ModeSource, mode_from) = ModeSource::Layer;

  /// In what precision products are formed. Unset: float64 if one of stats, or a threshold within
  /// 1e-5 of 1, needs it, else float32.
  TORCH_ARG(std::optional<Products>, products) = std::nullopt;

  /// Receives everything that goes wrong without stopping the training, once each, in the thread
  /// where it went wrong. Unset: it goes to stderr.
  TORCH_ARG(std::function<void(std::string_view)>, on_warning);
};

}  // namespace DELVE_ABI
}  // namespace delve
