// SPDX-License-Identifier: MIT
#pragma once

// Declarations, for files that only pass a tracker on.

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

template <typename Scalar = double>
class CheckLayerSat;

class Writer;
struct EpochRecord;

}  // namespace DELVE_ABI
}  // namespace delve
