// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>   // std::size_t
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <string>    // std::string
#include <vector>    // std::vector

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <delve/detail/fields/field.hpp>
#include <delve/detail/fields/index_map.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// An operator that has run: its arguments, and what is known of those that are tensors.
struct TracedCall {
  std::string name;  ///< "conv2d"; the in-place form has the same name
  std::vector<c10::IValue> arguments;
  std::vector<std::vector<std::optional<Trace>>> traces;  ///< of each argument's tensors
  std::vector<at::Tensor> outputs;

  [[nodiscard]] std::string full_name() const { return "aten::" + name; }

  /// The trace of an argument that is one tensor; nullptr where it does not descend from the input.
  [[nodiscard]] const Trace* trace(std::size_t place) const {
    if (place >= traces.size() || traces[place].size() != 1 || !traces[place][0]) return nullptr;
    return &*traces[place][0];
  }
  /// All traces, in the order of the arguments.
  [[nodiscard]] std::vector<const Trace*> all() const {
    std::vector<const Trace*> all;
    for (const auto& argument : traces) {
      for (const auto& trace : argument) {
        if (trace) all.push_back(&*trace);
      }
    }
    return all;
  }
  [[nodiscard]] const c10::IValue& argument(std::size_t place) const {
    static const c10::IValue none;
    return place < arguments.size() ? arguments[place] : none;
  }
  [[nodiscard]] at::Tensor tensor(std::size_t place) const {
    return argument(place).isTensor() ? argument(place).toTensor() : at::Tensor();
  }
  [[nodiscard]] std::int64_t number(std::size_t place, std::int64_t otherwise) const {
    const c10::IValue& value = argument(place);
    return value.isInt() ? value.toInt() : otherwise;
  }
  [[nodiscard]] bool flag(std::size_t place) const {
    return argument(place).isBool() && argument(place).toBool();
  }
  /// A number, or a list of them.
  [[nodiscard]] std::vector<std::int64_t> numbers(std::size_t place) const {
    const c10::IValue& value = argument(place);
    if (value.isInt()) return {value.toInt()};
    return value.isIntList() ? value.toIntVector() : std::vector<std::int64_t>();
  }
  /// The same for each of `count` axes; a list of one number is for all of them.
  [[nodiscard]] std::vector<std::int64_t> numbers(std::size_t place, std::size_t count,
                                                  std::int64_t otherwise) const {
    std::vector<std::int64_t> all = numbers(place);
    if (all.empty()) all = {otherwise};
    if (all.size() == 1) all.assign(count, all[0]);
    all.resize(count, otherwise);
    return all;
  }

  [[nodiscard]] Trace unknown(const at::Tensor& output) const {
    return lost_trace(output.sizes(), all().front()->fields.size(), full_name());
  }
};

inline std::int64_t wrapped(std::int64_t place, std::int64_t rank) {
  return place < 0 ? place + rank : place;
}

/// Applies an operator that reads positions of one axis of a tensor. The axis gets a new size.
inline void read_along(Trace& trace, std::int64_t place, const IndexMap& map, std::int64_t size,
                       const std::string& op) {
  Dim& dim = trace.dim(place);
  if (!dim.has_positions()) {
    dim = plain_dim(size);
    return;
  }
  if (!dim.is_one_axis()) {
    for (const Factor& factor : dim.factors) {
      if (factor.axis >= 0) trace.field(factor.axis) = lost(op);
    }
    dim = plain_dim(size);
    return;
  }
  const int axis = dim.factors[0].axis;
  trace.field(axis) = after(trace.field(axis), map, size, op);
  dim.factors[0].size = size;
}

/// Removes an axis whose positions were summed over.
inline void remove_mixed(Trace& trace, std::int64_t place) {
  trace.mix(place);
  trace.dims.erase(trace.dims.begin() + place);
}

/// What an output sees. Called with outputs that are defined.
using Rule = Trace (*)(const TracedCall& call, std::size_t output);

/// Arguments as bits: 0b101 is the first and the third.
using Arguments = unsigned;

struct OperatorRule {
  OperatorRule(Rule which) : rule(which) {}  // NOLINT(google-explicit-constructor): most are so
  OperatorRule(Rule which, Arguments read, Arguments required)
      : rule(which), reads(read), needs(required) {}

  Rule rule;
  Arguments reads = 1;  ///< those that the rule looks at: other traced ones make it unknown
  Arguments needs = 1;  ///< those that must be traced tensors
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
