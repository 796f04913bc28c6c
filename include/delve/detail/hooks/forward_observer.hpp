// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::all_of, std::any_of, std::none_of, …
#include <atomic>       // std::memory_order_relaxed
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <iterator>     // std::prev
#include <memory>       // std::shared_ptr, std::unique_ptr, std::weak_ptr
#include <string_view>  // std::string_view
#include <utility>      // std::exchange, std::move
#include <vector>       // std::vector

#include <ATen/record_function.h>

#include <delve/detail/hooks/hook_registry.hpp>
#include <delve/detail/hooks/operator_watcher.hpp>
#include <delve/detail/hooks/recorded_values.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

// How forwards are recognised. LibTorch calls on_operator_start() and on_operator_end() around
// every operator that a thread runs, nested ones included. A forward is an outermost operator, one
// that no other operator calls, that takes a watched weight at the place where its kind of module
// hands it over (layer_kind.hpp). A nested one never is: it is a step of the operator around it,
// which is a forward itself, or something else such as the way back through a tied convolution.
// Where nobody else listens, those within a forward or a step of backward are not even reported.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A forward between the start and the end of its operator, or waiting for its bias.
struct RecognisedForward final : at::ObserverContext {
  struct Hook {
    std::shared_ptr<HookTarget> target;
    bool training;
    bool adds_bias;              ///< the module has one, and adds it in this operator or the next
    bool leaves_out_bias;        ///< the module has one, and it is not there
    bool needs_bias;             ///< counts only if the bias comes
    torch::Tensor awaited_bias;  ///< undefined: the output is complete as it is
  };

  std::vector<Hook> hooks;
  torch::Tensor input;
  std::vector<torch::Tensor> outputs;
};

inline bool awaits_bias(const RecognisedForward::Hook& hook) {
  return hook.awaited_bias.defined();
}

/// Has LibTorch record nothing of this thread for a while. To record an operator it copies all
/// arguments and results, which takes longer than many small operators do, and within each one that
/// a program calls it runs several.
class Silence {
 public:
  void begin() {
    is_on_ = true;
    at::enableRecordFunction(false);
  }
  void end() {
    if (std::exchange(is_on_, false)) at::enableRecordFunction(true);
  }

 private:
  bool is_on_ = false;
};

struct ThreadState {
  std::shared_ptr<const HookTable> table;
  std::unique_ptr<RecognisedForward> awaiting_bias;
  int backward_depth = 0;
  // How many operators of LibTorch are running within each other; hooks, whose own operators are of
  // no interest, count as one.
  int operator_depth = 0;
  // Within an operator and within a step of backward, where nobody else listens.
  Silence of_operator;
  Silence of_backward;
  std::vector<std::weak_ptr<OperatorWatcher>> watchers;
};

/// While it lives, the thread's operators are nested ones.
class NestedScope {
 public:
  explicit NestedScope(ThreadState& thread) : thread_(thread) { ++thread_.operator_depth; }
  NestedScope(const NestedScope&) = delete;
  NestedScope& operator=(const NestedScope&) = delete;
  ~NestedScope() { --thread_.operator_depth; }

 private:
  ThreadState& thread_;
};

/// Ends the silence of an operator with the outermost one, after all else.
class EndOfSilence {
 public:
  explicit EndOfSilence(ThreadState& thread) : thread_(thread) {}
  EndOfSilence(const EndOfSilence&) = delete;
  EndOfSilence& operator=(const EndOfSilence&) = delete;
  ~EndOfSilence() {
    if (thread_.operator_depth == 0) thread_.of_operator.end();
  }

 private:
  ThreadState& thread_;
};

DELVE_SHARED inline ThreadState& thread_state() {
  thread_local ThreadState state;
  return state;
}

/// Hands a watcher this thread's operators from the next one on, if any hook is registered,
/// until the watcher dies or is removed.
inline void add_watcher(const std::shared_ptr<OperatorWatcher>& watcher) {
  thread_state().watchers.push_back(watcher);
}

/// Removes a watcher, and those that are dead.
inline void remove_watcher(const std::shared_ptr<OperatorWatcher>& watcher) {
  auto& all = thread_state().watchers;
  all.erase(
      std::remove_if(all.begin(), all.end(),
                     [&](const auto& other) { return other.expired() || other.lock() == watcher; }),
      all.end());
}

