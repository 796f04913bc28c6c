// SPDX-License-Identifier: MIT
#pragma once

// What tests ask of the system that they run on, and how they say that it is not there.

#ifndef _WIN32
#include <sys/resource.h>  // getrlimit, setrlimit
#endif

#include <csignal>       // SIGXFSZ, std::signal
#include <cstdint>       // std::uint64_t
#include <cstdio>        // std::printf
#include <filesystem>    // std::filesystem
#include <stdexcept>     // std::runtime_error
#include <system_error>  // std::error_code

#include "catch.hpp"

/// Ends a case that cannot run here, and says why. tests/plain.sh counts these.
#define LEAVE_OUT(why)                                                                            \
  do {                                                                                            \
    std::printf("left out: \"%s\": %s\n", Catch::getResultCapture().getCurrentTestName().c_str(), \
                why);                                                                             \
    return;                                                                                       \
  } while (false)

namespace delve_test {

/// Whether this program may make symbolic links, which Windows grants to few.
inline bool has_links() {
  static const bool has_them = [] {
    const std::filesystem::path link = "system_link";
    std::error_code error;
    std::filesystem::remove(link, error);
    std::filesystem::create_symlink("nowhere", link, error);
    std::error_code ignored;
    std::filesystem::remove(link, ignored);
    return !error;
  }();
  return has_them;
}

/// A limit on the size of files, while it lives: a write that passes it fails half-way, as on a
/// full disk.
class FileSizeLimit {
 public:
#ifdef _WIN32
  static constexpr bool is_there = false;
  explicit FileSizeLimit(std::uint64_t /*bytes*/) {
    throw std::runtime_error("no such limit");
  }
#else
  static constexpr bool is_there = true;
  explicit FileSizeLimit(std::uint64_t bytes) {
    if (::getrlimit(RLIMIT_FSIZE, &old_) != 0) throw std::runtime_error("no limit is known");
    // An error, and no signal's end of the program.
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const ::rlimit tight{bytes, old_.rlim_max};
    if (::setrlimit(RLIMIT_FSIZE, &tight) != 0) throw std::runtime_error("no limit can be set");
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }
#endif
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

#ifndef _WIN32
 private:
  ::rlimit old_{};
  void (*old_handler_)(int) = SIG_DFL;
#endif
};

}  // namespace delve_test
