// SPDX-License-Identifier: MIT
#pragma once

// CMake and Conan read the version from here. packaging/vcpkg/ports/delve-cpp/vcpkg.json, which a
// test compares with it, and docs/install.md name it as well.
#define DELVE_VERSION_MAJOR 0
#define DELVE_VERSION_MINOR 1
#define DELVE_VERSION_PATCH 0

/// The version as one number, for `#if DELVE_VERSION >= 200`: 10203 is 1.2.3.
#define DELVE_VERSION \
  (DELVE_VERSION_MAJOR * 10000 + DELVE_VERSION_MINOR * 100 + DELVE_VERSION_PATCH)

#define DELVE_TEXT_OF(number) #number
#define DELVE_VERSION_TEXT_OF(major, minor, patch) \
  DELVE_TEXT_OF(major) "." DELVE_TEXT_OF(minor) "." DELVE_TEXT_OF(patch)
/// The same as text: "1.2.3".
#define DELVE_VERSION_TEXT \
  DELVE_VERSION_TEXT_OF(DELVE_VERSION_MAJOR, DELVE_VERSION_MINOR, DELVE_VERSION_PATCH)

// All of delve lies in an inline namespace of its version, delve::v0_1: libraries of one program
// that were compiled with different versions each use their own.
#define DELVE_ABI_OF(major, minor) v##major##_##minor
#define DELVE_ABI_FOR(major, minor) DELVE_ABI_OF(major, minor)
#define DELVE_ABI DELVE_ABI_FOR(DELVE_VERSION_MAJOR, DELVE_VERSION_MINOR)

namespace delve {
inline namespace DELVE_ABI {}
}  // namespace delve

// What all parts of a program share, though shared libraries hide their symbols: registries, and
// what a thread remembers.
#if defined(__ELF__)
#define DELVE_SHARED __attribute__((visibility("default")))
#else
#define DELVE_SHARED
#endif