/// While alive, hands a watcher this thread's operators.
class WatchScope {
 public:
  explicit WatchScope(std::shared_ptr<OperatorWatcher> watcher) : watcher_(std::move(watcher)) {
    add_watcher(watcher_);
  }
  WatchScope(const WatchScope&) = delete;
  WatchScope& operator=(const WatchScope&) = delete;
  ~WatchScope() { remove_watcher(watcher_); }

 private:
  std::shared_ptr<OperatorWatcher> watcher_;
};

/// Calls all watchers that live. They may not add or remove any meanwhile.
template <typename Call>
void tell_watchers(const ThreadState& thread, const Call& call) {
  for (const std::weak_ptr<OperatorWatcher>& candidate : thread.watchers) {
    if (const std::shared_ptr<OperatorWatcher> watcher = candidate.lock()) call(*watcher);
  }
}

DELVE_SHARED HookRegistry& hook_registry();

/// Whether two tensors begin at the same place of the same storage. Like the next two functions,
/// this reads no data, so nothing is materialised or synchronised.
inline bool is_same_place(const torch::Tensor& a, const torch::Tensor& b) {
  return storage_of(a) == storage_of(b) && a.storage_offset() == b.storage_offset();
}

/// Whether a tensor is this weight, neither a slice of it nor another view.
inline bool is_whole(const torch::Tensor& tensor, const torch::Tensor& weight) {
  return is_same_place(tensor, weight) && tensor.sizes() == weight.sizes() &&
         tensor.strides() == weight.strides();
}

/// Whether a tensor is the transpose of this weight. The weight itself at that place is not the
/// module's forward but the way back: the decoder of a tied autoencoder.
inline bool is_transpose(const torch::Tensor& tensor, const torch::Tensor& weight) {
  return is_same_place(tensor, weight) && tensor.dim() == 2 && weight.dim() == 2 &&
         tensor.size(0) == weight.size(1) && tensor.size(1) == weight.size(0) &&
         tensor.stride(0) == weight.stride(1) && tensor.stride(1) == weight.stride(0);
}

/// Whether two biases are one, or both are missing. They are distinguished by their place: several
/// may lie in one storage.
inline bool is_same_bias(const torch::Tensor& a, const torch::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return storage_of(a) != nullptr && is_same_place(a, b);
}

/// Adds the module's hooks to the forward if these arguments are the module's. Returns whether the
/// weight is, whatever the bias.
inline bool add_if_taken_by(const WatchedModule& watched, const ForwardOperator& op,
                            const torch::Tensor& weight, const torch::Tensor& bias,
                            RecognisedForward& forward) {
  bool takes_weight = false;
  watched.visit([&](const ModuleView& module) {
    const torch::Tensor own_weight = watched.kind->weight(module);
    if (!own_weight.defined()) return;
    if (!(op.is_transposed ? is_transpose(weight, own_weight) : is_whole(weight, own_weight)))
      return;
    takes_weight = true;
    const torch::Tensor own_bias = watched.kind->bias(module);
    const bool takes_bias = op.bias >= 0 && own_bias.defined();
    const bool leaves_out_bias = takes_bias && !bias.defined();
    if (op.bias >= 0 && !leaves_out_bias && !is_same_bias(bias, own_bias)) return;
    const bool bias_comes = op.bias_follows && own_bias.defined();
    const bool adds_bias = bias_comes || (takes_bias && !leaves_out_bias);
    for (const std::weak_ptr<HookTarget>& candidate : watched.targets) {
      if (std::shared_ptr<HookTarget> target = candidate.lock()) {
        forward.hooks.push_back({std::move(target), module.is_training(), adds_bias,
                                 leaves_out_bias, /*needs_bias=*/false,
                                 bias_comes ? own_bias : torch::Tensor()});
      }
    }
  });
  return takes_weight;
}

