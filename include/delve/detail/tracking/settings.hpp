// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::find, std::max
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::pair
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/detail/statistics/statistic_name.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/features.hpp>
#include <delve/layer_kind.hpp>
#include <delve/options.hpp>
#include <delve/probe.hpp>
#include <delve/product_precision.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

constexpr std::string_view kOptionsName = "delve::CheckLayerSatOptions";

inline void require(bool holds, std::string_view option, std::string_view value,
                    std::string_view valid) {
  require(holds, kOptionsName, option, value, valid);
}

/// Whether two statistics would give values of one layer under the same name.
inline bool collide(const Statistic& a, const Statistic& b) {
  return a.quantity == b.quantity && (!a.only || !b.only || a.only == b.only);
}

/// The statistics requested.
/// @throws std::invalid_argument where a name is unknown, two stand for the same values, or the
///   average of saturations is requested without them
inline std::vector<Statistic> statistics_of(const CheckLayerSatOptions& options) {
  require(!options.stats().empty(), "stats", "empty", "at least one name");
  std::vector<Statistic> statistics;
  for (const std::string& name : options.stats()) {
    Statistic statistic = find_statistic(name);
    for (const Statistic& other : statistics) {
      require(!collide(statistic, other), "stats",
              fmt::format("a list with \"{}\" and \"{}\"", other.name, name),
              "without one of these, which produce the same column");
    }
    statistics.push_back(std::move(statistic));
  }
  const auto has = [&](std::string_view name) {
    return std::find(options.stats().begin(), options.stats().end(), name) != options.stats().end();
  };
  for (const auto& [probe, follower] :
       {std::pair("probe", kHeldOutAccuracy), std::pair("probe", kProbeError),
        std::pair("probe_r2", kHeldOutR2), std::pair("drift", kDriftFloor),
        std::pair("drift", kDriftChance)}) {
    if (has(probe) && !has(follower)) statistics.push_back(find_statistic(follower));
  }
  const bool has_saturation = std::any_of(
      statistics.begin(), statistics.end(),
      [](const Statistic& statistic) { return statistic.kind == ValueKind::Saturation; });
  require(!options.average_sat() || has_saturation, "average_sat", "true",
          "false where stats holds no \"lsat\"");
  return statistics;
}

/// The threshold that a statistic counts by; unset where it counts by none.
inline std::optional<double> threshold_of(const Statistic& statistic, double sat_threshold) {
  if (statistic.parameter != Parameter::Threshold) return std::nullopt;
  const std::string_view text = parse_statistic_name(statistic.name).parameter.value_or("");
  const auto own = parameter_in(Parameter::Threshold, text);
  return own ? own->threshold : sat_threshold;
}

/// Whether a statistic has a threshold so near to 1 that rounding of float32 products decides.
inline bool is_near_one(const Statistic& statistic, double sat_threshold) {
  return 1 - threshold_of(statistic, sat_threshold).value_or(0) < 1e-5;
}

/// Settings::leading_share().
inline std::optional<double> leading_share_of(const std::vector<Statistic>& statistics,
                                              double sat_threshold) {
  double share = 0;
  for (const Statistic& statistic : statistics) {
    if (!statistic.is_of_leading) return std::nullopt;
    share = std::max(share, threshold_of(statistic, sat_threshold).value_or(0));
  }
  return share > 0 ? share : sat_threshold;
}

/// @throws std::invalid_argument where also_track holds a kind that the table does not
inline void check_kinds(const CheckLayerSatOptions& options) {
  for (const std::string& name : options.also_track()) {
    const auto kinds = layer_kinds();
    require(std::any_of(kinds.begin(), kinds.end(),
                        [&](const LayerKind* kind) { return kind->name == name; }),
            "also_track", fmt::format("a list with \"{}\"", name),
            fmt::format("a list of these: {}", layer_kind_names()));
  }
}

/// @throws std::invalid_argument where an enumeration's value, such as a cast number, is none of
///   its enumerators, of which `last` is the last
template <typename Enum>
void require_enumerator(std::string_view option, Enum value, Enum last, std::string_view valid) {
  const auto number = static_cast<std::int64_t>(value);
  require(number >= 0 && number <= static_cast<std::int64_t>(last), option, fmt::to_string(number),
          valid);
}

