// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::find, std::find_if, std::remove_if
#include <cstdint>    // std::int64_t
#include <string>     // std::string
#include <vector>     // std::vector

#include <fmt/format.h>

#include <delve/detail/probes/labelled_batch.hpp>
#include <delve/detail/probes/probe_errors.hpp>
#include <delve/detail/statistics/builtin_statistics.hpp>
#include <delve/detail/statistics/enough_points.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/detail/tracking/problems.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The layers of a record for which a condition holds, each once, in either mode.
template <typename Condition>
std::vector<std::string> layers_where(const EpochRecord& record, const Condition& condition) {
  std::vector<std::string> names;
  for (const LayerRecord& layer : record.layers) {
    const bool is_new = std::find(names.begin(), names.end(), layer.layer) == names.end();
    if (is_new && condition(layer)) names.push_back(layer.layer);
  }
  return names;
}

/// Whether a value of a layer bears this name in files.
inline bool is_name_of_value(const EpochRecord& record, const std::string& name) {
  for (const LayerRecord& layer : record.layers) {
    for (const Value& value : layer.values) {
      if (value_name(layer.mode, value.quantity, layer.layer) == name) return true;
    }
  }
  return false;
}

/// Reports layers that saw no data while others did: in any mode, or in evaluation alone.
inline void review_missing_layers(const EpochRecord& record,
                                  const std::vector<LayerReport>& reports, Problems& problems) {
  // What was called and gave no data has been reported, or fell between what log_interval records.
  std::vector<std::string> uncalled;
  for (const LayerReport& report : reports) {
    const bool ran_in_parts = std::any_of(
        reports.begin(), reports.end(),
        [&](const LayerReport& it) { return it.part_of == report.layer && it.was_called; });
    if (record.layers.empty() || report.was_called || ran_in_parts) continue;
    uncalled.push_back(report.layer);
  }
  problems.tell_once_of(
      uncalled,
      "saw no data while other layers did. Likely causes: it is not part of the forward (an unused "
      "head, a copy, a module that was replaced); its weights are computed anew in each forward "
      "and are not assigned to it; or a fused operator does its work");
  const auto saw_data = [&](const std::string& name, Mode mode) {
    return std::any_of(record.layers.begin(), record.layers.end(), [&](const LayerRecord& it) {
      return it.layer == name && it.samples + it.skipped_batches > 0 && it.mode == mode;
    });
  };
  const bool has_both =
      std::any_of(record.layers.begin(), record.layers.end(), [&](const LayerRecord& it) {
        return saw_data(it.layer, Mode::Train) && saw_data(it.layer, Mode::Eval);
      });
  if (!has_both) return;
  problems.tell_once_of(
      layers_where(record,
                   [&](const LayerRecord& it) {
                     return saw_data(it.layer, Mode::Train) && !saw_data(it.layer, Mode::Eval);
                   }),
      "saw data in training and none in evaluation, while other layers did. Likely causes: in "
      "eval() a fused operator does its work (torch._transformer_encoder_layer_fwd), or it is used "
      "in training alone");
}

/// Reports where receptive fields could not be found.
/// @param found_any whether any layer ever had an input with positions
inline void review_fields(const std::vector<LayerField>& fields, bool found_any,
                          Problems& problems) {
  if (!found_any) {
    problems.tell_once("receptive fields",
                       "receptive_field: no tracked layer was called with an input that has an "
                       "axis of positions, as pictures and series have; there are no receptive "
                       "fields");
  }
  for (const LayerField& layer : fields) {
    for (const AxisField& axis : layer.axes) {
      if (axis.unknown.empty()) continue;
      problems.tell_once("receptive fields of " + axis.unknown,
                         fmt::format("receptive_field: what {} reads is not known, so there is no "
                                     "receptive field for {} and what follows",
                                     axis.unknown, layer.layer));
    }
  }
}

/// Whether a layer's record has a number at all.
inline bool has_values(const LayerRecord& layer) {
  return std::any_of(layer.values.begin(), layer.values.end(),
                     [](const Value& value) { return !is_missing(value.value); });
}

inline bool is_held_out(const Value& value) {
  return value.stat == kHeldOutAccuracy || value.stat == kHeldOutR2;
}

/// Removes the values of held-out samples from a record in which no layer has one: with an
/// evaluation they are not needed.
inline void drop_unused_held_out(EpochRecord& record) {
  for (const LayerRecord& layer : record.layers) {
    for (const Value& value : layer.values) {
      if (is_held_out(value) && !is_missing(value.value)) return;
    }
  }
  for (LayerRecord& layer : record.layers) {
    std::vector<Value>& values = layer.values;
    values.erase(std::remove_if(values.begin(), values.end(), is_held_out), values.end());
  }
}

