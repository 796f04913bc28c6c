// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>        // std::atomic
#include <filesystem>    // std::filesystem
#include <optional>      // std::optional
#include <stdexcept>     // std::invalid_argument
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code, std::make_error_code

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Makes the folders above `path` that are not there yet.
/// @throws FileError
inline void make_parent_folders(const std::string& path) {
  const std::filesystem::path folder = path_of(path).parent_path();
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !std::filesystem::is_directory(folder, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) throw FileError("make the folder", text_of(folder), error.message());
}

/// Checks a savefile, the common beginning of a run's file names, and makes the folders above it.
/// Returns it as an absolute path, so that a program which changes its folder keeps one set of
/// files.
/// @throws std::invalid_argument, FileError
inline std::string prepare_savefile(const std::string& savefile) {
  const std::filesystem::path path = path_of(savefile);
  if (path.filename().empty()) {
    throw std::invalid_argument(fmt::format(
        "delve: savefile is \"{}\"; it must end in a name, such as \"runs/vgg16\"", savefile));
  }
  if (on_windows && !is_name_on_windows(text_of(path.filename()))) {
    throw std::invalid_argument(
        fmt::format("delve: savefile is \"{}\"; on Windows its name must hold none of {}, must not "
                    "be that of a "
                    "device, such as CON, and must not end in '.' or a blank",
                    savefile, forbidden_on_windows));
  }
  std::string absolute = text_of(std::filesystem::absolute(path).make_preferred());
  make_parent_folders(absolute);
  return absolute;
}

/// The bytes of a file, or nothing where there is no such file.
/// @throws FileError
inline std::optional<std::string> read_file(const std::string& path) {
  std::error_code error;
  const OpenFile file = OpenFile::open(path, FileAccess::Read, error);
  if (error == std::errc::no_such_file_or_directory) return std::nullopt;
  std::string bytes;
  if (!error) error = file.read(bytes);
  if (error) throw FileError("read", path, error.message());
  return bytes;
}

/// The file that a path stands for: where symbolic links lead, whether or not there is a file yet.
/// @throws FileError where they lead in a circle
inline std::string link_target(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path target = path_of(path);
  constexpr int most = 40;  // as many as Linux follows
  for (int links = 0; links < most; ++links) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(target, error))) return text_of(target);
    const fs::path next = fs::read_symlink(target, error);
    if (error) throw FileError("read the link", text_of(target), error.message());
    target = target.parent_path() / next;
  }
  throw FileError("follow the link", path,
                  std::make_error_code(std::errc::too_many_symbolic_link_levels).message());
}

/// A file on its way to replace another: what is written goes to a temporary file beside it, until
/// commit() renames that over the target. Destroyed earlier, it leaves no trace. A symbolic link
/// stays one, and the file that it leads to is replaced; its permissions are kept.
class PendingFile {
 public:
  /// @throws FileError
  explicit PendingFile(const std::string& path) : path_(link_target(path)) {
    static std::atomic<unsigned> count{0};
    std::error_code error;
    do {
      temporary_ = fmt::format("{}.{}-{}.tmp", path_, process_id(), count++);
      file_ = OpenFile::open(temporary_, FileAccess::New, error);
    } while (error == std::errc::file_exists);
    if (error) fail(error);
    // Where the system does not let us, the file is ours to read at least.
    file_.copy_permissions(path_);
  }

  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile() {
    if (committed_) return;
    file_ = OpenFile();
    std::error_code ignored;
    std::filesystem::remove(path_of(temporary_), ignored);
  }

  /// For a child process to write to.
  [[nodiscard]] const OpenFile& file() const noexcept { return file_; }
  [[nodiscard]] const std::string& temporary() const noexcept { return temporary_; }

  /// @throws FileError
  void write(std::string_view bytes) {
    if (const std::error_code error = file_.write(bytes)) fail(error);
  }

  /// @throws FileError; the target is then as it was
  void commit() {
    std::error_code error = file_.flush();
    if (!error) error = file_.close();
    if (!error) std::filesystem::rename(path_of(temporary_), path_of(path_), error);
    if (error) fail(error);
    committed_ = true;
  }

 private:
  [[noreturn]] void fail(const std::error_code& error) const {
    throw FileError("write", path_, error.message());
  }

  std::string path_;
  std::string temporary_;
  OpenFile file_;
  bool committed_ = false;
};

/// Gives the file these bytes, whole or not at all.
/// @throws FileError; the file is then as it was
inline void replace_file(const std::string& path, std::string_view bytes) {
  PendingFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
