// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max, std::min, std::sort
#include <cmath>      // std::floor
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <memory>     // std::make_shared, std::shared_ptr
#include <optional>   // std::optional
#include <string>     // std::string
#include <utility>    // std::move
#include <vector>     // std::vector

#include <fmt/format.h>
#include <torch/types.h>

#include <delve/detail/fields/field.hpp>
#include <delve/detail/fields/field_tracer.hpp>
#include <delve/detail/fields/index_map.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Whether this axis, on the shortest path, sees at least, or more than, the whole input.
inline bool sees_all(const AxisField& axis, bool and_more) {
  if (!axis.unknown.empty()) return false;
  if (!axis.least) return true;
  return and_more ? *axis.least > axis.input : *axis.least >= axis.input;
}

/// The longest part of any field that lies inside of the input.
inline std::int64_t longest_inside(const FieldMap& map, std::int64_t positions,
                                   std::int64_t input) {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < positions; ++i) {
    const Interval field = map.at(i);
    if (field.is_empty()) continue;
    longest = std::max(
        longest, std::min(field.last, input - 1) - std::max<std::int64_t>(field.first, 0) + 1);
  }
  return longest;
}

inline std::vector<AxisField> axis_fields(const Trace& trace,
                                          const std::vector<std::int64_t>& input) {
  std::vector<AxisField> axes;
  for (int i = 0; i < trace.axes(); ++i) {
    const Field& field = trace.field(i);
    AxisField& axis = axes.emplace_back();
    axis.input = input[static_cast<std::size_t>(i)];
    axis.size = trace.positions(i);
    axis.unknown = field.unknown;
    if (!field.unknown.empty()) continue;
    axis.largest_finite = finite_length(field, axis.size);
    if (field.least) axis.least = field.least->lengths(axis.size).first;
    if (field.everything || !field.most) {
      axis.inside = axis.input;
    } else {
      axis.most = field.most->lengths(axis.size).second;
      axis.inside = longest_inside(*field.most, axis.size, axis.input);
    }
    if (!field.most) continue;
    const Interval first = field.most->at(0);
    axis.stride = field.most->stride();
    axis.centre = (static_cast<double>(first.first) + static_cast<double>(first.last)) / 2;
  }
  return axes;
}

/// The axes of positions of a layer's input, by what the layer does with them.
inline std::vector<std::int64_t> position_axes(const LayerKind& kind, const OutputLayout& layout,
                                               std::int64_t rank) {
  std::vector<std::int64_t> places;
  if (kind.family == LayerFamily::Recurrent) {
    if (rank == 3) places.push_back(layout.batch_first ? 1 : 0);
  } else if (kind.family == LayerFamily::Linear) {
    for (std::int64_t place = 1; place < rank - (kind.is_table ? 0 : 1); ++place) {
      places.push_back(place);
    }
  } else {
    for (std::int64_t place = rank - kind.position_axes; place < rank; ++place) {
      if (place >= 0) places.push_back(place);
    }
  }
  if (places.size() > 3) places.clear();
  return places;
}

/// The same by the shape alone, before any layer was seen.
inline std::vector<std::int64_t> position_axes(const torch::Tensor& input) {
  if (input.dim() == 5) return {2, 3, 4};
  if (input.dim() == 4) return {2, 3};
  if (input.dim() == 3) return {2};
  if (input.dim() == 2 && !input.is_floating_point()) return {1};
  return {};
}

inline std::int64_t parameter_count(const ModuleView& module) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : module.parameters(/*recurse=*/false)) {
    if (parameter.defined()) count += parameter.numel();
  }
  return count;
}

/// LayerField::rank_limit: the outputs of a linear map, of each group of a convolution's channels
/// by itself, span no more directions than it has inputs.
inline double rank_limit_of(const LayerKind& kind, const ModuleView& module,
                            const ForwardCall& call) {
  const torch::Tensor weight = kind.weight(module);
  const bool is_map = (kind.family == LayerFamily::Convolution && !kind.is_transposed) ||
                      (kind.family == LayerFamily::Linear && !kind.is_cell && !kind.is_table);
  if (!is_map || !weight.defined() || weight.dim() < 2 || weight.numel() == 0) return 1;
  double groups = 1;
  const std::int64_t channels_at = call.input.dim() - kind.position_axes - 1;
  if (kind.family == LayerFamily::Convolution && channels_at >= 0) {
    groups =
        static_cast<double>(call.input.size(channels_at)) / static_cast<double>(weight.size(1));
  }
  const auto outputs = static_cast<double>(weight.size(0));
  return std::min(1.0, static_cast<double>(weight.numel()) / outputs * groups / outputs);
}