/// Looks for the module of a weight that is not where the table says. One that computes its weight
/// in each forward is looked for each time, so the one whose turn it probably is comes first, and
/// the search ends there if it shares its weight with no other.
inline void look_everywhere(const LayerKind& kind, const ForwardOperator& op,
                            const torch::Tensor& weight, const torch::Tensor& bias,
                            const HookTable& table, RecognisedForward& forward) {
  if (op.is_transposed && weight.dim() != 2) return;  // another product of activations, most likely
  const std::size_t count = table.modules.size();
  const std::size_t first = table.next_moved.load(std::memory_order_relaxed);
  std::size_t compared = 0;
  const auto is_taken_by = [&](std::size_t place) {
    ++compared;
    if (!add_if_taken_by(table.modules[place], op, weight, bias, forward)) return false;
    table.next_moved.store((place + 1) % count, std::memory_order_relaxed);
    return true;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = (first + i) % count;
    const WatchedModule& watched = table.modules[place];
    if (watched.kind != &kind) continue;
    const std::shared_ptr<HookTarget> target = watched.target();
    if (target == nullptr || !target->is_alone() || !is_taken_by(place)) continue;
    if (forward.hooks.empty()) break;  // it has another bias, so it is not alone any more
    hook_registry().weight_has_moved(compared);
    return;
  }
  std::vector<std::size_t> sharing;  // empty, and so without memory, for what is nobody's weight
  for (std::size_t place = 0; place < count; ++place) {
    if (table.modules[place].kind == &kind && is_taken_by(place)) sharing.push_back(place);
  }
  for (const std::size_t place : sharing) {
    if (const auto target = table.modules[place].target()) target->set_alone(sharing.size() == 1);
  }
  if (!forward.hooks.empty()) hook_registry().weight_has_moved(compared);
}

/// Whether a tensor begins within the memory of this weight: it is the weight, a view or a part.
inline bool begins_within(const torch::Tensor& tensor, const torch::Tensor& weight) {
  if (storage_of(tensor) != storage_of(weight) || weight.numel() == 0) return false;
  std::int64_t last = weight.storage_offset();
  for (std::int64_t axis = 0; axis < weight.dim(); ++axis) {
    last += (weight.size(axis) - 1) * weight.stride(axis);
  }
  return weight.storage_offset() <= tensor.storage_offset() && tensor.storage_offset() <= last;
}

/// Whether an input is the weight of a watched layer, or a view of it, rather than data. The rows
/// of a table, such as an embedding's, are data.
inline bool is_watched_weight(const torch::Tensor& input, const HookTable& table) {
  auto next = table.by_weight.upper_bound(place_of(input));
  if (next == table.by_weight.begin()) return false;
  bool is_weight = false;
  for (const WatchedModule* watched : std::prev(next)->second) {
    // The table may be older than the module's weight, and another tensor lie there now.
    watched->visit([&](const ModuleView& module) {
      const torch::Tensor weight = watched->kind->weight(module);
      if (weight.defined() && begins_within(input, weight)) is_weight = !watched->kind->is_table;
    });
    if (watched->kind->is_table) return false;
  }
  return is_weight;
}

/// Leaves out the hooks of modules for which this input is no data. The product of a layer's weight
/// with itself or with another layer's is a penalty, or makes one layer of two; it is no forward:
///
/// - the weight itself, a view or a part of it, is no data, even where it is tied to the table of
///   an embedding;
/// - nor is the weight of another watched layer. Other parameters are data wherever they lie, such
///   as a learned query in the storage that it shares with all weights, and so is the table of an
///   embedding;
/// - whatever it is, it is data for a module whose own bias is added: only its forward does that.
inline void leave_out_products_of_weights(const torch::Tensor& weight, const HookTable& table,
                                          RecognisedForward& forward) {
  std::vector<RecognisedForward::Hook>& hooks = forward.hooks;
  const auto is_complete = [](const auto& hook) { return hook.adds_bias && !awaits_bias(hook); };
  if (std::all_of(hooks.begin(), hooks.end(), is_complete)) return;
  if (storage_of(forward.input) == nullptr) return;
  if (!begins_within(forward.input, weight) && !is_watched_weight(forward.input, table)) return;
  hooks.erase(
      std::remove_if(hooks.begin(), hooks.end(), [](const auto& hook) { return !hook.adds_bias; }),
      hooks.end());
  for (RecognisedForward::Hook& hook : hooks) hook.needs_bias = true;
}

