// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::equal, std::find, std::max
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <set>        // std::set
#include <string>     // std::string
#include <utility>    // std::move
#include <vector>     // std::vector

#include <c10/util/ArrayRef.h>

#include <delve/detail/fields/field.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A part of a tensor's axis: positions of one axis of the input, or anything else.
struct Factor {
  std::int64_t size;
  int axis;  ///< of the input; −1: no positions

  friend bool operator==(const Factor& a, const Factor& b) {
    return a.size == b.size && a.axis == b.axis;
  }
};

/// An axis of a tensor. Usually it is one factor; flatten(2) makes one of two.
struct Dim {
  std::vector<Factor> factors;
  /// Entries that are no positions, before these and behind them: class tokens.
  std::int64_t before = 0;
  std::int64_t behind = 0;

  [[nodiscard]] std::int64_t size() const {
    std::int64_t size = 1;
    for (const Factor& factor : factors) size *= factor.size;
    return size + before + behind;
  }
  [[nodiscard]] bool has_extra() const { return before + behind > 0; }
  [[nodiscard]] bool holds(int axis) const {
    return std::any_of(factors.begin(), factors.end(),
                       [&](const Factor& it) { return it.axis == axis; });
  }
  [[nodiscard]] bool has_positions() const {
    return std::any_of(factors.begin(), factors.end(),
                       [](const Factor& it) { return it.axis >= 0; });
  }
  /// Positions of one axis, and nothing else.
  [[nodiscard]] bool is_one_axis() const {
    return factors.size() == 1 && factors[0].axis >= 0 && !has_extra();
  }
  friend bool operator==(const Dim& a, const Dim& b) {
    return a.factors == b.factors && a.before == b.before && a.behind == b.behind;
  }
};

inline Dim plain_dim(std::int64_t size) {
  return {{{size, -1}}};
}

/// What a tensor that descends from the network's input sees of it.
struct Trace {
  std::vector<Dim> dims;      ///< one per axis of the tensor
  std::vector<Field> fields;  ///< one per axis of positions of the input
  std::set<std::string> notes;

  [[nodiscard]] int axes() const { return static_cast<int>(fields.size()); }

  [[nodiscard]] Field& field(int axis) { return fields[static_cast<std::size_t>(axis)]; }
  [[nodiscard]] const Field& field(int axis) const {
    return fields[static_cast<std::size_t>(axis)];
  }
  [[nodiscard]] Dim& dim(std::int64_t place) { return dims[static_cast<std::size_t>(place)]; }
  [[nodiscard]] const Dim& dim(std::int64_t place) const {
    return dims[static_cast<std::size_t>(place)];
  }
  [[nodiscard]] std::int64_t rank() const { return static_cast<std::int64_t>(dims.size()); }

  /// The place of the axis that holds positions of this input axis; −1 where none does.
  [[nodiscard]] std::int64_t place_of(int axis) const {
    for (std::int64_t place = 0; place < rank(); ++place) {
      if (dim(place).holds(axis)) return place;
    }
    return -1;
  }

  /// How many positions of an input axis there are; 1 where all were mixed.
  [[nodiscard]] std::int64_t positions(int axis) const {
    for (const Dim& dim : dims) {
      for (const Factor& factor : dim.factors) {
        if (factor.axis == axis) return factor.size;
      }
    }
    return 1;
  }

  /// Marks those input axes whose positions lie here as mixed, where there is more than one.
  void mix(std::int64_t place) {
    const Dim& mixed = dim(place);
    for (const Factor& factor : mixed.factors) {
      if (factor.axis < 0 || (factor.size == 1 && !mixed.has_extra())) continue;
      field(factor.axis) = seeing_everything(field(factor.axis), factor.size);
    }
  }

  void lose(const std::string& op) {
    for (Field& field : fields) field = lost(op);
  }
};

