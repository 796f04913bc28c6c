// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::count, std::max, std::min
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A table of text cells: what a CSV file holds. Fields are separated by ';'. A cell that holds
/// ';', '"' or a line break, or begins with a byte order mark, stands in quotes, in which '"' is
/// doubled.
struct CsvTable {
  struct Row {
    std::size_t line = 0;  ///< where it begins in the file, from 1
    std::vector<std::string> cells;
  };

  std::vector<std::string> header;
  std::vector<Row> rows;      ///< each as wide as the header
  std::size_t torn_line = 0;  ///< the last line, if it was broken off (and left out); else 0
  /// The last line, if it has all cells and no line end, so that its last cell may be cut short.
  std::size_t open_line = 0;
};

/// What spreadsheets put before a UTF-8 text. It is no part of the text.
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

inline bool has_byte_order_mark(std::string_view text) {
  return text.substr(0, kByteOrderMark.size()) == kByteOrderMark;
}

/// Whether a cell must stand in quotes to be read back as it is.
inline bool needs_quotes(std::string_view cell) {
  return cell.find_first_of(";\"\r\n") != std::string_view::npos || has_byte_order_mark(cell);
}

/// One line of CSV, its end included, filled up with empty cells to `width`.
inline std::string csv_line(const std::vector<std::string>& cells, std::size_t width = 0) {
  std::string line;
  for (std::size_t i = 0; i < std::max(width, cells.size()); ++i) {
    if (i > 0) line.push_back(';');
    if (i >= cells.size()) continue;
    if (!needs_quotes(cells[i])) {
      line.append(cells[i]);
      continue;
    }
    line.push_back('"');
    for (const char c : cells[i]) line.append(c == '"' ? 2 : 1, c);
    line.push_back('"');
  }
  // Readers skip blank lines, so a lone empty cell is quoted.
  if (line.empty()) line = "\"\"";
  return line.append("\n");
}

[[nodiscard]] inline std::runtime_error malformed_table(const std::string& name, std::size_t line,
                                                        std::string_view message) {
  return std::runtime_error(fmt::format("\"{}\", line {}: {}", name, line, message));
}

/// Reads the rows of a CSV text one after the other.
class CsvReader {
 public:
  /// `name` is the file's, for messages. The text must outlive the reader.
  CsvReader(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  /// Reads the next row that is not blank; false at the end of the text.
  /// @throws std::runtime_error that says file, line and what was expected
  bool next(CsvTable::Row& row) {
    while (skip_line_end()) {
    }
    if (at_end()) return false;
    row.line = line_;
    row.cells.clear();
    in_quotes_ = false;
    do {
      row.cells.push_back(text_.substr(position_, 1) == "\"" ? quoted_cell() : plain_cell());
    } while (skip(';'));
    line_ended_ = skip_line_end();
    if (!line_ended_ && !at_end()) fail(line_, "expected ';' or a line end after the closing '\"'");
    if (in_quotes_ && line_ > row.line) fail(row.line, "expected a closing '\"'");
    return true;
  }

  /// Whether the last row stopped within a quoted cell.
  [[nodiscard]] bool in_quotes() const { return in_quotes_; }
  /// Whether the last row had the end of its line.
  [[nodiscard]] bool line_ended() const { return line_ended_; }

  [[noreturn]] void fail(std::size_t line, std::string_view message) const {
    throw malformed_table(name_, line, message);
  }

 private:
  [[nodiscard]] bool at_end() const { return position_ == text_.size(); }

  bool skip(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  bool skip_line_end() {
    const std::string_view rest = text_.substr(position_, 2);
    const std::size_t length = rest == "\r\n" ? 2 : rest.substr(0, 1) == "\n" ? 1 : 0;
    position_ += length;
    if (length > 0) ++line_;
    return length > 0;
  }

  std::string plain_cell() {
    const std::size_t end = std::min(text_.find_first_of(";\n", position_), text_.size());
    std::string_view cell = text_.substr(position_, end - position_);
    if (text_.substr(end, 1) == "\n" && !cell.empty() && cell.back() == '\r') cell.remove_suffix(1);
    position_ += cell.size();
    return std::string(cell);
  }

  std::string quoted_cell() {
    std::string cell;
    skip('"');
    for (bool doubled = true; doubled;) {
      const std::size_t quote = std::min(text_.find('"', position_), text_.size());
      cell.append(text_.substr(position_, quote - position_));
      position_ = quote;
      in_quotes_ = !skip('"');
      doubled = !in_quotes_ && skip('"');
      if (doubled) cell.push_back('"');
    }
    line_ += static_cast<std::size_t>(std::count(cell.begin(), cell.end(), '\n'));
    return cell;
  }

  std::string_view text_;
  std::string name_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
  bool in_quotes_ = false;
  bool line_ended_ = true;
};

/// Reads a table whose first line names the columns. Blank lines are skipped, "\r\n" ends a line
/// too, and a byte order mark at the beginning is left out. `name` is the file's, for messages.
/// @throws std::runtime_error that says file, line and what was expected
inline CsvTable parse_csv(std::string_view text, const std::string& name) {
  if (has_byte_order_mark(text)) text.remove_prefix(kByteOrderMark.size());
  CsvReader reader(text, name);
  CsvTable table;
  CsvTable::Row row;
  if (!reader.next(row)) reader.fail(1, "expected the names of the columns, found nothing");
  if (reader.in_quotes()) reader.fail(row.line, "expected a closing '\"'");
  table.header = std::move(row.cells);
  if (!reader.line_ended()) table.open_line = row.line;
  const std::size_t width = table.header.size();
  while (reader.next(row)) {
    if (row.cells.size() == width && !reader.in_quotes()) {
      if (!reader.line_ended()) table.open_line = row.line;
      table.rows.push_back(std::move(row));
    } else if (row.cells.size() <= width && !reader.line_ended()) {
      table.torn_line = row.line;
    } else {
      reader.fail(row.line, fmt::format("expected {} fields, as in the header, found {}", width,
                                        row.cells.size()));
    }
  }
  return table;
}

/// @throws std::runtime_error where the first column is not the epochs', which has no name
inline void require_epoch_column(const CsvTable& table, const std::string& name) {
  if (table.header.front().empty()) return;
  throw malformed_table(
      name, 1,
      fmt::format("expected an epoch column, without a name, found \"{}\"", table.header.front()));
}

/// The epoch that a row is of.
/// @throws std::runtime_error where it does not begin with one
inline std::int64_t epoch_of_row(const CsvTable::Row& row, const std::string& name) {
  const std::string& cell = row.cells.front();
  if (const auto epoch = number_in<std::int64_t>(cell)) return *epoch;
  throw malformed_table(name, row.line,
                        fmt::format("expected an epoch number first, found \"{}\"", cell));
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
