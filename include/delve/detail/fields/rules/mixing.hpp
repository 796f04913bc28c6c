// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::find
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <vector>     // std::vector

#include <ATen/core/Tensor.h>

#include <delve/detail/fields/rules/elementwise.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// Operators that mix all positions of an axis.

namespace delve {
inline namespace DELVE_ABI {
namespace detail::rules {

/// softmax, cumsum, …: dim is argument 1, and stays.
inline Trace along_dim(const TracedCall& call, std::size_t output) {
  if (!call.argument(1).isInt()) return call.unknown(call.outputs[output]);
  Trace trace = first(call, output);
  trace.mix(wrapped(call.number(1, 0), trace.rank()));
  return trace;
}

/// One half of an axis times the sigmoid of the other.
inline Trace glu(const TracedCall& call, std::size_t output) {
  Trace trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(1, -1), trace.rank());
  trace.mix(place);
  trace.dim(place) = plain_dim(call.outputs[output].size(place));
  return trace;
}

/// A sum, mean or maximum over axes: argument 1 names them; where it is none, all are meant.
inline Trace reduction(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  if (call.argument(1).isTensor()) return elementwise(call, output);  // max(a, b)
  Trace trace = *call.trace(0);
  std::vector<std::int64_t> places;  // where no axis is left, argument 1 may be a type
  for (const std::int64_t place : call.numbers(1)) {
    if (result.dim() > 0) places.push_back(wrapped(place, trace.rank()));
  }
  const bool keeps = result.dim() == trace.rank();
  for (std::int64_t place = trace.rank() - 1; place >= 0; --place) {
    const bool is_meant =
        places.empty() || std::find(places.begin(), places.end(), place) != places.end();
    if (!is_meant) continue;
    trace.mix(place);
    if (!keeps) {
      trace.dims.erase(trace.dims.begin() + place);
      continue;
    }
    for (Factor& factor : trace.dim(place).factors) factor.size = 1;
    trace.dim(place).before = trace.dim(place).behind = 0;
  }
  if (trace.rank() != result.dim()) return call.unknown(result);
  return trace;
}

/// norm(input, p, dim, …) and var(input, dim, …) differ in where the axes are.
inline Trace norm(const TracedCall& call, std::size_t output) {
  TracedCall shifted = call;
  if (!shifted.arguments.empty()) shifted.arguments.erase(shifted.arguments.begin() + 1);
  return reduction(shifted, output);
}

/// lstm, gru, rnn_tanh, rnn_relu (input, states, weights, biases?, layers, dropout, training,
/// bidirectional, batch_first): each step sees the whole series. The second form, of a packed
/// series, no longer knows the time of each row.
inline Trace recurrent(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  if (call.trace(0)->rank() < 2) return call.unknown(result);
  if (call.argument(3).isTensorList())
    return call.unknown(result);  // packed; else weights are at 2
  Trace trace = *call.trace(0);
  trace.mix(trace.rank() - 1);
  const std::int64_t series = trace.rank() == 3 && call.flag(8) ? 1 : 0;
  trace.mix(series);
  if (output == 0) {
    trace.dim(trace.rank() - 1) = plain_dim(result.size(-1));
    return trace;
  }
  Trace state{{}, trace.fields, trace.notes};  // (layers, batch, units)
  state.dims.push_back(plain_dim(result.size(0)));
  if (trace.rank() == 3) state.dims.push_back(trace.dim(1 - series));
  state.dims.push_back(plain_dim(result.size(-1)));
  return state;
}

/// lstm_cell, gru_cell, …(input, state or states, weights…) and bilinear(a, b, weight, bias): the
/// features of either are mixed, rows stay apart.
inline Trace two_linear(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  std::vector<Trace> parts;
  for (std::size_t place = 0; place < 2 && place < call.traces.size(); ++place) {
    for (const std::optional<Trace>& trace : call.traces[place]) {
      if (!trace) continue;
      parts.push_back(*trace);
      parts.back().mix(parts.back().rank() - 1);
      parts.back().dims.back() = plain_dim(result.size(-1));
    }
  }
  if (parts.empty()) return call.unknown(result);
  std::vector<const Trace*> all;
  for (const Trace& part : parts) all.push_back(&part);
  return detail::elementwise(all, result.sizes(), call.full_name());
}

}  // namespace detail::rules
}  // namespace DELVE_ABI
}  // namespace delve
