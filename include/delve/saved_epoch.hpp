// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <fmt/format.h>  // fmt::format

#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

namespace detail {

/// The epoch, with which the content of a state begins.
/// @param name of the file, for messages
inline std::int64_t epoch_in(std::string_view content, std::string_view name) {
  StateReader archive(content);
  std::int64_t epoch = 0;
  try {
    archive(epoch);
  } catch (const StateFault& fault) {
    throw std::runtime_error(fmt::format("delve: \"{}\": {}", name, fault.what()));
  }
  return epoch;
}

}  // namespace detail

/// The epoch that was under way when CheckLayerSat::save_state() wrote this file, for
/// CheckLayerSatOptions::initial_epoch. Reads and checks the whole file.
/// @throws std::runtime_error that names the file, where it cannot be read, is corrupt, or of
///   another format
inline std::int64_t saved_epoch(const std::string& path) {
  const std::string bytes = detail::read_state_file(path);
  return detail::epoch_in(detail::content_of_state(bytes, path), path);
}

}  // namespace DELVE_ABI
}  // namespace delve
