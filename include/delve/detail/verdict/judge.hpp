// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of, std::any_of, std::max, …
#include <cstddef>      // std::ptrdiff_t, std::size_t
#include <optional>     // std::nullopt, std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <delve/detail/statistics/enough_points.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict_data.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What decides. A tail's saturation is "low" as in Richter et al., arXiv 2106.12307, section 3:
/// such layers have a small part of that of the others; the numbers are ours, the same everywhere.
constexpr double kLowShare = 0.5;       ///< of the median of the layers before
constexpr double kErrors = 2;           ///< standard errors that a gain must exceed
constexpr double kLargestError = 0.01;  ///< of a gain; above it a probe says nothing

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

/// n, by the record or by the statistic; 0 where neither has it.
inline double points_of(const LayerRecord& layer) {
  if (layer.samples > 0) return static_cast<double>(layer.samples);
  const double points = value_of(layer, "samples");
  return is_missing(points) ? 0 : points;
}

/// A verdict, without its sentences, and what these need besides.
struct Judgement {
  Verdict verdict;
  Mode mode = Mode::Train;              ///< whose saturation is judged
  std::vector<std::string> apart;       ///< the last layers, which are not judged
  std::vector<std::string> few_points;  ///< those whose saturation does not count
  bool points_are_known = true;         ///< of all layers
  double median = missing_value();      ///< saturation of the layers before the tail
  double best = missing_value();        ///< the best probe of these
};

/// Judges one record.
class Judge {
 public:
  Judge(const EpochRecord& record, const std::vector<LayerField>& fields) : fields_(fields) {
    judgement_.verdict.epoch = record.epoch;
    choose_mode(record);
    for (const LayerRecord& layer : record.layers) {
      if (layer.mode != judgement_.mode || is_missing(saturation_of(layer))) continue;
      add(record, layer);
    }
    leave_out_last_layers();
    for (JudgedLayer& layer : judgement_.verdict.judged) {
      own_fields_.push_back(find_field(fields_, layer.layer));
      if (own_fields_.back() != nullptr)
        layer.saturation = std::min(1.0, layer.saturation / own_fields_.back()->rank_limit);
    }
    note_references();
    for (std::size_t i = 0; i < own_fields_.size(); ++i) {
      // Of a layer that ran on several inputs, on all of them.
      const auto is_border = [&](std::size_t place) {
        return place < own_fields_.size() && own_fields_[place] != nullptr &&
               std::all_of(fields_.begin(), fields_.end(), [&](const LayerField& field) {
                 return field.is_border || field.layer != judgement_.verdict.judged[place].layer;
               });
      };
      // A layer between two of them, on a shortcut's own path, has nothing new to see either.
      are_behind_border_.push_back(is_border(i) || (i > 0 && is_border(i - 1) && is_border(i + 1)));
    }
  }

  [[nodiscard]] Judgement judge() {
    std::vector<JudgedLayer>& layers = judgement_.verdict.judged;
    const std::size_t end = layers.size();
    if (end > kLeastBefore) {
      weigh(end - 1);
      const bool has_any = layers.back().count(Evidence::Missing) < 3;
      judgement_.verdict.kind = has_any ? VerdictKind::NoTail : VerdictKind::NotEnoughData;
      for (const int least : {2, 1}) {
        const std::optional<std::size_t> first = longest_run(least);
        if (!first) continue;
        judgement_.verdict.kind = least == 2 ? VerdictKind::Tail : VerdictKind::PossibleTail;
        weigh(*first);
        for (std::size_t i = *first; i < end; ++i)
          judgement_.verdict.layers.push_back(layers[i].layer);
        break;
      }
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (have_few_points_[i]) judgement_.few_points.push_back(layers[i].layer);
    }
    judgement_.points_are_known = std::all_of(points_are_known_.begin(), points_are_known_.end(),
                                              [](bool is_known) { return is_known; });
    return std::move(judgement_);
  }

