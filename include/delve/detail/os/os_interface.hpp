// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>        // std::chrono::milliseconds
#include <cstdint>       // std::int64_t, std::intptr_t
#include <filesystem>    // std::filesystem::path
#include <optional>      // std::optional
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <utility>       // std::exchange, std::move, std::swap
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/version.hpp>

// All that is asked of the operating system: declared here, defined in os_posix.hpp or
// os_windows.hpp. Include os.hpp.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A text as a path, and a path as a text: on Windows the text is UTF-8, whatever its code page;
/// elsewhere the bytes are the path's.
[[nodiscard]] inline std::filesystem::path path_of(std::string_view text);
[[nodiscard]] inline std::string text_of(const std::filesystem::path& path);

/// A file or folder that could not be dealt with. what() names it, reason() does not: equal reasons
/// show that a fault repeats from file to file.
class FileError : public std::runtime_error {
 public:
  FileError(std::string_view action, std::string_view path, std::string reason)
      : std::runtime_error(fmt::format("cannot {} \"{}\": {}", action, path, reason)),
        reason_(std::move(reason)) {}

  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

 private:
  std::string reason_;
};

enum class FileAccess {
  Read,    ///< one that is there
  Append,  ///< one that is there, or a new one
  New      ///< to write and read; an error where there is one
};

/// Owns an open file. A program that is run does not inherit it, unless it is handed over. A
/// std::error_code is empty where all went well.
class OpenFile {
 public:
  OpenFile() = default;
  /// Takes over what the system knows a file by: a descriptor, on Windows a handle.
  explicit OpenFile(std::intptr_t handle) : handle_(handle) {}
  OpenFile(OpenFile&& other) noexcept : handle_(std::exchange(other.handle_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~OpenFile() {
    if (!is_open()) return;
    [[maybe_unused]] const std::error_code ignored = close();
  }

  [[nodiscard]] inline static OpenFile open(const std::string& path, FileAccess access,
                                            std::error_code& error);

  [[nodiscard]] std::intptr_t handle() const noexcept { return handle_; }
  [[nodiscard]] bool is_open() const noexcept { return handle_ >= 0; }

  /// Writes all of these bytes.
  [[nodiscard]] inline std::error_code write(std::string_view bytes) const;
  /// Appends to `bytes` all from the current place to the end of the file.
  [[nodiscard]] inline std::error_code read(std::string& bytes) const;
  /// Goes to the beginning.
  [[nodiscard]] inline std::error_code rewind() const;
  /// Goes to the end.
  /// @return the size of the file; negative where there is none
  [[nodiscard]] inline std::int64_t go_to_end() const;
  /// Cuts the file off at this size.
  [[nodiscard]] inline std::error_code cut(std::int64_t size) const;
  /// Gives the file the permissions of another one, where there is one and the system lets us.
  inline void copy_permissions(const std::string& path) const;
  /// Returns when the disk has what was written.
  [[nodiscard]] inline std::error_code flush() const;
  /// A network file system may report only now that the disk is full.
  [[nodiscard]] inline std::error_code close() noexcept;

 private:
  std::intptr_t handle_ = -1;
};

/// A nameless file that holds these bytes, read from its beginning.
/// @throws FileError
[[nodiscard]] inline OpenFile nameless_file(std::string_view bytes = {});

[[nodiscard]] inline std::int64_t process_id();

/// The machine's name; empty where it has none.
[[nodiscard]] inline std::string host_name();

/// The host's memory that is available without swapping, in bytes; unset where the system does
/// not say.
[[nodiscard]] inline std::optional<std::int64_t> available_memory();

/// Looks for a program as a shell would: a name in the folders of PATH, a path where it says.
/// Returns its absolute path, or nothing.
[[nodiscard]] inline std::optional<std::string> find_program(const std::string& program);

/// How a program ended.
struct ProcessEnd {
  std::int64_t exit_code = 0;  ///< meaningful if it was not killed
  int signal = 0;              ///< what killed it, or 0; Windows has none
  bool timed_out = false;      ///< it was killed here, for taking too long
  std::string errors;          ///< the first 4096 bytes that it wrote to stderr
};

/// Runs a program, without a shell, and waits for its end; kills it, with all that it started, when
/// the time is up. Its stdin is a file that holds `input`, its stdout `output`: files, so that
/// nobody can block.
/// @param path as find_program() returns it
/// @param unset the environment's variables that it does not get
/// @throws FileError if it cannot be started
inline ProcessEnd run_program(const std::string& path, std::vector<std::string> arguments,
                              std::string_view input, const OpenFile& output,
                              std::chrono::milliseconds limit,
                              const std::vector<std::string_view>& unset = {});

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
