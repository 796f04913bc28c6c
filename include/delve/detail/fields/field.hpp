// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <string>     // std::string

#include <delve/detail/fields/index_map.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What a tensor sees of one axis of the network's input, over all paths from there.
struct Field {
  std::optional<FieldMap> most = FieldMap();   ///< over all finite paths; unset: none
  std::optional<FieldMap> least = FieldMap();  ///< of the shortest path; unset: all see everything
  bool everything = false;                     ///< a path sees the whole axis
  std::int64_t largest_finite = 0;             ///< the longest before that; 0: there was none
  std::string unknown;                         ///< the operator that is not known; empty: none

  friend bool operator==(const Field& a, const Field& b) {
    return a.most == b.most && a.least == b.least && a.everything == b.everything &&
           a.largest_finite == b.largest_finite && a.unknown == b.unknown;
  }
};

/// The longest finite field.
/// @param positions how many there are; 0: one period of them
inline std::int64_t finite_length(const Field& field, std::int64_t positions = 0) {
  const std::int64_t now = field.most ? field.most->lengths(positions).second : 0;
  return std::max(now, field.largest_finite);
}

inline Field lost(const std::string& op) {
  Field field;
  field.unknown = op;
  return field;
}

/// After all positions were mixed.
inline Field seeing_everything(const Field& field, std::int64_t positions = 0) {
  if (!field.unknown.empty()) return field;
  Field all;
  all.largest_finite = finite_length(field, positions);
  all.everything = true;
  all.most.reset();
  all.least.reset();
  return all;
}

/// After an operator that reads by this map and has this many positions itself.
inline Field after(const Field& field, const IndexMap& map, std::int64_t positions,
                   const std::string& op) {
  if (!field.unknown.empty()) return field;
  Field next = field;
  if (field.most) {
    next.most = field.most->after(map, positions);
    if (!next.most) return lost(op);
  }
  if (field.least) {
    next.least = field.least->after(map, positions);
    if (!next.least) return lost(op);
  }
  return next;
}

/// The same field where nothing lies outside of the map.
inline Field bounded(const Field& field, std::int64_t positions) {
  Field next = field;
  if (field.most) next.most = field.most->bounded(positions);
  if (field.least) next.least = field.least->bounded(positions);
  return next;
}

/// The field of what is computed from two tensors, position by position.
inline Field merged(const Field& a, const Field& b, const std::string& op) {
  if (!a.unknown.empty()) return a;
  if (!b.unknown.empty()) return b;
  Field both;
  both.everything = a.everything || b.everything;
  both.largest_finite = std::max(a.largest_finite, b.largest_finite);
  if (a.most && b.most) {
    both.most = a.most->united(*b.most);
    if (!both.most) return lost(op);
  } else {
    both.most = a.most ? a.most : b.most;
  }
  if (a.least && b.least) {
    both.least = b.least->lengths().first < a.least->lengths().first ? b.least : a.least;
  } else {
    both.least = a.least ? a.least : b.least;
  }
  return both;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
