// SPDX-License-Identifier: MIT
#pragma once

namespace delve {

/// What pictures are written as.
enum class PictureFormat { Png, Svg, Pdf };

}  // namespace delve
