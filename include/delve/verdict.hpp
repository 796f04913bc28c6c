// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of, std::any_of, std::count, std::find, …
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <optional>     // std::optional
#include <ostream>      // std::ostream
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/statistics/enough_points.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/field_advice.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>

namespace delve {

/// What is to be said of a network's last layers.
enum class VerdictKind {
  NotEnoughData,  ///< nothing that it could be said by
  NoTail,         ///< of what there is, nothing speaks for a tail
  PossibleTail,   ///< one kind of evidence does, for each of its layers
  Tail,           ///< two kinds do: layers that contribute nothing
};

/// Whether something speaks for a layer's being part of a tail.
enum class Evidence {
  Missing,  ///< it was not measured, or not well enough
  Against,
  For,
};

/// What is known of a layer that is judged. Numbers that are not known are missing values.
struct JudgedLayer {
  std::string layer;
  double saturation = missing_value();   ///< of what LayerField::rank_limit allows
  double probe = missing_value();        ///< accuracy, 0 to 1
  double probe_error = missing_value();  ///< the statistic: of its gain on all layers before
  /// The standard error of its gain on the best layer before the tail; at most that large.
  double gain_error = missing_value();
  Evidence behind_border = Evidence::Missing;
  Evidence low_saturation = Evidence::Missing;
  Evidence no_gain = Evidence::Missing;

  /// How many kinds of evidence are `what`.
  [[nodiscard]] int count(Evidence what) const {
    return (behind_border == what ? 1 : 0) + (low_saturation == what ? 1 : 0) +
           (no_gain == what ? 1 : 0);
  }
};

namespace detail {

/// How many layers remain before a tail: as many as a median needs.
constexpr std::size_t kLeastBefore = 2;

}  // namespace detail

/// Whether the last layers of a network are a tail, by what, and what to change.
/// @see verdict
struct Verdict {
  VerdictKind kind = VerdictKind::NotEnoughData;
  std::int64_t epoch = 0;             ///< that it is of
  std::vector<std::string> layers;    ///< the tail; empty without one
  std::vector<JudgedLayer> judged;    ///< all layers that could be part of one, and those before
  std::string sentence;               ///< what is said
  std::vector<std::string> evidence;  ///< by what, a sentence each
  std::vector<std::string> advice;    ///< what to try, a sentence each
  std::vector<std::string> limits;    ///< what it does not rest on, and why

