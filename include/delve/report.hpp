// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>  // std::invalid_argument
#include <string>     // std::string
#include <vector>     // std::vector

#include <delve/detail/os/files.hpp>
#include <delve/detail/report/page.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// A run, for a page.
struct ReportedRun {
  std::string name;
  std::vector<EpochRecord> records;  ///< in rising order of epochs, as read_table() has them
};

/// Writes the page of HtmlWriter from existing records, of one run or of several side by side: the
/// verdict on each, and by how much their scalars differ from those of the first.
/// @param path of the file; missing folders are made; it is replaced whole, or left as it was
/// @throws std::invalid_argument where there is no run; std::runtime_error where the file cannot be
///   written
inline void write_report(const std::string& path, const std::string& title,
                         const std::vector<ReportedRun>& runs) {
  if (runs.empty()) throw std::invalid_argument("delve::write_report: runs is empty");
  std::vector<detail::ReportRun> shown;
  for (const ReportedRun& run : runs) {
    detail::ReportRun& page_run = shown.emplace_back();
    page_run.name = run.name;
    for (const EpochRecord& record : run.records) page_run.history.add(record);
  }
  detail::make_parent_folders(path);
  detail::replace_file(path, detail::report_page(title, shown));
}

}  // namespace DELVE_ABI
}  // namespace delve
