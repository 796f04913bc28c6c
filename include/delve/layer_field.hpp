// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::find_if, std::max
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <string>     // std::string
#include <vector>     // std::vector

#include <delve/detail/support/numbers.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a layer's output sees along one axis of positions of the network's input: 1 axis of a
/// sound, 2 of a picture, 3 of a film. All lengths are in positions of the input, border included.
struct AxisField {
  std::int64_t input = 0;  ///< positions of the input
  std::int64_t size = 1;   ///< positions of the output; 1 where all were mixed

  /// The receptive field over the shortest path, and over all paths together; where positions
  /// differ, the smallest and the largest. Unset: every path, or one, sees the whole axis.
  std::optional<std::int64_t> least;
  std::optional<std::int64_t> most;
  std::optional<std::int64_t> least_before;  ///< `least` of the layer's input
  double stride_before = 0;                  ///< `stride` of the layer's input; 0: not known
  std::int64_t kernel = 0;                   ///< of a convolution; 0 for all else
  std::int64_t largest_finite = 0;           ///< `most`, or what it was before the axis was mixed
  std::int64_t inside = 0;                   ///< the part of `most` that lies inside of the input

  double stride = 0;    ///< from one position's field to the next one's: the "jump"
  double centre = 0;    ///< of the first position's field; position 0 of the input is 0
  std::string unknown;  ///< the unknown operator, which leaves all else here unknown; or empty
};

/// A layer, and what its output sees.
struct LayerField {
  std::string layer;
  std::string kind;                  ///< "Conv2d"
  std::vector<std::int64_t> output;  ///< the shape; empty where the layer did not run
  std::int64_t parameters = 0;       ///< its own
  std::int64_t multiplications = 0;  ///< of one forward of this input, the whole batch
  std::vector<AxisField> axes;       ///< one per axis of positions
  std::vector<std::string> notes;    ///< what is not counted: "statistics of group_norm not …"
  std::int64_t calls = 0;            ///< with these fields; other fields have another row
  /// The share of its directions that its inputs can fill, by their number alone: a convolution of
  /// 1 × 1 from 32 to 64 channels has a saturation of 0.5 at most.
  double rank_limit = 1;
  bool is_map = false;  ///< its output still has positions

  /// It cannot bring anything new together: the shortest path into it sees the whole input already,
  /// on all axes, and the one out of it sees more; or its kernel is no smaller than the map that it
  /// is given, so that it is a fully connected layer (Richter et al., "Should you go deeper?
  /// Optimizing convolutional neural network architectures without training", arXiv 2106.12307, and
  /// their rfa_toolbox, EnrichedNetworkNode.is_border). Only where its output is a map, and not
  /// behind what mixes all positions.
  bool is_border = false;
  /// The shortest path out of it sees more than the input, on all axes.
  bool is_critical = false;
};

namespace detail {

/// The largest of all axes; infinite where one is everything, missing where one is unknown.
template <typename LengthOf>
double largest_of_axes(const LayerField& layer, const LengthOf& length_of) {
  if (layer.axes.empty()) return missing_number();
  std::int64_t largest = 0;
  bool is_everything = false;
  for (const AxisField& axis : layer.axes) {
    if (!axis.unknown.empty()) return missing_number();
    const std::optional<std::int64_t> length = length_of(axis);
    is_everything = is_everything || !length;
    largest = std::max(largest, length.value_or(0));
  }
  return is_everything ? infinity() : static_cast<double>(largest);
}

}  // namespace detail

/// LayerField's `least` and `most` as one number each, as tables have them: the largest of all
/// axes; infinite where an axis is seen wholly, missing where it is unknown.
[[nodiscard]] inline double least_field(const LayerField& layer) {
  return detail::largest_of_axes(layer, [](const AxisField& axis) { return axis.least; });
}
[[nodiscard]] inline double most_field(const LayerField& layer) {
  return detail::largest_of_axes(layer, [](const AxisField& axis) { return axis.most; });
}

namespace detail {

/// The last row of a layer; nullptr where there is none.
inline const LayerField* find_field(const std::vector<LayerField>& fields,
                                    const std::string& layer) {
  const auto found = std::find_if(fields.rbegin(), fields.rend(),
                                  [&](const LayerField& field) { return field.layer == layer; });
  return found == fields.rend() ? nullptr : &*found;
}

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
