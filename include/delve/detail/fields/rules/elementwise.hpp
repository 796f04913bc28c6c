// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t

#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// Operators that keep each position by itself.

namespace delve {
inline namespace DELVE_ABI {
namespace detail::rules {

inline Trace elementwise(const TracedCall& call, std::size_t output) {
  return detail::elementwise(call.all(), call.outputs[output].sizes(), call.full_name());
}

/// Only the first argument counts, element by element.
inline Trace first(const TracedCall& call, std::size_t output) {
  return detail::elementwise({call.trace(0)}, call.outputs[output].sizes(), call.full_name());
}

/// where(condition, a, b); with a condition alone it finds places.
inline Trace where(const TracedCall& call, std::size_t output) {
  if (call.arguments.size() < 2) return call.unknown(call.outputs[output]);
  return elementwise(call, output);
}

/// copy_(input, source): nothing of what was there stays.
inline Trace copy(const TracedCall& call, std::size_t output) {
  return detail::elementwise({call.trace(1)}, call.outputs[output].sizes(), call.full_name());
}

/// The same as first(). Not counted: it divides by a statistic of more than one position.
inline Trace normalised(const TracedCall& call, std::size_t output) {
  Trace trace = first(call, output);
  trace.notes.insert("statistics of " + call.name + " not counted");
  return trace;
}

/// Over the last axes alone, as many as `normalized_shape` has.
inline Trace layer_norm(const TracedCall& call, std::size_t output) {
  Trace trace = first(call, output);
  const auto count = static_cast<std::int64_t>(call.numbers(1).size());
  for (std::int64_t place = trace.rank() - count; place < trace.rank(); ++place) {
    if (trace.dim(place).has_positions()) return normalised(call, output);
  }
  return trace;
}

/// In evaluation its statistics are constants.
inline Trace batch_norm(const TracedCall& call, std::size_t output) {
  return call.flag(5) ? normalised(call, output) : first(call, output);
}

}  // namespace detail::rules
}  // namespace DELVE_ABI
}  // namespace delve
