// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::find_if, std::remove_if
#include <ostream>    // std::ostream
#include <vector>     // std::vector

#include <delve/detail/verdict/judge.hpp>
#include <delve/detail/verdict/verdict_text.hpp>
#include <delve/field_advice.hpp>
#include <delve/layer_field.hpp>
#include <delve/record.hpp>
#include <delve/verdict_data.hpp>  // IWYU pragma: export
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

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

/// Replaces what is known of layers by what an epoch found anew, all rows of each.
inline void renew_fields(std::vector<LayerField>& fields, const std::vector<LayerField>& news) {
  const auto is_new = [&](const LayerField& known) {
    return find_field(news, known.layer) != nullptr;
  };
  fields.erase(std::remove_if(fields.begin(), fields.end(), is_new), fields.end());
  fields.insert(fields.end(), news.begin(), news.end());
}

}  // namespace detail

/// Whether the last layers of a network contribute: a verdict on one epoch.
///
/// A tail is the longest run of layers at the end, the network's last layer apart, for each of
/// which two of these hold: it is a border layer, or a shortcut between two of them; its
/// saturation, relative to what its inputs allow, is below half the median of the layers before the
/// run; its probe is no more than two standard errors better than the best one before the run.
/// Saturation counts only with ten data points per dimension, a probe only where that standard
/// error is at most one point of accuracy. Where one holds for each layer, it may be a tail. At
/// least two layers remain before it. docs/report.md has the reasons.
/// @param fields what the layers see; empty: not known
/// @param removals the network without some downsampling: ReceptiveFields::removals
inline Verdict verdict(const EpochRecord& record, const std::vector<LayerField>& fields,
                       const std::vector<StrideRemoval>& removals = {}) {
  return detail::VerdictText(detail::Judge(record, fields).judge(), fields, removals).verdict();
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

inline std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
  return out << detail::text_of(verdict);
}

}  // namespace DELVE_ABI
}  // namespace delve
