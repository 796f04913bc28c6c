// SPDX-License-Identifier: MIT
#pragma once

#include <exception>  // std::rethrow_exception
#include <memory>     // std::shared_ptr
#include <stdexcept>  // std::invalid_argument
#include <utility>    // std::exchange, std::move

#include <delve/detail/hooks/forward_observer.hpp>
#include <delve/forward_call.hpp>
#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Removes its hook on remove() or on destruction. Move-only.
///
/// Thread-safe as far as distinct handles go. When remove() returns, the hook may still be running
/// in another thread that was in the middle of a forward; it will not be started again.
class [[nodiscard]] RemovableHandle {
 public:
  RemovableHandle() = default;
  explicit RemovableHandle(std::shared_ptr<detail::HookTarget> target)
      : target_(std::move(target)) {}
  RemovableHandle(RemovableHandle&&) noexcept = default;
  RemovableHandle& operator=(RemovableHandle&& other) noexcept {
    remove();
    target_ = std::move(other.target_);
    return *this;
  }
  ~RemovableHandle() { remove(); }

  /// Removes the hook; a second call does nothing.
  void remove() {
    if (target_) detail::end_wait();
    if (const auto target = std::exchange(target_, nullptr)) detail::hook_registry().remove(target);
  }

  /// Rethrows the first exception that the hook threw. A hook that throws does not disturb the
  /// forward, and is called again: check here, where an exception can be caught.
  void check() const {
    if (!target_) return;
    detail::end_wait();
    if (const std::exception_ptr error = target_->error()) std::rethrow_exception(error);
  }

  /// Whether forwards of this module could not be distinguished from those of another hooked
  /// module, for they share weight and bias. Then the one registered first was given them all.
  [[nodiscard]] bool is_ambiguous() const { return target_ && target_->is_ambiguous(); }

 private:
  std::shared_ptr<detail::HookTarget> target_;
};

namespace detail {

/// The same as register_forward_hook(), for forwards of this kind alone.
inline RemovableHandle register_forward_hook_of_kind(const ModuleView& module,
                                                     const LayerKind& kind, ForwardHook hook,
                                                     HookCode code = HookCode::Program) {
  auto target = std::make_shared<HookTarget>(module, kind, std::move(hook), code);
  hook_registry().add(target);
  return RemovableHandle(std::move(target));
}

}  // namespace detail

/// Registers a hook that is called after every forward pass of a module: what PyTorch's
/// register_forward_hook does in Python, and LibTorch does not offer. The module and the model
/// around it stay as they are.
///
///     auto handle = delve::register_forward_hook(net->fc1, [](const delve::ForwardCall& call) {
///       std::cout << call.outputs[0].sizes() << '\n';
///     });
///
/// @param module one of a kind that layer_kinds() lists: a torch::nn::Module by value (then it must
///   outlive the handle), as a holder or as a shared_ptr; or a torch::jit::Module. It is not kept
///   alive. It may be moved to another device, loaded and trained meanwhile; clones of it are other
///   modules and are not seen.
/// @param hook called in the thread of the forward, in its grad, inference and autocast mode, as
///   soon as the output is there and before anything in place happens to it. It may change the
///   output in place. Operators that it runs call no hooks. Several hooks of a module run in the
///   order in which they were registered.
///
/// A forward is recognised by the operator that takes the module's weight: calling
/// torch::nn::functional with the weight of a module counts as its forward, with its bias or
/// without. Where a bias may still be added to a product, the hook is called once the thread's next
/// operator begins. Forwards that are recomputed in backward do not count again. Costs about 0.2 µs
/// an operator while any hook in the process is registered, and nothing when none is; an operator
/// of a hooked kind whose weight is not watched (another model's Linear) has its weight compared
/// with all watched ones of that kind.
///
/// Thread-safe, but for that comparison: no thread may move or replace the weight of a hooked
/// module while another runs operators of its kind. Never synchronises a device.
/// @throws std::invalid_argument where the module's kind is not listed. One without a weight, such
///   as BatchNorm2d with affine(false), is taken, but its forwards are not recognised.
inline RemovableHandle register_forward_hook(const ModuleView& module, ForwardHook hook) {
  const LayerKind* kind = layer_kind_of(module);
  if (kind == nullptr) {
    throw std::invalid_argument("delve::register_forward_hook: a " + module.type_name() +
                                " cannot be hooked; these can: " + layer_kind_names());
  }
  if (!hook) throw std::invalid_argument("delve::register_forward_hook: the hook is empty");
  return detail::register_forward_hook_of_kind(module, *kind, std::move(hook));
}

}  // namespace DELVE_ABI
}  // namespace delve
