// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>  // std::initializer_list
#include <set>               // std::set
#include <stdexcept>         // std::invalid_argument
#include <string>            // std::string
#include <type_traits>       // std::enable_if_t
#include <utility>           // std::move
#include <vector>            // std::vector

#include <fmt/format.h>

#include <delve/layer_kind.hpp>
#include <delve/module_view.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// A module to look for layers in, with a prefix for their names if wished. Implicitly made from
/// all that a ModuleView can be made of.
struct NamedModule {
  template <typename Module, typename = std::enable_if_t<is_module_like<Module>>>
  NamedModule(const Module& root)  // NOLINT(google-explicit-constructor): a model is enough
      : module(root) {}
  NamedModule(std::string prefix, const ModuleView& root) : name(std::move(prefix)), module(root) {}

  std::string name;
  ModuleView module;
};

/// What a tracker is given to track: one module, or several, `{{"generator", g}, {"critic", c}}`.
class Modules {
 public:
  template <typename Module, typename = std::enable_if_t<is_module_like<Module>>>
  Modules(const Module& module)  // NOLINT(google-explicit-constructor): a model is enough
      : modules_{NamedModule(module)} {}
  Modules(std::initializer_list<NamedModule> modules) : modules_(modules) {}
  Modules(std::vector<NamedModule> modules) : modules_(std::move(modules)) {}

  [[nodiscard]] auto begin() const { return modules_.begin(); }
  [[nodiscard]] auto end() const { return modules_.end(); }

 private:
  std::vector<NamedModule> modules_;
};

/// A layer found: its name, its kind, and the module handed in that it was found in.
struct FoundLayer {
  std::string
      name;  ///< those of the children on the way to it, "features-0"; a root has its kind's
  const LayerKind* kind;  ///< nullptr where its kind cannot be tracked
  ModuleView module;
  ModuleView root;
};

namespace detail {

inline std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "-" + name;
}

/// Adds a module and all below it, in the order of their registration. One that is registered in
/// several places is found in the first.
inline void find_layers_below(const ModuleView& module, const std::string& name,
                              const ModuleView& root, std::set<const void*>& seen,
                              std::vector<FoundLayer>& found) {
  if (!seen.insert(module.address()).second) return;
  const LayerKind* kind = layer_kind_of(module);
  const auto children = module.children();
  if (kind != nullptr || children.empty()) {
    const bool is_nameless = name.empty() && kind != nullptr;
    found.push_back({is_nameless ? std::string(kind->name) : name, kind, module, root});
  }
  for (const auto& [child_name, child] : children) {
    find_layers_below(child, joined(name, child_name), root, seen, found);
  }
}

/// Freezing makes a TorchScript module's weights constants of its code, where nobody finds them.
inline void refuse_frozen(const NamedModule& root) {
  if (root.module.script() == nullptr || root.module.script()->parameters().size() > 0) return;
  throw std::invalid_argument(fmt::format(
      "delve: the TorchScript module \"{}\" has no parameters, as after torch.jit.freeze: its "
      "layers cannot be distinguished. Hand over the module as it was before that",
      root.name.empty() ? root.module.type_name() : root.name));
}

}  // namespace detail

/// All leaves of the modules, and all layers whose kind is known, in the order of their
/// registration.
/// @throws std::invalid_argument where two layers whose kind is known bear one name, or a
///   TorchScript module is frozen
inline std::vector<FoundLayer> find_layers(const Modules& modules) {
  std::vector<FoundLayer> found;
  std::set<const void*> seen;
  for (const NamedModule& root : modules) {
    detail::refuse_frozen(root);
    detail::find_layers_below(root.module, root.name, root.module, seen, found);
  }
  std::set<std::string> names;
  for (const FoundLayer& layer : found) {
    if (layer.kind != nullptr && !names.insert(layer.name).second) {
      throw std::invalid_argument(fmt::format(
          "delve: two layers are called \"{}\"; give the modules names: {{{{\"first\", a}}, "
          "{{\"second\", b}}}}",
          layer.name));
    }
  }
  return found;
}

}  // namespace DELVE_ABI
}  // namespace delve
