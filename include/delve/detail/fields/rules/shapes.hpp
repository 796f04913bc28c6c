// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::find, std::max, std::min
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <utility>    // std::move, std::swap
#include <vector>     // std::vector

#include <ATen/core/Tensor.h>

#include <delve/detail/fields/field.hpp>
#include <delve/detail/fields/index_map.hpp>
#include <delve/detail/fields/rules/elementwise.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// Operators that move, cut and join axes.

namespace delve {
inline namespace DELVE_ABI {
namespace detail::rules {

inline Trace reshape(const TracedCall& call, std::size_t output) {
  return reshaped(*call.trace(0), call.outputs[output].sizes(), call.full_name());
}

inline Trace permuted(const Trace& trace, const std::vector<std::int64_t>& order) {
  Trace result{{}, trace.fields, trace.notes};
  for (const std::int64_t place : order) {
    result.dims.push_back(trace.dim(wrapped(place, trace.rank())));
  }
  return result;
}

inline Trace permute(const TracedCall& call, std::size_t /*output*/) {
  return permuted(*call.trace(0), call.numbers(1));
}

inline Trace transpose(const TracedCall& call, std::size_t /*output*/) {
  Trace trace = *call.trace(0);
  if (trace.rank() < 2) return trace;
  const bool is_named = call.arguments.size() >= 3;  // t and mT take only the tensor
  const std::int64_t a = wrapped(is_named ? call.number(1, 0) : -2, trace.rank());
  const std::int64_t b = wrapped(is_named ? call.number(2, 0) : -1, trace.rank());
  std::swap(trace.dim(a), trace.dim(b));
  return trace;
}

inline Trace movedim(const TracedCall& call, std::size_t /*output*/) {
  const Trace& trace = *call.trace(0);
  std::vector<std::int64_t> from = call.numbers(1);
  std::vector<std::int64_t> to = call.numbers(2);
  std::vector<std::int64_t> order(static_cast<std::size_t>(trace.rank()), -1);
  for (std::size_t i = 0; i < from.size(); ++i) {
    from[i] = wrapped(from[i], trace.rank());
    order[static_cast<std::size_t>(wrapped(to[i], trace.rank()))] = from[i];
  }
  std::int64_t next = 0;
  for (std::int64_t& place : order) {
    if (place >= 0) continue;
    while (std::find(from.begin(), from.end(), next) != from.end()) ++next;
    place = next++;
  }
  return permuted(trace, order);
}

/// x[start:end:step] along an axis: input, dim, start, end, step.
inline Trace sliced(const TracedCall& call, std::size_t output, std::int64_t place,
                    std::int64_t start, std::int64_t step) {
  Trace trace = *call.trace(0);
  const std::int64_t size = call.outputs[output].size(place);
  Dim& dim = trace.dim(place);
  if (size == dim.size() && step == 1) return trace;
  const bool is_without_extra =
      dim.has_extra() && start == dim.before && start + size == dim.size() - dim.behind;
  if (is_without_extra && step == 1) {
    dim.before = dim.behind = 0;
    return trace;
  }
  read_along(trace, place, strided(start, step), size, call.full_name());
  return trace;
}

inline Trace slice(const TracedCall& call, std::size_t output) {
  const Trace& trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(1, 0), trace.rank());
  const std::int64_t size = trace.dim(place).size();
  std::int64_t start = call.number(2, 0);
  if (start < 0) start = std::max<std::int64_t>(start + size, 0);
  return sliced(call, output, place, std::min(start, size), call.number(4, 1));
}

/// narrow(input, dim, start, length)
inline Trace narrow(const TracedCall& call, std::size_t output) {
  if (!call.argument(2).isInt()) return call.unknown(call.outputs[output]);
  const Trace& trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(1, 0), trace.rank());
  return sliced(call, output, place, wrapped(call.number(2, 0), trace.dim(place).size()), 1);
}

/// chunk, split, …(input, sizes, dim): one output behind the other.
inline Trace split(const TracedCall& call, std::size_t output) {
  const std::int64_t place = wrapped(call.number(2, 0), call.trace(0)->rank());
  std::int64_t start = 0;
  for (std::size_t i = 0; i < output; ++i) start += call.outputs[i].size(place);
  return sliced(call, output, place, start, 1);
}

inline Trace picked(const TracedCall& call, std::int64_t place, std::int64_t index) {
  Trace trace = *call.trace(0);
  const Dim dim = trace.dim(place);
  const bool is_extra = index < dim.before || index >= dim.size() - dim.behind;
  for (const Factor& factor : dim.factors) {
    if (factor.axis < 0) continue;
    Field& field = trace.field(factor.axis);
    if (dim.is_one_axis()) {
      field = after(field, strided(index, 1), 1, call.full_name());
    } else if (field.everything && (is_extra || !field.least)) {
      field = seeing_everything(field);  // a class token has only what was mixed into it
    } else {
      field = lost(call.full_name());
    }
  }
  trace.dims.erase(trace.dims.begin() + place);
  return trace;
}

/// select(input, dim, index)
inline Trace select(const TracedCall& call, std::size_t output) {
  if (!call.argument(2).isInt()) return call.unknown(call.outputs[output]);
  const std::int64_t place = wrapped(call.number(1, 0), call.trace(0)->rank());
  return picked(call, place, wrapped(call.number(2, 0), call.trace(0)->dim(place).size()));
}

/// unbind(input, dim)
inline Trace unbind(const TracedCall& call, std::size_t output) {
  const std::int64_t place = wrapped(call.number(1, 0), call.trace(0)->rank());
  return picked(call, place, static_cast<std::int64_t>(output));
}

/// Joined along an axis of positions.
inline Trace joined_positions(const TracedCall& call, std::int64_t place, std::int64_t size) {
  const std::vector<std::optional<Trace>>& parts = call.traces[0];
  const auto list = call.argument(0).toTensorVector();
  std::vector<const Trace*> traced;
  std::int64_t before = 0;  // entries in front of the first traced one
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]) traced.push_back(&*parts[i]);
    if (traced.empty()) before += list[i].size(place);
  }
  Trace trace = *traced.front();
  Dim& dim = trace.dim(place);
  if (traced.size() == 1 && dim.is_one_axis()) {
    read_along(trace, place, strided(-before, 1), size, call.full_name());
    return trace;
  }
  if (traced.size() == 1) {
    dim.behind += size - dim.size() - before;
    dim.before += before;
    return trace;
  }
  // Of several, a table of all positions, if all have the same stride.
  const bool are_alike = traced.size() == parts.size() && dim.is_one_axis();
  const int axis = dim.factors[0].axis;
  for (const Trace* part : traced) {
    if (!are_alike ||
        !(part->dim(place).is_one_axis() && part->dim(place).factors[0].axis == axis) ||
        part->field(axis).everything || !part->field(axis).most || !part->field(axis).least ||
        part->field(axis).most->stride() != trace.field(axis).most->stride()) {
      return call.unknown(call.outputs[0]);
    }
  }
  std::vector<Interval> most;
  std::vector<Interval> least;
  for (const Trace* part : traced) {
    for (std::int64_t i = 0; i < part->dim(place).size(); ++i) {
      most.push_back(part->field(axis).most->at(i));
      least.push_back(part->field(axis).least->at(i));
    }
  }
  const Ratio stride = trace.field(axis).most->exact_stride();
  trace.field(axis).most = FieldMap(stride, std::move(most));
  trace.field(axis).least = FieldMap(stride, std::move(least));
  dim.factors[0].size = size;
  for (int other = 0; other < trace.axes(); ++other) {
    for (std::size_t i = 1; other != axis && i < traced.size(); ++i) {
      trace.field(other) = merged(trace.field(other), traced[i]->field(other), call.full_name());
    }
  }
  return trace;
}

