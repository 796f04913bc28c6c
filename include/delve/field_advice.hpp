// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::all_of, std::max, std::min, std::stable_sort
#include <array>      // std::array
#include <cmath>      // std::ceil, std::llround
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <ostream>    // std::ostream
#include <string>     // std::string
#include <vector>     // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/support/text.hpp>
#include <delve/layer_field.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// The network without some of its downsampling: strides of 1 instead of others, pools left
/// out.
struct StrideRemoval {
  std::vector<std::string> where;    ///< "conv1", "max_pool2d behind conv1"
  std::vector<std::string> border;   ///< the layers that would be border layers then
  std::int64_t multiplications = 0;  ///< of the whole network then
};

/// What each layer sees. Prints itself as a table.
/// @see receptive_fields
struct ReceptiveFields {
  std::vector<std::int64_t> input;           ///< positions of the input, per axis
  std::vector<LayerField> layers;            ///< in the order of their forward
  std::vector<std::int64_t> largest_finite;  ///< of all operators, pools included, per axis
  /// Each downsampling by itself, and where none suffices, the first ones together, as many as are
  /// needed. Only where there are border layers, and the model was called with an input.
  std::vector<StrideRemoval> removals;
};

/// Sizes of the input for which the network's layers have something to see, one per axis.
struct FeasibleInputSizes {
  /// From here on no layer is a border layer.
  std::vector<std::int64_t> without_border;
  /// The largest least field of a tracked layer, and the largest field of a layer or pool: beyond
  /// the former each sees less than the input over its shortest path, beyond the latter over all.
  std::vector<std::int64_t> lower;
  std::vector<std::int64_t> upper;
};

/// The sizes between which the network's layers have something to see.
inline FeasibleInputSizes feasible_input_sizes(const ReceptiveFields& fields) {
  FeasibleInputSizes sizes;
  for (std::size_t axis = 0; axis < fields.input.size(); ++axis) {
    std::int64_t smallest = 1;
    std::int64_t out_of = 0;
    for (const LayerField& layer : fields.layers) {
      if (!layer.is_map || axis >= layer.axes.size()) continue;
      const AxisField& own = layer.axes[axis];
      smallest = std::max(smallest, own.least_before.value_or(0) + 1);
      // Of a map of kernel + 1 positions.
      const double covered = static_cast<double>(own.kernel + 1) * own.stride_before;
      if (own.kernel > 0)
        smallest = std::max<std::int64_t>(smallest, std::llround(std::ceil(covered)));
      out_of = std::max(out_of, own.least.value_or(0));
    }
    sizes.without_border.push_back(smallest);
    sizes.lower.push_back(out_of);
    sizes.upper.push_back(fields.largest_finite[axis]);
  }
  return sizes;
}

/// What follows from the fields, as data and in words. Never more than they show.
struct FieldAdvice {
  std::vector<std::string> border;  ///< the border layers
  /// The last layers that have a map, from a border layer on: none of them adds anything, for all
  /// are border layers or see one position.
  std::vector<std::string> replaceable;
  FeasibleInputSizes sizes;
  /// Downsampling without which there is no border layer: fewest and cheapest first.
  std::vector<StrideRemoval> removals;
  std::vector<std::string> sentences;
};

namespace detail {

/// "1 × 64 × 16 × 16"
inline std::string shape_text(const std::vector<std::int64_t>& sizes) {
  return fmt::format("{}", fmt::join(sizes, " × "));
}

/// "7", "11 to 43", "everything (43)", "11 to everything (43)", "unknown (aten::fft_rfft)".
inline std::string field_text(const AxisField& axis) {
  if (!axis.unknown.empty()) return fmt::format("unknown ({})", axis.unknown);
  std::string most = axis.most                 ? fmt::to_string(*axis.most)
                     : axis.largest_finite > 0 ? fmt::format("everything ({})", axis.largest_finite)
                                               : "everything";
  if (!axis.least || axis.least == axis.most) return most;
  return fmt::format("{} to {}", *axis.least, most);
}

/// The same for all axes of a layer; one text where they are alike.
inline std::string field_text(const LayerField& layer) {
  if (layer.output.empty() && layer.axes.empty()) return "did not run";
  if (layer.axes.empty()) return "not of the input";
  std::vector<std::string> texts;
  bool are_alike = true;
  for (const AxisField& axis : layer.axes) {
    texts.push_back(field_text(axis));
    are_alike = are_alike && texts.back() == texts.front();
  }
  return are_alike ? texts.front() : fmt::format("{}", fmt::join(texts, " × "));
}

}  // namespace detail

