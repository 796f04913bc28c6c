// SPDX-License-Identifier: MIT
#pragma once

#include <memory>    // std::shared_ptr, std::weak_ptr
#include <optional>  // std::optional

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A module that somebody else owns. One on the stack has no owner to ask whether it still lives:
/// it must outlive the reference.
class ModuleReference {
 public:
  explicit ModuleReference(const ModuleView& module) : address_(module.address()) {
    if (module.script() != nullptr) {
      script_.emplace(module.script()->_ivalue());
    } else {
      native_ = module.nn();
      owner_ = native_->weak_from_this();
      is_owned_ = !owner_.expired();
    }
  }

  /// Calls the visitor with the module, which cannot die meanwhile; or not at all where it is dead.
  template <typename Visitor>
  void visit(const Visitor& visitor) const {
    if (script_) {
      if (const auto object = script_->lock()) visitor(ModuleView(torch::jit::Module(object)));
      return;
    }
    const std::shared_ptr<const torch::nn::Module> owner = owner_.lock();
    if (owner || !is_owned_) visitor(ModuleView(*native_));
  }

  /// Tells modules apart. Not to be dereferenced.
  [[nodiscard]] const void* address() const { return address_; }

 private:
  const void* address_;
  const torch::nn::Module* native_ = nullptr;
  std::weak_ptr<const torch::nn::Module> owner_;
  bool is_owned_ = false;
  std::optional<c10::weak_intrusive_ptr<c10::ivalue::Object>> script_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
