// SPDX-License-Identifier: MIT
#pragma once

// The operating system in one room: os_interface.hpp says what is asked of it, the other two do it,
// each on its system. No header outside of this folder includes one of the system's.

#include <delve/detail/os/os_interface.hpp>  // IWYU pragma: export
#include <delve/detail/os/os_posix.hpp>      // IWYU pragma: export
#include <delve/detail/os/os_windows.hpp>    // IWYU pragma: export
