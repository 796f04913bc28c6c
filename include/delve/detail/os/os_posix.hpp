// SPDX-License-Identifier: MIT
#pragma once

#ifndef _WIN32

#include <fcntl.h>     // fcntl, open, O_CLOEXEC
#include <signal.h>    // kill, sigemptyset
#include <spawn.h>     // posix_spawn
#include <stdlib.h>    // mkostemp
#include <sys/stat.h>  // fchmod, stat
#include <sys/wait.h>  // waitpid
#include <unistd.h>    // access, close, environ, fsync, ftruncate, gethostname, getpid, lseek, …

#include <algorithm>     // std::find, std::max, std::min
#include <cerrno>        // errno
#include <chrono>        // std::chrono
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t, std::intptr_t
#include <cstdio>        // SEEK_END, SEEK_SET
#include <cstdlib>       // std::getenv
#include <filesystem>    // std::filesystem
#include <fstream>       // std::ifstream
#include <limits>        // std::numeric_limits
#include <optional>      // std::optional
#include <string>        // std::getline, std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code, std::generic_category
#include <thread>        // std::this_thread::sleep_for
#include <vector>        // std::vector

#include <delve/detail/os/os_interface.hpp>
#include <delve/version.hpp>

// What os_interface.hpp declares, on Linux and its kin.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline constexpr bool on_windows = false;

inline std::filesystem::path path_of(std::string_view text) {
  return text;
}

inline std::string text_of(const std::filesystem::path& path) {
  return path.string();
}

/// The error of the last system call, which failed.
inline std::error_code last_error() {
  return {errno, std::generic_category()};
}

inline int descriptor_of(const OpenFile& file) {
  return static_cast<int>(file.handle());
}

inline OpenFile OpenFile::open(const std::string& path, FileAccess access, std::error_code& error) {
  const int flags = access == FileAccess::Read     ? O_RDONLY
                    : access == FileAccess::Append ? O_WRONLY | O_APPEND | O_CREAT
                                                   : O_RDWR | O_CREAT | O_EXCL;
  OpenFile file(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  error = file.is_open() ? std::error_code() : last_error();
  return file;
}

inline std::error_code OpenFile::write(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(descriptor_of(*this), bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      return last_error();
    }
  }
  return {};
}

inline std::error_code OpenFile::read(std::string& bytes) const {
  for (;;) {
    char buffer[16384];
    const ::ssize_t count = ::read(descriptor_of(*this), buffer, sizeof buffer);
    if (count == 0) return {};
    if (count > 0) {
      bytes.append(buffer, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      return last_error();
    }
  }
}

inline std::error_code OpenFile::rewind() const {
  return ::lseek(descriptor_of(*this), 0, SEEK_SET) == 0 ? std::error_code() : last_error();
}

inline std::int64_t OpenFile::go_to_end() const {
  return ::lseek(descriptor_of(*this), 0, SEEK_END);
}

inline std::error_code OpenFile::cut(std::int64_t size) const {
  return ::ftruncate(descriptor_of(*this), size) == 0 ? std::error_code() : last_error();
}

inline void OpenFile::copy_permissions(const std::string& path) const {
  struct ::stat other = {};
  if (::stat(path.c_str(), &other) != 0) return;
  [[maybe_unused]] const int ignored = ::fchmod(descriptor_of(*this), other.st_mode & 07777U);
}

inline std::error_code OpenFile::flush() const {
  return ::fsync(descriptor_of(*this)) == 0 ? std::error_code() : last_error();
}

inline std::error_code OpenFile::close() noexcept {
  const int descriptor = descriptor_of(*this);
  handle_ = -1;
  return ::close(descriptor) == 0 ? std::error_code() : last_error();
}

inline OpenFile nameless_file(std::string_view bytes) {
  std::error_code no_folder;
  std::filesystem::path folder = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) folder = "/tmp";
  std::string name = (folder / "delve-XXXXXX").string();
  const OpenFile made(::mkostemp(name.data(), O_CLOEXEC));
  if (!made.is_open()) throw FileError("make the temporary file", name, last_error().message());
  ::unlink(name.c_str());
  // Above 2, so that it does not stand in the way of a child's standard streams, should the program
  // have closed its own.
  OpenFile file(::fcntl(descriptor_of(made), F_DUPFD_CLOEXEC, 3));
  std::error_code error = file.is_open() ? file.write(bytes) : last_error();
  if (!error) error = file.rewind();
  if (error) throw FileError("write the temporary file", name, error.message());
  return file;
}