/// Two modules that share weight and bias look the same from here: the one registered first counts.
inline void keep_first_module(std::vector<RecognisedForward::Hook>& hooks) {
  const void* first = hooks.front().target->module().address();
  const auto is_other = [&](const auto& hook) { return hook.target->module().address() != first; };
  if (std::none_of(hooks.begin(), hooks.end(), is_other)) return;
  for (const RecognisedForward::Hook& hook : hooks) hook.target->set_ambiguous();
  hooks.erase(std::remove_if(hooks.begin(), hooks.end(), is_other), hooks.end());
}

/// Settles which module a call without a bias belongs to: the one module that has the weight, as
/// where a program calls a function with the weight alone; none, where several modules have it.
/// Removes these hooks or keeps them.
inline void settle_without_bias(RecognisedForward& forward) {
  std::vector<RecognisedForward::Hook>& hooks = forward.hooks;
  if (hooks.empty()) return;
  // A module without a bias may have been tied to the weight since the table was made.
  if (hooks.front().target->note_call_without_bias()) hook_registry().table_is_wrong();
  const void* first = hooks.front().target->module().address();
  const auto is_other = [&](const auto& hook) { return hook.target->module().address() != first; };
  if (std::any_of(hooks.begin(), hooks.end(), is_other)) hooks.clear();
}

/// Keeps, of modules that share a weight, those whose bias is that of the call; if there are none,
/// see settle_without_bias().
inline void choose_by_bias(RecognisedForward& forward) {
  std::vector<RecognisedForward::Hook>& hooks = forward.hooks;
  const auto leaves_out = [](const auto& hook) { return hook.leaves_out_bias; };
  if (std::none_of(hooks.begin(), hooks.end(), leaves_out)) return;
  if (std::all_of(hooks.begin(), hooks.end(), leaves_out)) {
    settle_without_bias(forward);
  } else {
    hooks.erase(std::remove_if(hooks.begin(), hooks.end(), leaves_out), hooks.end());
  }
}

/// The forward that an operator with these arguments performs; nullptr if it performs none.
inline std::unique_ptr<RecognisedForward> recognise(const LayerKind& kind,
                                                    const ForwardOperator& op,
                                                    RecordedInputs inputs, const HookTable& table) {
  const torch::Tensor weight = leading_tensor(inputs, op.weight);
  const torch::Tensor input = leading_tensor(inputs, op.input);
  // Sparse and opaque weights have no storage.
  if (!weight.defined() || !input.defined() || storage_of(weight) == nullptr) return {};
  if (op.flag >= 0 && !is_flag(inputs, op.flag, op.flag_value)) return {};

  const torch::Tensor bias = leading_tensor(inputs, op.bias);
  auto forward = std::make_unique<RecognisedForward>();
  forward->input = input;
  if (const auto found = table.by_weight.find(place_of(weight)); found != table.by_weight.end()) {
    for (const WatchedModule* watched : found->second) {
      if (watched->kind == &kind) add_if_taken_by(*watched, op, weight, bias, *forward);
    }
  }
  if (forward->hooks.empty()) look_everywhere(kind, op, weight, bias, table, *forward);
  leave_out_products_of_weights(weight, table, *forward);
  choose_by_bias(*forward);
  if (forward->hooks.empty()) return {};
  // Where a bias may still come, the next operator shows whose forward it is.
  if (std::none_of(forward->hooks.begin(), forward->hooks.end(), awaits_bias)) {
    keep_first_module(forward->hooks);
  }
  return forward;
}

/// Keeps those hooks of a forward that wait for this bias, or, where it is undefined, for none.
/// Returns whether there are any.
inline bool keep_waiting_for(const torch::Tensor& bias, RecognisedForward& forward) {
  std::vector<RecognisedForward::Hook>& hooks = forward.hooks;
  hooks.erase(
      std::remove_if(hooks.begin(), hooks.end(),
                     [&](const auto& hook) { return !is_same_bias(hook.awaited_bias, bias); }),
      hooks.end());
  if (hooks.empty()) return false;
  keep_first_module(hooks);
  for (RecognisedForward::Hook& hook : hooks) hook.awaited_bias = torch::Tensor();
  return true;
}

