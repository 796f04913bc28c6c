// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::clamp, std::find, std::max, std::min
#include <array>        // std::array
#include <cmath>        // std::lround
#include <cstddef>      // std::ptrdiff_t, std::size_t
#include <cstdint>      // std::int64_t
#include <iostream>     // std::cout
#include <memory>       // std::make_shared
#include <optional>     // std::optional
#include <ostream>      // std::ostream
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/os/os.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/verdict/verdict_text.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct ConsoleOptions {
  /// Where tables go. It must outlive the writer.
  std::ostream* out = &std::cout;
  /// Whether bars are drawn of Unicode's block elements, in eighths of a character; else of '#'.
  bool unicode = true;
  /// What the heading of each table begins with, such as the run's name; empty: nothing.
  std::string title = {};
};

/// Prints a table at the end of each epoch: a line per layer, with its width d, and for training,
/// evaluation and each other mode that had data, the number of data points n, its statistics, and
/// its saturation as a bar. Layers without data are named below the table, and so are border layers
/// in the epoch in which they were found. At the end it prints the verdict() on the last whole
/// epoch. A table that the stream does not take is lost, which is reported once.
class ConsoleWriter final : public Writer {
 public:
  explicit ConsoleWriter(const ConsoleOptions& options = {}) : options_(options) {}

 protected:
  void write_epoch(const EpochRecord& record) override {
    std::string text = fmt::format("\n{}{}epoch {}", detail::one_line(options_.title),
                                   options_.title.empty() ? "" : ", ", record.epoch);
    for (const auto& [name, value] : record.scalars) {
      text += fmt::format("   {} {}", detail::one_line(name), detail::number_text(value, "{:.4g}"));
    }
    text += "\n\n";
    if (!record.layers.empty()) text += table_of(record);
    if (!record.fields.empty()) text += fields_line(record.fields);
    detail::renew_fields(fields_, record.fields);
    if (detail::is_whole_epoch(record)) last_ = verdict(record, fields_);
    print(text);
  }

  void finish() override {
    // Of a few layers there is nothing to say.
    if (last_ && last_->is_of_depth()) print(fmt::format("\n{}", detail::text_of(*last_)));
  }

 private:
  static constexpr std::size_t kBarWidth = 16;
  static constexpr std::size_t kLongestName = 40;

  struct Column {
    std::string title;
    bool is_right_aligned = true;
    std::vector<std::string> cells;
  };

  /// "  receptive fields: up to 435 of an input of 32 × 32; border layers: a, b, c and 4 more"
  static std::string fields_line(const std::vector<LayerField>& fields) {
    double largest = 0;
    std::vector<std::string> border;
    std::vector<std::int64_t> input;
    for (const LayerField& field : fields) {
      if (detail::is_finite(most_field(field))) largest = std::max(largest, most_field(field));
      if (field.is_border) border.push_back(detail::one_line(field.layer));
      if (!input.empty()) continue;
      for (const AxisField& axis : field.axes) input.push_back(axis.input);
    }
    // Recurrent layers, say: what is behind them has no receptive field to speak of.
    if (largest == 0) {
      return fmt::format("  receptive fields: none, each layer sees all of an input of {}\n",
                         fmt::join(input, " × "));
    }
    return fmt::format(
        "  receptive fields: up to {} of an input of {}; {}{}\n", largest, fmt::join(input, " × "),
        border.empty() ? "no border layer" : "border layers: ", detail::first_of(border, 3));
  }

  [[nodiscard]] std::string table_of(const EpochRecord& record) const {
    const std::vector<Mode> modes = modes_of(record);
    std::vector<std::string> without_data;
    std::vector<std::string> names;  // of all layers, those of several modes once
    for (const LayerRecord& layer : record.layers) {
      const auto is_same = [&](const LayerRecord& other) { return other.layer == layer.layer; };
      const bool has_data =
          std::any_of(record.layers.begin(), record.layers.end(), [&](const LayerRecord& other) {
            return is_same(other) && (other.status != Status::NoData || other.skipped_batches > 0);
          });
      std::vector<std::string>& list = has_data ? names : without_data;
      if (std::find(list.begin(), list.end(), layer.layer) == list.end()) {
        list.push_back(layer.layer);
      }
    }
    std::vector<Column> columns = {{"layer", false, {}}, {"d", true, {}}};
    for (const std::string& name : names) {
      const LayerRecord* layer = nullptr;
      for (const Mode mode : modes) {
        if (layer == nullptr) layer = find(record, name, mode);
      }
      columns[0].cells.push_back(detail::shortened(detail::one_line(name), kLongestName));
      columns[1].cells.push_back(layer->width == 0 ? "" : fmt::to_string(layer->width));
    }
    for (const Mode mode : modes) add_mode(record, mode, names, columns);
    std::string text = laid_out(columns);
    if (without_data.empty()) return text;
    for (std::string& name : without_data) name = detail::one_line(name);
    return text + fmt::format("  no data: {}\n", detail::first_of(without_data, 3));
  }

