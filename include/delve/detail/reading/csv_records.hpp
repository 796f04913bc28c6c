// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of
#include <cmath>        // std::llround
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <map>          // std::map
#include <optional>     // std::optional
#include <set>          // std::set
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::pair
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/csv_table.hpp>
#include <delve/detail/reading/value_name.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/statistics.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The number that a cell consists of; a NaN where it holds something else.
inline double number_of_cell(std::string_view cell) {
  return number_in<double>(cell).value_or(missing_value());
}

/// Whether a cell says nothing: it is empty, or a NaN by one of its names.
inline bool is_empty_cell(std::string_view cell) {
  return cell.empty() || cell == "nan" || cell == "NaN" || cell == "-nan";
}

/// Which columns of a table hold a number in any row.
inline std::vector<bool> columns_of_numbers(const CsvTable& table) {
  std::vector<bool> hold_numbers(table.header.size());
  for (std::size_t i = 0; i < hold_numbers.size(); ++i) {
    hold_numbers[i] = std::any_of(
        table.rows.begin(), table.rows.end(),
        [i](const CsvTable::Row& row) { return !is_nan(number_of_cell(row.cells[i])); });
  }
  return hold_numbers;
}

/// A layer in one mode, and the columns that hold its values.
struct LayerColumns {
  std::string layer;
  Mode mode;
  std::vector<std::pair<std::size_t, Value>> columns;  ///< index, and a value without its number
};

/// The layers of a table by mode, then in the order of their columns. A column without a number in
/// any row (matrices, or nothing) is left out.
/// @param hold_numbers of columns_of_numbers()
inline std::vector<LayerColumns> layers_of(const CsvTable& table,
                                           const std::vector<bool>& hold_numbers) {
  std::map<Mode, std::vector<LayerColumns>> modes;
  std::map<std::pair<Mode, std::string>, std::size_t> places;
  for (std::size_t i = 1; i < table.header.size(); ++i) {
    const std::optional<StatColumn> column = stat_column(table.header[i]);
    if (!column || !hold_numbers[i]) continue;
    std::vector<LayerColumns>& layers = modes[column->mode];
    const auto [place, is_new] = places.try_emplace({column->mode, column->layer}, layers.size());
    if (is_new) layers.push_back({column->layer, column->mode, {}});
    layers[place->second].columns.emplace_back(i, value_of_quantity(column->quantity, 0));
  }
  std::vector<LayerColumns> all;
  for (auto& [mode, layers] : modes) {
    for (LayerColumns& layer : layers) all.push_back(std::move(layer));
  }
  return all;
}

/// The columns of a layer's receptive field. The one of `most` is always there.
struct FieldColumns {
  std::string layer;
  std::size_t most;
  std::optional<std::size_t> least;
  std::optional<std::size_t> border;
  std::optional<std::size_t> rank_limit;

  /// What a row says; nothing where it says nothing. One axis stands for all.
  [[nodiscard]] std::optional<LayerField> in(const CsvTable::Row& row) const {
    const auto number = [&](std::optional<std::size_t> column) {
      return column ? number_of_cell(row.cells[*column]) : missing_value();
    };
    if (is_nan(number(most)) && is_nan(number(border))) return std::nullopt;
    LayerField field;
    field.layer = layer;
    field.is_map = !is_missing(number(border));
    field.is_border = number(border) == 1;
    if (const double limit = number(rank_limit); is_finite(limit) && limit > 0 && limit < 1) {
      field.rank_limit = limit;
    }
    AxisField& axis = field.axes.emplace_back();
    const auto length = [&](double value) -> std::optional<std::int64_t> {
      if (!is_finite(value)) return std::nullopt;
      return std::llround(value);
    };
    axis.most = length(number(most));
    axis.least = length(number(least));
    if (is_nan(number(most))) axis.unknown = "unknown";
    return field;
  }
};

/// The field columns of a table, in their order.
inline std::vector<FieldColumns> field_columns(const CsvTable& table) {
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 1; i < table.header.size(); ++i) places.emplace(table.header[i], i);
  const auto place = [&](const std::string& name) -> std::optional<std::size_t> {
    const auto found = places.find(name);
    if (found == places.end()) return std::nullopt;
    return found->second;
  };
  std::vector<FieldColumns> all;
  const std::string prefix = field_name(kMostField, "");
  for (std::size_t i = 1; i < table.header.size(); ++i) {
    if (table.header[i].rfind(prefix, 0) != 0) continue;
    const std::string layer = table.header[i].substr(prefix.size());
    all.push_back({layer, i, place(field_name(kLeastField, layer)),
                   place(field_name(kBorder, layer)), place(field_name(kRankLimit, layer))});
  }
  return all;
}

