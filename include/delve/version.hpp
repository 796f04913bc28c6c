// SPDX-License-Identifier: MIT
#pragma once

// CMake and Conan read the version from here. packaging/vcpkg/ports/delve-cpp/vcpkg.json, which a
// test holds against it, and docs/install.md name it as well.
#define DELVE_VERSION_MAJOR 0
#define DELVE_VERSION_MINOR 1
#define DELVE_VERSION_PATCH 0
