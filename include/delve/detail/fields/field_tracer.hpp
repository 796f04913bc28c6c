// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>      // std::find, std::max, std::sort
#include <cmath>          // std::abs
#include <cstddef>        // std::size_t
#include <cstdint>        // std::int64_t
#include <exception>      // std::exception
#include <optional>       // std::optional
#include <string>         // std::string
#include <unordered_map>  // std::unordered_map
#include <utility>        // std::move, std::pair
#include <vector>         // std::vector

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/core/Storage.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <delve/detail/fields/operator_rules.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/detail/hooks/operator_watcher.hpp>
#include <delve/detail/hooks/recorded_values.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A convolution or pool that left fewer positions.
struct Downsampling {
  int call;                    ///< its number among the operators of the forward, from 1
  std::string op;              ///< "max_pool2d"
  std::vector<double> before;  ///< strides of its input's fields, one per axis
  std::vector<double> after;   ///< and of its output's
};

/// Keeps, for each tensor that descends from the network's input, what of the input it sees. Reads
/// shapes and arguments alone: no data, no device.
class FieldTracer final : public OperatorWatcher {
 public:
  /// Makes a tensor an input: each of its positions sees itself.
  /// @param places its axes of positions
  void add_input(const at::Tensor& tensor, const std::vector<std::int64_t>& places) {
    Trace trace;
    for (const std::int64_t size : tensor.sizes()) trace.dims.push_back(plain_dim(size));
    for (std::size_t axis = 0; axis < places.size(); ++axis) {
      trace.dim(places[axis]).factors = {{tensor.size(places[axis]), static_cast<int>(axis)}};
    }
    trace.fields.resize(places.size());
    axes_ = places.size();
    largest_finite_.resize(axes_);
    set(tensor, std::move(trace));
  }

  /// What a tensor sees; nothing where it does not descend from an input.
  [[nodiscard]] std::optional<Trace> trace_of(const at::Tensor& tensor) const {
    if (!tensor.defined()) return std::nullopt;
    const c10::TensorImpl* const impl = tensor.unsafeGetTensorImpl();
    if (const auto found = traces_.find(impl); found != traces_.end()) return found->second.trace;
    // data() and the like make another tensor of the same numbers, without an operator.
    if (!tensor.has_storage()) return std::nullopt;
    for (const auto& [address, live] : traces_) {
      if (live.is_same_view(*impl)) return live.trace;
    }
    if (const auto found = written_.find(storage_in(tensor));
        found != written_.end() && !found->second.expired()) {
      return lost_trace(tensor.sizes(), axes_, "a write through a view");
    }
    return std::nullopt;
  }

  /// Runs the rule of the operator that ended last once more, after one of its inputs became known.
  void repeat_last() noexcept {
    try {
      for (std::size_t i = 0; i < call_.arguments.size(); ++i)
        call_.traces[i] = traces_in(call_.arguments[i]);
      apply();
    } catch (...) {
      forget();
    }
  }

  void begin(const at::RecordFunction& function) noexcept override {
    try {
      const RecordedInputs inputs = recorded_inputs(function);
      if (!is_libtorch_operator(function)) {
        scopes_.push_back(traced_in(inputs));
        return;
      }
      call_ = {};
      ++call_number_;
      call_.name = function.name() + kLibtorchPrefix.size();
      is_in_place_ = call_.name.size() > 1 && call_.name.back() == '_' && call_.name[0] != '_';
      if (is_in_place_) call_.name.pop_back();
      for (const c10::IValue& value : inputs) {
        call_.arguments.push_back(value);
        call_.traces.push_back(traces_in(value));
      }
      const bool is_ignored =
          std::find(ignored_.begin(), ignored_.end(), call_number_) != ignored_.end();
      if (is_ignored) ignore_stride();
    } catch (...) {
      call_ = {};
      forget();
    }
  }

