// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max, std::min, std::sort
#include <cmath>        // std::floor
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <memory>       // std::make_unique
#include <mutex>        // std::lock_guard
#include <optional>     // std::optional
#include <set>          // std::set
#include <stdexcept>    // std::invalid_argument, std::runtime_error
#include <string>       // std::string
#include <type_traits>  // std::decay_t, std::enable_if_t, std::is_invocable_v, …
#include <utility>      // std::forward, std::move, std::pair
#include <vector>       // std::vector

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/modules/container/any.h>

#include <delve/detail/fields/field_tracer.hpp>
#include <delve/detail/hooks/forward_observer.hpp>
#include <delve/forward_hook.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/module_view.hpp>

namespace delve {

namespace detail {

/// Whether this axis, on the shortest path, sees at least, or more than, the whole input.
inline bool sees_all(const AxisField& axis, bool and_more) {
  if (!axis.unknown.empty()) return false;
  if (!axis.least) return true;
  return and_more ? *axis.least > axis.input : *axis.least >= axis.input;
}

/// The part of the longest field that lies inside of the input.
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
    axis.largest_finite = finite_length(field);
    if (field.least) axis.least = field.least->lengths().first;
    if (field.everything || !field.most) {
      axis.inside = axis.input;
    } else {
      axis.most = field.most->lengths().second;
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
  if (module.nn() != nullptr) {
    for (const torch::Tensor& parameter : module.nn()->parameters(/*recurse=*/false)) {
      if (parameter.defined()) count += parameter.numel();
    }
  } else {
    for (const torch::Tensor parameter : module.script()->parameters(/*recurse=*/false)) {
      count += parameter.numel();
    }
  }
  return count;
}

/// Products of two numbers that a forward of this kind forms.
inline std::int64_t multiplication_count(const LayerKind& kind, const ModuleView& module,
                                         const ForwardCall& call) {
  const torch::Tensor weight = kind.weight(module);
  const torch::Tensor& output = call.outputs.front();
  if (!weight.defined() || kind.is_table) return 0;
  if (weight.dim() == 1) return output.numel();
  if (kind.family == LayerFamily::Convolution) {
    const bool is_transposed = kind.operators.front().name.find("transpose") != std::string::npos;
    const torch::Tensor& many = is_transposed ? call.input : output;
    return many.numel() * (weight.numel() / weight.size(0));
  }
  if (kind.family == LayerFamily::Linear && kind.operators.front().bias != 4) {
    return output.numel() / weight.size(0) * weight.numel();
  }
  std::int64_t products = 0;  // recurrent: each row meets all matrices
  if (module.nn() != nullptr) {
    for (const torch::Tensor& parameter : module.nn()->parameters(false)) {
      if (parameter.dim() == 2) products += parameter.numel();
    }
  } else {
    for (const torch::Tensor parameter : module.script()->parameters(false)) {
      if (parameter.dim() == 2) products += parameter.numel();
    }
  }
  return call.input.numel() / call.input.size(-1) * products;
}

/// Puts modules into evaluation, and each back into the mode that it had.
class EvalScope {
 public:
  explicit EvalScope(const Modules& modules) {
    for (const NamedModule& root : modules) remember(root.module);
    for (const NamedModule& root : modules) set_below(root.module);
  }
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;
  ~EvalScope() {
    // train() reaches all that is below: outer modules first, and inner ones have the last word.
    for (const auto& [module, mode] : modes_) set(module, mode);
  }

 private:
  void remember(const ModuleView& module) {
    if (!seen_.insert(module.address()).second) return;
    modes_.emplace_back(module, module.is_training());
    for (const auto& [name, child] : module.children()) remember(child);
  }
  static void set_below(const ModuleView& module) { set(module, /*training=*/false); }
  static void set(const ModuleView& module, bool training) {
    if (module.nn() != nullptr) {
      // A ModuleView only reads; what was handed in can be written.
      const_cast<torch::nn::Module*>(module.nn())->train(training);  // NOLINT
    } else {
      torch::jit::Module script = *module.script();
      script.train(training);
    }
  }

