// SPDX-License-Identifier: MIT
#pragma once

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// In what precision products of activations are formed, before they are summed in Scalar.
enum class Products {
  Float32,  ///< in float32 where the activations are not wider: enough for leading eigenvalues
  Float64,  ///< for what depends on small eigenvalues, such as determinants
};

}  // namespace DELVE_ABI
}  // namespace delve