  void end(const at::RecordFunction& function) noexcept override {
    try {
      std::vector<at::Tensor> outputs = recorded_outputs(function);
      if (is_libtorch_operator(function)) {
        call_.outputs = std::move(outputs);
        apply();
      } else {
        end_scope(function.name(), outputs);
      }
    } catch (...) {
      forget();
    }
  }

  /// The longest finite field so far, per axis.
  [[nodiscard]] const std::vector<std::int64_t>& largest_finite() const { return largest_finite_; }

  /// The downsamplings so far, in the order in which they ran.
  [[nodiscard]] const std::vector<Downsampling>& downsamplings() const { return downsamplings_; }

  /// From here on, computes fields as if these operators had a stride of 1, and as if pools among
  /// them were not there at all. What they really do stays as it is.
  /// @param calls the numbers of operators, as in Downsampling
  void ignore_strides_of(std::vector<int> calls) { ignored_ = std::move(calls); }

  /// Whether something went wrong, so that nothing is known.
  [[nodiscard]] bool has_failed() const { return has_failed_; }

  /// How many operators have begun.
  [[nodiscard]] int call_number() const { return call_number_; }

 private:
  /// A tensor that lives, or lived. While this exists its address stays taken, but not its storage.
  struct Live {
    c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> tensor;
    const void* storage;
    Trace trace;

    [[nodiscard]] bool is_same_view(const c10::TensorImpl& other) const {
      if (tensor.expired() || !other.has_storage()) return false;
      const c10::TensorImpl& own = *tensor._unsafe_get_target();
      return storage == other.unsafe_storage().unsafeGetStorageImpl() &&
             own.storage_offset() == other.storage_offset() && own.sizes() == other.sizes() &&
             own.strides() == other.strides();
    }
  };

  static const void* storage_in(const at::Tensor& tensor) {
    return tensor.has_storage()
               ? tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl()
               : nullptr;
  }

  void set(const at::Tensor& tensor, Trace trace) {
    for (std::size_t axis = 0; axis < trace.fields.size(); ++axis) {
      const std::int64_t positions = trace.positions(static_cast<int>(axis));
      largest_finite_[axis] =
          std::max(largest_finite_[axis], finite_length(trace.fields[axis], positions));
    }
    traces_.erase(tensor.unsafeGetTensorImpl());
    traces_.emplace(tensor.unsafeGetTensorImpl(),
                    Live{c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>(
                             tensor.getIntrusivePtr()),
                         storage_in(tensor), std::move(trace)});
  }