/// How many products of two numbers a forward of this kind forms.
inline std::int64_t multiplication_count(const LayerKind& kind, const ModuleView& module,
                                         const ForwardCall& call) {
  const torch::Tensor weight = kind.weight(module);
  const torch::Tensor& output = call.outputs.front();
  if (!weight.defined() || kind.is_table) return 0;
  if (weight.dim() == 1) return output.numel();
  if (kind.family == LayerFamily::Convolution) {
    const torch::Tensor& many = kind.is_transposed ? call.input : output;
    return many.numel() * (weight.numel() / weight.size(0));
  }
  if (kind.family == LayerFamily::Linear && !kind.is_cell) {
    return output.numel() / weight.size(0) * weight.numel();
  }
  std::int64_t products = 0;  // recurrent: each row meets all matrices
  for (const torch::Tensor& parameter : module.parameters(/*recurse=*/false)) {
    if (parameter.defined() && parameter.dim() == 2) products += parameter.numel();
  }
  return call.input.numel() / call.input.size(-1) * products;
}

/// The sizes of a convolution's kernel. None for a transposed one: its outputs see a part each.
inline std::vector<std::int64_t> kernel_of(const LayerKind& kind, const ModuleView& module) {
  const torch::Tensor weight = kind.weight(module);
  const bool is_convolution = kind.family == LayerFamily::Convolution && !kind.is_transposed &&
                              weight.defined() && weight.dim() > 2;
  return is_convolution ? weight.sizes().slice(2).vec() : std::vector<std::int64_t>();
}

/// Operators that together make maps smaller.
struct StrideGroup {
  std::vector<int> calls;
  std::vector<std::string> where;
  int first_call = 0;
  double ratio = 1;  ///< how many positions become one
};

/// A row for each layer that ran in a forward.
class FieldRecorder {
 public:
  [[nodiscard]] const std::shared_ptr<FieldTracer>& tracer() const { return tracer_; }

  /// Makes a tensor an input of the network.
  /// @param places its axes of positions
  void add_input(const torch::Tensor& tensor, const std::vector<std::int64_t>& places) {
    tracer_->add_input(tensor, places);
    places_ = places;
    sizes_.clear();
    for (const std::int64_t place : places) sizes_.push_back(tensor.size(place));
  }
  [[nodiscard]] bool has_input() const { return !places_.empty(); }

  /// Its axes of positions, and their sizes; empty before there is an input.
  [[nodiscard]] const std::vector<std::int64_t>& places() const { return places_; }
  [[nodiscard]] const std::vector<std::int64_t>& sizes() const { return sizes_; }

  /// Treats the input of this layer, which has just run, as the network's.
  void begin_at(const LayerKind& kind, const ForwardCall& call,
                const std::vector<std::int64_t>& places) {
    add_input(call.input, places);
    if (kind.family == LayerFamily::Linear && !kind.is_table) {
      add_input(call.outputs.front(), places);  // it may have run before its bias came
    } else {
      tracer_->repeat_last();
    }
  }

  /// Adds the layer's row. To be called when it has just run.
  void add(const std::string& name, const LayerKind& kind, const ModuleView& module,
           const ForwardCall& call) {
    LayerField row;
    row.layer = name;
    row.kind = kind.name;
    row.output = call.outputs.front().sizes().vec();
    row.parameters = parameter_count(module);
    row.multiplications = multiplication_count(kind, module, call);
    row.calls = 1;
    row.rank_limit = rank_limit_of(kind, module, call);
    if (const std::optional<Trace> trace = tracer_->trace_of(call.outputs.front())) {
      row.axes = axis_fields(*trace, sizes_);
      row.notes.assign(trace->notes.begin(), trace->notes.end());
      judge(row, *trace, tracer_->trace_of(call.input), kernel_of(kind, module));
    } else if (tracer_->has_failed()) {
      row.axes.resize(sizes_.size());
      for (AxisField& axis : row.axes) axis.unknown = "an operator that failed to be traced";
    }
    add(std::move(row));
  }

  [[nodiscard]] const std::vector<LayerField>& rows() const { return rows_; }
  [[nodiscard]] bool saw_a_layer() const { return !rows_.empty(); }

  /// Notes which of the input axes the first layer treats as positions.
  void note_first_axes(const torch::Tensor& input, const std::vector<std::int64_t>& places) {
    const std::optional<Trace> trace = tracer_->trace_of(input);
    if (!trace) return;
    for (const std::int64_t place : places) {
      for (const Factor& factor : trace->dim(place).factors) {
        if (factor.axis >= 0) first_axes_.push_back(factor.axis);
      }
    }
    std::sort(first_axes_.begin(), first_axes_.end());
  }

