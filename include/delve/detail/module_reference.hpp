// SPDX-License-Identifier: MIT
#pragma once

#include <memory>  // std::shared_ptr, std::weak_ptr

#include <torch/nn/module.h>

namespace delve::detail {

/// A module that somebody else owns. One on the stack has no owner to ask whether it still lives:
/// it must outlive the reference.
class ModuleReference {
 public:
  explicit ModuleReference(const torch::nn::Module& module)
      : module_(&module), owner_(module.weak_from_this()), is_owned_(!owner_.expired()) {}

  /// Calls the visitor with the module, which cannot die meanwhile; or not at all where it is dead.
  template <typename Visitor>
  void visit(const Visitor& visitor) const {
    const std::shared_ptr<const torch::nn::Module> owner = owner_.lock();
    if (owner || !is_owned_) visitor(*module_);
  }

  /// Tells modules apart. Not to be dereferenced.
  [[nodiscard]] const torch::nn::Module* address() const { return module_; }

 private:
  const torch::nn::Module* module_;
  std::weak_ptr<const torch::nn::Module> owner_;
  bool is_owned_;
};

}  // namespace delve::detail
