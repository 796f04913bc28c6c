// SPDX-License-Identifier: MIT
#pragma once

#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>

// What compiled_once.cpp has: a program that makes a tracker would take half a minute for it.
extern template class delve::Covariance<double>;
extern template class delve::Covariance<float>;
extern template class delve::CheckLayerSat<double>;
extern template class delve::CheckLayerSat<float>;