/// cat(tensors, dim)
inline Trace cat(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  const std::int64_t place = wrapped(call.number(1, 0), result.dim());
  const std::vector<const Trace*> traced = call.all();
  for (const Trace* trace : traced) {
    if (trace->rank() != result.dim()) return call.unknown(result);
    if (trace->dim(place).has_positions()) return joined_positions(call, place, result.size(place));
  }
  // All other axes must be those of the result.
  std::vector<Trace> parts;
  for (const Trace* trace : traced) {
    parts.push_back(*trace);
    parts.back().dim(place) = plain_dim(result.size(place));
  }
  std::vector<const Trace*> all;
  for (const Trace& part : parts) all.push_back(&part);
  return detail::elementwise(all, result.sizes(), call.full_name());
}

/// stack(tensors, dim): a new axis. Where its entries see different places, it consists of
/// positions that were taken apart.
inline Trace stack(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  const std::int64_t place = wrapped(call.number(1, 0), result.dim());
  std::vector<Trace> parts;
  for (const Trace* trace : call.all()) {
    parts.push_back(*trace);
    parts.back().dims.insert(parts.back().dims.begin() + place, plain_dim(result.size(place)));
  }
  Trace stacked = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) {
    stacked = detail::elementwise({&stacked, &parts[i]}, result.sizes(), call.full_name());
  }
  for (int axis = 0; axis < stacked.axes(); ++axis) {
    for (const Trace& part : parts) {
      const Field& own = part.field(axis);
      const bool is_apart = part.place_of(axis) < 0 && own.most && stacked.field(axis).most &&
                            !(*own.most == *stacked.field(axis).most);
      if (is_apart) stacked.field(axis) = lost(call.full_name());
    }
  }
  return stacked;
}