  /// Whether the network has so many layers that the last ones could be a tail.
  [[nodiscard]] bool is_of_depth() const { return judged.size() > detail::kLeastBefore; }
};

namespace detail {

/// What decides. A tail's saturation is "low" by Richter et al., arXiv 2106.12307, section 3, where
/// such layers have a small part of that of the others; the numbers are ours, the same everywhere.
constexpr double kLowShare = 0.5;       ///< of the median of the layers before
constexpr double kErrors = 2;           ///< standard errors that a gain must exceed
constexpr double kLargestError = 0.01;  ///< else a probe says nothing

/// "tail", "possible-tail", "no-tail", "not-enough-data"
inline std::string_view verdict_name(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::Tail:
      return "tail";
    case VerdictKind::PossibleTail:
      return "possible-tail";
    case VerdictKind::NoTail:
      return "no-tail";
    case VerdictKind::NotEnoughData:
      break;
  }
  return "not-enough-data";
}

inline double median_of(std::vector<double> numbers) {
  if (numbers.empty()) return missing_value();
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  if (numbers.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(numbers.begin(), middle)) / 2;
}

inline double value_of(const LayerRecord& layer, std::string_view stat) {
  for (const Value& value : layer.values) {
    if (value.stat == stat) return value.value;
  }
  return missing_value();
}

inline double saturation_of(const LayerRecord& layer) {
  for (const Value& value : layer.values) {
    if (value.kind == ValueKind::Saturation) return value.value;
  }
  return missing_value();
}

/// n, by the record or by the statistic; 0 where neither tells.
inline double points_of(const LayerRecord& layer) {
  if (layer.samples > 0) return static_cast<double>(layer.samples);
  const double points = value_of(layer, "samples");
  return is_missing(points) ? 0 : points;
}

/// "a to d (4 layers)", or "a".
inline std::string range_text(const std::vector<std::string>& layers) {
  if (layers.size() == 1) return layers.front();
  return fmt::format("{} to {} ({} layers)", layers.front(), layers.back(), layers.size());
}

/// "0.06", or "0.05 to 0.09".
inline std::string span_text(const std::vector<double>& numbers, std::string_view format) {
  const auto text = [&](double number) { return fmt::format(fmt::runtime(format), number); };
  const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
  if (text(*least) == text(*most)) return text(*least);
  return fmt::format("{} to {}", text(*least), text(*most));
}

/// Judges one record.
class Judge {
 public:
  Judge(const EpochRecord& record, const std::vector<LayerField>& fields) : fields_(fields) {
    verdict_.epoch = record.epoch;
    choose_mode(record);
    for (const LayerRecord& layer : record.layers) {
      if (layer.mode != mode_ || is_missing(saturation_of(layer))) continue;
      add(record, layer);
    }
    leave_out_last_layers();
    for (JudgedLayer& layer : verdict_.judged) {
      own_fields_.push_back(find_field(fields_, layer.layer));
      if (own_fields_.back() != nullptr)
        layer.saturation = std::min(1.0, layer.saturation / own_fields_.back()->rank_limit);
    }
    note_references();
    for (std::size_t i = 0; i < own_fields_.size(); ++i) {
      const auto is_border = [&](std::size_t place) {
        return place < own_fields_.size() && own_fields_[place] != nullptr &&
               own_fields_[place]->is_border;
      };
      // Between two of them a shortcut has a path of its own, and nothing new to see either.
      are_behind_border_.push_back(is_border(i) || (i > 0 && is_border(i - 1) && is_border(i + 1)));
    }
  }

  [[nodiscard]] Verdict verdict(const std::vector<StrideRemoval>& removals) {
    std::vector<JudgedLayer>& layers = verdict_.judged;
    const std::size_t end = layers.size();
    if (end > kLeastBefore) {
      weigh(end - 1);
      const bool has_any = layers.back().count(Evidence::Missing) < 3;
      verdict_.kind = has_any ? VerdictKind::NoTail : VerdictKind::NotEnoughData;
      for (const int least : {2, 1}) {
        const std::optional<std::size_t> first = longest_run(least);
        if (!first) continue;
        verdict_.kind = least == 2 ? VerdictKind::Tail : VerdictKind::PossibleTail;
        weigh(*first);
        for (std::size_t i = *first; i < end; ++i) verdict_.layers.push_back(layers[i].layer);
        break;
      }
    }
    say(removals);
    return std::move(verdict_);
  }

 private:
  /// Training has the most data; where there was none, evaluation tells.
  void choose_mode(const EpochRecord& record) {
    for (const Mode mode : {Mode::Train, Mode::Eval}) {
      mode_ = mode;
      for (const LayerRecord& layer : record.layers) {
        if (layer.mode == mode && !is_missing(saturation_of(layer))) return;
      }
    }
    mode_ = Mode::Train;
  }

  void add(const EpochRecord& record, const LayerRecord& layer) {
    JudgedLayer& judged = verdict_.judged.emplace_back();
    judged.layer = layer.layer;
    judged.saturation = saturation_of(layer);
    const double points = points_of(layer);
    const bool is_known = layer.width > 0 && points > 0;
    points_are_known_.push_back(is_known);
    have_few_points_.push_back(is_known && has_few_points(points, layer.width));
    for (const LayerRecord& other : record.layers) {
      if (other.layer != layer.layer || other.mode != Mode::Eval) continue;
      judged.probe = value_of(other, "probe");
      judged.probe_error = value_of(other, "probe_error");
    }
  }

  /// Whether a layer's output still has positions that see only a part of the input by a path.
  [[nodiscard]] bool is_map(const std::string& layer) const {
    const LayerField* field = find_field(fields_, layer);
    return field != nullptr && field->is_map;
  }