/// What to change so that every layer sees something new, or else which layers could go.
inline FieldAdvice advise(const ReceptiveFields& fields) {
  FieldAdvice advice;
  advice.sizes = feasible_input_sizes(fields);
  std::int64_t multiplications = 0;
  std::vector<std::string> unknown;
  for (const LayerField& layer : fields.layers) {
    multiplications += layer.multiplications;
    if (layer.is_border) advice.border.push_back(layer.layer);
    if (layer.is_map) {
      const bool sees_one_position =
          std::all_of(layer.axes.begin(), layer.axes.end(),
                      [](const AxisField& axis) { return axis.kernel == 1; });
      const bool is_part = layer.is_border || (sees_one_position && !advice.replaceable.empty());
      if (!is_part) advice.replaceable.clear();
      if (is_part) advice.replaceable.push_back(layer.layer);
    }
    for (const AxisField& axis : layer.axes) {
      if (!axis.unknown.empty()) unknown.push_back(axis.unknown);
    }
  }
  for (const StrideRemoval& removal : fields.removals) {
    if (removal.border.empty()) advice.removals.push_back(removal);
  }
  std::stable_sort(advice.removals.begin(), advice.removals.end(),
                   [](const StrideRemoval& a, const StrideRemoval& b) {
                     return a.multiplications < b.multiplications;
                   });
  std::vector<std::string>& say = advice.sentences;
  if (!unknown.empty()) {
    say.push_back(fmt::format("Receptive fields after {} are unknown.", unknown.front()));
  }
  const std::string input = detail::shape_text(fields.input);
  if (advice.border.empty()) {
    if (unknown.empty()) {
      say.push_back(fmt::format("With an input of {}, no layer is a border layer.", input));
    }
    return advice;
  }
  say.push_back(fmt::format(
      "With an input of {}, these are border layers, which have nothing new to see: {}.", input,
      fmt::join(advice.border, ", ")));
  say.push_back(fmt::format(
      "An input of at least {} leaves no border layer. The largest receptive field is {} over a "
      "layer's shortest path, {} over all paths.",
      detail::shape_text(advice.sizes.without_border), detail::shape_text(advice.sizes.lower),
      detail::shape_text(advice.sizes.upper)));
  constexpr std::size_t most_removals = 3;
  for (std::size_t i = 0; i < std::min(advice.removals.size(), most_removals); ++i) {
    const StrideRemoval& removal = advice.removals[i];
    say.push_back(fmt::format(
        "Without the downsampling of {}, an input of {} leaves none either, at {:.1f} times the "
        "multiplications.",
        fmt::join(removal.where, " and "), input,
        static_cast<double>(removal.multiplications) /
            static_cast<double>(std::max<std::int64_t>(multiplications, 1))));
  }
  if (!advice.replaceable.empty()) {
    say.push_back(
        fmt::format("A head could replace these layers: {}.", fmt::join(advice.replaceable, ", ")));
  }
  return advice;
}

/// The sentences, one a line.
inline std::ostream& operator<<(std::ostream& out, const FieldAdvice& advice) {
  for (const std::string& sentence : advice.sentences) out << sentence << '\n';
  return out;
}

/// A table: layer, kind, output, parameters, multiplications, receptive field, border; and below it
/// the input, the sums, and the input size from which on there is no border layer.
inline std::ostream& operator<<(std::ostream& out, const ReceptiveFields& fields) {
  constexpr std::size_t kColumns = 7;
  std::vector<std::array<std::string, kColumns>> rows = {
      {"layer", "kind", "output", "parameters", "multiplications", "receptive field", ""}};
  std::int64_t parameters = 0;
  std::int64_t multiplications = 0;
  for (const LayerField& layer : fields.layers) {
    std::string remark = layer.is_border ? "border" : layer.is_critical ? "critical" : "";
    for (const std::string& note : layer.notes) {
      remark.append(remark.empty() ? "" : "; ").append(note);
    }
    rows.push_back({layer.layer, layer.kind, detail::shape_text(layer.output),
                    detail::grouped(layer.parameters), detail::grouped(layer.multiplications),
                    detail::field_text(layer), remark});
    parameters += layer.parameters;
    multiplications += layer.multiplications;
  }
  std::array<std::size_t, kColumns> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      widths[i] = std::max(widths[i], detail::text_width(row[i]));
    }
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const std::string space(widths[i] - detail::text_width(row[i]), ' ');
      const bool is_number = i == 3 || i == 4;
      line += is_number ? space + row[i] : row[i] + space;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
  const FeasibleInputSizes sizes = feasible_input_sizes(fields);
  out << fmt::format("Input {}; {} parameters, {} multiplications. No border layer from {} on.\n",
                     detail::shape_text(fields.input), detail::grouped(parameters),
                     detail::grouped(multiplications), detail::shape_text(sizes.without_border));
  return out;
}

}  // namespace DELVE_ABI
}  // namespace delve