inline void run_hooks(RecognisedForward& forward, ThreadState& thread) {
  const bool is_ours =
      std::all_of(forward.hooks.begin(), forward.hooks.end(),
                  [](const auto& hook) { return hook.target->code() == HookCode::Tracker; });
  if (!is_ours) thread.of_operator.end();  // the program may look at what its hooks run
  ForwardCall call{std::move(forward.input), std::move(forward.outputs), false};
  for (const RecognisedForward::Hook& hook : forward.hooks) {
    call.training = hook.training;
    hook.target->run(call);
  }
}

/// What an operator adds to a product; undefined where it adds nothing to it.
inline torch::Tensor added_to(const torch::Tensor& product, const at::RecordFunction& function) {
  const std::string_view name = function.name();
  const bool is_in_place = name == "aten::add_";
  if (!is_in_place && name != "aten::add") return {};
  const RecordedInputs inputs = recorded_inputs(function);
  torch::Tensor first = leading_tensor(inputs, 0);
  torch::Tensor second = leading_tensor(inputs, 1);
  if (first.defined() && first.is_same(product)) return second;
  if (!is_in_place && second.defined() && second.is_same(product)) return first;
  return {};
}

/// Whether a tensor has the shape of the bias that a product of this shape takes.
inline bool has_shape_of_bias(const torch::Tensor& tensor, const torch::Tensor& product) {
  return tensor.defined() && tensor.dim() == 1 && product.dim() > 0 &&
         tensor.size(0) == product.size(-1);
}

/// Ends a wait for a bias that does not come. The forward was that of a module without one, or a
/// call that leaves it out; its hooks run now, while nothing has touched the output yet.
/// @param other_bias whether another bias comes: then a module with one is not meant
inline void end_wait_without_bias(RecognisedForward& forward, bool other_bias,
                                  ThreadState& thread) {
  std::vector<RecognisedForward::Hook>& hooks = forward.hooks;
  if (std::all_of(hooks.begin(), hooks.end(), awaits_bias)) {
    if (other_bias) {
      hook_registry().table_is_wrong();  // it may be that of a module tied since the table was made
      return;
    }
    hooks.erase(std::remove_if(hooks.begin(), hooks.end(),
                               [](const auto& hook) { return hook.needs_bias; }),
                hooks.end());
    settle_without_bias(forward);
  } else {
    keep_waiting_for({}, forward);
  }
  const NestedScope nested(thread);
  run_hooks(forward, thread);
}

/// Ends the wait for a bias at the operator that comes next. Returns the forward if that operator
/// adds the bias; its result is then the output.
inline std::unique_ptr<RecognisedForward> end_wait(std::unique_ptr<RecognisedForward> forward,
                                                   const at::RecordFunction& next,
                                                   ThreadState& thread) {
  const torch::Tensor bias = added_to(forward->outputs.front(), next);
  const auto awaits_this = [&](const auto& hook) {
    return awaits_bias(hook) && is_same_bias(hook.awaited_bias, bias);
  };
  if (bias.defined() && std::any_of(forward->hooks.begin(), forward->hooks.end(), awaits_this)) {
    keep_waiting_for(bias, *forward);
    return forward;
  }
  end_wait_without_bias(*forward, has_shape_of_bias(bias, forward->outputs.front()), thread);
  return {};
}

/// Ends this thread's wait for a bias, if there is one: no operator may come any more. For all
/// that must know of every forward so far.
inline void end_wait() {
  ThreadState& thread = thread_state();
  if (const auto forward = std::exchange(thread.awaiting_bias, nullptr)) {
    end_wait_without_bias(*forward, /*other_bias=*/false, thread);
  }
}

inline std::unique_ptr<RecognisedForward> recognise(const at::RecordFunction& function,
                                                    ThreadState& thread) {
  if (auto awaiting = std::exchange(thread.awaiting_bias, nullptr)) {
    if (auto forward = end_wait(std::move(awaiting), function, thread)) return forward;
  }
  if (!thread.table || thread.table->version != hook_registry().version()) {
    thread.table = hook_registry().table();
  }
  const auto found = thread.table->operators.find(function.name());
  if (found == thread.table->operators.end()) return {};
  for (const HookTable::Operator& op : found->second) {
    if (auto forward = recognise(*op.kind, *op.forward, recorded_inputs(function), *thread.table)) {
      return forward;
    }
  }
  return {};
}

