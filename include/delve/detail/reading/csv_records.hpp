// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of
#include <cmath>        // std::isnan
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <limits>       // std::numeric_limits
#include <map>          // std::map
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move, std::pair
#include <vector>       // std::vector

#include <delve/detail/formats/csv_table.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/record.hpp>
#include <delve/statistics.hpp>

namespace delve::detail {

/// What the name of a column says: "train-saturation_features-0".
struct StatColumn {
  Mode mode;
  std::string quantity;  ///< "saturation"
  std::string layer;     ///< "features-0"
};

/// Takes the name of a column apart, or finds that it is a scalar's. A quantity holds no '_', so
/// the layer is what follows the first. Delve (Python) puts a '_' before the names in those tables
/// that it makes from its npy files.
inline std::optional<StatColumn> stat_column(std::string_view name) {
  if (name.substr(0, 1) == "_") name.remove_prefix(1);
  for (const Mode mode : {Mode::Train, Mode::Eval}) {
    const std::size_t begin = to_string(mode).size() + 1;
    const std::size_t end = name.find('_');
    const bool is_stat = name.substr(0, begin - 1) == to_string(mode) &&
                         name.substr(begin - 1, 1) == "-" && end != std::string_view::npos &&
                         end > begin && end + 1 < name.size();
    if (!is_stat) continue;
    return StatColumn{mode, std::string(name.substr(begin, end - begin)),
                      std::string(name.substr(end + 1))};
  }
  return std::nullopt;
}

/// The number that a cell holds, whole; NaN where it holds something else.
inline double number_of_cell(std::string_view cell) {
  return number_in<double>(cell).value_or(std::numeric_limits<double>::quiet_NaN());
}

/// A layer in one mode, and the columns that hold its values.
struct LayerColumns {
  std::string layer;
  Mode mode;
  std::vector<std::pair<std::size_t, std::string>> columns;  ///< index and quantity
};

/// The layers of a table, those of training first, else in the order of their columns. A column
/// without a number in any row (matrices, or nothing) is left out.
inline std::vector<LayerColumns> layers_of(const CsvTable& table) {
  std::vector<LayerColumns> layers;
  std::map<std::string, std::size_t> places;
  for (const Mode mode : {Mode::Train, Mode::Eval}) {
    places.clear();
    for (std::size_t i = 1; i < table.header.size(); ++i) {
      const std::optional<StatColumn> column = stat_column(table.header[i]);
      const auto holds_number = [i](const CsvTable::Row& row) {
        return !std::isnan(number_of_cell(row.cells[i]));
      };
      if (!column || column->mode != mode) continue;
      if (!std::any_of(table.rows.begin(), table.rows.end(), holds_number)) continue;
      const auto [place, is_new] = places.try_emplace(column->layer, layers.size());
      if (is_new) layers.push_back({column->layer, mode, {}});
      layers[place->second].columns.emplace_back(i, column->quantity);
    }
  }
  return layers;
}

/// Reads a table that CsvWriter or Delve (Python) wrote into the records it was made of, in rising
/// order of epochs; of two rows of one epoch the later counts. What a table does not hold is
/// unknown: widths and samples are 0, every status is Ok. A cell that is no number is a missing
/// value; a layer whose values are all missing in a row is left out of that record. A last line
/// that is broken off is left out. A scalar that is named like a statistic, "train-error_rate",
/// cannot be told from one. `name` is the file's, for messages.
/// @throws std::runtime_error that says file, line and what was expected
inline std::vector<EpochRecord> records_from_csv(std::string_view text, const std::string& name) {
  const CsvTable table = parse_csv(text, name);
  require_epoch_column(table, name);
  const std::vector<LayerColumns> layers = layers_of(table);
  std::vector<std::size_t> scalars;
  for (std::size_t i = 1; i < table.header.size(); ++i) {
    if (!stat_column(table.header[i])) scalars.push_back(i);
  }
  std::map<std::int64_t, EpochRecord> records;
  for (const CsvTable::Row& row : table.rows) {
    EpochRecord record{epoch_of_row(row, name), {}, {}};
    for (const std::size_t column : scalars) {
      const double value = number_of_cell(row.cells[column]);
      if (!std::isnan(value)) record.scalars.emplace_back(table.header[column], value);
    }
    for (const LayerColumns& layer : layers) {
      LayerRecord values{layer.layer, layer.mode, 0, 0, Status::Ok, {}};
      bool any = false;
      for (const auto& [column, quantity] : layer.columns) {
        const double value = number_of_cell(row.cells[column]);
        any = any || !std::isnan(value);
        values.values.push_back({statistic_of_quantity(quantity), quantity, value});
      }
      if (any) record.layers.push_back(std::move(values));
    }
    records.insert_or_assign(record.epoch, std::move(record));
  }
  std::vector<EpochRecord> result;
  for (auto& [epoch, record] : records) result.push_back(std::move(record));
  return result;
}

}  // namespace delve::detail