inline std::int64_t process_id() {
  return ::getpid();
}

inline std::string host_name() {
  char buffer[256] = {};
  return ::gethostname(buffer, sizeof buffer - 1) == 0 ? buffer : "";
}

/// MemAvailable of Linux, or what the limit of a container (cgroup v2) leaves where that is less.
inline std::optional<std::int64_t> available_memory() {
  std::optional<std::int64_t> available;
  std::ifstream system("/proc/meminfo");
  for (std::string line; !available && std::getline(system, line);) {
    const std::string_view name = "MemAvailable:";
    if (line.compare(0, name.size(), name) == 0) {
      available = std::stoll(line.substr(name.size())) * 1024;
    }
  }
  std::int64_t limit = 0;  // "max" is no number: no limit
  std::int64_t used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    available = std::min(available.value_or(std::numeric_limits<std::int64_t>::max()),
                         std::max<std::int64_t>(0, limit - used));
  }
  return available;
}

inline std::optional<std::string> find_program(const std::string& program) {
  const auto runnable = [](const std::filesystem::path& path) -> std::optional<std::string> {
    std::error_code error;
    const bool found =
        std::filesystem::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
    if (!found) return std::nullopt;
    return std::filesystem::absolute(path).string();
  };
  if (program.find('/') != std::string::npos) return runnable(program);
  const char* const variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/usr/bin:/bin";
  while (!program.empty() && !folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    if (auto found = runnable(std::filesystem::path(folders.substr(0, end)) / program))
      return found;
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return std::nullopt;
}

/// Waits for a child, and kills it with all its group when the time is up.
inline ProcessEnd wait_for(::pid_t child, std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + limit;
  ProcessEnd end;
  for (std::chrono::milliseconds pause(1);; pause = std::min(pause * 2, decltype(pause)(20))) {
    int status = 0;
    const ::pid_t ended = ::waitpid(child, &status, end.timed_out ? 0 : WNOHANG);
    if (ended == child) {
      if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
      return end;
    }
    // The system reaps children itself where the program ignores SIGCHLD. How this one ended is
    // then lost, and must be judged by its work.
    if (ended < 0 && errno == ECHILD) return end;
    if (ended < 0) continue;
    if (Clock::now() >= deadline) {
      end.timed_out = true;
      ::kill(-child, SIGKILL);
    } else {
      std::this_thread::sleep_for(pause);
    }
  }
}

/// The child is spawned, not forked, since forking a program with many threads is unsafe. Files as
/// its streams raise no SIGPIPE.
inline ProcessEnd run_program(const std::string& path, std::vector<std::string> arguments,
                              std::string_view input, const OpenFile& output,
                              std::chrono::milliseconds limit,
                              const std::vector<std::string_view>& unset) {
  const OpenFile in = nameless_file(input);
  const OpenFile errors = nameless_file();

  arguments.insert(arguments.begin(), path);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  std::vector<char*> environment;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (std::find(unset.begin(), unset.end(), name) == unset.end()) environment.push_back(*entry);
  }
  environment.push_back(nullptr);

  ::posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, descriptor_of(output), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, descriptor_of(in), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, descriptor_of(errors), STDERR_FILENO);

  // A group of its own, so that a wrapper script can be killed with its children. Signals that this
  // thread blocks are not the child's business.
  ::posix_spawnattr_t attributes;
  ::sigset_t no_signals;  // NOLINT(misc-include-cleaner): of <signal.h>
  ::sigemptyset(&no_signals);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setsigmask(&attributes, &no_signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);

  ::pid_t child = 0;
  const int error =
      ::posix_spawn(&child, path.c_str(), &actions, &attributes, argv.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw FileError("start", path, std::generic_category().message(error));

  ProcessEnd end = wait_for(child, limit);
  end.errors.resize(4096);
  const ::ssize_t count = ::pread(descriptor_of(errors), end.errors.data(), end.errors.size(), 0);
  end.errors.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return end;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve

#endif  // _WIN32
