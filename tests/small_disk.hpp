// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>      // unshare
#include <sys/mount.h>  // mount
#include <sys/wait.h>   // waitpid
#include <unistd.h>     // fork, getegid, geteuid, pipe

#include <cerrno>       // errno
#include <csignal>      // SIGKILL
#include <cstdio>       // std::fflush
#include <cstring>      // std::strerror
#include <filesystem>   // std::filesystem::path
#include <fstream>      // std::ofstream
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>

namespace delve_test {

/// A disk of half a megabyte of its own, in memory: one that can be full and read-only, for root as
/// well. A child mounts it where it alone sees it, so that it is gone with the child; the test
/// looks at it through the child's /proc/PID/root. Needs no right but to make a name space.
class SmallDisk {
 public:
  SmallDisk() {
    int to_child[2], to_parent[2];
    if (::pipe(to_child) != 0 || ::pipe(to_parent) != 0) {
      why_not_ = "no pipe";
      return;
    }
    std::fflush(nullptr);
    child_ = ::fork();
    if (child_ == 0) serve(to_child[0], to_parent[1]);
    ::close(to_child[0]);
    ::close(to_parent[1]);
    requests_ = to_child[1];
    answers_ = to_parent[0];
    why_not_ = answer();
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(requests_);
    ::close(answers_);
  }

  /// Why there is no such disk here; empty where there is one.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] std::filesystem::path path() const {
    return fmt::format("/proc/{}/root/mnt", child_);
  }

  /// Takes all room that is left, or gives it back.
  void fill() const {
    std::ofstream ballast(path() / "ballast", std::ios::binary);
    while (ballast << std::string(4096, 'x') << std::flush) {
    }
  }
  void make_room() const { std::filesystem::remove(path() / "ballast"); }

  /// Makes the disk read-only, or writable again.
  /// @return what the system says against it; empty: nothing
  std::string set_read_only(bool read_only) {
    const char request = read_only ? 'r' : 'w';
    return ::write(requests_, &request, 1) == 1 ? answer() : "the child is gone";
  }

 private:
  /// A line, without its end.
  [[nodiscard]] std::string answer() const {
    std::string line;
    for (char c = 0; ::read(answers_, &c, 1) == 1;) {
      if (c == '\n') return line;
      line.push_back(c);
    }
    return line + " (the child is gone)";
  }

  [[noreturn]] static void serve(int requests, int answers) {
    const auto tell = [&](std::string_view step, int result) {
      const std::string line =
          result == 0 ? "\n" : fmt::format("{}: {}\n", step, std::strerror(errno));
      if (::write(answers, line.data(), line.size()) < 0 || result != 0) ::_exit(1);
    };
    const auto user = ::geteuid();
    const auto group = ::getegid();
    if (::unshare(CLONE_NEWNS) != 0) {
      if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) tell("unshare", -1);
      // So that the files there are the user's, as they are outside.
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << user << ' ' << user << " 1";
      std::ofstream("/proc/self/gid_map") << group << ' ' << group << " 1";
    }
    // What is mounted from here on is seen nowhere else.
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) tell("mount /", -1);
    tell("mount", ::mount("delve-test", "/mnt", "tmpfs", 0, "size=512k,mode=777"));
    for (char request = 0; ::read(requests, &request, 1) == 1;) {
      unsigned long flags = MS_REMOUNT;
      if (request == 'r') flags |= MS_RDONLY;
      tell("remount", ::mount("delve-test", "/mnt", "tmpfs", flags, "size=512k"));
    }
    ::_exit(0);
  }

  ::pid_t child_ = -1;
  int requests_ = -1;
  int answers_ = -1;
  std::string why_not_;
};

}  // namespace delve_test