  std::set<const void*> seen_;
  std::vector<std::pair<ModuleView, bool>> modes_;
};

/// Keeps the state of the random numbers of a device and of the host.
class RandomScope {
 public:
  explicit RandomScope(c10::Device device) {
    keep(c10::Device(c10::kCPU));
    if (!device.is_cpu()) keep(device);
  }
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;
  ~RandomScope() {
    for (auto& [generator, state] : states_) {
      const std::lock_guard<std::mutex> lock(generator.mutex());
      generator.set_state(state);
    }
  }

 private:
  void keep(c10::Device device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    states_.emplace_back(generator, generator.get_state());
  }

  std::vector<std::pair<at::Generator, at::Tensor>> states_;
};

/// Operators that together make maps smaller.
struct StrideGroup {
  std::vector<int> calls;
  std::vector<std::string> where;
  int first_call = 0;
  double ratio = 1;  ///< how many positions become one
};

/// Watches one forward.
class FieldWatch {
 public:
  /// @param modules whose layers are looked at
  explicit FieldWatch(const Modules& modules) {
    for (FoundLayer& layer : find_layers(modules)) {
      if (layer.kind == nullptr || !layer.kind->by_default) continue;
      layers_.push_back(std::move(layer));
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      hooks_.push_back(register_forward_hook(
          layers_[i].module, [this, i](const ForwardCall& call) { layer_ran(i, call); }));
    }
  }
  FieldWatch(const FieldWatch&) = delete;
  FieldWatch& operator=(const FieldWatch&) = delete;
  ~FieldWatch() = default;

  void add_input(const torch::Tensor& tensor, const std::vector<std::int64_t>& places) {
    tracer_.add_input(tensor, places);
    places_ = places;
    sizes_.clear();
    for (const std::int64_t place : places) sizes_.push_back(tensor.size(place));
    is_input_given_ = true;
  }

  /// Once.
  template <typename Function>
  void run(const Function& forward) {
    {
      const WatchScope scope(tracer_);
      forward();
    }
    end_wait();
    for (const RemovableHandle& hook : hooks_) hook.check();
    hooks_.clear();
  }

  /// Which of the axes that were made inputs the first layer takes for positions.
  [[nodiscard]] const std::vector<int>& first_axes() const { return first_axes_; }
  /// Those of the input; empty where none was found.
  [[nodiscard]] const std::vector<std::int64_t>& places() const { return places_; }
  [[nodiscard]] bool saw_a_layer() const { return !rows_.empty(); }
  [[nodiscard]] bool found_a_layer() const { return !layers_.empty(); }

  void ignore_strides_of(std::vector<int> calls) { tracer_.ignore_strides_of(std::move(calls)); }

  /// The operators that make maps smaller: those that do so from and to the same stride, side by
  /// side as in a block with a shortcut, together.
  [[nodiscard]] std::vector<StrideGroup> stride_groups() const {
    std::vector<StrideGroup> groups;
    const std::vector<Downsampling>& all = tracer_.downsamplings();
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

  /// The products of all layers, if the maps from this operator on were so many times larger.
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

  [[nodiscard]] ReceptiveFields fields() const {
    ReceptiveFields fields;
    fields.input = sizes_;
    fields.layers = rows_;
    fields.largest_finite = tracer_.largest_finite();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (called_.count(i) > 0) continue;
      LayerField& row = fields.layers.emplace_back();
      row.layer = layers_[i].name;
      row.kind = layers_[i].kind->name;
      row.parameters = parameter_count(layers_[i].module);
    }
    return fields;
  }