/// A cell that holds text where a number was expected.
struct BadCell {
  std::size_t line;
  std::string column;
  std::string cell;

  /// "line 3, column \"train-saturation_fc\": \"0,53\" is not a number"
  [[nodiscard]] std::string words() const {
    const bool has_comma = cell.find(',') != std::string::npos;
    return fmt::format("line {}, column \"{}\": \"{}\" is not a number{}", line, column, cell,
                       has_comma ? " (decimals are written with a point, 0.53)" : "");
  }
};

/// The cells that hold text, in the columns that hold a number elsewhere; where there is no such
/// column of a statistic, in all columns of statistics.
inline std::vector<BadCell> bad_cells(const CsvTable& table) {
  std::vector<BadCell> bad;
  const std::vector<bool> hold_numbers = columns_of_numbers(table);
  const bool has_layers = !layers_of(table, hold_numbers).empty();
  for (const CsvTable::Row& row : table.rows) {
    for (std::size_t i = 1; i < row.cells.size(); ++i) {
      if (is_empty_cell(row.cells[i]) || !is_nan(number_of_cell(row.cells[i]))) continue;
      const bool is_expected =
          has_layers ? hold_numbers[i] : stat_column(table.header[i]).has_value();
      if (is_expected) bad.push_back({row.line, table.header[i], row.cells[i]});
    }
  }
  return bad;
}

/// The records of which CsvWriter or Delve (Python) made a table, in rising order of epochs; of two
/// rows of one epoch the later counts. What a table does not hold is
/// unknown: widths and samples are 0, every status is Ok. A cell that is no number is a missing
/// value; a layer whose values are all missing in a row is left out of that record. A last line
/// that is broken off is left out. A scalar that is named like a statistic, "train-error_rate",
/// cannot be told from one. `name` is the file's, for messages.
/// @throws std::runtime_error that says file, line and what was expected
inline std::vector<EpochRecord> records_of(const CsvTable& table, const std::string& name) {
  require_epoch_column(table, name);
  const std::vector<LayerColumns> layers = layers_of(table, columns_of_numbers(table));
  const std::vector<FieldColumns> fields = field_columns(table);
  std::set<std::size_t> of_fields;
  for (const FieldColumns& field : fields) {
    of_fields.insert(field.most);
    if (field.least) of_fields.insert(*field.least);
    if (field.border) of_fields.insert(*field.border);
    if (field.rank_limit) of_fields.insert(*field.rank_limit);
  }
  std::vector<std::size_t> scalars;
  for (std::size_t i = 1; i < table.header.size(); ++i) {
    if (of_fields.count(i) == 0 && !stat_column(table.header[i])) scalars.push_back(i);
  }
  std::map<std::int64_t, EpochRecord> records;
  for (const CsvTable::Row& row : table.rows) {
    EpochRecord record{epoch_of_row(row, name), {}, {}};
    for (const std::size_t column : scalars) {
      const double value = number_of_cell(row.cells[column]);
      if (!is_nan(value)) record.scalars.emplace_back(table.header[column], value);
    }
    for (const LayerColumns& layer : layers) {
      LayerRecord values{layer.layer, layer.mode, 0, 0, Status::Ok, {}};
      bool any = false;
      for (const auto& [column, value] : layer.columns) {
        values.values.push_back(value);
        values.values.back().value = number_of_cell(row.cells[column]);
        any = any || !is_nan(values.values.back().value);
      }
      if (any) record.layers.push_back(std::move(values));
    }
    for (const FieldColumns& columns : fields) {
      if (std::optional<LayerField> field = columns.in(row)) {
        record.fields.push_back(*std::move(field));
      }
    }
    records.insert_or_assign(record.epoch, std::move(record));
  }
  std::vector<EpochRecord> result;
  for (auto& [epoch, record] : records) result.push_back(std::move(record));
  return result;
}

/// The same from the table's text.
inline std::vector<EpochRecord> records_from_csv(std::string_view text, const std::string& name) {
  return records_of(parse_csv(text, name), name);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