/// A tensor of this shape of which nothing is known but that it descends from the input.
inline Trace lost_trace(c10::IntArrayRef sizes, std::size_t axes, const std::string& op) {
  Trace trace;
  for (const std::int64_t size : sizes) trace.dims.push_back(plain_dim(size));
  trace.fields.assign(axes, lost(op));
  return trace;
}

/// What a result, computed element by element from this tensor and others, sees: where the tensor's
/// axes are repeated along positions of others, each of these sees all that the tensor sees.
/// @param dims those of the result
inline Trace broadcast(const Trace& trace, const std::vector<Dim>& dims) {
  Trace result{dims, trace.fields, trace.notes};
  for (int axis = 0; axis < trace.axes(); ++axis) {
    const std::int64_t there = result.place_of(axis);
    const std::int64_t here = trace.place_of(axis);
    const bool is_repeated = there >= 0 && result.dim(there).size() > 1 &&
                             (here < 0 || here + result.rank() - trace.rank() != there ||
                              trace.dim(here).size() != result.dim(there).size());
    if (is_repeated) result.field(axis) = seeing_everything(result.field(axis));
  }
  return result;
}

/// What is computed element by element from several tensors.
/// @param traces of those that descend from the input; at least one
inline Trace elementwise(const std::vector<const Trace*>& traces, c10::IntArrayRef sizes,
                         const std::string& op) {
  const auto rank = static_cast<std::int64_t>(sizes.size());
  for (const Trace* trace : traces) {  // all positions must be found in the result
    bool fits = trace->rank() <= rank;
    for (std::int64_t own = 0; fits && own < trace->rank(); ++own) {
      const std::int64_t size = trace->dim(own).size();
      const auto place = static_cast<std::size_t>(own + rank - trace->rank());
      fits = size == 1 || size == sizes[place] || !trace->dim(own).has_positions();
    }
    if (!fits) return lost_trace(sizes, trace->fields.size(), op);
  }
  std::vector<Dim> dims;
  for (std::int64_t place = 0; place < rank; ++place) {
    Dim chosen = plain_dim(sizes[static_cast<std::size_t>(place)]);
    for (const Trace* trace : traces) {
      const std::int64_t own = place - (rank - trace->rank());
      if (own < 0 || trace->dim(own).size() != chosen.size()) continue;
      if (!trace->dim(own).has_positions() || trace->dim(own) == chosen) continue;
      if (chosen.has_positions()) return lost_trace(sizes, traces[0]->fields.size(), op);
      chosen = trace->dim(own);
    }
    dims.push_back(chosen);
  }
  Trace result = broadcast(*traces[0], dims);
  for (std::size_t i = 1; i < traces.size(); ++i) {
    const Trace next = broadcast(*traces[i], dims);
    for (int axis = 0; axis < result.axes(); ++axis) {
      result.field(axis) = merged(result.field(axis), next.field(axis), op);
    }
    result.notes.insert(next.notes.begin(), next.notes.end());
  }
  return result;
}

/// An operand of a product: which letter each of its axes has, as in einsum.
struct Operand {
  const Trace* trace;  ///< nullptr: it does not descend from the input
  std::vector<int> letters;
};

