// SPDX-License-Identifier: MIT

// The writers that register themselves, once for all programs here that do without LibTorch.

#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/html.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