/// @throws std::invalid_argument where a choice is none of those that there are
inline void check_choices(const CheckLayerSatOptions& options) {
  require_enumerator("idim_rule", options.idim_rule(), IdimRule::Delve,
                     "ExplainedVariance or Delve");
  require_enumerator("conv_method", options.conv_method(), ConvMethod::Flatten,
                     "Channelwise, Mean, Max, Median or Flatten");
  require_enumerator("timeseries_method", options.timeseries_method(),
                     TimeseriesMethod::EveryTimestep,
                     "LastTimestep, Timestepwise or EveryTimestep");
  require_enumerator("interpolation_strategy",
                     options.interpolation_strategy().value_or(Interpolation::Nearest),
                     Interpolation::Area, "unset, Nearest, Bilinear, Bicubic or Area");
  require_enumerator("log_sampling", options.log_sampling(), LogSampling::Every, "Random or Every");
  require_enumerator("partial_epoch", options.partial_epoch(), PartialEpoch::Drop,
                     "Mark, Report or Drop");
  require_enumerator("mode_from", options.mode_from(), ModeSource::Root, "Layer or Root");
  require_enumerator("products", options.products().value_or(Products::Float32), Products::Float64,
                     "unset, Float32 or Float64");
}

/// @throws std::invalid_argument where no sums can be kept on the device
inline void check_device(const CheckLayerSatOptions& options) {
  if (!options.device()) return;
  const auto keeps_numbers = [](c10::Device device) {
    try {
      return at::ones({1}, at::device(device).dtype(at::kDouble)).item<double>() == 1;
    } catch (const c10::Error&) {
      return false;
    }
  };
  require(keeps_numbers(*options.device()), "device", options.device()->str(),
          "one that this LibTorch can keep float64 numbers on, or unset");
}

/// @throws std::invalid_argument where probes are requested without what they predict, or the other
///   way round
inline void check_probes(const CheckLayerSatOptions& options,
                         const std::vector<Statistic>& statistics) {
  const auto has_one_of = [&](const std::vector<std::string_view>& names) {
    return std::any_of(statistics.begin(), statistics.end(), [&](const Statistic& statistic) {
      return std::find(names.begin(), names.end(), statistic.name) != names.end();
    });
  };
  const bool of_classes =
      has_one_of({"probe", "probe_train", kHeldOutAccuracy, kProbeError, "nc1"});
  const bool of_targets = has_one_of({"probe_r2", kHeldOutR2});
  const auto agree = [](bool requested, std::string_view option, std::int64_t count,
                        std::string_view stats, std::int64_t least) {
    const std::string value = fmt::to_string(count);
    require(count == 0 || (count >= least && count <= kMostTargets), option, value,
            fmt::format("{} to {}, or 0", least, kMostTargets));
    require(!requested || count > 0, option, value,
            fmt::format("above 0 where stats holds one of {}", stats));
    require(requested || count == 0, option, value,
            fmt::format("0 where stats holds none of {}", stats));
  };
  agree(of_classes, "classes", options.classes(), "\"probe\", \"probe_train\", \"nc1\"", 2);
  agree(of_targets, "targets", options.targets(), "\"probe_r2\"", 1);
  require(options.classes() == 0 || options.targets() == 0, "targets",
          fmt::to_string(options.targets()), "0 where classes is set");
  const double shrinkage = options.probe_shrinkage().value_or(0);
  require(shrinkage >= 0 && shrinkage <= 1, "probe_shrinkage", fmt::to_string(shrinkage), "0 to 1");
}

