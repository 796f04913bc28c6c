// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>       // std::int64_t, std::uintmax_t
#include <exception>     // std::exception
#include <filesystem>    // std::filesystem::file_size
#include <optional>      // std::optional
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <utility>       // std::move

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Appends all of these bytes to a file, or none. Makes the file where it is not there.
/// @throws FileError
inline void append_to_file(const std::string& path, std::string_view bytes) {
  std::error_code error;
  const OpenFile file = OpenFile::open(path, FileAccess::Append, error);
  if (error) throw FileError("write", path, error.message());
  const std::int64_t old_size = file.go_to_end();
  error = file.write(bytes);
  if (!error) error = file.flush();
  if (!error) return;
  const bool is_as_before = !file.cut(old_size);
  throw FileError("write", path,
                  error.message() + (is_as_before ? "" : "; its end may be broken off"));
}

/// A file that grows by a piece an epoch, at a cost that does not grow with it. A piece that cannot
/// be written waits for the next one.
class GrowingFile {
 public:
  /// The file is appended to; made where it is not there.
  explicit GrowingFile(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// Lets the next piece replace the file, whole or not at all; `text` comes before it.
  void begin_with(std::string text) {
    pending_ = std::move(text);
    replaces_ = true;
  }

  /// Whether the file has the size that the last piece left it with.
  [[nodiscard]] bool is_as_left() const {
    std::error_code not_there;
    return !size_ || std::filesystem::file_size(path_of(path_), not_there) == *size_;
  }

  /// @throws std::exception where the file cannot be written, or is not as it was left; what
  ///   waits is written with the next piece
  void add(std::string_view piece) {
    const bool is_strange = !is_as_left();
    pending_ += piece;
    try {
      save();
    } catch (const std::exception& error) {
      throw std::runtime_error(std::string(error.what()) + "; it is tried again with every epoch");
    }
    if (!is_strange) return;
    throw std::runtime_error(fmt::format(
        "\"{}\" was modified or removed by another writer or process; continuing. Trackers that "
        "run at once need a savefile each",
        path_));
  }

  /// Tries a last time to write what waits.
  /// @throws std::exception where the file cannot be written
  void finish() {
    if (!is_behind_) return;
    try {
      save();
    } catch (const std::exception& error) {
      throw std::runtime_error(std::string(error.what()) + "; the last epochs are missing from it");
    }
  }

 private:
  void save() {
    is_behind_ = true;
    make_parent_folders(path_);
    if (replaces_) {
      replace_file(path_, pending_);
    } else {
      append_to_file(path_, pending_);
    }
    is_behind_ = false;
    replaces_ = false;
    pending_.clear();
    std::error_code not_there;
    size_ = std::filesystem::file_size(path_of(path_), not_there);
  }

  std::string path_;
  std::string pending_;
  bool replaces_ = false;
  bool is_behind_ = false;
  std::optional<std::uintmax_t> size_;  ///< after the last piece
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
