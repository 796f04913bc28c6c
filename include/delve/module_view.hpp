// SPDX-License-Identifier: MIT
#pragma once

#include <functional>   // std::reference_wrapper
#include <memory>       // std::shared_ptr
#include <stdexcept>    // std::invalid_argument
#include <string>       // std::string
#include <type_traits>  // std::enable_if_t, std::is_base_of_v
#include <utility>      // std::declval, std::move, std::pair
#include <variant>      // std::variant
#include <vector>       // std::vector

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

template <typename Module, typename = void>
struct IsHolder : std::false_type {};
template <typename Module>
struct IsHolder<
    Module, std::enable_if_t<std::is_convertible_v<decltype(std::declval<const Module&>().ptr()),
                                                   std::shared_ptr<const torch::nn::Module>>>>
    : std::true_type {};

template <typename Module>
inline constexpr bool is_module = std::is_base_of_v<torch::nn::Module, Module>;
template <typename Module>
inline constexpr bool is_script_module = std::is_base_of_v<torch::jit::Module, Module>;
template <typename Module>
inline constexpr bool is_pointer =
    std::is_convertible_v<const Module&, std::shared_ptr<const torch::nn::Module>>;

}  // namespace detail

/// Whether a ModuleView can be made of it.
template <typename Module>
inline constexpr bool is_module_like =
    detail::is_module<Module> || detail::is_script_module<Module> || detail::is_pointer<Module> ||
    detail::IsHolder<Module>::value;

/// A module of LibTorch's own, or one that torch::jit::load made of a TorchScript file. Implicitly
/// made from a value, a shared_ptr, or a holder such as torch::nn::Linear. Owns a TorchScript
/// module only; one of LibTorch's own must outlive it.
class ModuleView {
 public:
  /// @throws std::invalid_argument where there is no module behind the pointer or holder
  template <typename Module, typename = std::enable_if_t<is_module_like<Module>>>
  ModuleView(const Module& module)  // NOLINT(google-explicit-constructor): a model is enough
      : module_(stored(module)) {}

  /// nullptr where it is a TorchScript module.
  [[nodiscard]] const torch::nn::Module* nn() const {
    const auto* module = std::get_if<Native>(&module_);
    return module != nullptr ? &module->get() : nullptr;
  }

  /// nullptr where it is one of LibTorch's own.
  [[nodiscard]] const torch::jit::Module* script() const {
    return std::get_if<torch::jit::Module>(&module_);
  }

  [[nodiscard]] bool is_training() const {
    return nn() != nullptr ? nn()->is_training() : script()->is_training();
  }

  /// The name of its class: "torch::nn::LinearImpl"; of a TorchScript module "Linear".
  [[nodiscard]] std::string type_name() const {
    return nn() != nullptr ? nn()->name() : script()->type()->name()->name();
  }

  /// In the order of their registration.
  [[nodiscard]] std::vector<std::pair<std::string, ModuleView>> children() const {
    std::vector<std::pair<std::string, ModuleView>> children;
    if (nn() != nullptr) {
      for (const auto& child : nn()->named_children()) {
        children.emplace_back(child.key(), child.value());
      }
    } else {
      for (const auto& child : script()->named_children()) {
        children.emplace_back(child.name, child.value);
      }
    }
    return children;
  }

  /// Its own parameters, and those of all below it if wished. Some may be undefined.
  [[nodiscard]] std::vector<torch::Tensor> parameters(bool recurse) const {
    if (nn() != nullptr) return nn()->parameters(recurse);
    std::vector<torch::Tensor> parameters;
    for (const torch::Tensor parameter : script()->parameters(recurse)) {
      parameters.push_back(parameter);
    }
    return parameters;
  }

  /// Tells modules apart.
  [[nodiscard]] const void* address() const {
    return nn() != nullptr ? static_cast<const void*>(nn()) : script()->_ivalue().get();
  }

 private:
  using Native = std::reference_wrapper<const torch::nn::Module>;
  using Stored = std::variant<Native, torch::jit::Module>;

  template <typename Module>
  static Stored stored(const Module& module) {
    if constexpr (detail::is_module<Module>) {
      return Native(module);
    } else if constexpr (detail::is_script_module<Module>) {
      return static_cast<const torch::jit::Module&>(module);
    } else if constexpr (detail::is_pointer<Module>) {
      if (module == nullptr) throw std::invalid_argument("delve: the module is a null pointer");
      return Native(*module);
    } else {
      if (module.is_empty()) throw std::invalid_argument("delve: the module holder is empty");
      return Native(*module.ptr());
    }
  }

  Stored module_;
};

}  // namespace DELVE_ABI
}  // namespace delve
