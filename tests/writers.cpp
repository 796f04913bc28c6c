// SPDX-License-Identifier: MIT

// The keys of writers, for all files of a test, which need not compile these.

#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/html.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>

#ifdef DELVE_REGISTERED_ELSEWHERE
const bool writers_are_registered = delve::detail::register_csv() &&
                                    delve::detail::register_console() &&
                                    delve::detail::register_html() &&
                                    delve::detail::register_npy() && delve::detail::register_plot();
#endif
