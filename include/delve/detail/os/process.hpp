// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>     // fcntl, O_CLOEXEC
#include <signal.h>    // kill, sigemptyset
#include <spawn.h>     // posix_spawn
#include <stdlib.h>    // mkostemp
#include <sys/wait.h>  // waitpid
#include <unistd.h>    // access, environ, lseek, pread, unlink

#include <algorithm>     // std::find, std::min
#include <cerrno>        // errno
#include <chrono>        // std::chrono
#include <cstdio>        // SEEK_SET
#include <cstdlib>       // std::getenv
#include <filesystem>    // std::filesystem::path
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <thread>        // std::this_thread::sleep_for
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>

namespace delve::detail {

/// Looks for a program as a shell would: a name in the folders of PATH, a path where it says.
/// Returns its absolute path, or nothing.
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

/// "gnuplot was not found in PATH", the beginning of a sentence.
[[nodiscard]] inline std::string was_not_found(const std::string& program) {
  const bool is_path = program.find('/') != std::string::npos;
  return program + " was not found" + (is_path ? "" : " in PATH");
}

/// A nameless file that holds these bytes, read from its beginning.
/// @throws FileError
inline FileDescriptor nameless_file(std::string_view bytes = {}) {
  std::error_code no_folder;
  std::filesystem::path folder = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) folder = "/tmp";
  std::string name = (folder / "delve-XXXXXX").string();
  const FileDescriptor made(::mkostemp(name.data(), O_CLOEXEC));
  if (!made.is_open()) throw FileError("make the temporary file", name, system_message(errno));
  ::unlink(name.c_str());
  // Above 2, so that it does not stand in the way of a child's standard streams, should the program
  // have closed its own.
  FileDescriptor file(::fcntl(made.get(), F_DUPFD_CLOEXEC, 3));
  int error = file.is_open() ? write_all(file.get(), bytes) : errno;
  if (error == 0 && ::lseek(file.get(), 0, SEEK_SET) != 0) error = errno;
  if (error != 0) throw FileError("write the temporary file", name, system_message(error));
  return file;
}

/// How a program ended.
struct ProcessEnd {
  int exit_code = 0;       ///< meaningful if it was not killed
  int signal = 0;          ///< what killed it, or 0
  bool timed_out = false;  ///< it was killed here, for taking too long
  std::string errors;      ///< the first 4096 bytes that it wrote to stderr
};

/// Why that was no good end, as the beginning of a sentence; empty where it was one.
/// @param limit how long the program had, in words
[[nodiscard]] inline std::string fault_of(const ProcessEnd& end, std::string_view program,
                                          std::string_view limit) {
  if (end.timed_out) return fmt::format("{} did not end within {}", program, limit);
  if (end.signal != 0) return fmt::format("signal {} ended {}", end.signal, program);
  if (end.exit_code != 0) return fmt::format("{} ended with code {}", program, end.exit_code);
  return {};
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

/// Runs a program, without a shell, and waits for its end. Its stdin is a file that holds `input`,
/// its stdout the descriptor `output`: files, so that nobody can block and no SIGPIPE arises. The
/// child is spawned, not forked, since forking a program with many threads is unsafe.
/// @param unset the environment's variables that it does not get
/// @throws FileError if it cannot be started
inline ProcessEnd run_program(const std::string& path, std::vector<std::string> arguments,
                              std::string_view input, int output, std::chrono::milliseconds limit,
                              const std::vector<std::string_view>& unset = {}) {
  const FileDescriptor in = nameless_file(input);
  const FileDescriptor errors = nameless_file();

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
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors.get(), STDERR_FILENO);

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
  if (error != 0) throw FileError("start", path, system_message(error));

  ProcessEnd end = wait_for(child, limit);
  end.errors.resize(4096);
  const ::ssize_t count = ::pread(errors.get(), end.errors.data(), end.errors.size(), 0);
  end.errors.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return end;
}

}  // namespace delve::detail