/// repeat(input, repeats): copies side by side.
inline Trace repeat(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  const Trace& trace = *call.trace(0);
  std::vector<Dim> dims;
  for (std::int64_t place = 0; place < result.dim(); ++place) {
    const std::int64_t own = place - (result.dim() - trace.rank());
    const bool is_same = own >= 0 && trace.dim(own).size() == result.size(place);
    if (!is_same && own >= 0 && trace.dim(own).has_positions() && trace.dim(own).size() > 1) {
      return call.unknown(result);
    }
    dims.push_back(is_same ? trace.dim(own) : plain_dim(result.size(place)));
  }
  return broadcast(trace, dims);
}

/// input, [left and right of the last axis, of the one before, …], …
inline Trace pad(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::vector<std::int64_t> pads = call.numbers(1);
  for (std::size_t i = 0; i + 1 < pads.size(); i += 2) {
    const std::int64_t place = trace.rank() - 1 - static_cast<std::int64_t>(i / 2);
    if (pads[i] == 0 && pads[i + 1] == 0) continue;
    read_along(trace, place, strided(-pads[i], 1), result.size(place), call.full_name());
  }
  return trace;
}

/// roll(input, shifts, dims) and flip(input, dims)
inline Trace roll(const TracedCall& call, std::size_t output) {
  Trace trace = *call.trace(0);
  const std::vector<std::int64_t> shifts = call.numbers(1);
  const std::vector<std::int64_t> places = call.numbers(2);
  if (places.empty()) return call.unknown(call.outputs[output]);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::int64_t place = wrapped(places[i], trace.rank());
    const Dim& dim = trace.dim(place);
    const std::int64_t size = dim.size();
    if (dim.is_one_axis()) {
      Field& field = trace.field(dim.factors[0].axis);
      field = bounded(field, size);
    }
    read_along(trace, place, rolled(size, shifts[i]), size, call.full_name());
  }
  return trace;
}

inline Trace flip(const TracedCall& call, std::size_t /*output*/) {
  Trace trace = *call.trace(0);
  for (const std::int64_t dim : call.numbers(1)) {
    const std::int64_t place = wrapped(dim, trace.rank());
    const std::int64_t size = trace.dim(place).size();
    read_along(trace, place, flipped(size), size, call.full_name());
  }
  return trace;
}

/// index_select(input, dim, index): rows of an axis without positions stay what they are.
inline Trace index_select(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  const std::int64_t place = wrapped(call.number(1, 0), trace.rank());
  if (trace.dim(place).has_positions()) return call.unknown(result);
  trace.dim(place) = plain_dim(result.size(place));
  return trace;
}

}  // namespace detail::rules
}  // namespace DELVE_ABI
}  // namespace delve
