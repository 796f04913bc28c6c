// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::max, std::minmax_element
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/statistics/enough_points.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/verdict/judge.hpp>
#include <delve/field_advice.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict_data.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

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

/// Puts a judgement into sentences.
class VerdictText {
 public:
  VerdictText(Judgement judgement, const std::vector<LayerField>& fields,
              const std::vector<StrideRemoval>& removals)
      : judgement_(std::move(judgement)), fields_(fields), removals_(removals) {
    say_kind();
    if (!judgement_.verdict.layers.empty()) {
      say_evidence();
      say_advice();
    }
    say_limits();
  }

  [[nodiscard]] Verdict verdict() { return std::move(judgement_.verdict); }

 private:
  void say_kind() {
    std::string& say = judgement_.verdict.sentence;
    switch (judgement_.verdict.kind) {
      case VerdictKind::Tail:
        say = fmt::format(
            "{} {} a tail: {} nothing that the layers before do not.",
            range_text(judgement_.verdict.layers),
            judgement_.verdict.layers.size() == 1 ? "is" : "form",
            judgement_.verdict.layers.size() == 1 ? "it contributes" : "they contribute");
        return;
      case VerdictKind::PossibleTail:
        say = fmt::format(
            "{} may be a tail: one kind of evidence speaks for each of its layers, but not two for "
            "all.",
            range_text(judgement_.verdict.layers));
        return;
      case VerdictKind::NoTail:
        say = "No tail: nothing that was measured speaks for one.";
        return;
      case VerdictKind::NotEnoughData:
        say = judgement_.verdict.judged.size() > kLeastBefore
                  ? "No verdict: there is not enough data for one."
                  : fmt::format("No verdict: it takes {} layers with saturation before the last.",
                                kLeastBefore + 1);
        return;
    }
  }

  /// The layers of the tail for which a kind of evidence speaks.
  [[nodiscard]] std::vector<const JudgedLayer*> those_with(Evidence JudgedLayer::*kind) const {
    std::vector<const JudgedLayer*> found;
    for (const JudgedLayer& layer : judgement_.verdict.judged) {
      if (layer.*kind == Evidence::For) found.push_back(&layer);
    }
    return found;
  }

  /// "" where these are all layers of the tail; else " (a, b and 2 more)".
  [[nodiscard]] std::string of_which(const std::vector<const JudgedLayer*>& layers) const {
    if (layers.size() == judgement_.verdict.layers.size()) return "";
    std::vector<std::string> names;
    for (const JudgedLayer* layer : layers) names.push_back(layer->layer);
    return fmt::format(" ({})", first_of(names, 3));
  }

  void say_evidence() {
    std::vector<std::string>& say = judgement_.verdict.evidence;
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
                                of_which(low), span_text(saturations, "{:.1f}"),
                                100 * judgement_.median));
    }
    if (const auto useless = those_with(&JudgedLayer::no_gain); !useless.empty()) {
      const JudgedLayer* best = useless.front();
      for (const JudgedLayer* layer : useless) {
        if (layer->probe > best->probe) best = layer;
      }
      constexpr double points = 100;
      say.push_back(fmt::format(
          "Nothing gained by probes{}: at best {:+.2f} ± {:.2f} points of accuracy over the best "
          "layer before ({:.1f} %).",
          of_which(useless), points * (best->probe - judgement_.best), points * best->gain_error,
          points * judgement_.best));
    }
  }

  void say_advice() {
    std::vector<std::string>& say = judgement_.verdict.advice;
    if (judgement_.verdict.kind == VerdictKind::PossibleTail) {
      say.push_back(
          "Measure another kind of evidence first; the limits name those that are missing.");
    }
    const bool has_border = !those_with(&JudgedLayer::behind_border).empty();
    if (has_border) {
      // A table has no kernels, so no size without border layers can be found.
      const bool has_kernels = std::any_of(fields_.begin(), fields_.end(),
                                           [](const LayerField& it) { return !it.kind.empty(); });
      if (has_kernels) {
        say.push_back(fmt::format("Try a larger input: from {} on no layer is a border layer.",
                                  shape_text(smallest_input())));
      } else {
        say.push_back("Try a larger input, for which these layers have something to see.");
      }
      say_downsampling();
    }
    say.push_back(fmt::format("{} {} out: a head instead of {} should do as well, for less.",
                              has_border ? "Or leave" : "Leave",
                              judgement_.verdict.layers.size() == 1 ? "it" : "them",
                              range_text(judgement_.verdict.layers)));
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

  void say_downsampling() {
    std::vector<std::string>& say = judgement_.verdict.advice;
    for (const StrideRemoval& removal : removals_) {
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
        fmt::format("Or keep the input and downsample less: the first strides or pools are those "
                    "of {}; advise(receptive_fields(model, input)) says which suffice.",
                    fmt::join(places, " and ")));
  }

  void say_limits() {
    std::vector<std::string>& say = judgement_.verdict.limits;
    if (!judgement_.verdict.judged.empty()) {
      say.push_back(fmt::format("Judged on epoch {}, by saturation in {}.",
                                judgement_.verdict.epoch,
                                judgement_.mode == Mode::Train ? "training" : "evaluation"));
    }
    if (!judgement_.apart.empty()) {
      say.push_back(
          fmt::format("Not judged: {}, {}.", first_of(judgement_.apart, 3),
                      judgement_.apart.size() == 1
                          ? "the network's last layer, which gives its answer"
                          : "the network's head: behind the last map there is no receptive "
                            "field to judge by"));
    }
    if (!judgement_.few_points.empty()) {
      say.push_back(fmt::format(
          "Not by the saturation of {}: fewer than {} data points per dimension, so that it may be "
          "too low.",
          first_of(judgement_.few_points, 3), kSamplesPerDimension));
    }
    if (!judgement_.points_are_known) {
      say.push_back(
          "It is not known here how many data points per dimension there were; fewer than 10 make "
          "saturation too low.");
    }
    if (fields_.empty()) {
      say.push_back(
          "Not by receptive fields: there are none. CheckLayerSatOptions::receptive_field(true) "
          "and delve/receptive_field.hpp provide them, where the input has positions.");
    }
    say_limits_of_probes();
  }

  void say_limits_of_probes() {
    std::vector<std::string>& say = judgement_.verdict.limits;
    bool has_probes = false;
    double largest = 0;
    for (const JudgedLayer& layer : judgement_.verdict.judged) {
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

  Judgement judgement_;
  const std::vector<LayerField>& fields_;
  const std::vector<StrideRemoval>& removals_;
};

/// Three lines: the verdict, its evidence, and what to try, or else its limits.
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
}  // namespace DELVE_ABI
}  // namespace delve
