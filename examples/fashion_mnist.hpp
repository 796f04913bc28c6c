// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::copy_n, std::min
#include <cstddef>       // std::size_t
#include <cstdint>       // std::uint8_t, std::uint32_t, std::uintmax_t
#include <filesystem>    // std::filesystem
#include <memory>        // std::unique_ptr
#include <string>        // std::string
#include <system_error>  // std::error_code
#include <utility>       // std::move
#include <vector>        // std::vector

#include <fmt/format.h>
#include <zlib.h>

#include "pictures.hpp"

namespace examples {

/// Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist) in the IDX form of MNIST: a
/// big-endian header of 32-bit numbers (magic, then the size of each dimension), then bytes.
namespace fashion_mnist {

inline constexpr std::uint32_t kPictureMagic = 0x00000803;  // bytes, three dimensions
inline constexpr std::uint32_t kLabelMagic = 0x00000801;    // bytes, one dimension
inline constexpr std::size_t kSide = 28;
inline constexpr std::size_t kPaddedSide = 32;
inline constexpr std::size_t kChannels = 3;
inline constexpr std::size_t kMostPictures = 60000;  // of the training part, the larger one

/// The file of one part, "images-idx3" or "labels-idx1", packed or not; empty if neither is there.
inline std::filesystem::path find_file(const std::filesystem::path& folder, Split split,
                                       const std::string& content) {
  const std::string name =
      fmt::format("{}-{}-ubyte", split == Split::Train ? "train" : "t10k", content);
  std::error_code unreadable;
  for (const std::string& candidate : {name + ".gz", name}) {
    if (std::filesystem::is_regular_file(folder / candidate, unreadable)) return folder / candidate;
  }
  return {};
}

/// Reads an IDX file from the front, packed by gzip or not. Offsets count unpacked bytes.
class IdxFile {
 public:
  /// @throws BadFile
  explicit IdxFile(std::filesystem::path path)
      : path_(std::move(path)), file_(gzopen(path_.string().c_str(), "rb")) {
    if (!file_) throw BadFile(path_, "cannot be opened for reading");
  }

  /// The next `size` bytes. Memory is taken as they come, not as many as a header may claim.
  /// @throws BadFile where the file ends before, or its packing is broken
  [[nodiscard]] std::vector<std::uint8_t> read(std::size_t size) {
    constexpr std::size_t piece = 65536;
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < size) {
      const std::size_t before = bytes.size();
      const std::size_t wanted = std::min(size - before, piece);
      bytes.resize(before + wanted);
      if (const std::size_t found = take(&bytes[before], wanted); found < wanted) {
        throw BadFile(path_, offset_,
                      fmt::format("the file ends, expected {} more bytes", size - before - found));
      }
    }
    return bytes;
  }

  [[nodiscard]] std::uint32_t read_number() {
    const std::vector<std::uint8_t> bytes = read(4);
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
           std::uint32_t{bytes[2]} << 8 | std::uint32_t{bytes[3]};
  }

  /// Reads a number of the header that can only be `expected`.
  void expect_number(const std::string& meaning, std::uint32_t expected) {
    const std::uintmax_t offset = offset_;
    if (const std::uint32_t found = read_number(); found != expected) {
      throw BadFile(path_, offset, fmt::format("{} {}, expected {}", meaning, found, expected));
    }
  }

  /// @throws BadFile where more bytes follow, or the checksum at the end is wrong
  void expect_end() {
    const std::uintmax_t end = offset_;
    if (std::uint8_t byte = 0; take(&byte, 1) != 0) {
      throw BadFile(path_, end, "more bytes follow, expected the end of the file");
    }
  }

  [[nodiscard]] std::uintmax_t offset() const { return offset_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  /// Reads up to `size` bytes; fewer only at the end of the file.
  std::size_t take(std::uint8_t* bytes, std::size_t size) {
    const int found = gzread(file_.get(), bytes, static_cast<unsigned>(size));
    if (found < 0) {
      int status = Z_OK;
      throw BadFile(path_, offset_,
                    fmt::format("cannot be unpacked: {}", gzerror(file_.get(), &status)));
    }
    offset_ += static_cast<std::size_t>(found);
    return static_cast<std::size_t>(found);
  }

  struct Close {
    void operator()(gzFile file) const { gzclose(file); }
  };

  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::uintmax_t offset_ = 0;
};

/// Appends a 28 × 28 grey picture in the middle of a black 32 × 32 one, three times: VGG16 halves
/// its input five times and takes colours.
inline void append_padded(const std::vector<std::uint8_t>& grey, Pictures& pictures) {
  constexpr std::size_t margin = (kPaddedSide - kSide) / 2;
  std::vector<std::uint8_t> padded(kPaddedSide * kPaddedSide);
  for (std::size_t row = 0; row < kSide; ++row) {
    std::copy_n(&grey[row * kSide], kSide, &padded[(row + margin) * kPaddedSide + margin]);
  }
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    pictures.pixels.insert(pictures.pixels.end(), padded.begin(), padded.end());
  }
}

}  // namespace fashion_mnist

/// The first `limit` pictures of Fashion-MNIST, which are in random order, padded to 32 × 32 and
/// three equal channels.
/// @throws BadFile
inline Pictures read_fashion_mnist(const std::filesystem::path& folder, Split split,
                                   std::size_t limit = kAllPictures) {
  using namespace fashion_mnist;
  const auto open = [&](const std::string& content) {
    std::filesystem::path path = find_file(folder, split, content);
    if (path.empty()) {
      throw BadFile(folder, fmt::format("expected Fashion-MNIST's {}-{}-ubyte[.gz] in this folder",
                                        split == Split::Train ? "train" : "t10k", content));
    }
    return IdxFile(std::move(path));
  };

  IdxFile picture_file = open("images-idx3");
  picture_file.expect_number("magic number", kPictureMagic);
  const std::uint32_t available = picture_file.read_number();
  picture_file.expect_number("height", kSide);
  picture_file.expect_number("width", kSide);
  IdxFile label_file = open("labels-idx1");
  label_file.expect_number("magic number", kLabelMagic);
  label_file.expect_number("number of labels", available);

  const std::size_t count = std::min<std::size_t>(available, limit);
  Pictures pictures;
  const std::uintmax_t first_label = label_file.offset();
  pictures.labels = label_file.read(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (pictures.labels[i] > 9) {
      throw BadFile(label_file.path(), first_label + i,
                    fmt::format("label {}, expected 0 to 9", pictures.labels[i]));
    }
  }
  pictures.pixels.reserve(std::min(count, kMostPictures) * kChannels * kPaddedSide * kPaddedSide);
  for (std::size_t i = 0; i < count; ++i) {
    append_padded(picture_file.read(kSide * kSide), pictures);
  }
  if (count == available) {
    picture_file.expect_end();
    label_file.expect_end();
  }
  return pictures;
}

}  // namespace examples