  /// The last layer is the network's answer; and where there are maps, the layers behind the last
  /// one have no receptive field to be judged by.
  void leave_out_last_layers() {
    std::vector<JudgedLayer>& layers = verdict_.judged;
    const auto leave_out = [&] {
      apart_.insert(apart_.begin(), layers.back().layer);
      layers.pop_back();
      points_are_known_.pop_back();
      have_few_points_.pop_back();
    };
    if (!layers.empty()) leave_out();
    const bool has_maps = std::any_of(layers.begin(), layers.end(),
                                      [&](const auto& layer) { return is_map(layer.layer); });
    while (has_maps && !is_map(layers.back().layer)) leave_out();
  }

  /// Which layer each probe_error is relative to: the best one of all before it.
  void note_references() {
    std::size_t best = 0;
    for (std::size_t i = 0; i < verdict_.judged.size(); ++i) {
      references_.push_back(best);
      const double probe = verdict_.judged[i].probe;
      const double known = verdict_.judged[best].probe;
      if (!is_missing(probe) && (is_missing(known) || probe > known)) best = i;
    }
  }

  /// The standard error of a layer's gain on the best one before `first`: where the best one before
  /// it comes later, both errors together, which is an upper bound (Minkowski's inequality).
  [[nodiscard]] double gain_error(std::size_t layer, std::size_t first) const {
    double error = 0;
    for (std::size_t at = layer; at >= first; at = references_[at]) {
      const double own = verdict_.judged[at].probe_error;
      if (is_missing(own)) return missing_value();
      error += own;
    }
    return error;
  }

  /// Finds what speaks for each layer from `first` on, that being where a tail would begin.
  void weigh(std::size_t first) {
    std::vector<JudgedLayer>& layers = verdict_.judged;
    std::vector<double> saturations;
    double best = missing_value();
    for (std::size_t i = 0; i < first; ++i) {
      if (!have_few_points_[i]) saturations.push_back(layers[i].saturation);
      if (is_missing(layers[i].probe)) continue;
      best = is_missing(best) ? layers[i].probe : std::max(best, layers[i].probe);
    }
    median_ = median_of(saturations);
    best_ = best;
    const auto evidence = [](bool speaks) { return speaks ? Evidence::For : Evidence::Against; };
    for (std::size_t i = 0; i < layers.size(); ++i) {
      JudgedLayer& layer = layers[i];
      layer.behind_border = layer.low_saturation = layer.no_gain = Evidence::Missing;
      if (i < first) continue;
      const LayerField* field = own_fields_[i];
      if (field != nullptr && field->is_map) layer.behind_border = evidence(are_behind_border_[i]);
      if (!is_missing(median_) && !have_few_points_[i]) {
        layer.low_saturation = evidence(layer.saturation < kLowShare * median_);
      }
      if (is_missing(best) || is_missing(layer.probe)) continue;
      layer.gain_error = gain_error(i, first);
      if (is_missing(layer.gain_error) || layer.gain_error > kLargestError) continue;
      layer.no_gain = evidence(layer.probe - best <= kErrors * layer.gain_error);
    }
  }

  /// Where the longest run at the end begins for each layer of which so much evidence speaks.
  std::optional<std::size_t> longest_run(int least) {
    std::vector<JudgedLayer>& layers = verdict_.judged;
    for (std::size_t first = kLeastBefore; first < layers.size(); ++first) {
      weigh(first);
      const auto speaks = [&](const JudgedLayer& layer) {
        return layer.count(Evidence::For) >= least;
      };
      if (std::all_of(layers.begin() + static_cast<std::ptrdiff_t>(first), layers.end(), speaks)) {
        return first;
      }
    }
    return std::nullopt;
  }

  void say(const std::vector<StrideRemoval>& removals) {
    say_kind();
    if (!verdict_.layers.empty()) {
      say_evidence();
      say_advice(removals);
    }
    say_limits();
  }

