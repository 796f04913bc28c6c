// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>    // std::isnan
#include <ostream>  // std::ostream
#include <string>   // std::string

#include <fmt/format.h>
#include <delve/record.hpp>
#include <delve/writers/writer.hpp>

namespace examples {

/// Writes all values as a table in Markdown, fit for the description of a pull request.
class MarkdownWriter final : public delve::Writer {
 public:
  explicit MarkdownWriter(std::ostream& out) : out_(out) {
    out_ << "| epoch | mode | layer | quantity | value |\n|--:|---|---|---|--:|\n";
  }

 protected:
  void write_epoch(const delve::EpochRecord& record) override {
    for (const delve::LayerRecord& layer : record.layers) {
      for (const delve::Value& value : layer.values) {
        const std::string number =
            std::isnan(value.value) ? "missing" : fmt::format("{:.3f}", value.value);
        out_ << fmt::format("| {} | {} | {} | {} | {} |\n", record.epoch, to_string(layer.mode),
                            layer.layer, value.quantity, number);
      }
    }
  }

 private:
  std::ostream& out_;
};

}  // namespace examples
