// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::clamp, std::find_if, std::max
#include <array>        // std::array
#include <cmath>        // std::isnan, std::lround
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <iostream>     // std::cout
#include <ostream>      // std::ostream
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <fmt/format.h>

#include <delve/detail/text.hpp>
#include <delve/record.hpp>
#include <delve/writers/writer.hpp>

namespace delve {

struct ConsoleOptions {
  /// Where tables go. It must outlive the writer.
  std::ostream* out = &std::cout;
  /// Whether bars are drawn of Unicode's block elements, in eighths of a character; else of '#'.
  bool unicode = true;
};

/// Prints a table at the end of each epoch: a line a layer, with its width d, and for training and
/// evaluation, where there was any, the number of data points n, its statistics, and its saturation
/// as a bar.
class ConsoleWriter final : public Writer {
 public:
  explicit ConsoleWriter(const ConsoleOptions& options = {}) : options_(options) {}

 protected:
  void write_epoch(const EpochRecord& record) override {
    std::string text = fmt::format("\nepoch {}", record.epoch);
    for (const auto& [name, value] : record.scalars) {
      text += fmt::format("   {} {:.4g}", detail::one_line(name), value);
    }
    text += "\n\n";
    if (!record.layers.empty()) text += table_of(record);
    *options_.out << text << std::flush;
  }

 private:
  static constexpr std::size_t kBarWidth = 16;

  struct Column {
    std::string title;
    bool is_right_aligned = true;
    std::vector<std::string> cells;
  };

  [[nodiscard]] std::string table_of(const EpochRecord& record) const {
    std::vector<Column> columns = {{"layer", false, {}}, {"d", true, {}}};
    for (const LayerRecord& layer : record.layers) {
      if (layer.mode != record.layers.front().mode) continue;
      columns[0].cells.push_back(detail::one_line(layer.layer));
      columns[1].cells.push_back(layer.width == 0 ? "" : fmt::to_string(layer.width));
    }
    for (const Mode mode : {Mode::Train, Mode::Eval}) add_mode(record, mode, columns);
    return laid_out(columns);
  }

  /// Adds the columns of one mode, if there is any layer in it.
  void add_mode(const EpochRecord& record, Mode mode, std::vector<Column>& columns) const {
    std::vector<const LayerRecord*> layers;
    for (const LayerRecord& layer : record.layers) {
      if (layer.mode == mode) layers.push_back(&layer);
    }
    if (layers.empty()) return;
    Column samples{fmt::format("{}: n", to_string(mode)), true, {}};
    for (const LayerRecord* layer : layers) samples.cells.push_back(grouped(layer->samples));
    columns.push_back(std::move(samples));

    Column saturation{"saturation", false, {}};
    for (std::size_t i = 0; i < layers.front()->values.size(); ++i) {
      const bool is_saturation = layers.front()->values[i].stat == "lsat";
      Column column{layers.front()->values[i].stat, true, {}};
      for (const LayerRecord* layer : layers) {
        const double value = layer->values[i].value;
        if (is_saturation) {
          saturation.cells.push_back(saturation_cell(*layer, value));
        } else {
          column.cells.push_back(std::isnan(value) ? "" : fmt::format("{:.5g}", value));
        }
      }
      if (!is_saturation) columns.push_back(std::move(column));
    }
    if (!saturation.cells.empty()) columns.push_back(std::move(saturation));
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
        break;
    }
    return fmt::format("{:5.1f} %  {}", 100 * saturation, bar(saturation));
  }

  /// A bar for a share from 0 to 1.
  [[nodiscard]] std::string bar(double share) const {
    static constexpr std::array<std::string_view, 8> kEighths = {"",  "▏", "▎", "▍",
                                                                 "▌", "▋", "▊", "▉"};
    const double width = std::clamp(share, 0.0, 1.0) * kBarWidth;
    if (!options_.unicode) return std::string(static_cast<std::size_t>(std::lround(width)), '#');
    // What is not nothing shall not look like nothing.
    const auto eighths = std::max<std::int64_t>(std::lround(8 * width), share > 0 ? 1 : 0);
    std::string text;
    for (std::int64_t i = 0; i < eighths / 8; ++i) text += "█";
    return text.append(kEighths[static_cast<std::size_t>(eighths % 8)]);
  }

  /// 1234567 as "1,234,567".
  static std::string grouped(std::int64_t number) {
    std::string text = fmt::to_string(number);
    for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
    return text;
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
};

}  // namespace delve