  void say_kind() {
    std::string& say = verdict_.sentence;
    switch (verdict_.kind) {
      case VerdictKind::Tail:
        say = fmt::format("{} {} a tail: {} nothing that the layers before do not.",
                          range_text(verdict_.layers), verdict_.layers.size() == 1 ? "is" : "form",
                          verdict_.layers.size() == 1 ? "it contributes" : "they contribute");
        return;
      case VerdictKind::PossibleTail:
        say = fmt::format(
            "{} may be a tail: one kind of evidence speaks for each of its layers, but not two for "
            "all.",
            range_text(verdict_.layers));
        return;
      case VerdictKind::NoTail:
        say = "No tail: nothing that was measured speaks for one.";
        return;
      case VerdictKind::NotEnoughData:
        say = verdict_.judged.size() > kLeastBefore
                  ? "No verdict: there is not enough data for one."
                  : fmt::format("No verdict: it takes {} layers with saturation before the last.",
                                kLeastBefore + 1);
        return;
    }
  }

  /// The layers of the tail for which a kind of evidence speaks.
  [[nodiscard]] std::vector<const JudgedLayer*> those_with(Evidence JudgedLayer::*kind) const {
    std::vector<const JudgedLayer*> found;
    for (const JudgedLayer& layer : verdict_.judged) {
      if (layer.*kind == Evidence::For) found.push_back(&layer);
    }
    return found;
  }

  /// "", where it is so of all layers; else "of a, b and 2 more: ".
  [[nodiscard]] std::string of_which(const std::vector<const JudgedLayer*>& layers) const {
    if (layers.size() == verdict_.layers.size()) return "";
    std::vector<std::string> names;
    for (const JudgedLayer* layer : layers) names.push_back(layer->layer);
    return fmt::format(" ({})", first_of(names, 3));
  }

  void say_evidence() {
    std::vector<std::string>& say = verdict_.evidence;
    if (const auto behind = those_with(&JudgedLayer::behind_border); !behind.empty()) {
      const LayerField& field = *find_field(fields_, behind.back()->layer);
      double length = 0;
      for (const JudgedLayer* layer : behind) {
        const double own = least_field(*find_field(fields_, layer->layer));
        if (is_finite(own)) length = std::max(length, own);
      }
      std::vector<std::int64_t> input;
      for (const AxisField& axis : field.axes) {
        if (axis.input > 0) input.push_back(axis.input);
      }
      say.push_back(fmt::format(
          "Behind the border{}: nothing of the input is new to them (receptive field up to {}{}).",
          of_which(behind), number_text(length),
          input.empty() ? "" : fmt::format(", input {}", shape_text(input))));
    }
    if (const auto low = those_with(&JudgedLayer::low_saturation); !low.empty()) {
      std::vector<double> saturations;
      for (const JudgedLayer* layer : low) saturations.push_back(100 * layer->saturation);
      say.push_back(fmt::format("Low saturation{}: {} %, against a median of {:.1f} % before.",
                                of_which(low), span_text(saturations, "{:.1f}"), 100 * median_));
    }
    if (const auto useless = those_with(&JudgedLayer::no_gain); !useless.empty()) {
      const JudgedLayer* best = useless.front();
      for (const JudgedLayer* layer : useless) {
        if (layer->probe > best->probe) best = layer;
      }
      constexpr double points = 100;
      say.push_back(fmt::format(
          "Nothing gained by probes{}: at best {:+.2f} ± {:.2f} points of accuracy on the best "
          "layer before ({:.1f} %).",
          of_which(useless), points * (best->probe - best_), points * best->gain_error,
          points * best_));
    }
  }

  void say_advice(const std::vector<StrideRemoval>& removals) {
    std::vector<std::string>& say = verdict_.advice;
    if (verdict_.kind == VerdictKind::PossibleTail) {
      say.push_back(
          "Measure another kind of evidence first; the limits name those that are missing.");
    }
    const bool has_border = !those_with(&JudgedLayer::behind_border).empty();
    if (has_border) {
      // A table has no kernels, and so no size that leaves no border layer.
      const bool has_kernels = std::any_of(fields_.begin(), fields_.end(),
                                           [](const LayerField& it) { return !it.kind.empty(); });
      if (has_kernels) {
        say.push_back(fmt::format("Try a larger input: from {} on no layer is a border layer.",
                                  shape_text(smallest_input())));
      } else {
        say.push_back("Try a larger input, for which these layers have something to see.");
      }
      say_downsampling(removals);
    }
    say.push_back(fmt::format("{} {} out: a head in the place of {} should do as well, for less.",
                              has_border ? "Or leave" : "Leave",
                              verdict_.layers.size() == 1 ? "it" : "them",
                              range_text(verdict_.layers)));
  }

