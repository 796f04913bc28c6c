// SPDX-License-Identifier: MIT
#pragma once

#include <optional>     // std::optional
#include <string_view>  // std::string_view

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// The format of a picture's file.
enum class PictureFormat { Png, Svg, Pdf };

/// The format by its name, "png", "svg" or "pdf"; nothing for another one.
[[nodiscard]] inline std::optional<PictureFormat> picture_format_of(std::string_view name) {
  if (name == "png") return PictureFormat::Png;
  if (name == "svg") return PictureFormat::Svg;
  if (name == "pdf") return PictureFormat::Pdf;
  return std::nullopt;
}

}  // namespace DELVE_ABI
}  // namespace delve