/// Puts into the record the standard error of what each probe gains on the best one of the layers
/// before, on the same samples; probes tried on different samples have none.
inline void add_probe_errors(EpochRecord& record, const std::vector<LayerReport>& reports) {
  const PlainMode plain;
  const auto value = [](LayerRecord& layer, const char* stat) -> Value* {
    for (Value& it : layer.values) {
      if (it.stat == stat) return &it;
    }
    return nullptr;
  };
  BestBefore best;
  for (LayerRecord& layer : record.layers) {
    if (layer.mode != Mode::Eval) continue;
    const Value* share = value(layer, "probe");
    Value* error = value(layer, kProbeError);
    const auto report = std::find_if(reports.begin(), reports.end(),
                                     [&](const auto& it) { return it.layer == layer.layer; });
    if (share == nullptr || error == nullptr || report == reports.end()) continue;
    if (report->probe_error) error->value = *report->probe_error;
    if (is_missing(share->value) || report->probe_scores.empty()) continue;
    const auto before = best.take(static_cast<std::size_t>(report - reports.begin()), share->value);
    if (!before) continue;
    error->value = paired_error(paired_sums(report->probe_scores, reports[*before].probe_scores));
  }
}

/// Reports what kept probes from their data.
inline void review_probes(const EpochRecord& record, const std::vector<LayerReport>& reports,
                          const LabelSwitches& labels, Problems& problems) {
  if (!record.layers.empty() && labels.batches() == 0) {
    problems.tell_once("no labels",
                       "probes were requested, and no forward ran under a guard of labels() or "
                       "targets(): there are no values of them");
  }
  if (const std::int64_t bad = labels.bad_batches(); bad > 0) {
    problems.tell_once(
        "bad labels",
        fmt::format("{} {} left out of all probes for an invalid label: outside 0 to classes() - 1 "
                    "and not ignore_index, shares that do not sum to 1, or a target that is not "
                    "finite. Others will be, too",
                    bad, bad == 1 ? "batch was" : "batches were"));
  }
  const auto tell_of = [&](bool ProbeFaults::*fault, const char* sentence) {
    std::vector<std::string> names;
    for (const LayerReport& report : reports) {
      if (report.probe_faults.*fault) names.push_back(report.layer);
    }
    problems.tell_once_of(names, sentence);
  };
  tell_of(&ProbeFaults::shape,
          "labels fit neither the samples nor the positions of its output; those batches are left "
          "out of its probe");
  tell_of(&ProbeFaults::is_ambiguous,
          "the first two axes of its output are of one size, so that labels (B) do not tell which "
          "of them is the batch; those batches are left out of its probe. Give labels of the shape "
          "of both axes");
  tell_of(&ProbeFaults::other_thread,
          "it ran in a thread without a guard of labels(), while another thread had one; those "
          "batches are left out of its probe. Make a guard in each thread");
  tell_of(&ProbeFaults::is_untrained,
          "it was evaluated under labels(), and trained without, so that there is no probe to try; "
          "make a guard before each forward of the training, too");
  tell_of(&ProbeFaults::is_late,
          "evaluated with the probe that the ranks fitted before the last training; call "
          "fit_probes() on all ranks between training and evaluation");
  tell_of(&ProbeFaults::is_unsolved,
          "the equations of its probe have no solution, and its values are missing; a larger "
          "probe_shrinkage() gives them one");
}

/// Reports what a reader of the record must know to trust it, once for each layer.
inline void review_epoch(const EpochRecord& record, const std::vector<LayerReport>& reports,
                         Problems& problems) {
  if (record.layers.empty()) {
    problems.tell_once(
        "no data",
        fmt::format(
            "epoch {}: no layer saw data since the last add_saturations(). Was the model "
            "run only while the tracker was stopped or paused, or under "
            "at::RecordFunctionGuard(false) or at::DisableRecordFunctionGuard; or was it "
            "another one that ran: a clone, a replica of data_parallel, a module made anew?",
            record.epoch));
  }
  for (const auto& [scalar, number] : record.scalars) {
    if (!is_name_of_value(record, scalar)) continue;
    problems.tell_once("scalar " + scalar,
                       fmt::format("the scalar \"{}\" has the same name as a layer statistic, "
                                   "which replaces it in files",
                                   scalar));
  }
  problems.tell_once_of(
      layers_where(record, [](const LayerRecord& it) { return it.status == Status::NoVariance; }),
      "output never varied, so that saturation and dimensionality are 0");
  problems.tell_once_of(
      layers_where(record, [](const LayerRecord& it) { return it.status == Status::NotConverged; }),
      "eigenvalues could not be computed; statistics based on them are missing");
  problems.tell_once_of(
      layers_where(record,
                   [](const LayerRecord& it) {
                     return it.samples > 0 &&
                            has_few_points(static_cast<double>(it.samples), it.width);
                   }),
      "fewer than 10 data points per dimension (n data points cannot show more than n - 1 "
      "directions), so that saturation may come out too low");

  review_missing_layers(record, reports, problems);

  std::vector<std::string> skipped;
  std::vector<std::string> frozen;
  for (const LayerReport& report : reports) {
    const bool has_skipped =
        std::any_of(report.records.begin(), report.records.end(),
                    [](const LayerRecord& it) { return it.skipped_batches > 0; });
    if (has_skipped) skipped.push_back(report.layer);
    if (report.is_frozen) frozen.push_back(report.layer);
  }
  problems.tell_once_of(skipped,
                        "batches with values that are not finite, or far too large, were left out");
  problems.tell_once_of(frozen,
                        "in eval() while the model was training, and counted as evaluated; "
                        "mode_from(ModeSource::Root) would count by the model's mode");
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
