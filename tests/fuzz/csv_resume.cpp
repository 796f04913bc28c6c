// SPDX-License-Identifier: MIT

// A run that goes on from epoch 5 of any file that is in its table's place.

#include <algorithm>  // std::find_if

#include <delve/detail/formats/csv_table.hpp>
#include <delve/writers/csv.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_csv_resume {

using delve::detail::CsvTable;
using delve_fuzz::require;

namespace {

constexpr std::int64_t kEpoch = 5;

/// Writes one epoch after those that are there.
void go_on(const std::string& savefile) {
  delve_test::Watched<delve::CsvWriter, delve::CsvOptions> run(savefile, {kEpoch});
  run.writer.write(delve_test::record(kEpoch, {{"accuracy", 0.5}},
                                      {delve_test::layer("fc", delve::Mode::Train, {0.25})}));
  run.writer.close();
  require(run.messages.size() <= 1, "nothing but a broken last line is reported");
}

}  // namespace

DELVE_FUZZ_TARGET(csv_resume) {
  static const delve_fuzz::Folder folder;
  const std::string text = delve_fuzz::text_of(data, size);
  const std::string savefile = (folder.emptied() / "run").string();
  const std::string path = savefile + ".csv";
  const auto written = delve_fuzz::gone_on(path, text, [&] { go_on(savefile); });
  if (!written) return 0;

  const CsvTable before = delve::detail::parse_csv(text, "before");
  const CsvTable after = delve::detail::parse_csv(*written, "after");
  require(after.torn_line == 0 && !after.rows.empty(), "the table is whole");
  for (std::size_t i = 0; i < after.rows.size(); ++i) {
    const auto epoch = delve::detail::epoch_of_row(after.rows[i], "after");
    const bool is_last = i + 1 == after.rows.size();
    require(is_last ? epoch == kEpoch : epoch < kEpoch, "rows of epochs to come are dropped");
    if (is_last) continue;
    const auto kept = std::find_if(before.rows.rbegin(), before.rows.rend(), [&](const auto& row) {
      return delve::detail::epoch_of_row(row, "before") == epoch;
    });
    require(kept != before.rows.rend(), "no row is made up");
    for (std::size_t column = 0; column < after.header.size(); ++column) {
      const std::string& cell = after.rows[i].cells[column];
      require(column < kept->cells.size() ? cell == kept->cells[column] : cell.empty(),
              "rows are kept to the letter");
    }
  }
  return 0;
}

}  // namespace fuzz_csv_resume
