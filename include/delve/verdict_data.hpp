// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What is to be said of a network's last layers.
enum class VerdictKind {
  NotEnoughData,  ///< nothing to base a verdict on
  NoTail,         ///< of what there is, nothing speaks for a tail
  PossibleTail,   ///< one kind of evidence does, for each of its layers
  Tail,           ///< two kinds do: layers that contribute nothing
};

/// Whether something speaks for a layer's being part of a tail.
enum class Evidence {
  Missing,  ///< it was not measured, or not well enough
  Against,
  For,
};

/// What is known of a layer that is judged. Numbers that are not known are missing values.
struct JudgedLayer {
  std::string layer;
  double saturation = missing_value();   ///< relative to what LayerField::rank_limit allows
  double probe = missing_value();        ///< accuracy, 0 to 1
  double probe_error = missing_value();  ///< the statistic: of its gain over all layers before
  /// A bound on the standard error of its gain over the best layer before the tail.
  double gain_error = missing_value();
  Evidence behind_border = Evidence::Missing;
  Evidence low_saturation = Evidence::Missing;
  Evidence no_gain = Evidence::Missing;

  /// How many kinds of evidence are `what`.
  [[nodiscard]] int count(Evidence what) const {
    return (behind_border == what ? 1 : 0) + (low_saturation == what ? 1 : 0) +
           (no_gain == what ? 1 : 0);
  }
};

namespace detail {

/// How many layers remain before a tail: as many as a median needs.
constexpr std::size_t kLeastBefore = 2;

}  // namespace detail

/// Whether the last layers of a network are a tail, on what evidence, and what to change.
/// @see verdict
struct Verdict {
  VerdictKind kind = VerdictKind::NotEnoughData;
  std::int64_t epoch = 0;             ///< the one that was judged
  std::vector<std::string> layers;    ///< the tail; empty without one
  std::vector<JudgedLayer> judged;    ///< all layers that could be part of one, and those before
  std::string sentence;               ///< the verdict in words
  std::vector<std::string> evidence;  ///< what speaks for it, one sentence each
  std::vector<std::string> advice;    ///< what to try, one sentence each
  std::vector<std::string> limits;    ///< what it does not rest on, and why

  /// Whether the network has enough layers for the last ones to be a tail.
  [[nodiscard]] bool is_of_depth() const { return judged.size() > detail::kLeastBefore; }
};

namespace detail {

/// "tail", "possible-tail", "no-tail", "not-enough-data"
inline std::string_view verdict_name(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::Tail:
      return "tail";
    case VerdictKind::PossibleTail:
      return "possible-tail";
    case VerdictKind::NoTail:
      return "no-tail";
    case VerdictKind::NotEnoughData:
      break;
  }
  return "not-enough-data";
}

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