/// Ends a forward together with its operator.
inline void finish(RecognisedForward& forward, const at::RecordFunction& function,
                   ThreadState& thread) {
  forward.outputs = recorded_outputs(function);
  if (forward.outputs.empty()) return;  // the kernel threw: no forward took place
  if (std::any_of(forward.hooks.begin(), forward.hooks.end(), awaits_bias)) {
    thread.awaiting_bias = std::make_unique<RecognisedForward>(std::move(forward));
  } else {
    run_hooks(forward, thread);
  }
}

/// Whether nobody but us listens to an operator or a step, nor to the operators within it.
inline bool is_for_us_alone(const at::RecordFunction& function) {
  return is_for_one_callback(function) && !at::hasThreadLocalCallbacks();
}

/// Whether a step of backward is worth silence: one of LibTorch's own, "AddmmBackward0", which runs
/// nothing of the program's, for us alone, and several operators. The turning back of a weight,
/// "TBackward0", is a single one.
inline bool is_worth_silence(const at::RecordFunction& step) {
  const std::string_view name = step.name();
  constexpr std::string_view kOwn = "Backward0";
  const bool is_own = name.size() > kOwn.size() && name.find(':') == std::string_view::npos &&
                      name.substr(name.size() - kOwn.size()) == kOwn;
  return is_own && name != "TBackward0" && is_for_us_alone(step) &&
         at::getStepCallbacks(at::RecordScope::FUNCTION).callbacks_.size() == 1;
}

// LibTorch calls on_operator_end() for whatever on_operator_start() was called for, even where that
// threw; so depths are counted before anything else is done.

inline std::unique_ptr<at::ObserverContext> on_operator_start(const at::RecordFunction& function) {
  ThreadState& thread = thread_state();
  if (function.scope() == at::RecordScope::BACKWARD_FUNCTION) {
    const bool is_outermost = thread.backward_depth++ == 0;
    end_wait();
    if (is_outermost && is_worth_silence(function)) thread.of_backward.begin();
    return {};
  }
  const bool is_nested = thread.operator_depth > 0;
  const bool is_of_libtorch = is_libtorch_operator(function);
  if (is_of_libtorch) ++thread.operator_depth;
  // Backward takes weights too, and TorchScript's does so at the very places of a forward.
  if (is_nested || thread.backward_depth > 0) return {};
  const NestedScope own(thread);  // looking at weights may run operators
  auto forward = recognise(function, thread);
  // What a layer runs within its operator is no forward, nor what hooks run.
  if (forward && is_of_libtorch && is_for_us_alone(function)) thread.of_operator.begin();
  tell_watchers(thread, [&](OperatorWatcher& watcher) { watcher.begin(function); });
  return forward;
}

inline void on_operator_end(const at::RecordFunction& function, at::ObserverContext* context) {
  ThreadState& thread = thread_state();
  if (function.scope() == at::RecordScope::BACKWARD_FUNCTION) {
    if (--thread.backward_depth == 0) thread.of_backward.end();
    return;
  }
  const EndOfSilence end(thread);
  const NestedScope hooks(thread);  // before the operator's own count ends, whatever may throw
  if (is_libtorch_operator(function)) --thread.operator_depth;
  // A depth of one is that of the scope above: this operator was an outermost one.
  if (thread.operator_depth == 1 && thread.backward_depth == 0) {
    tell_watchers(thread, [&](OperatorWatcher& watcher) { watcher.end(function); });
  }
  if (context != nullptr) finish(static_cast<RecognisedForward&>(*context), function, thread);
}

/// Never destroyed: an operator that began before the last hook went ends after it.
DELVE_SHARED inline HookRegistry& hook_registry() {
  static auto& registry = *new HookRegistry(
      at::RecordFunctionCallback(on_operator_start, on_operator_end)
          .needsInputs(true)
          .needsOutputs(true)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  return registry;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
