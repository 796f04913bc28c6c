// SPDX-License-Identifier: MIT

// What tracker.hpp says is compiled elsewhere.

#include "tracker.hpp"

template class delve::Covariance<double>;
template class delve::Covariance<float>;
template class delve::CheckLayerSat<double>;
template class delve::CheckLayerSat<float>;
