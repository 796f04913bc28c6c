// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::count_if, std::find, std::max, std::max_element, std::min
#include <cmath>        // std::exp, std::log
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <functional>   // std::function
#include <limits>       // std::numeric_limits
#include <memory>       // std::make_shared
#include <mutex>        // std::mutex
#include <optional>     // std::optional
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <Eigen/Core>

#include <delve/detail/support/text.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>

namespace delve {

/// What a statistic is computed from: one layer in one mode. The pointers are null unless the
/// statistic needs what they point to.
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
};

/// What a statistic needs beside the leading eigenvalues; each costs something.
enum class Need {
  SmallEigenvalues,  ///< float32 products spoil them: products are formed in float64
  Variances,
  Covariance,  ///< d × d numbers leave the device
  Embedding,   ///< data points are kept, and one eigenvalue problem more is solved, with vectors
};

/// What may follow a statistic's name: "lsat@0.9".
enum class Parameter {
  None,
  Threshold,  ///< a share of the variance, above 0 and at most 1; without it sat_threshold holds
  Count,      ///< an integer, at least 1; without it 0
};

/// A number, or an array of numbers, that describes a layer in one mode.
struct Statistic {
  using Number = std::function<double(const LayerMeasurement&)>;
  using Array = std::function<Eigen::MatrixXd(const LayerMeasurement&)>;

  std::string name;      ///< by which it is asked for: "lsat"
  std::string quantity;  ///< in files: "saturation"; without '_' and '@', which end it there
  Number value;          ///< NaN: missing
  std::vector<Need> needs = {};
  Parameter parameter = Parameter::None;
  Array array = {};               ///< in the place of value; no rows: missing
  std::optional<Mode> only = {};  ///< unset: in both modes

  [[nodiscard]] bool needs_the(Need need) const {
    return std::find(needs.begin(), needs.end(), need) != needs.end();
  }
};

