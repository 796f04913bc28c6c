// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <memory>       // std::make_unique
#include <mutex>        // std::lock_guard
#include <set>          // std::set
#include <stdexcept>    // std::invalid_argument, std::runtime_error
#include <string>       // std::string
#include <type_traits>  // std::decay_t, std::enable_if_t, std::is_invocable_v, …
#include <utility>      // std::forward, std::move, std::pair
#include <vector>       // std::vector

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/modules/container/any.h>

#include <delve/detail/fields/field_recorder.hpp>
#include <delve/detail/fields/training_fields.hpp>
#include <delve/detail/hooks/forward_observer.hpp>
#include <delve/detail/hooks/probe_scope.hpp>
#include <delve/field_advice.hpp>
#include <delve/forward_hook.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

/// Puts modules into evaluation, and each back into the mode that it had.
class EvalScope {
 public:
  explicit EvalScope(const Modules& modules) {
    for (const NamedModule& root : modules) remember(root.module);
    for (const NamedModule& root : modules) set(root.module, /*training=*/false);
  }
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;
  ~EvalScope() {
    // train() reaches all that is below: a module comes after all that it is part of.
    for (auto it = modes_.rbegin(); it != modes_.rend(); ++it) set(it->first, it->second);
  }

 private:
  void remember(const ModuleView& module) {
    if (!seen_.insert(module.address()).second) return;
    for (const auto& [name, child] : module.children()) remember(child);
    modes_.emplace_back(module, module.is_training());
  }
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

/// Keeps the state of the random numbers of the host and of the devices that parameters are on.
class RandomScope {
 public:
  explicit RandomScope(const Modules& modules) {
    keep(c10::Device(c10::kCPU));
    for (const NamedModule& root : modules) keep_below(root.module);
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
  void keep_below(const ModuleView& module) {
    for (const torch::Tensor& parameter : module.parameters(/*recurse=*/true)) {
      if (parameter.defined() && parameter.is_cuda()) keep(parameter.device());
    }
  }

  void keep(c10::Device device) {
    for (const auto& [generator, state] : states_) {
      if (generator.device() == device) return;
    }
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    states_.emplace_back(generator, generator.get_state());
  }

  std::vector<std::pair<at::Generator, at::Tensor>> states_;
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
    for (const FoundLayer& layer : layers_) {
      hooks_.push_back(register_forward_hook(
          layer.module, [this, &layer](const ForwardCall& call) { layer_ran(layer, call); }));
    }
  }
  FieldWatch(const FieldWatch&) = delete;
  FieldWatch& operator=(const FieldWatch&) = delete;
  ~FieldWatch() = default;

  [[nodiscard]] FieldRecorder& recorder() { return recorder_; }
  [[nodiscard]] const FieldRecorder& recorder() const { return recorder_; }
  [[nodiscard]] bool found_a_layer() const { return !layers_.empty(); }

  /// To be called once.
  template <typename Function>
  void run(const Function& forward) {
    end_wait();  // of a forward that is none of ours
    {
      const WatchScope scope(recorder_.tracer());
      const ProbeScope probe;
      forward();
      end_wait();
    }
    for (const RemovableHandle& hook : hooks_) hook.check();
    hooks_.clear();
  }

  [[nodiscard]] ReceptiveFields fields() const {
    ReceptiveFields fields;
    fields.input = recorder_.sizes();
    fields.layers = recorder_.rows();
    fields.largest_finite = recorder_.tracer()->largest_finite();
    for (const FoundLayer& layer : layers_) {
      if (called_.count(layer.name) > 0) continue;
      LayerField& row = fields.layers.emplace_back();
      row.layer = layer.name;
      row.kind = layer.kind->name;
      row.parameters = parameter_count(layer.module);
    }
    return fields;
  }

 private:
  void layer_ran(const FoundLayer& layer, const ForwardCall& call) {
    called_.insert(layer.name);
    const std::vector<std::int64_t> places =
        position_axes(*layer.kind, layer.kind->layout(layer.module), call.input.dim());
    if (recorder_.rows().empty()) recorder_.note_first_axes(call.input, places);
    if (!recorder_.has_input() && !places.empty()) {
      recorder_.begin_at(*layer.kind, call, places);
    }
    recorder_.add(layer.name, *layer.kind, layer.module, call);
  }