 private:
  /// Training has the most data; where there was none, evaluation counts.
  void choose_mode(const EpochRecord& record) {
    for (const Mode mode : {Mode::Train, Mode::Eval}) {
      judgement_.mode = mode;
      for (const LayerRecord& layer : record.layers) {
        if (layer.mode == mode && !is_missing(saturation_of(layer))) return;
      }
    }
    judgement_.mode = Mode::Train;
  }

  void add(const EpochRecord& record, const LayerRecord& layer) {
    JudgedLayer& judged = judgement_.verdict.judged.emplace_back();
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

  /// Whether a layer's output still has positions that see only a part of the input on some path.
  [[nodiscard]] bool is_map(const std::string& layer) const {
    const LayerField* field = find_field(fields_, layer);
    return field != nullptr && field->is_map;
  }

  /// The last layer is the network's answer; and where there are maps, the layers behind the last
  /// one have no receptive field to be judged by.
  void leave_out_last_layers() {
    std::vector<JudgedLayer>& layers = judgement_.verdict.judged;
    const auto leave_out = [&] {
      judgement_.apart.insert(judgement_.apart.begin(), layers.back().layer);
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
    for (std::size_t i = 0; i < judgement_.verdict.judged.size(); ++i) {
      references_.push_back(best);
      const double probe = judgement_.verdict.judged[i].probe;
      const double known = judgement_.verdict.judged[best].probe;
      if (!is_missing(probe) && (is_missing(known) || probe > known)) best = i;
    }
  }

  /// The standard error of a layer's gain on the best one before `first`: where the best one before
  /// the layer is not before `first`, the sum of errors, an upper bound (Minkowski's inequality).
  [[nodiscard]] double gain_error(std::size_t layer, std::size_t first) const {
    double error = 0;
    for (std::size_t at = layer; at >= first; at = references_[at]) {
      const double own = judgement_.verdict.judged[at].probe_error;
      if (is_missing(own)) return missing_value();
      error += own;
    }
    return error;
  }

  /// Finds what speaks for each layer from `first` on, that being where a tail would begin.
  void weigh(std::size_t first) {
    std::vector<JudgedLayer>& layers = judgement_.verdict.judged;
    std::vector<double> saturations;
    double best = missing_value();
    for (std::size_t i = 0; i < first; ++i) {
      if (!have_few_points_[i]) saturations.push_back(layers[i].saturation);
      if (is_missing(layers[i].probe)) continue;
      best = is_missing(best) ? layers[i].probe : std::max(best, layers[i].probe);
    }
    judgement_.median = median_of(saturations);
    judgement_.best = best;
    const auto evidence = [](bool speaks) { return speaks ? Evidence::For : Evidence::Against; };
    for (std::size_t i = 0; i < layers.size(); ++i) {
      JudgedLayer& layer = layers[i];
      layer.behind_border = layer.low_saturation = layer.no_gain = Evidence::Missing;
      if (i < first) continue;
      const LayerField* field = own_fields_[i];
      if (field != nullptr && field->is_map) layer.behind_border = evidence(are_behind_border_[i]);
      if (!is_missing(judgement_.median) && !have_few_points_[i]) {
        layer.low_saturation = evidence(layer.saturation < kLowShare * judgement_.median);
      }
      if (is_missing(best) || is_missing(layer.probe)) continue;
      layer.gain_error = gain_error(i, first);
      if (is_missing(layer.gain_error) || layer.gain_error > kLargestError) continue;
      layer.no_gain = evidence(layer.probe - best <= kErrors * layer.gain_error);
    }
  }

  /// Where the longest run at the end begins whose layers each have `least` kinds of evidence.
  std::optional<std::size_t> longest_run(int least) {
    std::vector<JudgedLayer>& layers = judgement_.verdict.judged;
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

  const std::vector<LayerField>& fields_;
  Judgement judgement_;
  std::vector<const LayerField*> own_fields_;  // of each judged layer; nullptr: not known
  std::vector<std::size_t> references_;        // of each judged layer
  std::vector<bool> points_are_known_;         // of each judged layer
  std::vector<bool> have_few_points_;          // of each judged layer
  std::vector<bool> are_behind_border_;        // of each judged layer
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