 private:
  void layer_ran(std::size_t index, const ForwardCall& call) {
    const FoundLayer& layer = layers_[index];
    called_.insert(index);
    const std::vector<std::int64_t> places =
        position_axes(*layer.kind, layer.kind->layout(layer.module), call.input.dim());
    if (rows_.empty()) note_first_axes(call.input, places);
    if (!is_input_given_ && !places.empty()) begin_here(*layer.kind, call, places);

    LayerField row;
    row.layer = layer.name;
    row.kind = layer.kind->name;
    row.output = call.outputs.front().sizes().vec();
    row.parameters = parameter_count(layer.module);
    row.multiplications = multiplication_count(*layer.kind, layer.module, call);
    row.calls = 1;
    if (const std::optional<Trace> trace = tracer_.trace_of(call.outputs.front())) {
      row.axes = axis_fields(*trace, sizes_);
      row.notes.assign(trace->notes.begin(), trace->notes.end());
      judge(row, *trace, tracer_.trace_of(call.input), layer.kind->weight(layer.module));
    }
    add(std::move(row));
  }

  /// "conv1" of a layer's own operator, "max_pool2d behind conv1" of another one.
  [[nodiscard]] std::string place_of_call(const Downsampling& found) const {
    std::string before;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (row_calls_[i] == found.call) return rows_[i].layer;
      if (row_calls_[i] < found.call) before = rows_[i].layer;
    }
    return before.empty() ? found.op : fmt::format("{} behind {}", found.op, before);
  }

  void note_first_axes(const torch::Tensor& input, const std::vector<std::int64_t>& places) {
    const std::optional<Trace> trace = tracer_.trace_of(input);
    if (!trace) return;
    for (const std::int64_t place : places) {
      for (const Factor& factor : trace->dim(place).factors) {
        if (factor.axis >= 0) first_axes_.push_back(factor.axis);
      }
    }
    std::sort(first_axes_.begin(), first_axes_.end());
  }

  /// Takes this layer's input for the network's.
  void begin_here(const LayerKind& kind, const ForwardCall& call,
                  const std::vector<std::int64_t>& places) {
    add_input(call.input, places);
    if (kind.family == LayerFamily::Linear && !kind.is_table) {
      add_input(call.outputs.front(), places);  // it may have run before its bias came
    } else {
      tracer_.repeat_last();
    }
  }

  void judge(LayerField& row, const Trace& trace, const std::optional<Trace>& input,
             const torch::Tensor& weight) const {
    row.is_map = true;
    for (int axis = 0; axis < trace.axes(); ++axis) {
      row.is_map = row.is_map && trace.place_of(axis) >= 0;
    }
    if (!input) return;
    const std::vector<AxisField> before = axis_fields(*input, sizes_);
    const std::size_t kernels =
        weight.defined() && weight.dim() > 2 ? static_cast<std::size_t>(weight.dim() - 2) : 0;
    bool sees_all_before = true;
    bool covers_map = row.axes.size() == kernels;
    row.is_critical = row.is_map;
    for (std::size_t i = 0; i < row.axes.size(); ++i) {
      AxisField& axis = row.axes[i];
      axis.least_before = before[i].least;
      axis.stride_before = before[i].stride;
      if (kernels == row.axes.size()) axis.kernel = weight.size(static_cast<std::int64_t>(i) + 2);
      sees_all_before = sees_all_before && sees_all(before[i], /*and_more=*/false);
      covers_map = covers_map && before[i].unknown.empty() && axis.stride_before > 0 &&
                   std::floor(static_cast<double>(axis.input) / axis.stride_before) <=
                       static_cast<double>(axis.kernel);
      row.is_critical = row.is_critical && sees_all(axis, /*and_more=*/true);
    }
    row.is_border = row.is_map && ((sees_all_before && row.is_critical) || covers_map);
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
    row_calls_.push_back(tracer_.call_number());
  }

