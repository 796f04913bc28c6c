// SPDX-License-Identifier: MIT
#pragma once

// All use of the operating system: os_interface.hpp declares it, the other two define it, each for
// its system. No header outside of this folder includes one of the system's.

#include <delve/detail/os/os_interface.hpp>  // IWYU pragma: export
#include <delve/detail/os/os_posix.hpp>      // IWYU pragma: export
#include <delve/detail/os/os_windows.hpp>    // IWYU pragma: export
