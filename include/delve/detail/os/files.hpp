// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>     // open
#include <sys/stat.h>  // fchmod, stat
#include <unistd.h>    // close, fsync, getpid, read, unlink, write

#include <atomic>        // std::atomic
#include <cerrno>        // errno
#include <cstdio>        // std::rename
#include <filesystem>    // std::filesystem::create_directories
#include <optional>      // std::optional
#include <stdexcept>     // std::invalid_argument, std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code, std::generic_category
#include <utility>       // std::exchange, std::move

#include <fmt/format.h>  // fmt::format

namespace delve::detail {

inline std::string system_message(int error) {
  return std::generic_category().message(error);
}

/// A file or folder that could not be dealt with. what() names it, reason() does not: equal reasons
/// tell a fault that repeats from file to file.
class FileError : public std::runtime_error {
 public:
  FileError(std::string_view action, std::string_view path, std::string reason)
      : std::runtime_error(fmt::format("cannot {} \"{}\": {}", action, path, reason)),
        reason_(std::move(reason)) {}

  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

 private:
  std::string reason_;
};

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }

  /// Closes and returns what the system says of it: a network file system may tell only now that
  /// the disk is full.
  int close() noexcept { return ::close(std::exchange(descriptor_, -1)); }

 private:
  int descriptor_ = -1;
};

/// Writes all bytes. Returns 0, or the system's error number.
inline int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

/// Makes the folders above `path` that are not there yet.
/// @throws FileError
inline void make_parent_folders(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !std::filesystem::is_directory(folder, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) throw FileError("make the folder", folder.string(), error.message());
}

/// Checks a savefile, the common beginning of a run's file names, and makes the folders above it.
/// Returns it as an absolute path, so that a program which changes its folder keeps one set of
/// files.
/// @throws std::invalid_argument, FileError
inline std::string prepare_savefile(const std::string& savefile) {
  if (std::filesystem::path(savefile).filename().empty()) {
    throw std::invalid_argument(fmt::format(
        "delve: savefile is \"{}\"; it must end in a name, such as \"runs/vgg16\"", savefile));
  }
  std::string absolute = std::filesystem::absolute(savefile).string();
  make_parent_folders(absolute);
  return absolute;
}

/// The bytes of a file, or nothing where there is no such file.
/// @throws FileError
inline std::optional<std::string> read_file(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    throw FileError("read", path, system_message(errno));
  }
  std::string bytes;
  for (;;) {
    char buffer[16384];
    const ::ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count == 0) return bytes;
    if (count > 0) {
      bytes.append(buffer, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      throw FileError("read", path, system_message(errno));
    }
  }
}

/// The file that a path stands for: where symbolic links lead, whether or not there is a file yet.
/// @throws FileError where they lead in a circle
inline std::string link_target(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path target = path;
  constexpr int most = 40;  // as many as Linux follows
  for (int links = 0; links < most; ++links) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(target, error))) return target.string();
    const fs::path next = fs::read_symlink(target, error);
    if (error) throw FileError("read the link", target.string(), error.message());
    target = target.parent_path() / next;
  }
  throw FileError("follow the link", path, system_message(ELOOP));
}

/// A file on its way to replace another: what is written goes to a temporary file beside it, until
/// commit() renames that over the target. Destroyed earlier, it leaves no trace. A symbolic link
/// stays one, and the file that it leads to is replaced; its permissions are kept.
class PendingFile {
 public:
  /// @throws FileError
  explicit PendingFile(const std::string& path) : path_(link_target(path)) {
    static std::atomic<unsigned> count{0};
    do {
      temporary_ = fmt::format("{}.{}-{}.tmp", path_, ::getpid(), count++);
      file_ =
          FileDescriptor(::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    } while (!file_.is_open() && errno == EEXIST);
    if (!file_.is_open()) fail(errno);
    struct ::stat old = {};
    // Where the system does not let us, the file is ours to read at least.
    if (::stat(path_.c_str(), &old) == 0) {
      [[maybe_unused]] const int ignored = ::fchmod(file_.get(), old.st_mode & 07777U);
    }
  }

  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// For a child process to write to.
  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
  [[nodiscard]] const std::string& temporary() const noexcept { return temporary_; }

  /// @throws FileError
  void write(std::string_view bytes) {
    if (const int error = write_all(file_.get(), bytes)) fail(error);
  }

  /// @throws FileError; the target is then as it was
  void commit() {
    if (::fsync(file_.get()) != 0) fail(errno);
    if (file_.close() != 0) fail(errno);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
    committed_ = true;
  }

 private:
  [[noreturn]] void fail(int error) const {
    throw FileError("write", path_, system_message(error));
  }

  std::string path_;
  std::string temporary_;
  FileDescriptor file_;
  bool committed_ = false;
};

/// Gives the file these bytes, whole or not at all.
/// @throws FileError; the file is then as it was
inline void replace_file(const std::string& path, std::string_view bytes) {
  PendingFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace delve::detail
