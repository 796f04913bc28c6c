// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::min, std::sort
#include <cstddef>       // std::size_t
#include <cstdint>       // std::uintmax_t
#include <filesystem>    // std::filesystem
#include <fstream>       // std::ifstream
#include <ios>           // std::ios, std::streamsize
#include <string>        // std::string
#include <system_error>  // std::error_code
#include <vector>        // std::vector

#include <fmt/format.h>

#include "pictures.hpp"

namespace examples {

/// CIFAR-10 in its binary form (https://www.cs.toronto.edu/~kriz/cifar.html): files without a
/// header, each a row of records of one label byte and 3 × 32 × 32 bytes: red, green, blue.
namespace cifar10 {

inline constexpr std::size_t kPictureBytes = 3 * 32 * 32;
inline constexpr std::size_t kRecordBytes = 1 + kPictureBytes;

/// The files of one part that lie in `folder`, in the order of their names.
inline std::vector<std::filesystem::path> files(const std::filesystem::path& folder, Split split) {
  const std::string prefix = split == Split::Train ? "data_batch_" : "test_batch";
  std::vector<std::filesystem::path> found;
  std::error_code unreadable;  // a folder that cannot be listed holds no files for us
  for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
    const std::string name = entry.path().filename().string();
    if (name.compare(0, prefix.size(), prefix) == 0 && entry.path().extension() == ".bin") {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Appends the first `limit` pictures of a file, or all it has, and reads no more than these.
/// @throws BadFile
inline void append(const std::filesystem::path& path, std::size_t limit, Pictures& pictures) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) throw BadFile(path, error.message());
  if (bytes == 0) {
    throw BadFile(path, 0,
                  fmt::format("the file is empty, expected records of {} bytes", kRecordBytes));
  }
  if (const std::uintmax_t rest = bytes % kRecordBytes; rest != 0) {
    throw BadFile(path, bytes - rest,
                  fmt::format("record {} has only {} bytes, expected {}", bytes / kRecordBytes,
                              rest, kRecordBytes));
  }

  std::ifstream file(path, std::ios::binary);
  if (!file) throw BadFile(path, "cannot be opened for reading");
  const auto count =
      static_cast<std::size_t>(std::min<std::uintmax_t>(bytes / kRecordBytes, limit));
  pictures.labels.reserve(pictures.size() + count);
  pictures.pixels.reserve(pictures.pixels.size() + count * kPictureBytes);
  std::vector<char> record(kRecordBytes);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uintmax_t offset = std::uintmax_t{i} * kRecordBytes;
    if (!file.read(record.data(), static_cast<std::streamsize>(kRecordBytes))) {
      throw BadFile(path, offset, fmt::format("record {} cannot be read", i));
    }
    const auto label = static_cast<std::uint8_t>(record[0]);
    if (label > 9) {
      throw BadFile(path, offset, fmt::format("record {} has label {}, expected 0 to 9", i, label));
    }
    pictures.labels.push_back(label);
    pictures.pixels.insert(pictures.pixels.end(), record.begin() + 1, record.end());
  }
}

}  // namespace cifar10

/// The first `limit` pictures of CIFAR-10. Its makers put them in random order, so that the first
/// are as good a sample as any.
/// @throws BadFile
inline Pictures read_cifar10(const std::filesystem::path& folder, Split split,
                             std::size_t limit = kAllPictures) {
  const std::vector<std::filesystem::path> files = cifar10::files(folder, split);
  if (files.empty()) {
    throw BadFile(folder,
                  fmt::format("expected CIFAR-10's {} in this folder, found none",
                              split == Split::Train ? "data_batch_*.bin" : "test_batch.bin"));
  }
  Pictures pictures;
  for (const std::filesystem::path& file : files) {
    if (pictures.size() == limit) break;
    cifar10::append(file, limit - pictures.size(), pictures);
  }
  return pictures;
}

}  // namespace examples