  FieldTracer tracer_;
  std::vector<FoundLayer> layers_;
  std::vector<RemovableHandle> hooks_;
  std::vector<std::int64_t> places_;
  std::vector<std::int64_t> sizes_;
  std::vector<LayerField> rows_;
  std::vector<int> row_calls_;  // of each row, the operator that it first ran by
  std::set<std::size_t> called_;
  std::vector<int> first_axes_;
  bool is_input_given_ = false;
};

/// What a model is called by: itself, or what a holder or pointer holds.
template <typename Model, typename... Inputs>
void call_forward(Model& model, const Inputs&... inputs) {
  using Plain = std::decay_t<Model>;
  if constexpr (is_script_module<Plain>) {
    torch::jit::Module script = model;
    script.forward(std::vector<c10::IValue>{inputs...});
  } else if constexpr (is_module<Plain> || std::is_same_v<Plain, torch::nn::AnyModule>) {
    const_cast<Plain&>(model).forward(inputs...);  // NOLINT: forward() is not const
  } else {
    Plain copy = model;  // of a pointer
    copy->forward(inputs...);
  }
}

template <typename Model>
Modules modules_of(const Model& model) {
  if constexpr (std::is_same_v<std::decay_t<Model>, torch::nn::AnyModule>) {
    return Modules(model.ptr());
  } else {
    return Modules(model);
  }
}

inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, " × "));
}

inline ReceptiveFields finished(const FieldWatch& watch, const std::vector<std::int64_t>& places) {
  if (!watch.found_a_layer()) {
    throw std::invalid_argument(
        "delve::receptive_fields: the model has no layer that is known. Kinds: " +
        layer_kind_names());
  }
  if (!watch.saw_a_layer()) {
    throw std::runtime_error(
        "delve::receptive_fields: no layer of the model ran. Was another model called, or does "
        "at::RecordFunctionGuard(false) or at::DisableRecordFunctionGuard keep LibTorch from "
        "reporting its operators?");
  }
  if (places.empty()) {
    throw std::invalid_argument(
        "delve::receptive_fields: the input has no axis of positions, as a picture (B, C, H, W), a "
        "sound (B, C, T) or a series (B, T, D) has");
  }
  return watch.fields();
}

/// Adds what would be without some of the downsampling, where there are border layers.
/// @param watched watches a forward in which the strides of these operators are not counted
template <typename Watched>
void add_removals(const FieldWatch& watch, ReceptiveFields& fields, const Watched& watched) {
  if (watch.border().empty()) return;
  const std::vector<StrideGroup> groups = watch.stride_groups();
  const auto add = [&](std::size_t first, std::size_t end) {
    StrideRemoval removal;
    std::vector<int> calls;
    double multiplications = watch.multiplications_from(0, 1);
    double times = 1;
    for (std::size_t i = first; i < end; ++i) {
      calls.insert(calls.end(), groups[i].calls.begin(), groups[i].calls.end());
      removal.where.insert(removal.where.end(), groups[i].where.begin(), groups[i].where.end());
      multiplications += watch.multiplications_from(groups[i].first_call, times * groups[i].ratio) -
                         watch.multiplications_from(groups[i].first_call, times);
      times *= groups[i].ratio;
    }
    removal.border = watched(calls)->border();
    removal.multiplications = static_cast<std::int64_t>(multiplications);
    fields.removals.push_back(std::move(removal));
  };
  for (std::size_t i = 0; i < groups.size(); ++i) add(i, i + 1);
  for (std::size_t end = 2; end <= groups.size(); ++end) {
    if (fields.removals.back().border.empty() && end > 2) break;
    add(0, end);
  }
}

/// A copy of what is a tensor: the model may write into its input.
template <typename Input>
Input copy_of(const Input& input) {
  if constexpr (std::is_same_v<Input, torch::Tensor>) {
    return input.clone();
  } else {
    return input;
  }
}

