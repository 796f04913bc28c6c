// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>    // std::int64_t
#include <exception>  // std::exception
#include <memory>     // std::make_shared
#include <optional>   // std::optional
#include <string>     // std::string
#include <vector>     // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/reading/csv_records.hpp>
#include <delve/detail/report/page.hpp>
#include <delve/detail/report/report_history.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct HtmlOptions {
  /// The first epoch to come. Above 0, the page begins with the earlier epochs that SAVEFILE.csv
  /// holds, if there is one.
  std::int64_t initial_epoch = 0;
  /// The title of the page; empty: the name of the savefile.
  std::string title = {};
};

/// Writes SAVEFILE.html: one page that says whether the last layers contribute and what to change
/// (verdict()), and shows the evidence: saturation, probes and receptive fields layer by layer,
/// over the epochs, scalars, what was reported, options. One file, opened from disk; it loads no
/// other.
///
/// It is replaced whole at each epoch, or left as it was. It stays below 2 MB: in long runs of many
/// layers some epochs are left out, which the page says.
class HtmlWriter final : public Writer {
 public:
  /// Makes the folders above the file.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if a folder cannot be made
  explicit HtmlWriter(const std::string& savefile, const HtmlOptions& options = {})
      : savefile_(detail::prepare_savefile(savefile)) {
    const std::int64_t initial_epoch = detail::checked_initial_epoch(options.initial_epoch);
    runs_.front().name = options.title.empty()
                             ? detail::text_of(detail::path_of(savefile_).filename())
                             : options.title;
    if (initial_epoch > 0) remember_earlier_epochs(initial_epoch);
  }

  /// Where the page is written, as an absolute path.
  [[nodiscard]] std::string path() const { return savefile_ + ".html"; }

  [[nodiscard]] bool wants_receptive_fields() const override { return true; }

 protected:
  void write_epoch(const EpochRecord& record) override {
    runs_.front().history.add(record);
    write_page();
  }

  /// The last page also has what was reported since.
  void finish() override {
    if (!runs_.front().history.empty()) write_page();
  }

 private:
  void write_page() {
    runs_.front().info = run();
    detail::replace_file(path(), detail::report_page(runs_.front().name, runs_));
  }

  void remember_earlier_epochs(std::int64_t initial_epoch) {
    const std::string table = savefile_ + ".csv";
    try {
      const std::optional<std::string> text = detail::read_file(table);
      if (!text) return;
      for (const EpochRecord& record : detail::records_from_csv(*text, table)) {
        if (record.epoch < initial_epoch) runs_.front().history.add(record);
      }
    } catch (const std::exception& error) {
      report(fmt::format("the page will begin at epoch {}: {}", initial_epoch, error.what()));
    }
  }

  std::string savefile_;
  std::vector<detail::ReportRun> runs_{1};  // one
};

namespace detail {

/// Registers the key, which also writes the table that a page is continued from.
inline bool register_html() {
  const std::string page = std::string(1, kPartMark) + "page";
  register_writer(page, [](const WriterContext& context) {
    return Writers{
        std::make_shared<HtmlWriter>(context.savefile, HtmlOptions{context.initial_epoch, {}})};
  });
  register_writer_groups({"html"}, {"csv", page});
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool html_is_registered = register_html();
#endif

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
