// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>     // std::size_t
#include <cstdint>     // std::uint8_t, std::uintmax_t
#include <filesystem>  // std::filesystem::path
#include <limits>      // std::numeric_limits
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>

namespace examples {

enum class Split { Train, Test };

/// A limit that lets all pictures through.
inline constexpr std::size_t kAllPictures = std::numeric_limits<std::size_t>::max();

/// Pictures with their classes, as plain bytes.
struct Pictures {
  std::size_t channels = 3;
  std::size_t height = 32;
  std::size_t width = 32;
  std::vector<std::uint8_t> pixels;  ///< size() × channels × height × width, 0 … 255
  std::vector<std::uint8_t> labels;  ///< size(), each 0 … 9

  [[nodiscard]] std::size_t size() const { return labels.size(); }
};

/// Thrown for a file that is not what it should be: says which file, which byte, what was expected.
class BadFile : public std::runtime_error {
 public:
  BadFile(const std::filesystem::path& path, const std::string& fault)
      : std::runtime_error(fmt::format("{}: {}", path.string(), fault)) {}

  BadFile(const std::filesystem::path& path, std::uintmax_t byte, const std::string& fault)
      : std::runtime_error(fmt::format("{}, byte {}: {}", path.string(), byte, fault)) {}
};

}  // namespace examples