namespace detail {

/// Π λᵢ of Σ, by logarithms, so that it neither over- nor underflows on the way.
inline double determinant(const Spectrum& spectrum) {
  if (spectrum.eigenvalues().size() < spectrum.width()) return 0;
  double sign = 1;
  double log_size = 0;
  for (const double value : spectrum.eigenvalues()) {
    if (value < 0) sign = -sign;
    log_size += std::log(std::abs(value));
  }
  return sign * std::exp(log_size);
}

/// How many units never say anything: the standard deviation of their output is less than a
/// thousandth of that of the liveliest one.
inline double dead_units(const Eigen::VectorXd& variances) {
  constexpr double share_of_largest = 1e-6;
  const double largest = *std::max_element(variances.begin(), variances.end());
  return static_cast<double>(
      std::count_if(variances.begin(), variances.end(),
                    [&](double variance) { return variance <= share_of_largest * largest; }));
}

/// p_1, …, p_d.
inline Eigen::MatrixXd explained_variance_curve(const Spectrum& spectrum) {
  Eigen::MatrixXd curve(spectrum.width(), 1);
  for (Eigen::Index k = 0; k < curve.rows(); ++k) curve(k, 0) = spectrum.explained(k + 1);
  return curve;
}

/// The leading `count` eigenvalues, or all d, those included that are zero for lack of data.
inline Eigen::MatrixXd leading_eigenvalues(const Spectrum& spectrum, std::int64_t count) {
  const Eigen::Index width = spectrum.width();
  Eigen::MatrixXd values(count == 0 ? width : std::min<Eigen::Index>(count, width), 1);
  const Eigen::VectorXd& known = spectrum.eigenvalues();
  for (Eigen::Index i = 0; i < values.size(); ++i) values(i) = i < known.size() ? known[i] : 0;
  return values;
}

struct StatisticRegistry {
  std::mutex mutex;
  std::vector<Statistic> statistics;
};

/// The table of statistics: the one place to add one to the library. The first ones bear the names
/// and quantities of Delve (Python).
inline StatisticRegistry& statistic_registry() {
  using Layer = LayerMeasurement;
  static StatisticRegistry registry = [] {
    const Statistic::Number saturation = [](const Layer& it) {
      return it.spectrum.saturation(it.threshold, it.idim_rule);
    };
    const std::vector<Need> small = {Need::SmallEigenvalues};
    return StatisticRegistry{
        {},
        {
            {"lsat", "saturation", saturation, {}, Parameter::Threshold},
            {"lsat_train", "saturation", saturation, {}, Parameter::Threshold, {}, Mode::Train},
            {"lsat_eval", "saturation", saturation, {}, Parameter::Threshold, {}, Mode::Eval},
            {"idim",
             "intrinsic-dimensionality",
             [](const Layer& it) {
               return static_cast<double>(it.spectrum.dimensionality(it.threshold, it.idim_rule));
             },
             {},
             Parameter::Threshold},
            {"trc", "covariance-trace", [](const Layer& it) { return it.trace; }},
            {"dtrc", "diagonal-trace", [](const Layer& it) { return it.spectrum.total(); }},
            {"det", "covariance-determinant",
             [](const Layer& it) { return determinant(it.spectrum); }, small},
            {"cov",
             "covariance-matrix",
             {},
             {Need::Covariance},
             Parameter::None,
             [](const Layer& it) { return *it.covariance; }},
            {"embed",
             "embedded-sample",
             {},
             {Need::Embedding},
             Parameter::None,
             [](const Layer& it) { return *it.embedding; }},
            {"logdet", "log-determinant",
             [](const Layer& it) { return it.spectrum.log_determinant(); }, small},
            {"effective_rank", "effective-rank",
             [](const Layer& it) { return it.spectrum.effective_rank(); }, small},
            {"participation_ratio", "participation-ratio",
             [](const Layer& it) { return it.spectrum.participation_ratio(); }},
            {"stable_rank", "stable-rank",
             [](const Layer& it) { return it.spectrum.stable_rank(); }},
            {"entropy", "spectral-entropy", [](const Layer& it) { return it.spectrum.entropy(); },
             small},
            {"explained",
             "explained-variance",
             [](const Layer& it) {
               return it.spectrum.explained(std::max<std::int64_t>(1, it.count));
             },
             {},
             Parameter::Count},
            {"curve",
             "explained-variance-curve",
             {},
             {},
             Parameter::None,
             [](const Layer& it) { return explained_variance_curve(it.spectrum); }},
            {"eigenvalues",
             "eigenvalues",
             {},
             small,
             Parameter::Count,
             [](const Layer& it) { return leading_eigenvalues(it.spectrum, it.count); }},
            {"dead",
             "dead-units",
             [](const Layer& it) { return dead_units(*it.variances); },
             {Need::Variances}},
            {"samples", "samples", [](const Layer& it) { return static_cast<double>(it.samples); }},
        }};
  }();
  return registry;
}

inline std::optional<Statistic> statistic_named(const std::vector<Statistic>& among,
                                                std::string_view name) {
  for (const Statistic& statistic : among) {
    if (statistic.name == name) return statistic;
  }
  return std::nullopt;
}

}  // namespace detail

/// Makes a statistic of one's own known by its name. Thread-safe.
/// @throws std::invalid_argument where its name is taken or holds '@', its quantity holds '_' or
///   '@', or it has no name, no quantity, or not one of value and array
inline void register_statistic(Statistic statistic) {
  const bool is_whole = !statistic.name.empty() && !statistic.quantity.empty() &&
                        static_cast<bool>(statistic.value) != static_cast<bool>(statistic.array);
  // Files are read by it: "train-QUANTITY_LAYER", and "QUANTITY@0.9".
  const bool is_readable = statistic.name.find('@') == std::string::npos &&
                           statistic.quantity.find_first_of("_@") == std::string::npos;
  if (!is_whole || !is_readable) {
    throw std::invalid_argument(fmt::format(
        "delve::register_statistic: a statistic needs a name without '@', a quantity without '_' "
        "and '@', and a value or an array; this one has name \"{}\" and quantity \"{}\"",
        statistic.name, statistic.quantity));
  }
  detail::StatisticRegistry& registry = detail::statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (detail::statistic_named(registry.statistics, statistic.name)) {
    throw std::invalid_argument(fmt::format(
        "delve::register_statistic: there is a statistic \"{}\" already", statistic.name));
  }
  registry.statistics.push_back(std::move(statistic));
}

