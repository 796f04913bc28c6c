// SPDX-License-Identifier: MIT
#pragma once

// Stands for what it held in 0.1: the keys of writers, and all writers that need no further
// library. It goes with 0.3.

#include <delve/writers/console.hpp>      // IWYU pragma: export
#include <delve/writers/csv.hpp>          // IWYU pragma: export
#include <delve/writers/npy.hpp>          // IWYU pragma: export
#include <delve/writers/plot.hpp>         // IWYU pragma: export
#include <delve/writers/writer_list.hpp>  // IWYU pragma: export
