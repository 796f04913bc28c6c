// SPDX-License-Identifier: MIT
#pragma once

// The one place where the version is written: CMake reads it from here.
#define DELVE_VERSION_MAJOR 0
#define DELVE_VERSION_MINOR 1
#define DELVE_VERSION_PATCH 0