  [[nodiscard]] std::vector<std::int64_t> smallest_input() const {
    ReceptiveFields fields;
    for (const LayerField& layer : fields_) {
      if (fields.input.size() < layer.axes.size()) fields.input.clear();
      if (!fields.input.empty()) continue;
      for (const AxisField& axis : layer.axes) fields.input.push_back(axis.input);
    }
    fields.largest_finite.resize(fields.input.size());
    fields.layers = fields_;
    return feasible_input_sizes(fields).without_border;
  }

  void say_downsampling(const std::vector<StrideRemoval>& removals) {
    std::vector<std::string>& say = verdict_.advice;
    for (const StrideRemoval& removal : removals) {
      if (!removal.border.empty()) continue;
      say.push_back(
          fmt::format("Or keep the input and leave out the downsampling of {}: then there is no "
                      "border layer either.",
                      fmt::join(removal.where, " and ")));
      return;
    }
    std::vector<std::string> places;
    double stride = 1;
    for (const LayerField& layer : fields_) {
      if (!layer.is_map || layer.axes.empty() || places.size() > 1) continue;
      const AxisField& axis = layer.axes.front();
      if (axis.stride_before > stride && !places.empty()) places.push_back("what follows it");
      if (axis.stride_before > stride && places.empty()) {
        places.push_back("what comes before " + layer.layer);
      }
      if (axis.stride > axis.stride_before && axis.stride_before > 0) places.push_back(layer.layer);
      stride = std::max({stride, axis.stride, axis.stride_before});
    }
    if (places.empty()) return;
    say.push_back(
        fmt::format("Or keep the input and downsample less: the first strides or pools are of {}; "
                    "receptive_fields(model, input) tells which of them suffice.",
                    fmt::join(places, " and ")));
  }

  void say_limits() {
    std::vector<std::string>& say = verdict_.limits;
    if (!verdict_.judged.empty()) {
      say.push_back(fmt::format("Judged on epoch {}, by saturation in {}.", verdict_.epoch,
                                mode_ == Mode::Train ? "training" : "evaluation"));
    }
    if (!apart_.empty()) {
      say.push_back(fmt::format("Not judged: {}, the network's {}.", first_of(apart_, 3),
                                apart_.size() == 1 ? "last layer" : "last layers"));
    }
    std::vector<std::string> few_points;
    for (std::size_t i = 0; i < verdict_.judged.size(); ++i) {
      if (have_few_points_[i]) few_points.push_back(verdict_.judged[i].layer);
    }
    if (!few_points.empty()) {
      say.push_back(fmt::format(
          "Not by the saturation of {}: fewer than {} data points a dimension, so that it may be "
          "too low.",
          first_of(few_points, 3), kSamplesPerDimension));
    }
    if (std::count(points_are_known_.begin(), points_are_known_.end(), false) > 0) {
      say.push_back(
          "How many data points a dimension saturation rests on is not known here; fewer than 10 "
          "make it too low.");
    }
    if (fields_.empty()) {
      say.push_back(
          "Not by receptive fields: there are none. CheckLayerSatOptions::receptive_field(true) "
          "and "
          "delve/receptive_field.hpp have them watched, where the input has positions.");
    }
    say_limits_of_probes();
  }

  void say_limits_of_probes() {
    std::vector<std::string>& say = verdict_.limits;
    bool has_probes = false;
    double largest = 0;
    for (const JudgedLayer& layer : verdict_.judged) {
      has_probes = has_probes || !is_missing(layer.probe);
      if (!is_missing(layer.probe_error)) largest = std::max(largest, layer.probe_error);
    }
    if (!has_probes) {
      say.push_back(
          "Not by probes: there are none. Ask for the statistic \"probe\", set classes(), and give "
          "labels() in training and evaluation.");
    } else if (largest == 0) {
      say.push_back("Not by probes: the standard error of what they gain is not known here.");
    } else if (largest > kLargestError) {
      say.push_back(fmt::format(
          "Not by probes whose gain has a standard error above one point (the largest is {:.1f}): "
          "evaluate more samples.",
          100 * largest));
    }
  }

