// SPDX-License-Identifier: MIT

// What takes most of the time that a program with a tracker takes to compile, once for all programs
// here: the tracker, and what registers itself where delve/delve.hpp is included.

#include <delve/delve.hpp>

#include "compiled_once.hpp"

template class delve::Covariance<double>;
template class delve::Covariance<float>;
template class delve::CheckLayerSat<double>;
template class delve::CheckLayerSat<float>;