/// A product summed over the letters that the result lacks. Where two operands descend from the
/// input, positions that both have under one letter stay apart; all others are mixed.
inline Trace product(const std::vector<Operand>& operands, const std::vector<int>& letters,
                     c10::IntArrayRef sizes, const std::string& op) {
  const auto has = [&](int letter) {
    return std::find(letters.begin(), letters.end(), letter) != letters.end();
  };
  Trace result;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    result.dims.push_back(plain_dim(sizes[i]));
    for (const Operand& operand : operands) {
      if (operand.trace == nullptr || result.dims[i].has_positions()) continue;
      for (std::size_t place = 0; place < operand.letters.size(); ++place) {
        const Dim& dim = operand.trace->dims[place];
        if (operand.letters[place] == letters[i] && dim.size() == sizes[i]) result.dims[i] = dim;
      }
    }
  }
  std::vector<const Trace*> traced;
  std::vector<std::vector<int>> places;  // of each traced operand: the letter of each input axis
  for (const Operand& operand : operands) {
    if (operand.trace == nullptr) continue;
    traced.push_back(operand.trace);
    std::vector<int>& own = places.emplace_back();
    for (int axis = 0; axis < operand.trace->axes(); ++axis) {
      const std::int64_t place = operand.trace->place_of(axis);
      own.push_back(place < 0 ? -1 : operand.letters[static_cast<std::size_t>(place)]);
    }
    result.notes.insert(operand.trace->notes.begin(), operand.trace->notes.end());
  }
  for (int axis = 0; axis < traced[0]->axes(); ++axis) {
    const int letter = places[0][static_cast<std::size_t>(axis)];
    bool is_mixed = false;
    for (std::size_t i = 0; i < traced.size(); ++i) {
      const int own = places[i][static_cast<std::size_t>(axis)];
      is_mixed =
          is_mixed || own != letter || (own >= 0 && !has(own) && traced[i]->positions(axis) > 1);
    }
    Field field = traced[0]->field(axis);
    for (std::size_t i = 1; i < traced.size(); ++i) {
      field = merged(field, traced[i]->field(axis), op);
    }
    result.fields.push_back(is_mixed ? seeing_everything(field) : field);
  }
  return result;
}

/// The same numbers in another shape. An axis of positions may be joined with others, and taken
/// apart again; where it is itself cut, positions are lost.
inline Trace reshaped(const Trace& trace, c10::IntArrayRef sizes, const std::string& op) {
  if (trace.rank() == static_cast<std::int64_t>(sizes.size()) &&
      std::equal(sizes.begin(), sizes.end(), trace.dims.begin(),
                 [](std::int64_t size, const Dim& dim) { return dim.size() == size; })) {
    return trace;
  }
  Trace result{{}, trace.fields, trace.notes};
  std::vector<Factor> left;  // of the old axes, in reverse
  for (auto dim = trace.dims.rbegin(); dim != trace.dims.rend(); ++dim) {
    if (dim->has_extra()) {
      // Joined or cut, extra entries could not be distinguished from positions any more: only the
      // batch may change.
      left.push_back({dim->size(), -2});
      continue;
    }
    left.insert(left.end(), dim->factors.rbegin(), dim->factors.rend());
  }
  const auto with_extra = [&](std::int64_t size) -> const Dim* {
    for (const Dim& dim : trace.dims) {
      if (dim.has_extra() && dim.size() == size) return &dim;
    }
    return nullptr;
  };
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t size = sizes[i];
    const bool one_follows = i + 1 < sizes.size() && sizes[i + 1] == 1;
    Dim dim;
    std::int64_t reached = 1;
    while (!left.empty() && (reached < size || left.back().size == 1)) {
      Factor factor = left.back();
      const std::int64_t needed = size / std::max<std::int64_t>(reached, 1);
      if (factor.size == 1) {
        if (reached == size && one_follows && (size > 1 || !dim.factors.empty())) break;
        left.pop_back();
        if (factor.axis >= 0) dim.factors.push_back(factor);
        continue;
      }
      if (factor.axis == -2) {
        if (reached != 1 || factor.size != size) return lost_trace(sizes, trace.fields.size(), op);
        dim = *with_extra(size);
        reached = size;
        left.pop_back();
        break;
      }
      if (factor.size <= needed && needed % factor.size == 0) {
        left.pop_back();
      } else if (factor.axis < 0 && factor.size % needed == 0) {
        left.back().size = factor.size / needed;
        factor.size = needed;
      } else {
        return lost_trace(sizes, trace.fields.size(), op);
      }
      reached *= factor.size;
      dim.factors.push_back(factor);
    }
    if (reached != size) return lost_trace(sizes, trace.fields.size(), op);
    if (dim.factors.empty()) dim = plain_dim(1);
    result.dims.push_back(std::move(dim));
  }
  return result;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