/// @throws std::invalid_argument naming the first option out of its range, its value and the range
inline void check_ranges(const CheckLayerSatOptions& options) {
  const auto require_at_least = [](std::int64_t least, std::string_view option,
                                   std::int64_t value) {
    require(value >= least, option, fmt::to_string(value), fmt::format("at least {}", least));
  };
  require_share(options.sat_threshold(), kOptionsName, "sat_threshold");
  require_share(options.sample_rate(), kOptionsName, "sample_rate");
  require_at_least(1, "log_interval", options.log_interval());
  require_at_least(1, "max_samples", options.max_samples().value_or(1));
  require_at_least(1, "interpolation_downsampling", options.interpolation_downsampling());
  require_at_least(1, "points_per_dimension", options.points_per_dimension().value_or(1));
  require_at_least(0, "waiting_memory", options.waiting_memory());
  require_at_least(0, "initial_epoch", options.initial_epoch());
  require_at_least(0, "rank", options.rank());
  require(options.rank() == 0 || options.sum_over_ranks(), "rank", fmt::to_string(options.rank()),
          "0 without sum_over_ranks");
  require_at_least(1, "probe_pooling", options.probe_pooling());
  require_at_least(1, "probe_features", options.probe_features());
  if (options.points_per_dimension()) {
    const std::string points = fmt::to_string(*options.points_per_dimension());
    require(options.sample_rate() == 1, "points_per_dimension", points,
            "unset where sample_rate is below 1");
    require(options.reset_covariance(), "points_per_dimension", points,
            "unset where reset_covariance is false, since epochs of fewer points would weigh less");
  }
  check_choices(options);
  check_device(options);
  check_kinds(options);
}

/// The options of a tracker, checked, and what follows from them. Never changes.
class Settings {
 public:
  /// @throws std::invalid_argument naming the first option out of its range, its value and the
  /// range
  explicit Settings(CheckLayerSatOptions given)
      : options_(std::move(given)), statistics_(statistics_of(options_)) {
    check_ranges(options_);
    check_probes(options_, statistics_);
    keeps_sample_ = need(Need::Embedding);
    is_near_one_ = std::any_of(statistics_.begin(), statistics_.end(), [&](const auto& statistic) {
      return is_near_one(statistic, options_.sat_threshold());
    });
    leading_share_ = leading_share_of(statistics_, options_.sat_threshold());
    const bool in_float64 = need(Need::SmallEigenvalues) || is_near_one_;
    products_ = options_.products().value_or(in_float64 ? Products::Float64 : Products::Float32);
    has_probes_ = need(Need::Probe);
    has_drift_ = need(Need::Drift) && options_.reset_covariance();
    probe_ = ProbeOptions()
                 .classes(options_.classes())
                 .targets(options_.targets())
                 .shrinkage(options_.probe_shrinkage())
                 .products(products_);
    features_.conv_method = options_.conv_method();
    features_.timeseries_method = options_.timeseries_method();
    features_.interpolation_strategy = options_.interpolation_strategy();
    features_.interpolation_downsampling = options_.interpolation_downsampling();
  }

  [[nodiscard]] const CheckLayerSatOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<Statistic>& statistics() const { return statistics_; }
  [[nodiscard]] const FeatureOptions& features() const { return features_; }
  [[nodiscard]] Products products() const { return products_; }

  /// Whether products are formed in float64 only for a threshold that is_near_one().
  [[nodiscard]] bool widened_for_threshold() const {
    return is_near_one_ && !options_.products() && !need(Need::SmallEigenvalues);
  }

  /// Whether one of the statistics requested needs it.
  [[nodiscard]] bool need(Need what) const {
    return std::any_of(statistics_.begin(), statistics_.end(),
                       [&](const Statistic& statistic) { return statistic.needs_the(what); });
  }

  /// The share of the variance that the leading eigenvalues must explain for all statistics
  /// requested to be read off them; unset where these need all eigenvalues.
  [[nodiscard]] std::optional<double> leading_share() const { return leading_share_; }

  /// need(Need::Probe), kept because every forward needs it.
  [[nodiscard]] bool has_probes() const { return has_probes_; }
  /// Needs has_probes().
  [[nodiscard]] const ProbeOptions& probe() const { return probe_; }

  /// Whether an epoch is compared with the one before: where sums are not reset, there is none.
  [[nodiscard]] bool has_drift() const { return has_drift_; }

  /// Whether one of the statistics requested bears this name.
  [[nodiscard]] bool has(std::string_view name) const {
    return std::any_of(statistics_.begin(), statistics_.end(),
                       [&](const Statistic& statistic) { return statistic.name == name; });
  }

  /// need(Need::Embedding), kept because every forward needs it.
  [[nodiscard]] bool keeps_sample() const { return keeps_sample_; }

 private:
  const CheckLayerSatOptions options_;
  const std::vector<Statistic> statistics_;
  FeatureOptions features_;
  Products products_;
  ProbeOptions probe_;
  bool has_probes_;
  bool has_drift_;
  bool keeps_sample_;
  bool is_near_one_;
  std::optional<double> leading_share_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
