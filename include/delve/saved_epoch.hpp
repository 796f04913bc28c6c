// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>    // std::int64_t
#include <stdexcept>  // std::runtime_error
#include <string>     // std::string

#include <fmt/format.h>  // fmt::format

#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/version.hpp>

namespace delve::DELVE_ABI {

/// The epoch that was under way when CheckLayerSat::save_state() wrote this file, for
/// CheckLayerSatOptions::initial_epoch. Reads and checks the whole file.
/// @throws std::runtime_error where it cannot be read, is spoilt, or of another format; it names it
inline std::int64_t saved_epoch(const std::string& path) {
  const std::string bytes = detail::read_state_file(path);
  detail::StateReader archive(detail::content_of_state(bytes, path));
  std::int64_t epoch = 0;
  try {
    archive(epoch);
  } catch (const detail::StateFault& fault) {
    throw std::runtime_error(fmt::format("delve: \"{}\": {}", path, fault.what()));
  }
  return epoch;
}

}  // namespace delve::DELVE_ABI