namespace detail {

/// @throws std::invalid_argument where there is none; it lists those that there are
inline Statistic registered_statistic(std::string_view name) {
  StatisticRegistry& registry = statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (auto found = statistic_named(registry.statistics, name)) return *std::move(found);
  std::string known;
  for (const Statistic& statistic : registry.statistics) {
    known.append(known.empty() ? "" : ", ").append(statistic.name);
  }
  throw std::invalid_argument(
      fmt::format("delve: stats: \"{}\" is not a statistic; known are {}", name, known));
}

/// Writes what follows '@' into a measurement; false where that is not in the parameter's range.
inline bool set_parameter(Parameter parameter, std::string_view text, LayerMeasurement& layer) {
  if (parameter == Parameter::Threshold) {
    layer.threshold = number_in<double>(text).value_or(0);
    return layer.threshold > 0 && layer.threshold <= 1;
  }
  layer.count = number_in<std::int64_t>(text).value_or(0);
  return parameter == Parameter::Count && layer.count >= 1;
}

/// A function of a measurement, with what follows '@' in that measurement.
template <typename Result>
std::function<Result(const LayerMeasurement&)> with_parameter(
    std::function<Result(const LayerMeasurement&)> function, Parameter parameter,
    std::string_view text) {
  if (!function) return {};
  return [function = std::move(function), parameter,
          text = std::string(text)](const LayerMeasurement& layer) {
    LayerMeasurement own = layer;
    set_parameter(parameter, text, own);
    return function(own);
  };
}

inline bool is_for(const Statistic& statistic, Mode mode) {
  return !statistic.only || statistic.only == mode;
}

/// A value for each statistic of this mode that is a number: missing.
inline std::vector<Value> missing_values(const std::vector<Statistic>& statistics, Mode mode) {
  std::vector<Value> values;
  for (const Statistic& statistic : statistics) {
    if (!statistic.value || !is_for(statistic, mode)) continue;
    values.push_back(
        {statistic.name, statistic.quantity, std::numeric_limits<double>::quiet_NaN()});
  }
  return values;
}

/// Puts the statistics of a layer into its record; arrays that are missing are left out.
inline void read_off(const LayerMeasurement& layer, const std::vector<Statistic>& statistics,
                     LayerRecord& record) {
  record.values = missing_values(statistics, record.mode);
  record.arrays.clear();
  auto value = record.values.begin();
  for (const Statistic& statistic : statistics) {
    if (!is_for(statistic, record.mode)) continue;
    if (statistic.value) {
      (value++)->value = statistic.value(layer);
    } else if (Eigen::MatrixXd array = statistic.array(layer); array.size() > 0) {
      record.arrays.push_back({statistic.name, statistic.quantity,
                               std::make_shared<const Eigen::MatrixXd>(std::move(array))});
    }
  }
}

}  // namespace detail

/// The name by which a statistic is asked for, from its name in files: "lsat@0.9" of
/// "saturation@0.9". A quantity of no known statistic is returned as it is. Thread-safe.
[[nodiscard]] inline std::string statistic_of_quantity(std::string_view quantity) {
  const std::string_view plain = quantity.substr(0, quantity.find('@'));
  detail::StatisticRegistry& registry = detail::statistic_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  for (const Statistic& statistic : registry.statistics) {
    if (statistic.quantity != plain) continue;
    return std::string(statistic.name).append(quantity.substr(plain.size()));
  }
  return std::string(quantity);
}

/// The statistic of that name, with its parameter if it has one: "lsat", "lsat@0.9", "explained@3".
/// What follows '@' is in the name and in the quantity: "saturation@0.9". Thread-safe.
/// @throws std::invalid_argument where there is none, or it does not take that parameter
inline Statistic find_statistic(std::string_view name) {
  const std::size_t at = name.find('@');
  Statistic statistic = detail::registered_statistic(name.substr(0, at));
  if (at == std::string_view::npos) return statistic;
  const std::string_view text = name.substr(at + 1);
  const Spectrum none({}, 1);
  LayerMeasurement layer{none, 0, 0, 0, IdimRule::ExplainedVariance};
  if (!detail::set_parameter(statistic.parameter, text, layer)) {
    throw std::invalid_argument(
        fmt::format("delve: stats: \"{}\": {} takes {}", name, statistic.name,
                    statistic.parameter == Parameter::None ? "no parameter, so no '@'"
                    : statistic.parameter == Parameter::Threshold
                        ? "a threshold above 0 and at most 1 after '@', as in \"lsat@0.9\""
                        : "a number of at least 1 after '@', as in \"explained@3\""));
  }
  statistic.value = detail::with_parameter(std::move(statistic.value), statistic.parameter, text);
  statistic.array = detail::with_parameter(std::move(statistic.array), statistic.parameter, text);
  statistic.name = name;
  statistic.quantity.append(name.substr(at));
  return statistic;
}

}  // namespace delve