  static const LayerRecord* find(const EpochRecord& record, const std::string& name, Mode mode) {
    for (const LayerRecord& layer : record.layers) {
      if (layer.mode == mode && layer.layer == name) return &layer;
    }
    return nullptr;
  }

  void print(const std::string& text) {
    std::ostream& out = *options_.out;
    const bool was_good = out.good();
    out << text << std::flush;
    if (out.good()) return;
    // What failed here must not silence the epochs to come, nor what the program prints itself.
    if (was_good) out.clear();
    throw std::runtime_error(
        "a table could not be printed: its stream failed (is the disk full, or the file closed?)");
  }

  /// Adds the columns of a mode: n, each statistic, and the bar.
  void add_mode(const EpochRecord& record, Mode mode, const std::vector<std::string>& names,
                std::vector<Column>& columns) const {
    Column samples{fmt::format("{}: n", to_string(mode)), true, {}};
    std::vector<Column> others;
    Column saturation{"saturation", false, {}};
    for (const std::string& name : names) {
      const LayerRecord* layer = find(record, name, mode);
      samples.cells.push_back(layer == nullptr ? "" : detail::grouped(layer->samples));
      if (layer == nullptr) continue;
      for (const Value& value : layer->values) {
        if (value.kind == ValueKind::Saturation) {
          saturation.cells.resize(samples.cells.size() - 1);
          saturation.cells.push_back(saturation_cell(*layer, value.value));
        } else {
          Column& column = column_called(value.stat, others);
          column.cells.resize(samples.cells.size() - 1);
          column.cells.push_back(value_cell(*layer, value.value));
        }
      }
    }
    columns.push_back(std::move(samples));
    for (Column& column : others) columns.push_back(std::move(column));
    if (!saturation.cells.empty()) columns.push_back(std::move(saturation));
    for (Column& column : columns) column.cells.resize(names.size());
  }

  static Column& column_called(const std::string& title, std::vector<Column>& columns) {
    for (Column& column : columns) {
      if (column.title == title) return column;
    }
    return columns.emplace_back(Column{title, true, {}});
  }

  static std::string value_cell(const LayerRecord& layer, double value) {
    if (layer.status == Status::NoData) return "no data";
    return is_missing(value) ? "missing" : detail::number_text(value, "{:.5g}");
  }

  [[nodiscard]] std::string saturation_cell(const LayerRecord& layer, double saturation) const {
    switch (layer.status) {
      case Status::NoData:
        return "no data";
      case Status::NotConverged:
        return "not solved";
      case Status::NoVariance:
        return "  0.0 %  constant";
      case Status::Ok:
      case Status::StatisticFailed:
        break;
    }
    if (is_missing(saturation)) return "missing";
    return fmt::format("{:5.1f} %  {}", 100 * saturation, bar(saturation));
  }

  /// A bar for a share from 0 to 1.
  [[nodiscard]] std::string bar(double share) const {
    static constexpr std::array<std::string_view, 8> kEighths = {"",  "▏", "▎", "▍",
                                                                 "▌", "▋", "▊", "▉"};
    const double width = std::clamp(share, 0.0, 1.0) * kBarWidth;
    if (!options_.unicode) return std::string(static_cast<std::size_t>(std::lround(width)), '#');
    // At least one eighth for a share above zero.
    const auto eighths = std::max<std::int64_t>(std::lround(8 * width), share > 0 ? 1 : 0);
    std::string text;
    for (std::int64_t i = 0; i < eighths / 8; ++i) text += "█";
    return text.append(kEighths[static_cast<std::size_t>(eighths % 8)]);
  }

  static std::string laid_out(const std::vector<Column>& columns) {
    std::string text;
    const std::size_t rows = columns.front().cells.size();
    for (std::size_t row = 0; row <= rows; ++row) {
      std::string line;
      for (const Column& column : columns) {
        const std::string& cell = row == 0 ? column.title : column.cells[row - 1];
        std::size_t width = detail::text_width(column.title);
        for (const std::string& other : column.cells) {
          width = std::max(width, detail::text_width(other));
        }
        const std::string padding(width - detail::text_width(cell), ' ');
        line += (line.empty() ? "  " : "   ");
        line += column.is_right_aligned ? padding + cell : cell + padding;
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    }
    return text;
  }

  ConsoleOptions options_;
  std::vector<LayerField> fields_;
  std::optional<Verdict> last_;
};

namespace detail {

/// Makes the keys known.
inline bool register_console() {
  register_writer("console", [](const WriterContext& context) {
    ConsoleOptions options;
    options.title = detail::text_of(detail::path_of(context.savefile).filename());
    return Writers{std::make_shared<ConsoleWriter>(options)};
  });
  register_writer_groups({"print"}, {"console"});
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool console_is_registered = register_console();
#endif

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
