// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of
#include <functional>   // std::function
#include <optional>     // std::optional
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/csv_table.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/reading/csv_records.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// Reads a table written by CsvWriter or Delve (Python) back into the records that it was made of,
/// in rising order of epochs; of two rows of one epoch the later counts. What a table does not hold
/// is unknown: widths and samples are 0, every status is Ok. A layer whose values are all missing
/// in a row is left out of that record. A last line that is broken off is left out, too.
/// @param on_problem receives a report on cells that hold text where others of their column hold
///   numbers; these become missing values. Unset: they are not reported.
/// @throws std::runtime_error where there is no such file, it is malformed, or it holds no
///   statistic of any layer; the message names file, line, column and cell
[[nodiscard]] inline std::vector<EpochRecord> read_table(
    const std::string& path, const std::function<void(std::string_view)>& on_problem = {}) {
  const std::optional<std::string> text = detail::read_file(path);
  if (!text) throw std::runtime_error(fmt::format("there is no file \"{}\"", path));
  const detail::CsvTable table = detail::parse_csv(*text, path);
  std::vector<EpochRecord> records = detail::records_of(table, path);
  const std::vector<detail::BadCell> bad = detail::bad_cells(table);
  const bool has_layers = std::any_of(records.begin(), records.end(),
                                      [](const auto& record) { return !record.layers.empty(); });
  if (!has_layers) {
    throw std::runtime_error(fmt::format("\"{}\" holds no statistic of any layer{}", path,
                                         bad.empty() ? "" : ": " + bad.front().words()));
  }
  if (on_problem && !bad.empty()) {
    const std::string more =
        bad.size() > 1 ? fmt::format(", and {} more such cells", bad.size() - 1) : "";
    on_problem(
        fmt::format("\"{}\", {}{}; taken for missing values", path, bad.front().words(), more));
  }
  return records;
}

}  // namespace DELVE_ABI
}  // namespace delve