  [[nodiscard]] const std::vector<int>& first_axes() const { return first_axes_; }

  /// The operators that make maps smaller; those that go from and to the same strides, side by side
  /// as in a block with a shortcut, form one group.
  [[nodiscard]] std::vector<StrideGroup> stride_groups() const {
    std::vector<StrideGroup> groups;
    const std::vector<Downsampling>& all = tracer_->downsamplings();
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i == 0 || all[i].before != all[i - 1].before || all[i].after != all[i - 1].after) {
        StrideGroup& group = groups.emplace_back();
        group.ratio = 1;
        for (std::size_t axis = 0; axis < all[i].before.size(); ++axis) {
          if (all[i].before[axis] > 0) group.ratio *= all[i].after[axis] / all[i].before[axis];
        }
        group.first_call = all[i].call;
      }
      groups.back().calls.push_back(all[i].call);
      groups.back().where.push_back(place_of_call(all[i]));
    }
    return groups;
  }

  /// The products of all layers, if the maps from this operator on were `times` times larger.
  [[nodiscard]] double multiplications_from(int call, double times) const {
    double sum = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const bool is_larger = rows_[i].is_map && row_calls_[i] >= call;
      sum += static_cast<double>(rows_[i].multiplications) * (is_larger ? times : 1);
    }
    return sum;
  }

  [[nodiscard]] std::vector<std::string> border() const {
    std::vector<std::string> names;
    for (const LayerField& row : rows_) {
      if (row.is_border) names.push_back(row.layer);
    }
    return names;
  }

 private:
  /// "conv1" for a layer's own operator, "max_pool2d behind conv1" for another one.
  [[nodiscard]] std::string place_of_call(const Downsampling& found) const {
    std::string before;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (row_calls_[i] == found.call) return rows_[i].layer;
      if (row_calls_[i] < found.call) before = rows_[i].layer;
    }
    return before.empty() ? found.op : fmt::format("{} behind {}", found.op, before);
  }

  void judge(LayerField& row, const Trace& trace, const std::optional<Trace>& input,
             const std::vector<std::int64_t>& kernel) const {
    row.is_map = true;
    for (int axis = 0; axis < trace.axes(); ++axis) {
      row.is_map = row.is_map && trace.place_of(axis) >= 0;
    }
    if (!input) return;
    const std::vector<AxisField> before = axis_fields(*input, sizes_);
    bool is_finite = true;  // not behind a mix of all positions, as gates and heads are
    bool sees_all_before = true;
    bool covers_map = row.axes.size() == kernel.size();
    row.is_critical = row.is_map;
    for (std::size_t i = 0; i < row.axes.size(); ++i) {
      AxisField& axis = row.axes[i];
      axis.least_before = before[i].least;
      axis.stride_before = before[i].stride;
      if (kernel.size() == row.axes.size()) axis.kernel = kernel[i];
      is_finite = is_finite && axis.least.has_value();
      sees_all_before = sees_all_before && sees_all(before[i], /*and_more=*/false);
      covers_map = covers_map && before[i].unknown.empty() && axis.stride_before > 0 &&
                   std::floor(static_cast<double>(axis.input) / axis.stride_before) <=
                       static_cast<double>(axis.kernel);
      row.is_critical = row.is_critical && sees_all(axis, /*and_more=*/true);
    }
    row.is_border = row.is_map && is_finite && ((sees_all_before && row.is_critical) || covers_map);
  }

  /// A layer called several times with the same fields is one row.
  void add(LayerField row) {
    const auto key = [](const LayerField& it) {
      std::vector<std::optional<std::int64_t>> numbers;
      for (const AxisField& axis : it.axes) {
        numbers.insert(numbers.end(), {axis.least, axis.most, axis.largest_finite, axis.size});
      }
      return numbers;
    };
    for (LayerField& known : rows_) {
      if (known.layer != row.layer || key(known) != key(row)) continue;
      known.multiplications += row.multiplications;
      ++known.calls;
      return;
    }
    rows_.push_back(std::move(row));
    row_calls_.push_back(tracer_->call_number());
  }

  std::shared_ptr<FieldTracer> tracer_ = std::make_shared<FieldTracer>();
  std::vector<std::int64_t> places_;
  std::vector<std::int64_t> sizes_;
  std::vector<LayerField> rows_;
  std::vector<int> row_calls_;  // of each row, the operator in which it first ran
  std::vector<int> first_axes_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
