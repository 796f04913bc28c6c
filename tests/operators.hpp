// SPDX-License-Identifier: MIT
#pragma once

#include <map>     // std::map
#include <memory>  // std::unique_ptr
#include <set>     // std::set
#include <string>  // std::string

#include <ATen/ATen.h>
#include <ATen/record_function.h>

namespace delve_test {

/// The operators that were called in this thread while it lives, without what these call in turn:
/// on the host a product of a batch calls hundreds, on a device none.
class Operators {
 public:
  Operators() {
    names().clear();
    inner().clear();
    depth() = 0;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end));
  }
  ~Operators() { at::removeCallback(handle_); }
  Operators(const Operators&) = delete;
  Operators& operator=(const Operators&) = delete;

  [[nodiscard]] static int count(const std::string& name) {
    const auto found = names().find("aten::" + name);
    return found != names().end() ? found->second : 0;
  }

  /// Those that give a tensor of other shape on the same memory.
  [[nodiscard]] static int views() {
    static const std::set<std::string> kViews = {
        "alias",  "as_strided", "detach",  "diagonal",  "expand",         "flatten", "movedim",
        "narrow", "permute",    "reshape", "select",    "_reshape_alias", "slice",   "squeeze",
        "t",      "transpose",  "unbind",  "unsqueeze", "view",           "view_as"};
    int views = 0;
    for (const std::string& name : kViews) views += count(name);
    return views;
  }

  /// Those that only take memory.
  [[nodiscard]] static int empties() {
    return count("empty") + count("empty_like") + count("empty_strided") + count("resize_");
  }

  /// All others: on a device each of them starts a kernel, or copies.
  [[nodiscard]] static int computing() {
    int all = 0;
    for (const auto& [name, number] : names()) all += number;
    return all - views() - empties();
  }

  /// Whether one ran that waits for the device, or may.
  [[nodiscard]] static bool waited() {
    const auto ran = [](const char* name) { return inner().count(name) > 0; };
    return ran("aten::item") || ran("aten::nonzero") || ran("aten::_local_scalar_dense");
  }

  /// By name, with "aten::".
  static std::map<std::string, int>& names() {
    thread_local std::map<std::string, int> names;
    return names;
  }

 private:
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    inner().insert(function.name());
    if (depth()++ == 0) ++names()[function.name()];
    return nullptr;
  }
  static void end(const at::RecordFunction& /*function*/, at::ObserverContext* /*context*/) {
    --depth();
  }
  /// The names of all, those that others called as well.
  static std::set<std::string>& inner() {
    thread_local std::set<std::string> names;
    return names;
  }
  static int& depth() {
    thread_local int depth = 0;
    return depth;
  }

  at::CallbackHandle handle_;
};

}  // namespace delve_test