/// Further inputs of the same shape along these axes are inputs, too; all others are constants.
template <typename Input>
void add_if_alike(const Input& input, const torch::Tensor& first,
                  const std::vector<std::int64_t>& places, FieldWatch& watch) {
  if constexpr (std::is_same_v<Input, torch::Tensor>) {
    if (!input.defined() || input.dim() != first.dim()) return;
    for (const std::int64_t place : places) {
      if (input.size(place) != first.size(place)) return;
    }
    watch.add_input(input, places);
  }
}

}  // namespace detail

/// What each layer of a model sees of an input of this size: its receptive field, by watching the
/// operators of one forward. That runs in evaluation and without gradients; then the model is as it
/// was: modes, running statistics, gradients, random numbers.
///
///     std::cout << delve::receptive_fields(model, torch::randn({1, 3, 32, 32}));
///
/// All layers that a tracker would find by default, in the order of their forward; one that does
/// not run comes last, without an output. Reads shapes and arguments, no data; costs little more
/// than the forward. An operator that is not known makes what follows "unknown", by its name.
/// @param model a module, holder, shared_ptr, AnyModule or torch::jit::Module
/// @param input (B, C, positions…) or (B, positions…, D): the first layer tells which axes are
///   positions. It is not written to
/// @param more further arguments of forward(). Tensors with the same positions are inputs, too
/// @throws std::invalid_argument where the input has no axis of positions, or the model no layer;
///   std::runtime_error where no layer ran; and all that forward() throws
/// @see Richter et al., arXiv 2106.12307, whose definitions these are
template <typename Model, typename... More>
ReceptiveFields receptive_fields(Model&& model, const torch::Tensor& input, const More&... more) {
  const Modules modules = detail::modules_of(model);
  const torch::NoGradGuard no_grad;
  const detail::EvalScope eval(modules);
  const detail::RandomScope random(input.device());
  const auto watched = [&](const std::vector<std::int64_t>& places,
                           const std::vector<int>& ignored) {
    auto watch = std::make_unique<detail::FieldWatch>(modules);
    watch->ignore_strides_of(ignored);
    const auto run = [&](const torch::Tensor& own, const More&... others) {
      watch->add_input(own, places);
      (detail::add_if_alike(others, own, places, *watch), ...);
      watch->run([&] { detail::call_forward(model, own, others...); });
    };
    run(input.clone(), detail::copy_of(more)...);
    return watch;
  };
  // Any axis may be one of positions; the first layer tells which are.
  std::vector<std::int64_t> all;
  for (std::int64_t place = 0; place < input.dim(); ++place) all.push_back(place);
  const auto scout = watched(all, {});
  std::vector<std::int64_t> places(scout->first_axes().begin(), scout->first_axes().end());
  if (places.empty()) places = detail::position_axes(input);
  if (places.empty() || !scout->saw_a_layer()) return detail::finished(*scout, places);
  const auto watch = watched(places, {});
  ReceptiveFields fields = detail::finished(*watch, places);
  detail::add_removals(*watch, fields,
                       [&](const std::vector<int>& calls) { return watched(places, calls); });
  return fields;
}

/// The same for all that has no forward() of one call: runs the function once, which is to call the
/// model. The input is that of the first layer with positions.
/// @param forward runs the model once
template <typename Function, typename = std::enable_if_t<std::is_invocable_v<const Function&>>>
ReceptiveFields receptive_fields(const Modules& modules, const Function& forward) {
  const torch::NoGradGuard no_grad;
  const detail::EvalScope eval(modules);
  const detail::RandomScope random(c10::Device(c10::kCPU));
  detail::FieldWatch watch(modules);
  watch.run(forward);
  return detail::finished(watch, watch.places());
}

/// The same as feasible_input_sizes(receptive_fields(model, input, …)).
template <typename Model, typename... More>
FeasibleInputSizes feasible_input_sizes(Model&& model, const torch::Tensor& input,
                                        const More&... more) {
  return feasible_input_sizes(receptive_fields(std::forward<Model>(model), input, more...));
}

}  // namespace delve
