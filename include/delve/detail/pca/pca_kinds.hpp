// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::min
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <delve/detail/support/require.hpp>
#include <delve/pca_layer.hpp>
#include <delve/version.hpp>

// What differs between LinearPCA and Conv2dPCA: their names, the axis of the features, the shapes
// that they take, and what of a batch is summed.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline void require_pca_threshold(const std::string& kind, double threshold) {
  require_share(threshold, "delve::" + kind, "threshold");
}

inline void require_pca_at_least(const std::string& kind, std::string_view option,
                                 std::int64_t value, std::int64_t least) {
  require(value >= least, "delve::" + kind, option, fmt::to_string(value),
          fmt::format("at least {}", least));
}

struct LinearPCAKind {
  static constexpr const char* kName = "LinearPCA";
  static constexpr std::int64_t kAxis = -1;

  static std::int64_t width(const LinearPCAOptions& options) { return options.in_features(); }
  static void check(const LinearPCAOptions& options) {
    require_pca_at_least(kName, "in_features", options.in_features(), 1);
  }
  static bool takes(const at::Tensor& x) { return x.dim() >= 1; }
  static std::string expected(const LinearPCAOptions& options) {
    return fmt::format("(..., {})", options.in_features());
  }
  static at::Tensor observed(const at::Tensor& x, const LinearPCAOptions& /*options*/) { return x; }
  static std::string print(const LinearPCAOptions& options) {
    return fmt::format("in_features={}", options.in_features());
  }
};

struct Conv2dPCAKind {
  static constexpr const char* kName = "Conv2dPCA";
  static constexpr std::int64_t kAxis = -3;

  static std::int64_t width(const Conv2dPCAOptions& options) { return options.in_filters(); }
  static void check(const Conv2dPCAOptions& options) {
    require_pca_at_least(kName, "in_filters", options.in_filters(), 1);
    if (options.downsampling()) {
      require_pca_at_least(kName, "downsampling", *options.downsampling(), 1);
    }
  }
  static bool takes(const at::Tensor& x) { return x.dim() == 3 || x.dim() == 4; }
  static std::string expected(const Conv2dPCAOptions& options) {
    return fmt::format("(B, {0}, H, W) or ({0}, H, W)", options.in_filters());
  }
  static at::Tensor observed(const at::Tensor& x, const Conv2dPCAOptions& options) {
    if (!options.downsampling()) return x;
    const std::int64_t height = std::min(x.size(-2), *options.downsampling());
    const std::int64_t width = std::min(x.size(-1), *options.downsampling());
    if (height == x.size(-2) && width == x.size(-1)) return x;
    return at::upsample_nearest2d(x.dim() == 3 ? x.unsqueeze(0) : x, {height, width});
  }
  static std::string print(const Conv2dPCAOptions& options) {
    return fmt::format("in_filters={}", options.in_filters()) +
           (options.downsampling() ? fmt::format(", downsampling={}", *options.downsampling())
                                   : "");
  }
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
