// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>        // std::size_t
#include <cstdint>        // std::int64_t
#include <map>            // std::map
#include <memory>         // std::make_shared
#include <optional>       // std::optional
#include <string>         // std::string
#include <string_view>    // std::string_view
#include <unordered_map>  // std::unordered_map
#include <utility>        // std::move
#include <vector>         // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/csv_table.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/growing_file.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/layer_field.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct CsvOptions {
  /// The first epoch to come. Above 0, the rows before it in a file that is there already are kept
  /// to the letter, and the others dropped. At 0 the first epoch replaces the file.
  std::int64_t initial_epoch = 0;
};

/// Writes SAVEFILE.csv: fields separated by ';', a row per epoch. The first column is the epoch and
/// has an empty name; the others come in the order of their first appearance, named as add_scalar()
/// or value_name() has it. Numbers read back to the same double; a missing value is an empty cell.
///
/// A row is appended whole or, unless the process is killed, not at all. Where that is not enough
/// (a new column, an epoch that comes again, a file that something else changed), the file is
/// replaced whole, or left as it was. What could not be written is written with the next epoch, or
/// at the end.
class CsvWriter final : public Writer {
 public:
  /// Makes the folders above the file.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if a folder cannot be made,
  ///   or if the table to resume from cannot be read or is malformed
  explicit CsvWriter(const std::string& savefile, const CsvOptions& options = {})
      : file_(detail::prepare_savefile(savefile) + ".csv") {
    const std::int64_t initial_epoch = detail::checked_initial_epoch(options.initial_epoch);
    if (initial_epoch > 0) resume(initial_epoch);
  }

  /// Where the table is written, as an absolute path.
  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    const std::size_t old_width = header_.size();
    const bool is_later = rows_.empty() || rows_.rbegin()->first < record.epoch;
    std::vector<std::string>& row = rows_[record.epoch];
    row = {fmt::format("{}", record.epoch)};
    for (const auto& [name, value] : record.scalars) set(row, name, value);
    for (const LayerRecord& layer : record.layers) {
      for (const Value& value : layer.values) {
        set(row, value_name(layer.mode, value.quantity, layer.layer), value.value);
      }
    }
    for (const LayerField& field : record.fields) {
      set(row, field_name(kLeastField, field.layer), least_field(field));
      set(row, field_name(kMostField, field.layer), most_field(field));
      if (field.is_map) set(row, field_name(kBorder, field.layer), field.is_border ? 1 : 0);
      if (field.rank_limit < 1) set(row, field_name(kRankLimit, field.layer), field.rank_limit);
    }
    const bool is_appended =
        is_begun_ && is_later && header_.size() == old_width && file_.is_as_left();
    is_begun_ = true;
    if (is_appended) {
      file_.add(detail::csv_line(row, header_.size()));
    } else {
      file_.begin_with("");
      file_.add(text());
    }
  }

  void finish() override { file_.finish(); }

 private:
  void set(std::vector<std::string>& row, const std::string& name, double value) {
    const std::size_t column = column_of(name);
    if (row.size() <= column) row.resize(column + 1);
    row[column] = is_missing(value) ? "" : detail::number_text(value);
  }

  std::size_t column_of(const std::string& name) {
    const auto [place, is_new] = columns_.try_emplace(name, header_.size());
    if (is_new) header_.push_back(name);
    return place->second;
  }

  [[nodiscard]] std::string text() const {
    std::string text = detail::csv_line(header_);
    for (const auto& [epoch, row] : rows_) text += detail::csv_line(row, header_.size());
    return text;
  }

  void resume(std::int64_t initial_epoch) {
    const std::optional<std::string> text = detail::read_file(path());
    if (!text) return;
    detail::CsvTable table = detail::parse_csv(*text, path());
    detail::require_epoch_column(table, path());
    header_ = std::move(table.header);
    for (std::size_t i = 1; i < header_.size(); ++i) columns_.try_emplace(header_[i], i);
    for (detail::CsvTable::Row& row : table.rows) {
      const std::int64_t epoch = detail::epoch_of_row(row, path());
      if (epoch < initial_epoch) rows_.insert_or_assign(epoch, std::move(row.cells));
    }
    const auto report_line = [&](std::size_t line, std::string_view fault) {
      if (line > 0) report(fmt::format("\"{}\", line {}: {}", path(), line, fault));
    };
    report_line(table.torn_line, "the last line is broken off and was left out");
    report_line(table.open_line, "the last line has no end; its last cell may be cut short");
  }

  detail::GrowingFile file_;
  bool is_begun_ = false;
  std::vector<std::string> header_{""};
  std::unordered_map<std::string, std::size_t> columns_;
  std::map<std::int64_t, std::vector<std::string>> rows_;
};

namespace detail {

/// Makes the key known.
inline bool register_csv() {
  register_writer("csv", [](const WriterContext& context) {
    return Writers{
        std::make_shared<CsvWriter>(context.savefile, CsvOptions{context.initial_epoch})};
  });
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool csv_is_registered = register_csv();
#endif

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
