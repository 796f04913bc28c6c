// SPDX-License-Identifier: MIT

// A table, and the records that are made of it.

#include <delve/detail/reading/csv_records.hpp>
#include <delve/writers/csv.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_csv {

using delve::detail::CsvTable;
using delve_fuzz::require;

namespace {

std::string written(const CsvTable& table) {
  std::string text = delve::detail::csv_line(table.header);
  for (const CsvTable::Row& row : table.rows) text += delve::detail::csv_line(row.cells);
  return text;
}

/// The records as they are after they were written and read.
std::vector<delve::EpochRecord> passed_on(const std::vector<delve::EpochRecord>& records) {
  static const delve_fuzz::Folder folder;
  const std::string savefile = (folder.emptied() / "run").string();
  delve_test::Watched<delve::CsvWriter, delve::CsvOptions> run(savefile);
  for (const delve::EpochRecord& record : records) run.writer.write(record);
  run.writer.close();
  require(run.messages.empty(), "any table can be written");
  return delve::detail::records_from_csv(delve_test::read(savefile + ".csv"), "run.csv");
}

}  // namespace

DELVE_FUZZ_TARGET(csv) {
  const std::string text = delve_fuzz::text_of(data, size);
  CsvTable table;
  const auto parse = [&] { table = delve::detail::parse_csv(text, "in.csv"); };
  if (!delve_fuzz::accepts("\"in.csv\", line ", parse)) return 0;
  for (const CsvTable::Row& row : table.rows) {
    require(row.cells.size() == table.header.size(), "each row is as wide as the header");
  }
  const CsvTable again = delve::detail::parse_csv(written(table), "again.csv");
  require(written(again) == written(table) && again.header == table.header &&
              again.rows.size() == table.rows.size() && again.torn_line == 0,
          "a table is read as it was written");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    require(again.rows[i].cells == table.rows[i].cells, "a row is read as it was written");
  }

  std::vector<delve::EpochRecord> records;
  const auto read = [&] { records = delve::detail::records_from_csv(text, "in.csv"); };
  if (!delve_fuzz::accepts("\"in.csv\", line ", read)) return 0;
  for (std::size_t i = 1; i < records.size(); ++i) {
    require(records[i - 1].epoch < records[i].epoch, "epochs rise");
  }
  if (records.empty()) return 0;
  // Each epoch writes the file anew.
  if (records.size() > 8) records.resize(8);
  // Of two columns of one name the writer keeps the last: the records are held against those that
  // were written and read once already.
  const std::vector<delve::EpochRecord> once = passed_on(records);
  require(delve_fuzz::numbers_of(passed_on(once)) == delve_fuzz::numbers_of(once),
          "records are read as they were written");
  return 0;
}

}  // namespace fuzz_csv