  [[nodiscard]] std::vector<std::optional<Trace>> traces_in(const c10::IValue& value) const {
    std::vector<std::optional<Trace>> traces;
    if (value.isTensor()) {
      traces.push_back(trace_of(value.toTensor()));
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) traces.push_back(trace_of(tensor));
    } else if (value.isList()) {  // of tensors that may be missing: indices
      for (const c10::IValue& entry : value.toListRef()) {
        if (entry.isTensor()) traces.push_back(trace_of(entry.toTensor()));
      }
    }
    return traces;
  }

  /// The tensors among arguments that descend from the input.
  [[nodiscard]] std::vector<const c10::TensorImpl*> traced_in(RecordedInputs inputs) const {
    std::vector<const c10::TensorImpl*> traced;
    for (const c10::IValue& value : inputs) {
      if (value.isTensor() && trace_of(value.toTensor())) {
        traced.push_back(value.toTensor().unsafeGetTensorImpl());
      } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorVector()) {
          if (trace_of(tensor)) traced.push_back(tensor.unsafeGetTensorImpl());
        }
      }
    }
    return traced;
  }

  /// What a user-defined operator does is known from LibTorch's operators within it; without any it
  /// is unknown. Other scopes only name what runs within them.
  void end_scope(const std::string& name, const std::vector<at::Tensor>& outputs) {
    if (scopes_.empty()) return;
    const std::vector<const c10::TensorImpl*> inputs = std::move(scopes_.back());
    scopes_.pop_back();
    if (inputs.empty()) return;
    for (const at::Tensor& output : outputs) {
      if (!output.defined()) continue;
      const bool is_input =
          std::find(inputs.begin(), inputs.end(), output.unsafeGetTensorImpl()) != inputs.end();
      if (is_input || !trace_of(output)) set(output, lost_trace(output.sizes(), axes_, name));
    }
  }

  [[nodiscard]] bool is_pool() const { return call_.name.find("_pool") != std::string::npos; }

  /// Convolutions have the stride at 3, pools at 2 and the kernel at 1.
  void ignore_stride() {
    const std::vector<std::int64_t> ones(3, 1);
    call_.arguments.at(is_pool() ? 2 : 3) = c10::IValue(ones);
    if (!is_pool()) return;
    call_.arguments.at(1) = c10::IValue(ones);
    call_.arguments.at(3) = c10::IValue(std::vector<std::int64_t>(3, 0));
  }

  static std::vector<double> strides_of(const Trace& trace) {
    std::vector<double> strides;
    for (const Field& field : trace.fields) {
      const std::optional<FieldMap>& map = field.least ? field.least : field.most;
      strides.push_back(map && field.unknown.empty() ? std::abs(map->stride()) : 0);
    }
    return strides;
  }

  void note_downsampling(const Trace& output) {
    const Trace* const input = call_.trace(0);
    const bool has_stride =
        (call_.name.rfind("conv", 0) == 0 || call_.name == "_convolution" ||
         call_.name.rfind("max_pool", 0) == 0 || call_.name.rfind("avg_pool", 0) == 0) &&
        call_.name.find("transpose") == std::string::npos;
    if (input == nullptr || !has_stride) return;
    Downsampling found{call_number_, call_.name, strides_of(*input), strides_of(output)};
    bool is_further = false;
    for (std::size_t axis = 0; axis < found.before.size(); ++axis) {
      is_further = is_further || (found.before[axis] > 0 && found.after[axis] > found.before[axis]);
    }
    if (is_further) downsamplings_.push_back(std::move(found));
  }

  /// For an operator that writes into an output argument, removes that argument: what it held is
  /// lost.
  void drop_out_argument() {
    if (is_in_place_ || call_.outputs.empty() || call_.arguments.size() < 2) return;
    const c10::IValue& last = call_.arguments.back();
    if (!last.isTensor() || !last.toTensor().is_same(call_.outputs.front())) return;
    call_.arguments.pop_back();
    call_.traces.pop_back();
    is_out_ = true;
  }

  /// Whether no output descends from the input.
  [[nodiscard]] bool is_untraced() const {
    if (call_.all().empty()) return true;
    if (call_.name == "copy") return call_.trace(1) == nullptr;
    if (takes_form_of_second(call_.name)) return call_.trace(0) == nullptr;
    if (!makes_anew(call_.name)) return false;
    // The tensor that it resembles does not matter; numbers that it is computed from do.
    for (std::size_t place = 1; place < call_.traces.size(); ++place) {
      if (call_.trace(place) != nullptr) return false;
    }
    return is_in_place_ || call_.name != "normal";
  }

  [[nodiscard]] Trace trace_by_rule(std::size_t output) const {
    const OperatorRule* const rule = rule_of(call_.name);
    if (rule == nullptr) return call_.unknown(call_.outputs[output]);
    for (std::size_t place = 0; place < call_.traces.size(); ++place) {
      const Arguments bit = place < 32 ? 1U << place : 0;
      bool is_traced = false;
      for (const std::optional<Trace>& trace : call_.traces[place]) is_traced |= trace.has_value();
      const bool is_missed = is_traced && (rule->reads & bit) == 0;
      const bool is_lacking = (rule->needs & bit) != 0 && call_.trace(place) == nullptr;
      if (is_missed || is_lacking) return call_.unknown(call_.outputs[output]);
    }
    try {
      Trace trace = rule->rule(call_, output);
      if (trace.rank() == call_.outputs[output].dim()) return trace;
    } catch (const std::exception&) {
      return call_.unknown(call_.outputs[output]);  // arguments of another form than expected
    }
    return call_.unknown(call_.outputs[output]);
  }

  void apply() {
    is_out_ = false;
    drop_out_argument();
    const bool is_untraced_now = is_untraced();
    for (std::size_t i = 0; i < call_.outputs.size(); ++i) {
      const at::Tensor& output = call_.outputs[i];
      if (!output.defined()) continue;
      if (is_untraced_now) {
        if (is_in_place_ || is_out_) traces_.erase(output.unsafeGetTensorImpl());
        continue;
      }
      Trace trace = trace_by_rule(i);
      if (i == 0) note_downsampling(trace);
      if (is_in_place_ || is_out_) write_through(output, trace);
      set(output, std::move(trace));
    }
  }

  /// Whether two tensors of one storage begin at the same position of each axis of positions.
  static bool begins_alike(const at::Tensor& a, const c10::TensorImpl& b, const Trace& trace) {
    std::int64_t apart = std::abs(a.storage_offset() - b.storage_offset());
    std::vector<std::pair<std::int64_t, bool>> strides;  // and whether the axis has positions
    for (std::int64_t place = 0; place < trace.rank() && place < a.dim(); ++place) {
      if (a.stride(place) > 0)
        strides.emplace_back(a.stride(place), trace.dim(place).has_positions());
    }
    std::sort(strides.rbegin(), strides.rend());
    for (const auto& [stride, has_positions] : strides) {
      if (has_positions && apart / stride > 0) return false;
      apart %= stride;
    }
    return apart == 0;
  }

  /// What is written into a tensor is in every other tensor of its storage, too.
  void write_through(const at::Tensor& output, const Trace& written) {
    const void* const storage = storage_in(output);
    if (storage == nullptr) return;
    const auto before = traces_.find(output.unsafeGetTensorImpl());
    if (before != traces_.end() && before->second.trace.fields == written.fields) return;
    for (auto& [address, live] : traces_) {
      if (live.storage != storage || address == output.unsafeGetTensorImpl()) continue;
      if (live.tensor.expired()) continue;
      const bool is_alike = begins_alike(output, *live.tensor._unsafe_get_target(), written);
      for (int axis = 0; axis < written.axes(); ++axis) {
        const bool is_same = is_alike && live.trace.positions(axis) == written.positions(axis);
        live.trace.field(axis) =
            is_same ? merged(live.trace.field(axis), written.field(axis), call_.full_name())
                    : lost(call_.full_name() + "_ through a view");
      }
    }
    c10::Storage copy = output.storage();
    written_.emplace(
        storage,
        c10::weak_intrusive_ptr<c10::StorageImpl>(
            c10::intrusive_ptr<c10::StorageImpl>::reclaim(copy.unsafeReleaseStorageImpl())));
  }

  void forget() {
    has_failed_ = true;
    traces_.clear();
  }

  std::unordered_map<const c10::TensorImpl*, Live> traces_;
  // Storages into which something that descends from the input was written. Their addresses stay
  // taken.
  std::unordered_map<const void*, c10::weak_intrusive_ptr<c10::StorageImpl>> written_;
  std::size_t axes_ = 0;
  std::vector<std::int64_t> largest_finite_;
  TracedCall call_;
  int call_number_ = 0;
  std::vector<int> ignored_;
  std::vector<Downsampling> downsamplings_;
  // The traced arguments of scopes that are no operators of LibTorch's.
  std::vector<std::vector<const c10::TensorImpl*>> scopes_;
  bool is_in_place_ = false;
  bool is_out_ = false;
  bool has_failed_ = false;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