  const std::vector<LayerField>& fields_;
  Verdict verdict_;
  std::vector<const LayerField*> own_fields_;  // of each judged layer; nullptr: not known
  std::vector<std::size_t> references_;        // of each judged layer
  std::vector<bool> points_are_known_;         // of each judged layer
  std::vector<bool> have_few_points_;          // of each judged layer
  std::vector<bool> are_behind_border_;        // of each judged layer
  Mode mode_ = Mode::Train;
  std::vector<std::string> apart_;
  double median_ = missing_value();  // of the layers before, as last weighed
  double best_ = missing_value();    // the same: the best probe
};

/// Whether a record is of a whole epoch and has layers.
inline bool is_whole_epoch(const EpochRecord& record) {
  const bool is_part =
      std::any_of(record.scalars.begin(), record.scalars.end(),
                  [](const auto& scalar) { return scalar.first == "partial-epoch"; });
  return !is_part && !record.layers.empty();
}

/// The last whole epoch of a run; an empty one where there is none.
inline EpochRecord last_whole_epoch(const std::vector<EpochRecord>& records) {
  const auto last = std::find_if(records.rbegin(), records.rend(), is_whole_epoch);
  return last == records.rend() ? EpochRecord{} : *last;
}

/// Replaces what is known of layers by what an epoch found anew.
inline void renew_fields(std::vector<LayerField>& fields, const std::vector<LayerField>& news) {
  for (const LayerField& field : news) {
    const auto same = std::find_if(fields.begin(), fields.end(), [&](const LayerField& known) {
      return known.layer == field.layer;
    });
    if (same == fields.end()) {
      fields.push_back(field);
    } else {
      *same = field;
    }
  }
}

}  // namespace detail

/// Whether the last layers of a network contribute: a verdict on one epoch.
///
/// A tail is the longest run of layers at the end, the network's last layer apart, for each of
/// which two of these hold: it is a border layer, or a shortcut between two of them; its
/// saturation, of what its inputs allow, is below half the median of the layers before the run; its
/// probe is no more than two standard errors better than the best one before the run. Saturation
/// counts only with ten data points a dimension, a probe only where that standard error is at most
/// one point of accuracy. Where one holds for each layer, it may be a tail. At least two layers
/// remain before it. docs/report.md has the reasons.
/// @param fields what the layers see; empty: not known
/// @param removals what would be without some downsampling: ReceptiveFields has it
inline Verdict verdict(const EpochRecord& record, const std::vector<LayerField>& fields,
                       const std::vector<StrideRemoval>& removals = {}) {
  return detail::Judge(record, fields).verdict(removals);
}

/// The same on the last whole epoch of a run, with the receptive fields that its records hold.
[[nodiscard]] inline Verdict verdict(const std::vector<EpochRecord>& records) {
  std::vector<LayerField> fields;
  for (const EpochRecord& record : records) detail::renew_fields(fields, record.fields);
  return verdict(detail::last_whole_epoch(records), fields);
}

/// The same with the receptive fields of receptive_fields().
[[nodiscard]] inline Verdict verdict(const std::vector<EpochRecord>& records,
                                     const ReceptiveFields& fields) {
  return verdict(detail::last_whole_epoch(records), fields.layers, fields.removals);
}

namespace detail {

/// Three lines: what is said, by what, and what to try, or what it does not rest on.
inline std::string text_of(const Verdict& verdict) {
  std::string text = one_line(verdict.sentence) + '\n';
  const auto line = [&](std::string_view title, const std::vector<std::string>& sentences) {
    if (sentences.empty()) return;
    text +=
        fmt::format("  {}: {}\n", title, one_line(fmt::format("{}", fmt::join(sentences, " "))));
  };
  line("Evidence", verdict.evidence);
  if (verdict.advice.empty()) {
    line("Limits", verdict.limits);
  } else {
    line("Advice", verdict.advice);
  }
  return text;
}

}  // namespace detail

inline std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
  return out << detail::text_of(verdict);
}

}  // namespace delve
