// SPDX-License-Identifier: MIT

// What tracker.hpp says is compiled elsewhere.

#include <delve/receptive_field.hpp>

#include "tracker.hpp"

template class delve::Covariance<double>;
template class delve::Covariance<float>;
template class delve::CheckLayerSat<double>;
template class delve::CheckLayerSat<float>;
#ifdef DELVE_REGISTERED_ELSEWHERE
const bool fields_are_registered = delve::detail::register_training_fields();
#endif