  FieldRecorder recorder_;
  std::vector<FoundLayer> layers_;
  std::vector<RemovableHandle> hooks_;
  std::set<std::string> called_;
};

/// Calls forward() of a model, or of what a holder or pointer holds.
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

inline ReceptiveFields finished(const FieldWatch& watch, const std::vector<std::int64_t>& places) {
  if (!watch.found_a_layer()) {
    throw std::invalid_argument(
        "delve::receptive_fields: the model has no layer of a known kind; kinds are " +
        layer_kind_names());
  }
  if (!watch.recorder().saw_a_layer()) {
    throw std::runtime_error(
        "delve::receptive_fields: no layer of the model ran. Was another model called, or does "
        "at::RecordFunctionGuard(false) or at::DisableRecordFunctionGuard keep LibTorch from "
        "reporting its operators?");
  }
  if (places.empty()) {
    throw std::invalid_argument(
        "delve::receptive_fields: the input has no axis of positions, unlike a picture "
        "(B, C, H, W), a sound (B, C, T) or a series (B, T, D)");
  }
  return watch.fields();
}

/// Adds what the network would be without some of its downsampling, if it has border layers.
/// @param watched watches a forward in which the strides of these operators are not counted
template <typename Watched>
void add_removals(const FieldWatch& watch, ReceptiveFields& fields, const Watched& watched) {
  if (watch.recorder().border().empty()) return;
  const std::vector<StrideGroup> groups = watch.recorder().stride_groups();
  const auto add = [&](std::size_t first, std::size_t end) {
    StrideRemoval removal;
    std::vector<int> calls;
    double multiplications = watch.recorder().multiplications_from(0, 1);
    double times = 1;
    for (std::size_t i = first; i < end; ++i) {
      calls.insert(calls.end(), groups[i].calls.begin(), groups[i].calls.end());
      removal.where.insert(removal.where.end(), groups[i].where.begin(), groups[i].where.end());
      multiplications +=
          watch.recorder().multiplications_from(groups[i].first_call, times * groups[i].ratio) -
          watch.recorder().multiplications_from(groups[i].first_call, times);
      times *= groups[i].ratio;
    }
    removal.border = watched(calls)->recorder().border();
    removal.multiplications = static_cast<std::int64_t>(multiplications);
    fields.removals.push_back(std::move(removal));
  };
  const auto last_suffices = [&] { return fields.removals.back().border.empty(); };
  bool any_suffices = false;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    add(i, i + 1);
    any_suffices = any_suffices || last_suffices();
  }
  for (std::size_t end = 2; end <= groups.size() && !any_suffices; ++end) {
    add(0, end);
    any_suffices = last_suffices();
  }
}

/// A copy of a tensor, as the model may write into its input; all else as it is.
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
    watch.recorder().add_input(input, places);
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
/// not run comes last, without an output. Reads shapes and arguments, no data. Runs the forward
/// twice, and where there are border layers once or twice more for each downsampling; no tracker
/// counts these forwards. An operator that is not known makes what follows "unknown", by its name.
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
  const detail::RandomScope random(modules);
  const auto watched = [&](const std::vector<std::int64_t>& places,
                           const std::vector<int>& ignored) {
    auto watch = std::make_unique<detail::FieldWatch>(modules);
    watch->recorder().tracer()->ignore_strides_of(ignored);
    const auto run = [&](const torch::Tensor& own, const More&... others) {
      watch->recorder().add_input(own, places);
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
  std::vector<std::int64_t> places(scout->recorder().first_axes().begin(),
                                   scout->recorder().first_axes().end());
  if (places.empty()) places = detail::position_axes(input);
  if (places.empty() || !scout->recorder().saw_a_layer()) return detail::finished(*scout, places);
  const auto watch = watched(places, {});
  ReceptiveFields fields = detail::finished(*watch, places);
  detail::add_removals(*watch, fields,
                       [&](const std::vector<int>& calls) { return watched(places, calls); });
  return fields;
}

/// The same for models that are not run by one call of forward(): runs the function once, which
/// must call the model. The input is that of the first layer with positions.
/// @param forward runs the model once
template <typename Function, typename = std::enable_if_t<std::is_invocable_v<const Function&>>>
ReceptiveFields receptive_fields(const Modules& modules, const Function& forward) {
  const torch::NoGradGuard no_grad;
  const detail::EvalScope eval(modules);
  const detail::RandomScope random(modules);
  detail::FieldWatch watch(modules);
  watch.run(forward);
  return detail::finished(watch, watch.recorder().places());
}

/// The same as feasible_input_sizes(receptive_fields(model, input, …)).
template <typename Model, typename... More>
FeasibleInputSizes feasible_input_sizes(Model&& model, const torch::Tensor& input,
                                        const More&... more) {
  return feasible_input_sizes(receptive_fields(std::forward<Model>(model), input, more...));
}

}  // namespace DELVE_ABI
}  // namespace delve
