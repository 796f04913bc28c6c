// SPDX-License-Identifier: MIT
#pragma once

// Includes what this header held in 0.1: the keys of writers, and all writers that needed no
// further library. It will be removed in 0.3.

#include <delve/writers/console.hpp>      // IWYU pragma: export
#include <delve/writers/csv.hpp>          // IWYU pragma: export
#include <delve/writers/npy.hpp>          // IWYU pragma: export
#include <delve/writers/plot.hpp>         // IWYU pragma: export
#include <delve/writers/writer_list.hpp>  // IWYU pragma: export
